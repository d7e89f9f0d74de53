//! The program, ended in the middle of its work.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Home, noise};

/// A run that seals what it is fed and has written some of it: it took more than all of its buffers
/// and the pipe hold. No signal is ignored in it, whatever these tests were started under: what
/// `nohup` or a shell's background ignores stays ignored in the program, and it would go on.
fn under_way(home: &Home, args: &[&str], input: &[u8]) -> (Child, ChildStdin) {
    let mut child = through(home, &["env", "--default-signal"], args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    (child, stdin)
}

/// The program, started by another one that becomes it.
fn through(home: &Home, starter: &[&str], args: &[&str]) -> Command {
    let program = home.command(&[]);
    let mut command = Command::new(starter[0]);
    command.args(&starter[1..]).arg(program.get_program()).args(args);
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.current_dir(program.get_current_dir().unwrap());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn end(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_signal_in_the_middle_leaves_no_part_of_a_file() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    let input = noise(8 << 20, 9);
    let cases = [
        (Signal::HUP, Some(129)),
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(143)),
        (Signal::KILL, None::<i32>),
    ];
    for (signal, code) in cases {
        let (mut child, stdin) = under_way(&home, &["seal", "-", "-o", "out"], &input);
        assert!(home.names().iter().all(|name| name != "out"));
        end(&child, signal);
        assert_eq!(child.wait().unwrap().code(), code, "{signal:?}");
        drop(stdin);
        assert!(home.names().is_empty(), "{signal:?}: {:?}", home.names());
        // The lock went with the process, and the keystore is whole.
        home.ok(&["key", "describe", "default", "--wait", "0"]);
    }
}

#[test]
fn a_signal_while_opening_keeps_the_file_that_was_to_be_replaced() {
    let home = Home::new();
    home.write("a", noise(16 << 20, 9));
    home.ok(&["seal", "a", "-q"]);
    home.write("out", "old");
    let sealed = home.read("a.sealed");
    let (mut child, _stdin) =
        under_way(&home, &["open", "-", "-o", "out", "-f"], &sealed[..12 << 20]);
    end(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(home.read("out"), b"old");
    assert_eq!(home.names(), ["a", "a.sealed", "out"]);
}

#[test]
fn a_hangup_that_the_program_was_started_to_ignore_ends_nothing() {
    let home = Home::new();
    home.ok(&["key", "list", "-q"]);
    let mut command = through(&home, &["nohup"], &["seal", "-", "-o", "out"]);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&noise(8 << 20, 9)).unwrap();
    end(&child, Signal::HUP);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(home.names(), ["out"]);
}
