//! The units that papad ships, as systemd itself reads them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use papad_tests::{ScratchDir, papad_program};

/// Where the unit says that papad is.
const INSTALLED: &str = "/usr/local/bin/papad";

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let packaging = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging"));
    let scratch = ScratchDir::new();
    let units = ["papad.service", "papad.socket"].map(|unit| {
        let text = fs::read_to_string(packaging.join(unit)).unwrap();
        let text = text.replace(INSTALLED, papad_program().to_str().unwrap());
        let path = scratch.join(unit);
        fs::write(&path, text).unwrap();
        path
    });
    let verified = match Command::new("systemd-analyze").arg("verify").args(&units).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no systemd-analyze");
            return;
        }
        verified => verified.unwrap(),
    };
    let said = String::from_utf8(verified.stderr).unwrap();
    assert!(verified.status.success(), "{said}");
    // Older ones than 254 pass over these.
    let newer = ["FileDescriptorStorePreserve", "RestartMaxDelaySec", "RestartSteps"];
    let is_newer = |line: &&str| newer.iter().any(|key| line.contains(key));
    let is_known = |line: &&str| line.contains("Unknown key") && is_newer(line);
    let faults: Vec<&str> = said.lines().filter(|line| !is_known(line)).collect();
    assert_eq!(faults, [""; 0]);
}
