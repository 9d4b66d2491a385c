//! What shells read at their start.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::files;

/// The shells, and the names that each looks for.
const SHELLS: [(&str, &str); 3] =
    [("bash", "papactl.bash"), ("zsh", "_papactl"), ("fish", "papactl.fish")];

#[test]
fn each_shell_is_told_how_to_ask_papactl() {
    let scripts = SHELLS.map(|(shell, file)| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_papactl"));
        // The script runs what it was made by: whatever is in PATH.
        let output = command.arg0("papactl").env("COMPLETE", shell).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (file.to_owned(), String::from_utf8(output.stdout).unwrap())
    });
    files::compare("completions", &BTreeMap::from(scripts));
}
