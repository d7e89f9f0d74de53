//! The opener in Python, in a virtual environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis::context::EncryptionContext;

use crate::fixture::{AtRest, PASSPHRASE};
use crate::page;
use crate::venv;

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
        venv::python("format", &[PACKAGE]).map(|python| Self { python })
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

    /// Opens `sealed` under the customer's key in the file `key`.
    pub fn open_customer_file(
        &self,
        keystore: &AtRest,
        context: &EncryptionContext,
        key: &str,
        sealed: &str,
    ) -> Verdict {
        let key = keystore.path(key);
        let key = key.to_str().unwrap();
        let arguments = ["--as", "customer-file", "--customer-key", key];
        Self::verdict(keystore, self.run("opener.py", keystore, context, &arguments, sealed))
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
