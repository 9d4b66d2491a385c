//! Why a program that is there "is not there": what it names to run it is missing.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use papa_protocol::text::shown;

/// So many bytes of a file are looked at: the kernel takes no longer first line of a script
/// (`BINPRM_BUF_SIZE`), and linkers write the headers of a program there, and what they refer to.
const LOOKED_AT: u64 = 4096;
const LONGEST_LINE: usize = 256;

/// What follows the name of the program in the sentence that says that a file is missing: the
/// interpreter that it names, if that is what is missing. `folder` is where the program was started.
pub(super) fn missing(program: &[u8], folder: Option<&[u8]>) -> Option<String> {
    let place = |path: &[u8]| -> PathBuf {
        let folder = Path::new(folder.map_or(OsStr::new(""), OsStr::from_bytes));
        folder.join(OsStr::from_bytes(path))
    };
    let named = named_in(&read(&place(program))?)?;
    let interpreter = named.strip_suffix(b"\r").unwrap_or(&named);
    if place(&named).exists() {
        return None;
    }
    let interpreter = shown(interpreter);
    Some(if named.ends_with(b"\r") {
        format!("its lines end in CR LF, so that its interpreter is \"{interpreter}\\r\"")
    } else {
        format!("its interpreter {interpreter} is not there")
    })
}

/// The beginning of a file. Nothing else is opened, and a FIFO is not waited for.
fn read(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The interpreter that a script or a program names.
fn named_in(bytes: &[u8]) -> Option<Vec<u8>> {
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.get(..LONGEST_LINE.min(line.len())).unwrap_or_default();
        let mut words = line.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
        return words.next().map(<[u8]>::to_vec);
    }
    of_elf(bytes)
}

/// The dynamic loader of a 64-bit program of this machine's byte order: see elf(5).
fn of_elf(bytes: &[u8]) -> Option<Vec<u8>> {
    const CLASS_64: u8 = 2;
    const PT_INTERP: u64 = 3;
    if !bytes.starts_with(b"\x7fELF") || bytes.get(4) != Some(&CLASS_64) {
        return None;
    }
    let number = |at: u64, size: usize| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let mut number = [0; 8];
        let part = bytes.get(at..at.checked_add(size)?)?;
        if cfg!(target_endian = "little") {
            number.get_mut(..size)?.copy_from_slice(part);
        } else {
            number.get_mut(8 - size..)?.copy_from_slice(part);
        }
        Some(u64::from_ne_bytes(number))
    };
    // e_phoff, e_phentsize and e_phnum.
    let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let header = (0..count)
        .map(|index| headers.saturating_add(index * size))
        .find(|&header| number(header, 4) == Some(PT_INTERP))?;
    // p_offset and p_filesz.
    let at = usize::try_from(number(header.checked_add(8)?, 8)?).ok()?;
    let length = usize::try_from(number(header.checked_add(32)?, 8)?).ok()?;
    let name = bytes.get(at..at.checked_add(length)?)?;
    Some(name.strip_suffix(b"\0").unwrap_or(name).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_a_scripts_first_line_is_its_interpreter() {
        for (script, expected) in [
            ("#!/bin/sh\nexit\n", Some("/bin/sh")),
            ("#! \t/usr/bin/env  python3\n", Some("/usr/bin/env")),
            ("#!/bin/sh\r\nexit\r\n", Some("/bin/sh\r")),
            ("#!/bin/sh", Some("/bin/sh")),
            ("#!\n/bin/sh", None),
            ("# !/bin/sh\n", None),
            ("", None),
        ] {
            let expected = expected.map(|it| it.as_bytes().to_vec());
            assert_eq!(named_in(script.as_bytes()), expected, "{script:?}");
        }
    }

    #[test]
    fn a_program_names_its_loader() {
        let own = read(Path::new("/proc/self/exe")).unwrap();
        let loader = named_in(&own);
        // One that is linked statically has none.
        if let Some(loader) = loader {
            assert!(Path::new(OsStr::from_bytes(&loader)).exists(), "{}", shown(&loader));
        }
        for end in 0..own.len().min(512) {
            // What is cut off, or wrong, is no reason to fail.
            let _ = named_in(&own[..end]);
        }
    }

    #[test]
    fn only_what_is_missing_is_told() {
        assert_eq!(missing(b"/bin/sh", None), None);
        assert_eq!(missing(b"sh", Some(b"/bin")), None);
        assert_eq!(missing(b"/nonexistent", None), None);
    }
}
