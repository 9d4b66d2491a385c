//! Every option of `make socket`: what it becomes, and what is said when it is wrong.

use papa_protocol::command::{Command, parse};
use papa_protocol::options::{Family, SocketAddress, SocketOptions, SocketType};
use papa_protocol::words;

fn run(line: &str) -> Result<Command, String> {
    parse(words::split(line.as_bytes())).map_err(|error| error.to_string())
}

fn socket(options: &str) -> SocketOptions {
    match run(&format!("make socket s {options}")) {
        Ok(Command::MakeSocket(made)) => made.options,
        other => panic!("{options}: {other:?}"),
    }
}

fn socket_error(options: &str) -> String {
    match run(&format!("make socket s {options}")) {
        Ok(command) => panic!("{options}: should be refused: {command:?}"),
        Err(error) => error,
    }
}

fn host_address(port: u16) -> SocketAddress {
    let (reuseport, v6only) = (false, false);
    SocketAddress::Host { host: None, port, interface: None, reuseport, v6only }
}

fn host() -> SocketOptions {
    SocketOptions {
        family: Family::Inet,
        socket_type: SocketType::Stream,
        backlog: 5,
        address: host_address(0),
    }
}

#[test]
fn a_socket_has_defaults() {
    assert_eq!(socket(""), host());
    assert_eq!(socket("host= interface="), host());
    let unix = SocketOptions {
        family: Family::Unix,
        address: SocketAddress::Path { path: b"/a".to_vec(), umask: None },
        ..host()
    };
    assert_eq!(socket("path=/a"), unix);
    assert_eq!(socket("family=unix path=/a"), unix);
}

#[test]
fn socket_options_become_what_they_say() {
    let options = socket(
        "family=inet6 type=dgram backlog=128 host=localhost port=8080 interface=eth0 reuseport=1",
    );
    let expected = SocketOptions {
        family: Family::Inet6,
        socket_type: SocketType::Dgram,
        backlog: 128,
        address: SocketAddress::Host {
            host: Some(b"localhost".to_vec()),
            port: 8080,
            interface: Some(b"eth0".to_vec()),
            reuseport: true,
            v6only: false,
        },
    };
    assert_eq!(options, expected);
    for (text, expected) in [("0", false), ("False", false), ("1", true), ("True", true)] {
        let options = socket(&format!("reuseport={text}"));
        let SocketAddress::Host { reuseport, .. } = options.address else {
            panic!("a socket without a path has a host");
        };
        assert_eq!(reuseport, expected, "{text}");
    }
}

#[test]
fn families_and_types_have_names() {
    for family in [Family::Unix, Family::Inet, Family::Inet6] {
        assert_eq!(Family::parse(family.as_str().as_bytes()), Some(family));
    }
    for name in ["stream", "dgram", "raw", "rdm", "seqpacket"] {
        assert_eq!(socket(&format!("type={name}")).socket_type.as_str(), name);
    }
    assert_eq!(socket_error("family=x"), r#"Unknown socket family "x""#);
    assert_eq!(socket_error("family=INET"), r#"Unknown socket family "INET""#);
    assert_eq!(socket_error("family="), r#"Unknown socket family """#);
    assert_eq!(socket_error("type=x"), r#"Unknown socket type "x""#);
}

#[test]
fn a_unix_socket_needs_an_absolute_path_to_a_file() {
    let absolute = "Absolute path required for Unix sockets";
    assert_eq!(socket_error("family=unix"), absolute);
    assert_eq!(socket_error("path=a/b"), absolute);
    assert_eq!(socket_error("path="), absolute);
    assert_eq!(socket_error("path=/a/"), r#"The path must name a file, not end in "/""#);
    assert_eq!(socket_error("path=/a\0b"), "path must not contain a NUL byte");
}

#[test]
fn options_of_one_family_are_not_for_the_other() {
    assert_eq!(socket_error("family=inet path=/a"), "path= is only for family=unix");
    assert_eq!(socket_error("family=inet6 path=/a"), "path= is only for family=unix");
    assert_eq!(socket_error("umask=18"), "umask= is only for family=unix");
    for (key, value) in [("host", "a"), ("port", "1"), ("interface", "lo"), ("reuseport", "0")] {
        let expected = format!("{key}= is not for family=unix");
        assert_eq!(socket_error(&format!("path=/a {key}={value}")), expected);
        assert_eq!(socket_error(&format!("family=unix {key}={value}")), expected);
    }
}

#[test]
fn a_umask_is_decimal() {
    for (text, expected) in [("18", 18), ("022", 22), ("+7", 7), ("5_1_1", 0o777), ("0", 0)] {
        let options = socket(&format!("path=/a umask={text}"));
        let path = b"/a".to_vec();
        let expected = SocketAddress::Path { path, umask: Some(expected) };
        assert_eq!(options.address, expected, "{text}");
    }
    for text in ["512", "-1", "0o22", "", "x"] {
        let said = socket_error(&format!("path=/a umask={text}"));
        assert_eq!(said, format!("The umask must be a number from 0 to 511, not \"{text}\""));
    }
}

#[test]
fn ports_and_backlogs_are_numbers() {
    assert_eq!(socket("port=65535").address, host_address(65535));
    for text in ["65536", "-1", "http", "", "80.0", "99999999999999999999999999999999999999999"] {
        let said = socket_error(&format!("port={text}"));
        assert_eq!(said, format!("The port must be a number from 0 to 65535, not \"{text}\""));
    }
    assert_eq!(socket("backlog=2147483647").backlog, 2_147_483_647);
    assert_eq!(
        socket_error("backlog=2147483648"),
        "The backlog must be a number from 0 to 2147483647, not \"2147483648\""
    );
}

#[test]
fn other_socket_options_are_refused_by_name() {
    assert_eq!(socket_error("bogus=1"), r#"Unknown option "bogus" for make socket"#);
    assert_eq!(socket_error("Port=1"), r#"Unknown option "Port" for make socket"#);
    assert_eq!(socket_error("=1"), r#"Unknown option "" for make socket"#);
    assert_eq!(socket_error("uid=1"), r#"Unknown option "uid" for make socket"#);
    assert_eq!(socket_error("reuseport=yes"), r#"reuseport must be 0 or 1, not "yes""#);
    assert_eq!(socket_error("reuseport="), r#"reuseport must be 0 or 1, not """#);
    assert_eq!(socket_error("host=a\0"), "host must not contain a NUL byte");
    assert_eq!(
        socket_error("interface=abcdefghijklmnop"),
        "interface must not be longer than 15 bytes"
    );
}
