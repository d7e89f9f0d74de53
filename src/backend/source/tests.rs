//! Keys from files, variables, credentials and hosts: what is taken and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const HEX: &str = "303132333435363738396162636465666768696a6b6c6d6e6f70717273747576";

fn file(bytes: &[u8], mode: u32) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.key");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (dir, path)
}

fn fetch(source: &KeySource) -> Result<[u8; 32], KeystoreProblem> {
    source.fetch().map(|key| *key.expose()).map_err(|error| error.problem)
}

#[test]
fn a_key_file_is_32_bytes_or_64_digits_and_nothing_else() {
    let line = format!("{HEX}\n");
    let upper = HEX.to_uppercase();
    for good in [KEY.as_slice(), HEX.as_bytes(), line.as_bytes(), upper.as_bytes()] {
        let (_dir, path) = file(good, 0o600);
        assert_eq!(fetch(&KeySource::File(path)), Ok(KEY));
    }
    let (crlf, blank) = (format!("{HEX}\r\n"), format!("{HEX}\n\n"));
    let spaced = format!(" {}", &HEX[1..]);
    let plus = format!("+{}", &HEX[1..]);
    let bad: [&[u8]; 11] = [
        b"",
        &KEY[..31],
        &[KEY.as_slice(), b"\n"].concat(),
        &HEX.as_bytes()[..63],
        crlf.as_bytes(),
        blank.as_bytes(),
        spaced.as_bytes(),
        plus.as_bytes(),
        &[0; 32],
        &[b'7'; 64],
        &[1; 1000],
    ];
    for bad in bad {
        let (_dir, path) = file(bad, 0o600);
        let refused = fetch(&KeySource::File(path));
        assert!(matches!(refused, Err(KeystoreProblem::RootKey(_))), "{bad:?}: {refused:?}");
    }
}

#[test]
fn guideline_s3_a_key_file_that_others_may_read_is_refused() {
    let (_dir, path) = file(&KEY, 0o400);
    assert_eq!(fetch(&KeySource::File(path)), Ok(KEY));
    for found in [0o644, 0o640, 0o660, 0o604, 0o700] {
        let (_dir, path) = file(&KEY, found);
        let mode = KeystoreProblem::Mode { found, expected: 0o600 };
        assert_eq!(fetch(&KeySource::File(path)), Err(mode));
    }
    let (dir, path) = file(&KEY, 0o600);
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(fetch(&KeySource::File(link)), Err(KeystoreProblem::NotAFile));
    let directory = KeySource::File(dir.path().to_owned());
    assert_eq!(fetch(&directory), Err(KeystoreProblem::NotAFile));
    let absent = KeySource::File(dir.path().join("absent"));
    assert_eq!(fetch(&absent), Err(KeystoreProblem::Missing));
}

/// The environment is the process's, so a child is given another.
#[test]
fn keys_come_from_variables_and_credentials() {
    const JOB: &str = "PORTCULLIS_TEST_SOURCE";
    if std::env::var_os(JOB).is_some() {
        let env = |name: &str| fetch(&KeySource::Env(name.to_owned()));
        assert_eq!(env("PORTCULLIS_TEST_KEY"), Ok(KEY));
        for bad in ["PORTCULLIS_TEST_EMPTY", "PORTCULLIS_TEST_SHORT", "PORTCULLIS_TEST_ABSENT"] {
            assert!(matches!(env(bad), Err(KeystoreProblem::RootKey(_))), "{bad}");
        }
        let credential = |name: &str| fetch(&KeySource::Credential(name.to_owned()));
        assert_eq!(credential("root.key"), Ok(KEY));
        assert_eq!(credential("absent"), Err(KeystoreProblem::Missing));
        for bad in ["", "..", "../root.key", "/etc/passwd", "a/b"] {
            assert!(matches!(credential(bad), Err(KeystoreProblem::RootKey(_))), "{bad}");
        }
        return;
    }
    // systemd's own mode for a service with a user: the group's bits are the mask of an ACL.
    let (dir, _path) = file(&KEY, 0o440);
    let test = std::thread::current().name().unwrap().to_owned();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test])
        .env(JOB, "1")
        .env("PORTCULLIS_TEST_KEY", HEX)
        .env("PORTCULLIS_TEST_EMPTY", "")
        .env("PORTCULLIS_TEST_SHORT", &HEX[2..])
        .env("CREDENTIALS_DIRECTORY", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_a_source_prints_holds_no_key() {
    let given = KeySource::Given(Arc::new(SecretBox::new(Box::new(KEY))));
    assert_eq!(fetch(&given), Ok(KEY));
    assert_eq!(format!("{given:?}"), "Given(..)");
    let same = KeySource::Given(Arc::new(SecretBox::new(Box::new([9; 32]))));
    assert!(matches!(fetch(&same), Err(KeystoreProblem::RootKey(_))));
}
