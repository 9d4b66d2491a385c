//! Whether papad's sockets can be reached.

use papa_client::{SocketFault, SocketInfo};

use crate::finding::Finding;
use crate::shape::Socket;

/// One for each socket that nobody can reach, or a single one that says that all can be.
pub(crate) fn findings(sockets: &[SocketInfo]) -> Vec<Finding> {
    let faulty: Vec<Finding> =
        sockets.iter().filter_map(|socket| Some(finding(socket, socket.fault?))).collect();
    if !faulty.is_empty() {
        return faulty;
    }
    vec![Finding::ok("sockets", "none is shut down, and no file is missing".to_owned())]
}

fn finding(socket: &SocketInfo, fault: SocketFault) -> Finding {
    let (name, address) = (&socket.name, Socket::new(socket).address);
    let again = format!("\"papactl socket make {name}\", with the options it was made with,");
    let (what, advice) = match fault {
        SocketFault::ShutDown => (
            format!("{name} at {address} was shut down by a process, and takes no connections"),
            format!("{again} has it listen again, and so does the next process that gets it"),
        ),
        SocketFault::NoFile => (
            format!("{name} cannot be reached: its file {address} is gone"),
            format!("{again} makes the file anew"),
        ),
        SocketFault::OtherFile => (
            format!("{name} cannot be reached: what is at {address} is not its file"),
            format!("remove what is there, if nobody needs it; then {again} makes the file anew"),
        ),
        _ => (format!("{name} at {address} cannot be reached"), format!("{again} may mend it")),
    };
    Finding::bad("sockets", what).advice(advice)
}
