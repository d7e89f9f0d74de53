//! What lies on the host's disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// Every file of the host's data.
pub struct Found {
    pub files: BTreeSet<PathBuf>,
    pub objects: usize,
    pub uploads: usize,
    pub bodies: usize,
    /// Name and bytes of each body.
    pub body_bytes: BTreeMap<PathBuf, Vec<u8>>,
    everything: Vec<u8>,
}

impl Found {
    pub fn of(host: &Host) -> Self {
        let mut files = BTreeSet::new();
        walk(&host.path("data"), &mut files);
        let within = |kind: &str| {
            let found = files.iter().filter(|path| path.parent().unwrap().ends_with(kind));
            found.cloned().collect::<Vec<_>>()
        };
        let bodies = within("bodies");
        let is_upload = |path: &&PathBuf| path.ends_with("upload.json");
        let mut everything = Vec::new();
        for path in &files {
            everything.extend(path.to_string_lossy().as_bytes());
            everything.extend(fs::read(path).unwrap());
        }
        Self {
            objects: within("objects").len(),
            uploads: files.iter().filter(is_upload).count(),
            bodies: bodies.len(),
            body_bytes: bodies
                .into_iter()
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect(),
            files,
            everything,
        }
    }

    pub fn contains(&self, bytes: &[u8]) -> bool {
        crate::contains(&self.everything, bytes)
    }
}

fn walk(directory: &Path, files: &mut BTreeSet<PathBuf>) {
    for found in fs::read_dir(directory).unwrap() {
        let path = found.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.insert(path);
        }
    }
}

/// Damages the objects of the bucket `damage`, each as its key says.
pub fn damage(host: &Host) {
    let bucket = host.path("data/damage");
    let body_of =
        |entry: &serde_json::Value| bucket.join("bodies").join(entry["body"].as_str().unwrap());
    let mut entries = BTreeMap::new();
    for found in fs::read_dir(bucket.join("objects")).unwrap() {
        let path = found.unwrap().path();
        let entry: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        entries.insert(entry["key"].as_str().unwrap().to_owned(), (path, entry));
    }
    for (key, (path, entry)) in &entries {
        let body = body_of(entry);
        let mut bytes = fs::read(&body).unwrap();
        match key.as_str() {
            "first-byte" => bytes[56] ^= 1,
            "third-chunk" => bytes[56 + 2 * 16_400 + 7] ^= 1,
            "cut" => bytes.truncate(56 + 3 * 16_400),
            "longer" => bytes.push(0),
            "emptied" => bytes.clear(),
            // Another object's body, which opens under its own record alone.
            "exchanged" => bytes = fs::read(body_of(&entries["whole"].1)).unwrap(),
            // Another object's record and body: it opens under its own name alone.
            "moved" => {
                let mut moved = entries["whole"].1.clone();
                moved["key"] = "moved".into();
                fs::write(path, moved.to_string()).unwrap();
                continue;
            }
            // Its mode is said to be another.
            "mode" => {
                let mut changed = entry.clone();
                changed["encryption"] = serde_json::json!({ "x-amz-server-side-encryption-customer-algorithm": "AES256" });
                fs::write(path, changed.to_string()).unwrap();
                continue;
            }
            "whole" => continue,
            _ => panic!("{key}"),
        }
        fs::write(body, bytes).unwrap();
    }
}
