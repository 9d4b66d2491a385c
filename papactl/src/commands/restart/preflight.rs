//! Whether a process could be started again, as far as that can be seen before it is stopped.
//!
//! papad decides in the end: where papactl may not look, or looks at other files than papad does,
//! nothing is said.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};
use papa_client::Papa;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::specification::Specification;
use crate::text;

/// Where papad looks for a program if the environment has no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The kernel reads no more of a script to find its interpreter: `BINPRM_BUF_SIZE`.
const MAX_INTERPRETER: u64 = 256;

/// Fails if one of these could not be started.
pub(super) fn check(papa: &Papa, names: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<()> {
    if sees_other_files(papa.status()?.pid) {
        return Ok(());
    }
    for name in names {
        let specification = Specification::of(papa, name.as_ref())?;
        if let Err(why) = judge(&specification) {
            let name = text::printable(name.as_ref());
            let what = format!("{name} could not be started again: {why}");
            let hint = "nothing was stopped; put that right, and try once more";
            return Err(Failure::new(Exit::FAILED, what).hint(hint));
        }
    }
    Ok(())
}

/// Whether papad is known to be in another mount namespace.
fn sees_other_files(keeper: i32) -> bool {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
    match (namespace("self"), namespace(&keeper.to_string())) {
        (Some(own), Some(papads)) => own != papads,
        _ => false,
    }
}

/// Why a process cannot be started, if that is certain.
fn judge(specification: &Specification) -> Result<(), String> {
    let directory = specification.option("dir").map(Path::new);
    if let Some(directory) = directory {
        check_directory(directory)?;
    }
    check_identity(specification)?;
    let Some(program) = specification.command.first() else { return Ok(()) };
    // The shell is the program then.
    if specification.option("shell").is_some() {
        return Ok(());
    }
    check_program(program, directory, specification.variable("PATH"))
}

fn check_directory(directory: &Path) -> Result<(), String> {
    let why = match fs::metadata(directory) {
        Ok(file) if file.is_dir() => return Ok(()),
        Ok(_) => "Not a directory".to_owned(),
        Err(error) if is_certain(&error) => error.to_string(),
        Err(_) => return Ok(()),
    };
    Err(format!("the directory {} cannot be entered: {why}", directory.display()))
}

/// papad shows users and groups by number, and looks them up again.
fn check_identity(specification: &Specification) -> Result<(), String> {
    let number = |key| specification.option(key)?.to_str()?.parse::<u32>().ok();
    if let Some(uid) = number("uid")
        && let Ok(None) = User::from_uid(Uid::from_raw(uid))
    {
        return Err(format!("there is no user {uid} any more"));
    }
    if let Some(gid) = number("gid")
        && let Ok(None) = Group::from_gid(Gid::from_raw(gid))
    {
        return Err(format!("there is no group {gid} any more"));
    }
    Ok(())
}

fn check_program(
    program: &OsStr,
    directory: Option<&Path>,
    path: Option<&OsStr>,
) -> Result<(), String> {
    let shown = text::printable(program.as_bytes());
    let cannot = |why: String| Err(format!("the command cannot be run: {why}: {shown}"));
    let candidates: Vec<PathBuf> = if program.as_bytes().contains(&b'/') {
        vec![program.into()]
    } else {
        let path = path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
        let folders = path.split(|&byte| byte == b':').map(OsStr::from_bytes);
        folders.map(|folder| Path::new(folder).join(program)).collect()
    };
    let mut worst = None;
    for candidate in candidates {
        let candidate = match (candidate.is_absolute(), directory) {
            (true, _) => candidate,
            (false, Some(directory)) => directory.join(candidate),
            // papad's own directory is not known.
            (false, None) => return Ok(()),
        };
        match check_file(&candidate) {
            Ok(()) => return Ok(()),
            Err(why) => worst = worst.or(why),
        }
    }
    cannot(worst.unwrap_or_else(|| "No such file or directory".to_owned()))
}

/// Why a file cannot be run; `None` if there is none.
fn check_file(path: &Path) -> Result<(), Option<String>> {
    match fs::metadata(path) {
        Ok(file) if file.is_dir() => Err(Some("it is a directory".to_owned())),
        Ok(file) if file.permissions().mode() & 0o111 == 0 => {
            Err(Some("Permission denied".to_owned()))
        }
        Ok(_) => check_interpreter(path),
        Err(error) if is_certain(&error) => Err(None),
        Err(_) => Ok(()),
    }
}

/// A script is run by the program that its first line names.
fn check_interpreter(path: &Path) -> Result<(), Option<String>> {
    let mut line = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_INTERPRETER).read_to_end(&mut line));
    let Some(line) = read.ok().and_then(|_| line.strip_prefix(b"#!")) else { return Ok(()) };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_start();
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let interpreter = line.split(is_blank).next().unwrap_or_default();
    let interpreter = Path::new(OsStr::from_bytes(interpreter));
    match fs::metadata(interpreter) {
        Err(error) if interpreter.is_absolute() && is_certain(&error) => {
            let interpreter = text::printable(interpreter.as_os_str().as_bytes());
            Err(Some(format!("its interpreter {interpreter} is not there")))
        }
        _ => Ok(()),
    }
}

/// Whether the file is not there, for papad as well.
fn is_certain(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification(options: &[(&str, &str)], command: &str) -> Specification {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).into()));
        Specification {
            options: options.collect(),
            environment: vec![("PATH".into(), "/nonexistent:/bin".into())],
            command: vec![command.into()],
        }
    }

    #[test]
    fn what_is_certainly_not_there_is_found() {
        let why = |options: &[(&str, &str)], command| judge(&specification(options, command)).err();
        assert_eq!(why(&[("dir", "/"), ("uid", "0"), ("gid", "0")], "sh"), None);
        assert_eq!(why(&[("shell", "1")], "no such line"), None);
        assert_eq!(why(&[], "./relative"), None);
        for (options, command, expected) in [
            (&[("dir", "/nonexistent")][..], "sh", "the directory /nonexistent cannot be entered"),
            (&[("dir", "/etc/passwd")], "sh", "the directory /etc/passwd cannot be entered"),
            (&[("uid", "4294967")], "sh", "there is no user 4294967 any more"),
            (&[("gid", "4294967")], "sh", "there is no group 4294967 any more"),
            (&[], "no-such-program", "the command cannot be run: No such file or directory"),
            (&[], "/nonexistent", "the command cannot be run: No such file or directory"),
            (&[("dir", "/")], "./etc/passwd", "the command cannot be run: Permission denied"),
            (&[], "/etc", "the command cannot be run: it is a directory"),
        ] {
            let why = why(options, command).unwrap_or_default();
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
