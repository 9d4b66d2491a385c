//! The units that papad ships, as systemd itself reads them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use papad_tests::{ScratchDir, papactl_program, papad_program, skip};

/// Where the units say that the programs are.
const INSTALLED: &str = "/usr/local/bin/";

const UNITS: [&str; 4] =
    ["papad.service", "papad.socket", "papad-ipv6.socket", "papad-stop-hosted.service"];

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let packaging = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging"));
    let scratch = ScratchDir::new();
    let units = UNITS.map(|unit| {
        let text = fs::read_to_string(packaging.join(unit)).unwrap();
        let text = [("papactl", papactl_program()), ("papad", papad_program())].into_iter().fold(
            text,
            |text, (name, program)| {
                text.replace(&format!("{INSTALLED}{name}"), program.to_str().unwrap())
            },
        );
        let path = scratch.join(unit);
        fs::write(&path, text).unwrap();
        path
    });
    let verified = match Command::new("systemd-analyze").arg("verify").args(&units).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skip("systemd-analyze", "there is no such program");
            return;
        }
        verified => verified.unwrap(),
    };
    let said = String::from_utf8(verified.stderr).unwrap();
    assert!(verified.status.success(), "{said}");
    // Older ones than 254 pass over these.
    let newer =
        ["DelegateSubgroup", "FileDescriptorStorePreserve", "RestartMaxDelaySec", "RestartSteps"];
    let is_newer = |line: &&str| newer.iter().any(|key| line.contains(key));
    let is_known = |line: &&str| line.contains("Unknown key") && is_newer(line);
    let faults: Vec<&str> = said.lines().filter(|line| !is_known(line)).collect();
    assert_eq!(faults, [""; 0]);
}
