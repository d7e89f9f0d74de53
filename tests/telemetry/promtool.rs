//! Prometheus's own tool, where it can be had.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The tool: what `PORTCULLIS_PROMTOOL` names, or the one in the path. `None`, and a line on
/// standard error, where there is none.
///
/// # Panics
/// Under `CI=true`, if there is none.
pub fn promtool() -> Option<PathBuf> {
    let named = std::env::var_os("PORTCULLIS_PROMTOOL").map(PathBuf::from);
    let path = named.unwrap_or_else(|| "promtool".into());
    let version = Command::new(&path).arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        return Some(path);
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let skipped = format!("skipped {name} in part: there is no promtool");
    assert!(std::env::var("CI").is_ok_and(|ci| ci == "true").eq(&false), "{skipped}");
    // Past the capture of a test that passes.
    writeln!(std::io::stderr(), "{skipped}").unwrap();
    None
}

/// Runs the tool on `input`, in the directory of the rules.
#[track_caller]
pub fn run(arguments: &[&str], input: &str) {
    let Some(promtool) = promtool() else { return };
    let mut child = Command::new(promtool)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/monitoring"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && !told.contains("FAILED"), "{arguments:?}: {told}");
}
