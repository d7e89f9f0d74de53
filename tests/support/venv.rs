//! Virtual environments of Python for tests, made once under the target directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of the environment called `name`, in which `packages` are installed; `None`, and
/// a line on standard error, where there is no Python or no network to make it.
///
/// # Panics
/// Under `CI=true`, if it cannot be made.
pub fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    match environment(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), packages) {
        Ok(python) => Some(python),
        Err(why) => {
            let thread = std::thread::current();
            let skipped = format!("skipped {}: {why}", thread.name().unwrap_or(name));
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "{skipped}");
            // Past the capture of a test that passes.
            writeln!(std::io::stderr(), "{skipped}").unwrap();
            None
        }
    }
}

/// The interpreter of the environment in `directory`, which is made the first time.
fn environment(directory: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    // Tests run as threads and as processes: the first makes it, the others wait.
    let lock = File::create(directory.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let (venv, made) = (directory.join("venv"), directory.join("made"));
    let python = venv.join("bin/python");
    let packages_line = packages.join(" ");
    if fs::read_to_string(&made).is_ok_and(|made| made == packages_line) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(install).args(["--only-binary", ":all:"]).args(packages))?;
    fs::write(&made, packages_line).map_err(|error| error.to_string())?;
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
