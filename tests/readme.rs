//! The tests that the manual cites and the files that the README names exist. (The README's example
//! runs with the doctests.)

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that goes wrong stops at once"
)]

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_test_that_is_cited_exists() {
    let mut sources = String::new();
    for folder in ["src", "actors", "tests"] {
        for file in files(&Path::new(ROOT).join(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(file).unwrap());
            }
        }
    }
    let mut cited = 0;
    for page in ["src/manual/guarantees.rs", "src/manual/guidelines.rs"] {
        let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        for name in text.split('`').filter(|name| is_test_name(name)) {
            assert!(sources.contains(&format!("fn {name}(")), "{page} cites {name}");
            cited += 1;
        }
    }
    assert!(cited > 40, "only {cited} names were found: are they still cited in backticks?");
}

#[test]
fn every_file_that_the_readme_names_exists() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let mut named = 0;
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !link.contains("://") {
            assert!(Path::new(ROOT).join(link).exists(), "{link}");
            named += 1;
        }
    }
    assert!(named > 5, "only {named} links were found");
}

/// A sentence in snake case.
fn is_test_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(is_word) && name.matches('_').count() >= 3
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the source");
    let paths = entries.map(|entry| entry.expect("a file of the source").path());
    let (folders, mut found): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let nested = folders.iter().filter(|path| !path.ends_with("target"));
    found.extend(nested.flat_map(|folder| files(folder)));
    found
}
