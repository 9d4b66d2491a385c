//! A session in protocol 2: exact words, every request answered, watches that stream.

mod request;
mod show;
mod status;
mod watch;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use papa_protocol::exact::{self, Failure, Frame, Hello, Request, WatchRequest};
use papa_protocol::quoted;

use super::Server;
use super::admission::Admission;
use super::client::Client;
use super::session::{Activity, Dialect, Ended, GATHERED};
use super::upgrade::Awaited;
use crate::bounds::{Bound, Bounds};
use crate::version;

pub(super) use watch::{TellWatched, TellWildcard, Told, Watching};

/// What is answered to a request.
enum Answer {
    /// `ok` and these lines.
    Lines(Vec<Vec<u8>>),
    /// `ok`, one line, and with its first byte this descriptor.
    Descriptor(Vec<u8>, OwnedFd),
    /// `ok`, these lines, and the session goes on as a watch.
    Watch(Vec<Vec<u8>>, watch::Watching),
    /// The answer comes when papad is upgraded, or cannot be.
    Upgrade(Arc<Awaited>),
    /// `ok`, and the connection closes.
    Close,
}

type Outcome = Result<Answer, Failure>;

/// Says that the session is exact.
pub(super) fn begin(admission: &Admission, client: &mut Client) -> Activity {
    let server = &admission.server;
    server.sessions.set_protocol(admission.id, 2);
    client.lines.become_exact();
    server.hello().write(&mut client.out.bytes);
    Activity::Requesting { was_watching: false }
}

/// Takes requests until the session is to do something else.
pub(super) fn talk(
    admission: &Admission,
    client: &mut Client,
    was_watching: &mut bool,
) -> Result<Activity, Ended> {
    client.send()?;
    loop {
        client.pass()?;
        let Some(line) = client.next_line()? else {
            client.send_and_rest()?;
            client.listen()?;
            continue;
        };
        // What was said to a watch before its end was heard has nothing to do any more.
        if *was_watching && is_left_over(&line) {
            continue;
        }
        *was_watching = false;
        if let Some(activity) = answer(admission, client, &line) {
            return Ok(activity);
        }
        if client.out.is_much(GATHERED) {
            client.send()?;
        }
    }
}

/// Watches until the client stops it, or nothing is left.
pub(super) fn watch(watching: &mut Watching, client: &mut Client) -> Result<Activity, Ended> {
    let ended = watching.run(client)?;
    Frame::End(ended).write(&mut client.out.bytes);
    Ok(Activity::Requesting { was_watching: true })
}

/// Answers one line; returns what the session does next if that is something else.
fn answer(admission: &Admission, client: &mut Client, line: &[u8]) -> Option<Activity> {
    let server = &admission.server;
    let checked = check_words(&server.bounds, line);
    let answer = match checked.and_then(|()| exact::parse(line)) {
        Ok(None) => return None,
        Ok(Some(Request::Watch(request))) => {
            admission.is_doing("watch");
            let watching = watch::Watching::new(server, &request);
            watching.map(|(watching, opening)| Answer::Watch(opening, watching))
        }
        Ok(Some(request)) => {
            request::run(admission, request, &mut client.lines, &mut client.unread)
        }
        Err(failure) => Err(failure),
    };
    server.compact();
    let out = &mut client.out;
    match answer {
        Ok(Answer::Lines(replies)) => exact::write_ok(&mut out.bytes, &replies),
        Ok(Answer::Descriptor(reply, fd)) => {
            out.push_descriptor(fd);
            exact::write_ok(&mut out.bytes, &[reply]);
        }
        Ok(Answer::Watch(opening, watching)) => {
            exact::write_ok(&mut out.bytes, &opening);
            return Some(Activity::Streaming(watching));
        }
        Ok(Answer::Upgrade(awaited)) => return Some(Activity::Upgrading(Dialect::Exact, awaited)),
        Ok(Answer::Close) => {
            exact::write_ok(&mut out.bytes, &[]);
            return Some(Activity::Leaving { while_it_speaks: false });
        }
        Err(failure) => exact::write_error(&mut out.bytes, &failure),
    }
    None
}

/// Whether a line has no more words than it may, before they are made.
fn check_words(bounds: &Bounds, line: &[u8]) -> Result<(), Failure> {
    bounds.check(Bound::Words, quoted::count(line))
}

/// Whether a line can only have been meant for a watch.
fn is_left_over(line: &[u8]) -> bool {
    matches!(exact::parse_in_watch(line), Ok(Some(WatchRequest::Ack { .. } | WatchRequest::Stop)))
}

impl Server {
    fn hello(&self) -> Hello {
        Hello {
            version: version::RELEASE.to_owned(),
            pid: nix::unistd::getppid().as_raw(),
            id: self.life.born.id.clone(),
        }
    }
}
