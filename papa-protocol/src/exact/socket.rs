//! The options of `make socket`.

use super::failure::Failure;
use super::line::Line;
use super::words::{bad_value, c_text, flag, parse_number, umask, umask_text, unknown_option};
use crate::options::{
    Family, MAX_BACKLOG, Pairs, SocketAddress, SocketOptions, SocketType, abstract_name,
    check_interface, check_path, refuse_nul,
};

const OPTIONS: &str =
    "family=, type=, backlog=, path=, umask=, host=, port=, interface=, reuseport= and v6only=";
/// The options of a path, and those of a host.
const PATH_KEYS: [&str; 2] = ["path", "umask"];
const HOST_KEYS: [&str; 5] = ["host", "port", "interface", "reuseport", "v6only"];

/// Reads the options of `make socket`.
pub(super) fn read(mut pairs: Pairs) -> Result<SocketOptions, Failure> {
    let family = match take(&mut pairs, "family") {
        Some(text) => {
            Family::parse(&text).ok_or_else(|| bad_value("family", "unix, inet or inet6", &text))?
        }
        None if pairs.contains_key(b"path".as_slice()) => Family::Unix,
        None => Family::Inet,
    };
    let socket_type = match take(&mut pairs, "type") {
        Some(text) => SocketType::parse(&text)
            .ok_or_else(|| bad_value("type", "stream, dgram, raw, rdm or seqpacket", &text))?,
        None => SocketType::Stream,
    };
    let backlog = match take(&mut pairs, "backlog") {
        Some(text) => backlog(&text)?,
        None => MAX_BACKLOG,
    };
    let address = match family {
        Family::Unix => path_address(&mut pairs)?,
        Family::Inet | Family::Inet6 => host_address(family, &mut pairs)?,
    };
    match pairs.keys().next() {
        Some(key) => Err(unknown_option(key, "make socket", OPTIONS)),
        None => Ok(SocketOptions { family, socket_type, backlog, address }),
    }
}

fn take(pairs: &mut Pairs, key: &str) -> Option<Vec<u8>> {
    pairs.remove(key.as_bytes())
}

/// listen(2) takes an `int`.
fn backlog(text: &[u8]) -> Result<u32, Failure> {
    parse_number(text)
        .filter(|&backlog: &u32| i32::try_from(backlog).is_ok())
        .ok_or_else(|| bad_value("backlog", "a number from 0 to 2147483647", text))
}

fn path_address(pairs: &mut Pairs) -> Result<SocketAddress, Failure> {
    if let Some(key) = HOST_KEYS.iter().find(|key| pairs.contains_key(key.as_bytes())) {
        return Err(Failure::usage(format!("{key}= must not be given for family=unix")));
    }
    let path = take(pairs, "path").unwrap_or_default();
    let checked = match abstract_name(&path) {
        Some(b"") => return Err(Failure::usage("path=@ must have a name after the \"@\"")),
        Some(_) if pairs.contains_key(b"umask".as_slice()) => {
            return Err(Failure::usage(
                "umask= must not be given with path=@NAME, which is no file",
            ));
        }
        Some(name) => refuse_nul("path", name),
        None => check_path(&path),
    };
    checked.map_err(|error| Failure::usage(error.to_string()))?;
    let umask = take(pairs, "umask").map(|text| umask(&text)).transpose()?;
    Ok(SocketAddress::Path { path, umask })
}

fn host_address(family: Family, pairs: &mut Pairs) -> Result<SocketAddress, Failure> {
    if let Some(key) = PATH_KEYS.iter().find(|key| pairs.contains_key(key.as_bytes())) {
        return Err(Failure::usage(format!("{key}= must be given for family=unix only")));
    }
    let host = take(pairs, "host").map(|text| c_text("host", text)).transpose()?;
    let interface = take(pairs, "interface").map(|text| c_text("interface", text)).transpose()?;
    if let Some(interface) = &interface {
        check_interface(interface).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let port = match take(pairs, "port") {
        Some(text) => parse_number(&text)
            .ok_or_else(|| bad_value("port", "a number from 0 to 65535", &text))?,
        None => 0,
    };
    let reuseport = match take(pairs, "reuseport") {
        Some(text) => flag("reuseport", &text)?,
        None => false,
    };
    let v6only = match take(pairs, "v6only") {
        Some(_) if family != Family::Inet6 => {
            return Err(Failure::usage("v6only= must be given for family=inet6 only"));
        }
        Some(text) => flag("v6only", &text)?,
        None => false,
    };
    Ok(SocketAddress::Host { host, port, interface, reuseport, v6only })
}

impl Line {
    /// Adds the options of a socket, as `make socket` takes them and `list sockets` shows them.
    #[must_use]
    pub fn socket_options(self, options: &SocketOptions) -> Self {
        let SocketOptions { family, socket_type, backlog, address } = options;
        let line = self.pair("family", family.as_str()).pair("type", socket_type.as_str());
        let line = line.number("backlog", backlog);
        match address {
            SocketAddress::Path { path, umask } => {
                line.pair("path", path).maybe("umask", umask.map(umask_text))
            }
            SocketAddress::Host { host, port, interface, reuseport, v6only } => {
                let line = line.maybe("host", host.as_ref()).number("port", port);
                line.maybe("interface", interface.as_ref())
                    .maybe("reuseport", reuseport.then_some("1"))
                    .maybe("v6only", v6only.then_some("1"))
            }
        }
    }
}
