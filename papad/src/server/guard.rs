//! Web pages can make a browser send to localhost as the right user. What looks like a browser or
//! a TLS client is hung up on before anything in it runs.

/// The first byte of a TLS record with a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

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
    last.starts_with(b"HTTP/") || (METHODS.contains(&method) && is_target)
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
            b"m p web /usr/bin/http /srv",
            b"l p",
        ] {
            assert!(!is_http(line), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_tls_handshake_is_seen_by_its_first_byte() {
        assert!(is_tls(b"\x16\x03\x01"));
        assert!(!is_tls(b""));
        assert!(!is_tls(b"help"));
    }
}
