//! Sockets: made, handed out and handed over.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

use papa_client::{ErrorKind, Family, SocketAddress, SocketType};

use crate::{Hosted, kind};

#[test]
fn a_socket_is_made_once_listed_and_removed() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let web = papa.socket("web").host("127.0.0.1").backlog(7).make().unwrap();
    assert_eq!((web.family, web.socket_type, web.backlog), (Family::Inet, SocketType::Stream, 7));
    let port = web.port().unwrap();
    assert_ne!(port, 0);
    let again = papa.socket("web").host("127.0.0.1").backlog(7).make().unwrap();
    assert_eq!(again, web);
    assert_eq!(kind(papa.socket("web").port(1).make()), ErrorKind::Exists);
    assert_eq!(papa.sockets("w*").unwrap(), [web]);
    assert!(papa.remove_socket("web").unwrap());
    assert!(!papa.remove_socket("web").unwrap());
    let udp = papa.socket("udp").datagram().inet6().make().unwrap();
    assert_eq!((udp.family, udp.socket_type), (Family::Inet6, SocketType::Dgram));
    assert_eq!(papa.remove_sockets("*").unwrap(), ["udp"]);
}

#[test]
fn a_socket_that_was_made_otherwise_is_replaced_if_asked_for() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let made = papa.socket("web").backlog(7).make().unwrap();
    let port = made.port().unwrap();
    let other = papa.socket("web").port(port).backlog(8);
    assert_eq!(kind(other.make()), ErrorKind::Exists);
    assert_eq!(papa.sockets("*").unwrap(), [made]);
    let replaced = other.replace();
    let new = replaced.make().unwrap();
    assert_eq!((new.port(), new.backlog), (Some(port), 8));
    // One that was made this way is found.
    assert_eq!(replaced.make().unwrap(), new);
    assert_eq!(papa.sockets("*").unwrap(), [new]);
}

#[test]
fn a_unix_socket_has_the_mode_that_was_asked_for() {
    let hosted = Hosted::start();
    let (papa, scratch) = (&hosted.papa, &hosted.scratch);
    let path = scratch.join("ctl");
    let made = papa.unix_socket("ctl", &path).umask(0o077).make().unwrap();
    let SocketAddress::Path { path: bound, umask, .. } = made.address else {
        panic!("{made:?}");
    };
    assert_eq!((bound.to_str().unwrap(), umask), (path.as_str(), Some(0o077)));
    UnixStream::connect(&path).unwrap();
    let packets = scratch.join("packets");
    let made = papa.unix_socket("packets", &packets).seqpacket().make().unwrap();
    assert_eq!(made.socket_type, SocketType::Seqpacket);
}

#[test]
fn sockets_are_handed_out_as_the_standard_librarys() {
    let hosted = Hosted::start();
    let (papa, scratch) = (&hosted.papa, &hosted.scratch);
    let port = papa.socket("tcp").make().unwrap().port().unwrap();
    let listener = papa.tcp_listener("tcp").unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0]).unwrap();

    let port = papa.socket("udp").datagram().make().unwrap().port().unwrap();
    let udp = papa.udp_socket("udp").unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"y", ("127.0.0.1", port)).unwrap();
    assert_eq!(udp.recv(&mut [0; 8]).unwrap(), 1);

    let path = scratch.join("stream");
    papa.unix_socket("stream", &path).make().unwrap();
    let unix = papa.unix_listener("stream").unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    unix.accept().unwrap();

    let path = scratch.join("dgram");
    papa.unix_socket("dgram", &path).datagram().make().unwrap();
    let datagram = papa.unix_datagram("dgram").unwrap();
    UnixDatagram::unbound().unwrap().send_to(b"z", &path).unwrap();
    assert_eq!(datagram.recv(&mut [0; 8]).unwrap(), 1);

    assert_eq!(kind(papa.udp_socket("tcp")), ErrorKind::Usage);
    assert_eq!(kind(papa.unix_listener("dgram")), ErrorKind::Usage);
    assert_eq!(kind(papa.tcp_listener("none")), ErrorKind::NotFound);
}

#[test]
fn a_bound_socket_is_adopted() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let adopted = papa.adopt("mine", &listener).unwrap();
    assert_eq!(adopted.port(), Some(port));
    assert_eq!(papa.adopt("mine", &listener).unwrap(), adopted);
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    assert_eq!(kind(papa.adopt("mine", &other)), ErrorKind::Exists);
    drop(listener);
    hosted.papad.kill_server();
    let back = papa.tcp_listener("mine").unwrap();
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    back.accept().unwrap();
}

#[test]
fn descriptors_need_a_unix_socket() {
    let hosted = Hosted::start();
    let papa = hosted.over_tcp();
    papa.socket("web").make().unwrap();
    assert_eq!(kind(papa.tcp_listener("web")), ErrorKind::NeedsUnix);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    assert_eq!(kind(papa.adopt("mine", &listener)), ErrorKind::NeedsUnix);
}
