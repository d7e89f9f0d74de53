//! The opener in Python, in a virtual environment of its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis::context::EncryptionContext;

use crate::fixture::{AtRest, PASSPHRASE};
use crate::page;

/// Has both AEADs, HKDF and Argon2id; a wheel brings its own OpenSSL.
const PACKAGE: &str = "cryptography==48.0.0";

/// What the opener said.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Opened(Vec<u8>),
    /// What it wrote on standard error.
    Refused(String),
}

pub struct Opener {
    python: PathBuf,
}

impl Opener {
    /// The opener, if there is a Python to run it.
    ///
    /// # Panics
    /// Under `CI=true`, if there is none.
    pub fn find() -> Option<Self> {
        match environment(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("format")) {
            Ok(python) => Some(Self { python }),
            Err(why) => {
                let thread = std::thread::current();
                let name = thread.name().unwrap_or("tests/format");
                let skipped = format!("skipped {name}: {why}");
                let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!ci, "{skipped}");
                // Past the capture of a test that passes.
                writeln!(std::io::stderr(), "{skipped}").unwrap();
                None
            }
        }
    }

    /// Opens `sealed` in the keystore's directory.
    pub fn open(
        &self,
        keystore: &AtRest,
        form: &str,
        context: &EncryptionContext,
        sealed: &str,
    ) -> Verdict {
        let output = self.run("opener.py", keystore, context, &["--as", form], sealed);
        Self::verdict(keystore, output)
    }

    /// Opens the stored object `body` in the keystore's directory.
    pub fn open_object(
        &self,
        keystore: &AtRest,
        context: &EncryptionContext,
        arguments: &[&str],
        body: &str,
    ) -> Verdict {
        Self::verdict(keystore, self.run("object_opener.py", keystore, context, arguments, body))
    }

    fn verdict(keystore: &AtRest, output: Output) -> Verdict {
        let told = String::from_utf8(output.stderr).unwrap();
        if output.status.success() {
            let plain = fs::read(keystore.path("out")).unwrap();
            fs::remove_file(keystore.path("out")).unwrap();
            return Verdict::Opened(plain);
        }
        // A traceback is a bug of the opener, not a refusal.
        assert!(output.status.code() == Some(1) && told.starts_with("refused: "), "{told}");
        Verdict::Refused(told)
    }

    /// Every value on the way.
    pub fn show(
        &self,
        keystore: &AtRest,
        context: &EncryptionContext,
        sealed: &str,
    ) -> Vec<(String, Vec<u8>)> {
        let output = self.run("opener.py", keystore, context, &["--show"], sealed);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        page::values(String::from_utf8(output.stdout).unwrap().lines())
    }

    fn run(
        &self,
        script: &str,
        keystore: &AtRest,
        context: &EncryptionContext,
        arguments: &[&str],
        sealed: &str,
    ) -> Output {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format");
        let script = scripts.join(script);
        let mut command = Command::new(&self.python);
        // Isolated: neither the user's packages nor their environment reach it.
        command.args(["-I", "-B"]).arg(script).args(arguments);
        command.arg("--keystore").arg(keystore.path("keys"));
        command.arg("--anchor").arg(keystore.path("mark"));
        let root_key = keystore.path("root.key");
        if root_key.exists() {
            command.arg("--root-key").arg(root_key);
        } else {
            command.args(["--passphrase-env", "PASSPHRASE"]).env("PASSPHRASE", PASSPHRASE);
        }
        for (name, value) in context.iter() {
            command.arg("--context").arg(format!("{name}={value}"));
        }
        command.arg(keystore.path(sealed)).arg(keystore.path("out"));
        command.output().unwrap()
    }
}

/// The interpreter of the environment in `directory`, which is made the first time.
fn environment(directory: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    // Tests run as threads and as processes: the first makes it, the others wait.
    let lock = File::create(directory.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let (venv, made) = (directory.join("venv"), directory.join("made"));
    let python = venv.join("bin/python");
    if fs::read_to_string(&made).is_ok_and(|package| package == PACKAGE) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(install).args(["--only-binary", ":all:", PACKAGE]))?;
    fs::write(&made, PACKAGE).map_err(|error| error.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", told.lines().last().unwrap_or("it failed")))
}
