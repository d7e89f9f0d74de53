//! `open --range`: HTTP's ranges of a plaintext, from little of the sealed file.

use std::process::Stdio;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::json;

use crate::harness::{Home, noise};

const CHUNK: usize = 16 * 1024;

/// A home with a sealed file `s` of `len` bytes, which are given back.
fn sealed(len: usize) -> (Home, Vec<u8>) {
    let home = Home::new();
    let plain = noise(len, 11);
    home.write("a", &plain);
    home.ok(&["seal", "a", "-o", "s", "-q"]);
    (home, plain)
}

#[test]
fn a_range_is_exactly_the_bytes_that_http_would_send() {
    let size = 5 * CHUNK + 100;
    let (home, plain) = sealed(size);
    let last = size - 1;
    let cases = [
        ("first byte", "0-0".to_owned(), 0..1),
        ("last byte", format!("{last}-{last}"), last..size),
        ("within a chunk", "100-199".to_owned(), 100..200),
        ("one whole chunk", format!("{CHUNK}-{}", 2 * CHUNK - 1), CHUNK..2 * CHUNK),
        ("across a border", format!("{}-{CHUNK}", CHUNK - 1), CHUNK - 1..CHUNK + 1),
        ("across chunks", format!("{}-{}", CHUNK / 2, 4 * CHUNK), CHUNK / 2..4 * CHUNK + 1),
        ("to the end", format!("{}-", 3 * CHUNK + 7), 3 * CHUNK + 7..size),
        ("all of it", "0-".to_owned(), 0..size),
        ("past the end", format!("{}-999999999", size - 5), size - 5..size),
        ("suffix", "-101".to_owned(), size - 101..size),
        ("suffix of more than there is", "-999999999".to_owned(), 0..size),
    ];
    for (what, range, expected) in cases {
        let args = ["open", "s", "-o", "-", "--range", &range, "--json"];
        let run = home.run(&args);
        assert_eq!(run.code, 0, "{what}: {}", run.stderr);
        assert!(run.stdout == plain[expected.clone()], "{what}");
        let report: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        let (first, last) = (expected.start, expected.end - 1);
        assert_eq!(report["range"], json!({ "first": first, "last": last, "size": size }));
        assert_eq!(report["plain_bytes"], expected.len(), "{what}");
    }
    let text = home.ok(&["open", "s", "-o", "part", "--range=-10"]);
    assert!(text.contains(&format!("bytes {}-{last} of s", size - 10)), "{text}");
    assert_eq!(home.read("part"), plain[size - 10..]);
}

#[test]
fn a_range_that_ends_with_a_full_chunk_has_the_end_behind_it_opened() {
    let (home, plain) = sealed(2 * CHUNK);
    let run = home.run(&["open", "s", "-o", "-", "--range", "-3"]);
    assert_eq!((run.code, &run.stdout[..]), (0, &plain[2 * CHUNK - 3..]));
}

#[test]
fn no_byte_of_it_is_a_typed_error_that_leaves_nothing() {
    let (home, _) = sealed(1000);
    for range in ["1000-", "1000-1000", "5000-6000", "-0"] {
        let error = home.fails(8, &["open", "s", "-o", "out", "--range", range]);
        assert_eq!(error["family"], "object", "{range}");
        assert_eq!(error["code"], "range-not-satisfiable", "{range}");
        assert!(error["message"].as_str().unwrap().contains("1000"), "{error}");
    }
    let (empty, _) = sealed(0);
    for range in ["0-", "0-0", "-1"] {
        let error = empty.fails(8, &["open", "s", "-o", "out", "--range", range]);
        assert_eq!(error["code"], "range-not-satisfiable", "{range}");
    }
    assert_eq!(home.names(), ["a", "s"]);
    assert_eq!(empty.names(), ["a", "s"]);
}

