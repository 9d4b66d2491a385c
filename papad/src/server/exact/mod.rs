//! A session in protocol 2: exact words, every request answered, watches that stream.

mod request;
mod show;
mod status;
mod watch;

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use papa_protocol::exact::{self, Code, Failure, Hello, Request, WatchRequest};

use super::lines::{Lines, Received};
use super::session::{Ended, GATHERED, write_out, write_out_and_rest};
use super::{Admission, Server};
use crate::sys;

/// What is answered to a request.
enum Answer {
    /// `ok` and these lines.
    Lines(Vec<Vec<u8>>),
    /// `ok`, one line, and with its first byte this descriptor.
    Descriptor(Vec<u8>, OwnedFd),
    /// The session goes on as a watch.
    Watch(watch::Watching),
    /// `ok`, and the connection closes.
    Close,
}

type Outcome = Result<Answer, Failure>;

/// Says that the session is exact, and talks until the client leaves.
pub(super) fn talk(
    admission: &Admission,
    lines: &mut Lines,
    out: &mut Vec<u8>,
) -> Result<Infallible, Ended> {
    let server = &admission.server;
    server.sessions.set_protocol(admission.id, 2);
    lines.become_exact();
    server.hello().write(out);
    let mut was_watching = false;
    loop {
        let Some(line) = lines.next() else {
            write_out_and_rest(lines, out)?;
            match lines.read()? {
                Received::Bytes => continue,
                Received::End => return Err(Ended::ByClient),
                Received::TooLong => return Err(too_long(lines, out)),
            }
        };
        // What was said to a watch before its end was heard has nothing to do any more.
        if was_watching && is_left_over(&line) {
            continue;
        }
        was_watching = false;
        let answer = match exact::parse(&line) {
            Ok(None) => continue,
            Ok(Some(Request::Watch(request))) => {
                admission.server.sessions.set_doing(admission.id, "watch");
                watch::Watching::new(server, &request).map(Answer::Watch)
            }
            Ok(Some(request)) => request::run(admission, request, lines),
            Err(failure) => Err(failure),
        };
        server.compact();
        match answer {
            Ok(Answer::Lines(replies)) => exact::write_ok(out, &replies),
            Ok(Answer::Descriptor(reply, fd)) => send_with_descriptor(lines, out, reply, &fd)?,
            Ok(Answer::Watch(watching)) => {
                watching.run(lines, out).map_err(|ended| match ended {
                    Ended::LineTooLong => too_long(lines, out),
                    ended => ended,
                })?;
                was_watching = true;
            }
            Ok(Answer::Close) => {
                exact::write_ok(out, &[]);
                return Err(Ended::ByQuit);
            }
            Err(failure) => exact::write_error(out, &failure),
        }
        if out.len() > GATHERED {
            write_out(lines, out)?;
        }
    }
}

/// Whether a line can only have been meant for a watch.
fn is_left_over(line: &[u8]) -> bool {
    matches!(exact::parse_in_watch(line), Ok(Some(WatchRequest::Ack { .. } | WatchRequest::Stop)))
}

impl Server {
    fn hello(&self) -> Hello {
        Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: nix::unistd::getppid().as_raw(),
            id: self.life.born.id.clone(),
        }
    }
}

/// What is left to say when a line has no end.
fn too_long(lines: &Lines, out: &mut Vec<u8>) -> Ended {
    let most = super::lines::MAX_LINE;
    let failure = Failure::new(Code::Limit, format!("a line may have at most {most} bytes"));
    exact::write_error(out, &failure);
    // The client may be gone.
    let _ = write_out(lines, out);
    Ended::ToldTooLong
}

/// The descriptor travels with the first byte of its reply, after all that was said before.
fn send_with_descriptor(
    lines: &Lines,
    out: &mut Vec<u8>,
    reply: Vec<u8>,
    fd: &OwnedFd,
) -> Result<(), Ended> {
    write_out(lines, out)?;
    let mut bytes = Vec::new();
    exact::write_ok(&mut bytes, &[reply]);
    let (first, rest) = bytes.split_at(1);
    sys::send(lines.as_fd(), first, &[fd.as_fd()])?;
    out.extend_from_slice(rest);
    Ok(())
}
