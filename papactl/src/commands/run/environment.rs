//! Which variables of this shell's environment a process gets.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::{Uid, User};

/// Variables that speak of the terminal, the shell, the login or the service that papactl was called
/// from. The process outlives these, and the same command from another terminal is to be the same
/// process. A `*` at the end stands for any rest.
const OF_THIS_SHELL: [&str; 43] = [
    "_",
    "ALACRITTY_*",
    "COLORFGBG",
    "COLORTERM",
    "COLUMNS",
    "CREDENTIALS_DIRECTORY",
    "GHOSTTY_*",
    "GNOME_TERMINAL_*",
    "GPG_TTY",
    "INSIDE_EMACS",
    "INVOCATION_ID",
    "ITERM_*",
    "JOURNAL_STREAM",
    "KITTY_*",
    "KONSOLE_*",
    "LC_TERMINAL*",
    "LINES",
    "LISTEN_*",
    "MANAGERPID*",
    "MEMORY_PRESSURE_*",
    "NOTIFY_SOCKET",
    "NVIM*",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "SSH_*",
    "STY",
    "SUDO_*",
    "SYSTEMD_EXEC_PID",
    "TERM",
    "TERMINATOR_*",
    "TERM_*",
    "TILIX_ID",
    "TMUX*",
    "VSCODE_*",
    "VTE_*",
    "WATCHDOG_*",
    "WEZTERM_*",
    "WINDOWID",
    "WT_*",
    "XDG_SEAT*",
    "XDG_SESSION_*",
    "ZELLIJ*",
];

/// Variables that lead to what belongs to the caller, where a process runs as another user.
const OF_CALLER: [&str; 4] = ["DBUS_SESSION_BUS_ADDRESS", "MAIL", "XAUTHORITY", "XDG_RUNTIME_DIR"];

/// The variables of this environment that a process does not get. `runs_as_other`: it runs as a user
/// who was named.
pub(super) fn left_out(runs_as_other: bool) -> Vec<OsString> {
    let is_left_out = |name: &OsStr| {
        OF_THIS_SHELL.iter().any(|pattern| matches(pattern, name.as_bytes()))
            || runs_as_other && OF_CALLER.iter().any(|it| name == *it)
    };
    env::vars_os().map(|(name, _)| name).filter(|name| is_left_out(name)).collect()
}

/// What a login sets for a user, if this machine knows who that is.
pub(super) fn of_user(user: &OsStr) -> Vec<(&'static str, OsString)> {
    let text = user.to_str().unwrap_or_default();
    let found = match text.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(text),
    };
    // papad looks it up, too, and says what is wrong with it.
    let Some(user) = found.ok().flatten() else { return Vec::new() };
    vec![
        ("HOME", user.dir.into_os_string()),
        ("LOGNAME", user.name.clone().into()),
        ("SHELL", user.shell.into_os_string()),
        ("USER", user.name.into()),
    ]
}

fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_beginnings_and_names_match_whole() {
        let is_of_shell = |name: &str| OF_THIS_SHELL.iter().any(|it| matches(it, name.as_bytes()));
        for name in ["TERM", "TERM_PROGRAM", "KITTY_PID", "VTE_VERSION", "ZELLIJ", "SUDO_UID", "_"]
        {
            assert!(is_of_shell(name), "{name}");
        }
        for name in ["TERMINFO", "PATH", "HOME", "LANG", "DISPLAY", "_X", "COLUMNS_X"] {
            assert!(!is_of_shell(name), "{name}");
        }
    }

    #[test]
    fn a_user_brings_what_a_login_sets() {
        for user in ["root", "0"] {
            let variables = of_user(OsStr::new(user));
            assert!(variables.contains(&("USER", "root".into())), "{variables:?}");
            assert!(variables.iter().any(|(name, _)| *name == "HOME"), "{variables:?}");
        }
        assert_eq!(of_user(OsStr::new("no such user")), []);
    }
}
