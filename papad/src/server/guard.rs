//! Web pages can make a browser send to localhost as the right user, and so can others their clients.
//! What looks like a browser or a TLS client is hung up on before anything in it runs; behind a line
//! that is no command nothing is obeyed before one that is.

use papa_protocol::{command, words};

/// The first byte of a TLS record with a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Whether a line is a command, well said or not: what clients of other protocols say first is not.
pub(super) fn is_command(line: &[u8]) -> bool {
    // No command's name is behind so many words.
    let words = words::split(&line[..line.len().min(NAMING)]);
    command::is_named(&words) || words.first().is_some_and(|word| word == b"protocol")
}

/// Bytes in which a command's name is.
const NAMING: usize = 64;

const METHODS: [&[u8]; 10] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI",
];

/// Whether a session that begins with these bytes is TLS.
pub(super) fn is_tls(first_bytes: &[u8]) -> bool {
    first_bytes.first() == Some(&TLS_HANDSHAKE)
}

/// Whether a session's first line is an HTTP request (RFC 9112, section 3): it ends in a version,
/// or it has a method in capitals and a target.
pub(super) fn is_http(first_line: &[u8]) -> bool {
    let mut words = first_line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let last = words.next_back().unwrap_or(target);
    let is_target = matches!(target.first(), Some(b'/' | b'*'))
        || memchr::memmem::find(target, b"://").is_some();
    let is_version = |word: &[u8]| {
        let (name, version) = word.split_at(word.len().min(b"HTTP/".len()));
        // In small letters, a value may look much like it.
        name == b"HTTP/"
            || (name.eq_ignore_ascii_case(b"HTTP/")
                && version.first().is_some_and(u8::is_ascii_digit))
    };
    is_version(last) || (METHODS.contains(&method) && is_target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_every_http_version_are_seen() {
        for line in [
            &b"GET / HTTP/1.1"[..],
            b"POST /x HTTP/1.0",
            b"GET /",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT localhost:20202 HTTP/1.1",
            b"GET http://localhost:20202/ HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"BREW /pot HTTP/1.1",
            b"get / http/1.1",
            b"GET\t/ HTTP/1.1",
        ] {
            assert!(is_http(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_people_and_clients_send_first_is_let_through() {
        for line in [
            &b""[..],
            b"help",
            b"get count",
            b"GET count",
            b"set url http://localhost/",
            b"set url http/docs",
            b"m p web /usr/bin/http /srv",
            b"l p",
        ] {
            assert!(!is_http(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn commands_are_told_from_other_lines() {
        for line in ["help", "l p", "LIST processes", "set", "get a", "m p a /bin/true", "q"] {
            assert!(is_command(line.as_bytes()), "{line}");
        }
        for line in ["protocol 2", "protocol 3", "exit-if-idle", &"get a ".repeat(100)] {
            assert!(is_command(line.as_bytes()), "{line}");
        }
        for line in ["", "list", "list files", "make", "exit", "EHLO a", "GET\t/", "lst", "\x04"] {
            assert!(!is_command(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_tls_handshake_is_seen_by_its_first_byte() {
        assert!(is_tls(b"\x16\x03\x01"));
        assert!(!is_tls(b""));
        assert!(!is_tls(b"help"));
    }
}
