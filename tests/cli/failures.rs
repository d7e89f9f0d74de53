use serde_json::json;

use crate::harness::Home;

#[test]
fn wrong_arguments_are_usage_in_both_forms() {
    let home = Home::new();
    for args in [
        &["frobnicate"][..],
        &["seal"],
        &["seal", "a", "--context", "noequals"],
        &["key", "list", "--limit", "many"],
        &["key", "list", "--log", "target=nonsense=level"],
    ] {
        assert_eq!(home.fails(2, args)["family"], "usage", "{args:?}");
    }
    assert!(!home.path("data").exists());
}

#[test]
fn help_tells_the_exit_codes_and_is_no_failure() {
    let home = Home::new();
    let help = home.ok(&["--help"]);
    for line in ["2 usage", "10 keystore", "143 SIGTERM"] {
        assert!(help.contains(line), "{line}");
    }
    assert!(home.ok(&["key", "--help"]).contains("cancel-deletion"));
    assert!(home.ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn contexts_over_their_limits_are_refused() {
    let home = Home::new();
    home.write("a", "abc");
    let long = format!("k={}", "v".repeat(8192));
    let pairs: Vec<_> = (0..65).map(|n| format!("k{n}=v")).collect();
    let many: Vec<_> = pairs.iter().flat_map(|pair| ["-c", pair.as_str()]).collect();
    let cases: [(&[&str], &str); 4] = [
        (&["-c", "a=1", "-c", "a=2"], "duplicate-name"),
        (&["-c", "=v"], "empty-name"),
        (&["-c", &long], "too-long"),
        (&many, "too-many-pairs"),
    ];
    for (context, code) in cases {
        let error = home.fails(7, &[&["seal", "a"], context].concat());
        assert_eq!((&error["family"], &error["code"]), (&json!("context"), &json!(code)));
    }
    assert_eq!(home.names(), ["a"]);
}

#[test]
fn a_bad_configuration_is_told_whole_with_its_lines_and_without_its_secrets() {
    let home = Home::new();
    home.write(
        "bad.toml",
        "profil = \"production\"\n[backend]\nkind = \"local\"\n[backend.local]\n\
         directory = 7\nroot_key = \"hunter2hunter2\"\n[audit]\nrelease = \"perhaps\"\n",
    );
    for args in [&["config", "check", "bad.toml"][..], &["--config", "bad.toml", "key", "list"]] {
        let error = home.fails(11, args);
        let problems = error["problems"].as_array().unwrap();
        let found: Vec<_> = problems
            .iter()
            .map(|problem| (problem["line"].as_u64(), problem["field"].as_str().unwrap()))
            .collect();
        let expected = [
            (Some(1), "profil"),
            (Some(5), "backend.local.directory"),
            (Some(6), "backend.local.root_key"),
            (Some(8), "audit.release"),
        ];
        assert_eq!(found, expected);
        let text = error.to_string();
        assert!(text.contains("bad.toml") && !text.contains("hunter2"), "{text}");
    }
    for args in [&["config", "check", "none.toml"][..], &["--config", "none.toml", "key", "list"]] {
        let error = home.fails(11, args);
        assert_eq!((&error["family"], &error["code"]), (&json!("config"), &json!("missing")));
    }
}

#[test]
fn audit_records_name_the_user_of_the_operating_system() {
    let home = Home::new();
    home.write("a", "abc");
    let run = home.run(&["seal", "a", "--log", "rustfs::kms=info", "-c", "tenant=planted", "-q"]);
    assert_eq!(run.code, 0);
    let uid = rustix::process::getuid().as_raw().to_string();
    let sealing: Vec<_> = run.stderr.lines().filter(|line| line.contains("seal")).collect();
    assert!(!sealing.is_empty(), "{}", run.stderr);
    assert!(sealing.iter().all(|line| line.contains(&uid)), "{}", run.stderr);
    assert!(!run.stderr.contains("planted"));
    let silent = home.run(&["seal", "a", "-o", "b"]);
    assert_eq!(silent.stderr, "");
}

#[test]
fn secrets_in_the_environment_appear_in_no_output() {
    let home = Home::new();
    let secret = "deadbeef".repeat(7) + "deadbee";
    let mut command = home.command(&["key", "list", "--root-key-env", "ROOT", "--log", "trace"]);
    let output = command.env("ROOT", &secret).output().unwrap();
    assert_eq!(output.status.code(), Some(10));
    let all = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8(all).unwrap().contains("deadbeef"));
}

#[test]
fn a_context_is_in_no_error_and_a_file_name_steers_no_terminal() {
    let home = Home::new();
    for args in [&["seal", "a", "-c", "planted"][..], &["key", "tag", "default", "planted"]] {
        assert!(!home.fails(2, args).to_string().contains("planted"));
        assert!(!home.run(args).stderr.contains("planted"));
    }
    let run = home.run(&["seal", "none\u{1b}[31m"]);
    assert_eq!(run.code, 9);
    assert!(run.stderr.contains("none\\u{1b}[31m") && !run.stderr.contains('\u{1b}'));
}
