use std::io::Write;
use std::os::unix::fs::MetadataExt;

use tempfile::TempDir;

use super::*;

/// An output at `path`, as a file system with nameless files or without them makes it.
fn output(path: &Path, force: bool, is_nameless: bool) -> (Output, Debris) {
    let debris = Debris::default();
    let path = path.to_owned();
    let output = if is_nameless {
        Output::create(Target::File { path, force }, Some(0o640), &debris).unwrap()
    } else {
        let (file, temporary) = named(&path, 0o640, &debris).unwrap();
        Output { file, kind: Kind::Named { temporary, path, force }, debris: debris.clone() }
    };
    (output, debris)
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_appears_whole_and_leaves_no_other_name() {
    for is_nameless in [true, false] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("out");
        let (output, _) = output(&path, false, is_nameless);
        output.writer().unwrap().write_all(b"half").unwrap();
        assert!(!path.exists());
        output.writer().unwrap().write_all(b" and half").unwrap();
        output.finish().unwrap();
        drop(output);
        assert_eq!(std::fs::read(&path).unwrap(), b"half and half");
        assert_eq!(names(&directory), ["out"]);
        // What the umask leaves of the mode, never more.
        assert_eq!(path.metadata().unwrap().mode() & 0o777 & !0o640, 0);
    }
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    for is_nameless in [true, false] {
        let directory = TempDir::new().unwrap();
        let (output, _) = output(&directory.path().join("out"), false, is_nameless);
        output.writer().unwrap().write_all(b"half").unwrap();
        assert_eq!(names(&directory).len(), usize::from(!is_nameless));
        drop(output);
        assert!(names(&directory).is_empty());
    }
}

#[test]
fn what_a_signal_removes_is_the_unfinished_file() {
    let directory = TempDir::new().unwrap();
    let (_output, debris) = output(&directory.path().join("out"), false, false);
    assert_eq!(names(&directory).len(), 1);
    debris.remove();
    assert!(names(&directory).is_empty());
}

#[test]
fn a_file_that_appears_meanwhile_is_kept_without_force_and_replaced_with_it() {
    for is_nameless in [true, false] {
        for force in [true, false] {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("out");
            let (output, _) = output(&path, force, is_nameless);
            output.writer().unwrap().write_all(b"new").unwrap();
            std::fs::write(&path, "old").unwrap();
            assert_eq!(output.finish().is_ok(), force);
            drop(output);
            let expected: &[u8] = if force { b"new" } else { b"old" };
            assert_eq!(std::fs::read(&path).unwrap(), expected);
            assert_eq!(names(&directory), ["out"]);
        }
    }
}
