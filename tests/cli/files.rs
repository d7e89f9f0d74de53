use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use crate::harness::{Home, noise};

#[test]
fn a_sealed_file_opens_again_and_the_keystore_is_announced_once() {
    let home = Home::new();
    home.write("a.txt", "attack at dawn");
    let first = home.run(&["seal", "a.txt"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("made a keystore of your own"));
    assert!(first.stderr.contains("In production"));
    assert!(!home.read("a.txt.sealed").windows(6).any(|bytes| bytes == b"attack"));
    std::fs::remove_file(home.path("a.txt")).unwrap();
    let second = home.run(&["open", "a.txt.sealed"]);
    assert_eq!((second.code, second.stderr.as_str()), (0, ""));
    assert_eq!(home.read("a.txt"), b"attack at dawn");
    assert_eq!(home.names(), ["a.txt", "a.txt.sealed"]);
}

#[test]
fn standard_streams_carry_any_length() {
    let home = Home::new();
    // Around one chunk, one buffer of output, and one read of input.
    for len in [0, 1, 16_383, 16_384, 16_385, 131_072, 245_760, 262_144, 1_000_003] {
        let plain = noise(len, 7);
        let sealed = home.run_with(&["seal", "-", "-q"], &plain);
        assert_eq!((sealed.code, sealed.stderr.as_str()), (0, ""));
        let opened = home.run_with(&["open", "-"], &sealed.stdout);
        assert_eq!(opened.code, 0, "{len} bytes: {}", opened.stderr);
        assert!(opened.stdout == plain, "{len} bytes");
    }
    assert!(home.names().is_empty());
}

#[test]
fn a_hundred_megabytes_pass_in_little_memory() {
    let home = Home::new();
    let plain = noise(100_000_000, 3);
    home.ok(&["key", "list", "-q"]);
    let mut child = home.spawn(&["seal", "-", "-o", "big.sealed"]);
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &plain).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 40_000, "{peak} kB");
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let report = home.json(&["open", "big.sealed"]);
    assert_eq!(report["plain_bytes"], plain.len());
    assert_eq!(report["sealed_bytes"], home.path("big.sealed").metadata().unwrap().len());
    assert!(home.read("big") == plain);
}

#[test]
fn reports_are_objects_and_leave_standard_output_to_the_data() {
    let home = Home::new();
    home.write("a", "abc");
    home.ok(&["key", "list", "-q"]);
    let sealed = home.json(&["seal", "a", "-c", "k=v"]);
    let sealed_bytes = home.path("a.sealed").metadata().unwrap().len();
    let expected = serde_json::json!({
        "input": "a", "output": "a.sealed", "key": "default",
        "plain_bytes": 3, "sealed_bytes": sealed_bytes,
    });
    assert_eq!(sealed, expected);
    let run = home.run(&["open", "a.sealed", "-o", "-", "-c", "k=v", "--json"]);
    assert_eq!(run.stdout, b"abc");
    let aside: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(aside["output"], "-");
    assert_eq!(aside["plain_bytes"], 3);
}

