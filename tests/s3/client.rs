//! boto3, in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{ACCESS_KEY, Host, SECRET_KEY};
use crate::venv;

const PACKAGES: [&str; 3] = ["boto3==1.44.5", "botocore==1.44.5", "s3transfer==0.19.3"];

pub struct Client {
    python: PathBuf,
}

impl Client {
    /// The client, if there is a Python to run it.
    pub fn find() -> Option<Self> {
        venv::python("s3", &PACKAGES).map(|python| Self { python })
    }

    /// Runs `module.function` against `host`; what it printed.
    pub fn run(&self, host: &Host, case: &str) -> String {
        let mut command = self.command(case);
        command.arg("--endpoint").arg(host.endpoint());
        if let Some(certificate) = host.certificate() {
            command.arg("--certificate").arg(certificate);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{case}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `restart.plant` planted, which is to be nowhere: what it is, and its bytes.
    pub fn planted(&self) -> Vec<(String, Vec<u8>)> {
        let output = self.command("restart.planted").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let planted: Vec<_> = told
            .lines()
            .map(|line| {
                let (hexadecimal, what) = line.split_once(' ').unwrap();
                (what.to_owned(), hex::decode(hexadecimal).unwrap())
            })
            .collect();
        assert!(planted.len() > 5 && planted.iter().all(|(_, bytes)| bytes.len() >= 8));
        planted
    }

    fn command(&self, case: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/run.py");
        let mut command = Command::new(&self.python);
        // Neither the user's packages nor the user's configuration of AWS reach it.
        command.args(["-I", "-B"]).arg(script).arg(case).env_clear();
        command.env("ACCESS_KEY", ACCESS_KEY).env("SECRET_KEY", SECRET_KEY);
        command
    }
}
