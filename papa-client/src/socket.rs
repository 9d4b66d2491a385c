//! Sockets that papad holds.

mod builder;
mod fetched;
mod info;

pub use builder::{SocketBuilder, UnixSocketBuilder};
pub(crate) use fetched::{tcp_listener, udp_socket, unix_datagram, unix_listener};
pub use info::{SocketAddress, SocketFault, SocketInfo};