#[test]
fn a_name_is_whole_in_an_object_and_escaped_on_a_terminal() {
    let home = Home::new();
    let name = "a\u{1b}[31m\n";
    home.write(name, "abc");
    assert_eq!(home.json(&["seal", name, "-q"])["input"], name);
    let text = home.ok(&["seal", name, "-f"]);
    assert!(text.contains("a\\u{1b}[31m\\n") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_context_must_be_the_same_again() {
    let home = Home::new();
    home.write("a", "abc");
    home.ok(&["seal", "a", "-o", "s", "--context", "tenant=a", "--context", "id=x=y"]);
    for wrong in [
        &["-c", "tenant=a"][..],
        &[],
        &["-c", "tenant=b", "-c", "id=x=y"],
        &["-c", "tenant=a", "-c", "id=x=y", "-c", "more="],
    ] {
        let error = home.fails(6, &[&["open", "s", "-o", "out"][..], wrong].concat());
        assert_eq!(error["family"], "envelope");
        assert_eq!(error["code"], "does-not-open");
    }
    assert_eq!(home.names(), ["a", "s"]);
    home.ok(&["open", "s", "-o", "out", "-c", "id=x=y", "-c", "tenant=a"]);
    assert_eq!(home.read("out"), b"abc");
}

#[test]
fn what_was_cut_extended_or_edited_leaves_no_output() {
    let home = Home::new();
    let plain = noise(200_000, 5);
    home.write("a", &plain);
    home.ok(&["seal", "a", "-o", "s"]);
    let sealed = home.read("s");
    let len = sealed.len();
    let edited = |at: usize| {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        bytes
    };
    let head = "PCSF".len() + 2;
    let cases: [(&str, Vec<u8>, i32, &str); 11] = [
        ("empty", vec![], 8, "malformed"),
        ("not sealed", b"hello, this is no sealed file".to_vec(), 8, "malformed"),
        ("of another format", edited(4), 8, "unknown-format"),
        ("of an unknown suite", edited(5), 8, "malformed"),
        ("cut in its envelope", sealed[..head + 20].to_vec(), 8, "malformed"),
        ("edited in its envelope", edited(head + 100), 6, "does-not-open"),
        ("cut in its last chunk", sealed[..len - 1].to_vec(), 8, "does-not-open"),
        ("cut after a chunk", sealed[..len - (len - 1 - 400) % 16_400 - 1].to_vec(), 8, ""),
        ("extended", [&sealed[..], &[0]].concat(), 8, "does-not-open"),
        ("edited in a chunk", edited(100_000), 8, "does-not-open"),
        ("edited at its end", edited(len - 1), 8, "does-not-open"),
    ];
    for (what, bytes, code, name) in cases {
        home.write("bad", bytes);
        let error = home.fails(code, &["open", "bad", "-o", "out"]);
        assert!(name.is_empty() || error["code"] == name, "{what}: {error}");
        assert_eq!(home.names(), ["a", "bad", "s"], "{what}");
    }
}

#[test]
fn what_a_cut_file_gives_to_standard_output_is_a_beginning_and_the_code_says_so() {
    let home = Home::new();
    let plain = noise(2_000_000, 5);
    home.write("a", &plain);
    home.ok(&["seal", "a", "-q"]);
    let sealed = home.read("a.sealed");
    let run = home.run_with(&["open", "-"], &sealed[..sealed.len() - 1]);
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(!run.stdout.is_empty() && run.stdout.len() < plain.len());
    assert!(plain.starts_with(&run.stdout));
}

#[test]
fn an_output_that_exists_is_kept_unless_forced() {
    let home = Home::new();
    home.write("a", "new");
    home.write("a.sealed", "old");
    let error = home.fails(9, &["seal", "a"]);
    assert_eq!(error["code"], "already-exists");
    assert_eq!(home.read("a.sealed"), b"old");
    home.ok(&["seal", "a", "--force"]);
    home.write("a", "kept");
    home.fails(9, &["open", "a.sealed"]);
    assert_eq!(home.read("a"), b"kept");
    home.ok(&["open", "a.sealed", "-f"]);
    assert_eq!(home.read("a"), b"new");
    std::os::unix::fs::symlink("nowhere", home.path("dangling")).unwrap();
    home.fails(9, &["seal", "a", "-o", "dangling"]);
    std::os::unix::fs::symlink("a", home.path("link")).unwrap();
    home.ok(&["open", "a.sealed", "-o", "link", "-f"]);
    assert!(home.path("link").symlink_metadata().unwrap().is_symlink());
    assert_eq!(home.names(), ["a", "a.sealed", "dangling", "link"]);
}

#[test]
fn a_file_can_be_sealed_in_place() {
    let home = Home::new();
    home.write("a", "abc");
    home.ok(&["seal", "a", "-o", "a", "-f"]);
    assert_ne!(home.read("a"), b"abc");
    home.ok(&["open", "a", "-o", "a", "-f"]);
    assert_eq!(home.read("a"), b"abc");
}

#[test]
fn an_output_can_be_read_by_no_more_than_its_input() {
    let home = Home::new();
    home.write("a", "abc");
    for mode in [0o600, 0o640] {
        std::fs::set_permissions(home.path("a"), PermissionsExt::from_mode(mode)).unwrap();
        home.ok(&["seal", "a", "-f"]);
        home.ok(&["open", "a.sealed", "-o", "b", "-f"]);
        for name in ["a.sealed", "b"] {
            assert_eq!(home.path(name).metadata().unwrap().mode() & 0o777 & !mode, 0);
        }
    }
}

#[test]
fn devices_are_written_and_never_replaced() {
    let home = Home::new();
    home.write("a", "abc");
    home.ok(&["seal", "a", "-o", "/dev/null"]);
    let null = std::fs::metadata("/dev/null").unwrap();
    assert!(!null.is_file());
    let error = home.fails(9, &["seal", "a", "-o", "/dev/full"]);
    assert_eq!(error["code"], "storage-full");
    assert!(error["message"].as_str().unwrap().contains("/dev/full"));
}

#[test]
fn inputs_and_outputs_that_cannot_be_are_refused_by_name() {
    let home = Home::new();
    home.write("a", "abc");
    std::fs::create_dir(home.path("d")).unwrap();
    let cases: [(&[&str], &str, &str); 4] = [
        (&["seal", "missing"], "not-found", "missing"),
        (&["seal", "d"], "is-a-directory", "d"),
        (&["seal", "a", "-o", "d"], "is-a-directory", "d"),
        (&["seal", "a", "-o", "no/such/place"], "not-found", "no/such/place"),
    ];
    for (args, code, named) in cases {
        let error = home.fails(9, args);
        assert_eq!(error["code"], code, "{args:?}");
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
    }
    home.fails(2, &["open", "a"]);
    assert_eq!(home.names(), ["a", "d"]);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let home = Home::new();
    home.write("a", noise(3_000_000, 1));
    home.ok(&["seal", "a"]);
    for args in [&["seal", "a", "-o", "-"][..], &["open", "a.sealed", "-o", "-"], &["key", "list"]]
    {
        let mut child = home
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
    }
}
