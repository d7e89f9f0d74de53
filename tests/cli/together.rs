//! Runs of the program beside each other on one keystore.

use std::io::{BufRead, BufReader, Write};

use crate::harness::{Home, noise};

#[test]
fn first_runs_at_once_make_one_keystore_and_all_of_them_seal() {
    let home = Home::new();
    let names: Vec<_> = (0..8).map(|n| format!("f{n}")).collect();
    for name in &names {
        home.write(name, name);
    }
    let children: Vec<_> =
        names.iter().map(|name| home.spawn(&["seal", name, "--wait", "60"])).collect();
    let mut made = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        made += stderr.matches("made a keystore").count();
    }
    assert_eq!(made, 1);
    for name in &names {
        let opened = home.ok(&["open", &format!("{name}.sealed"), "-o", "-", "--wait", "60"]);
        assert_eq!(&opened, name);
    }
}

#[test]
fn a_keystore_in_use_is_waited_for_and_named_when_it_takes_too_long() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    let mut holder = home.spawn(&["seal", "-", "-o", "out"]);
    let mut stdin = holder.stdin.take().unwrap();
    // More than the pipe holds was read: the keystore is open.
    stdin.write_all(&noise(1 << 20, 2)).unwrap();
    let error = home.fails(10, &["key", "list", "--wait", "0"]);
    assert_eq!(error["code"], "locked");
    assert!(error["message"].as_str().unwrap().contains("keystore/lock"));
    let mut waiting = home.spawn(&["key", "list", "--wait", "60"]);
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let note = said.next().unwrap().unwrap();
    assert!(note.contains("waiting for another process"), "{note}");
    drop(stdin);
    assert!(holder.wait().unwrap().success());
    assert!(said.next().is_none(), "it is said once");
    assert!(waiting.wait_with_output().unwrap().status.success());
}