#[test]
fn what_is_no_range_or_cannot_be_read_by_range_is_usage() {
    let (home, _) = sealed(1000);
    for range in ["", "-", "5", "9-5", "a-b", "0-1,3-4", "bytes=0-1", "0-18446744073709551616"] {
        home.fails(2, &["open", "s", "-o", "out", "--range", range]);
    }
    for stream in ["-", "/dev/zero"] {
        let error = home.fails(2, &["open", stream, "-o", "out", "--range", "0-1"]);
        assert!(error["message"].as_str().unwrap().contains("--range"), "{error}");
    }
    // Part of a file does not take the whole one's name by itself.
    home.write("f.sealed", home.read("s"));
    assert_eq!(home.run(&["open", "f.sealed", "--range", "0-1"]).code, 2);
    assert_eq!(home.names(), ["a", "f.sealed", "s"]);
}

#[test]
fn a_range_of_a_file_that_was_cut_extended_or_edited_gives_nothing() {
    let (home, plain) = sealed(6 * CHUNK + 50);
    let whole = home.read("s");
    let edited = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let in_chunk = |number: usize| whole.len() - 66 - (6 - number) * (CHUNK + 16) + 5;
    let cases = [
        ("cut by a byte", whole[..whole.len() - 1].to_vec()),
        ("cut by its last chunk", whole[..whole.len() - 66].to_vec()),
        ("cut in the middle of a chunk", whole[..whole.len() - 66 - CHUNK].to_vec()),
        ("extended by a byte", [&whole[..], &[0]].concat()),
        ("extended by a chunk", [&whole[..], &[0; CHUNK + 16]].concat()),
        ("edited in its last chunk", edited(whole.len() - 1)),
        ("edited in the range", edited(in_chunk(2))),
        ("edited in its commitment", edited(in_chunk(0) - 6)),
    ];
    let range = format!("{}-{}", 2 * CHUNK, 2 * CHUNK + 9);
    for (what, bytes) in cases {
        home.write("bad", bytes);
        let run = home.run(&["open", "bad", "-o", "-", "--range", &range]);
        assert_eq!(run.code, 8, "{what}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{what}");
    }
    // What lies in no chunk that is needed is not looked at.
    home.write("bad", edited(in_chunk(4)));
    let run = home.run(&["open", "bad", "-o", "-", "--range", &range]);
    assert_eq!((run.code, &run.stdout[..]), (0, &plain[2 * CHUNK..2 * CHUNK + 10]));
}

#[test]
fn the_context_is_needed_for_a_range_too() {
    let home = Home::new();
    home.write("a", "attack at dawn");
    home.ok(&["seal", "a", "-o", "s", "-c", "tenant=a"]);
    let range = ["open", "s", "-o", "-", "--range", "0-5"];
    assert_eq!(home.fails(6, &range)["code"], "does-not-open");
    let run = home.run(&[&range[..], &["-c", "tenant=a"]].concat());
    assert_eq!((run.code, &run.stdout[..]), (0, &b"attack"[..]));
}

#[test]
fn a_range_of_a_large_file_reads_little_of_it() {
    let (home, plain) = sealed(64 << 20);
    let begins = (40 << 20) + 5;
    let range = format!("{begins}-{}", begins + 99_999);
    let args = ["open", "s", "-o", "out", "--range", &range, "--json"];
    let mut child = home.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    // It stays until it is waited for, and the kernel's account of what it read with it.
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap().unwrap();
    let account = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let read = account.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    let read: u64 = read.parse().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(home.read("out") == plain[begins..begins + 100_000]);
    // Eight chunks, the last one and the beginning; and whatever a process reads when it starts.
    assert!(read < 1 << 20, "{read} bytes");
    let report = home.json(&["open", "s", "-o", "out", "--range", &range, "-f"]);
    let sealed = report["sealed_bytes"].as_u64().unwrap();
    assert!((100_000..150_000).contains(&sealed), "{sealed} bytes");
}
