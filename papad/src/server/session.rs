//! One client's conversation in papa 1.0: a line, a reply, and so on.

use std::fs::File;
use std::io::{self, Write};

use papa_protocol::frame::{BANNER, PROMPT};
use papa_protocol::{command, exact, words};

use super::command::{Reply, on_one_line};
use super::lines::{Lines, MAX_LINE, Received};
use super::{Admission, guard};
use crate::log;

/// Bytes of replies that are gathered before they are sent, though more commands are waiting.
pub(super) const GATHERED: usize = 64 * 1024;

/// Bytes of memory for replies that a session keeps while it waits.
const AT_REST: usize = 4096;

/// Why a session is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client is gone.
    ByClient,
    /// The client said `quit`.
    ByQuit,
    /// It sent more than a line may have.
    LineTooLong,
    /// As before, and it was told so in protocol 2.
    ToldTooLong,
    /// It is a browser or a TLS client.
    NotPapa,
    Failed(#[expect(dead_code, reason = "shown in the log")] io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Failed(error)
    }
}

/// Talks until the client leaves; returns why it is over.
pub(super) fn run(admission: &Admission, connection: File, peer: &str) -> Ended {
    let mut lines = Lines::new(connection);
    let mut out = BANNER.to_vec();
    let Err(ended) = talk(admission, &mut lines, &mut out);
    // What is left to say is said if the client is still there.
    match ended {
        Ended::ByQuit => drop(write_out(&lines, &mut out)),
        Ended::LineTooLong => {
            out.extend(format!("Error: A line may have at most {MAX_LINE} bytes\n> ").bytes());
            drop(write_out(&lines, &mut out));
        }
        Ended::NotPapa => {
            log::warn!("server", "hung up on {peer}: it speaks HTTP or TLS, as a web page would");
        }
        Ended::ByClient | Ended::ToldTooLong | Ended::Failed(_) => {}
    }
    ended
}

fn talk(
    admission: &Admission,
    lines: &mut Lines,
    out: &mut Vec<u8>,
) -> Result<std::convert::Infallible, Ended> {
    let mut is_first = true;
    write_out(lines, out)?;
    loop {
        let Some(line) = lines.next() else {
            // All complete lines are answered: now is the time to send.
            write_out_and_rest(lines, out)?;
            match lines.read()? {
                Received::Bytes if is_first && guard::is_tls(lines.waiting()) => {
                    return Err(Ended::NotPapa);
                }
                Received::Bytes => continue,
                Received::End => return Err(Ended::ByClient),
                Received::TooLong => return Err(Ended::LineTooLong),
            }
        };
        if std::mem::take(&mut is_first) && guard::is_http(&line) {
            return Err(Ended::NotPapa);
        }
        if words::split(&line).join(&b' ') == exact::PROTOCOL {
            return super::exact::talk(admission, lines, out);
        }
        answer(admission, lines, &line, out)?;
        if out.len() > GATHERED {
            write_out(lines, out)?;
        }
    }
}

fn answer(
    admission: &Admission,
    lines: &mut Lines,
    line: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Ended> {
    let server = &admission.server;
    let words = words::split(line);
    if let [first, version] = &words[..]
        && first == b"protocol"
    {
        // This is protocol 1, and 2 does not get here.
        if version == b"1" {
            say(out, b"");
        } else {
            let version = papa_protocol::text::shown(version);
            say(out, format!("Error: papad speaks protocol 1 and 2, not {version}").as_bytes());
        }
        return Ok(());
    }
    if words.is_empty() {
        out.extend_from_slice(PROMPT);
        return Ok(());
    }
    let reply = match command::parse(words) {
        Ok(command) => super::command::run(server, command),
        Err(error) => {
            say(out, format!("Error: {error}").as_bytes());
            return Ok(());
        }
    };
    server.compact();
    match reply {
        Reply::Text(text) => say(out, &text),
        Reply::Failed(failure) => {
            say(out, &on_one_line(format!("Error: {}", failure.what).into_bytes()));
        }
        Reply::Watch(text, watch) => {
            out.extend(text);
            let ended = watch.run(lines, std::mem::take(out))?;
            say(out, ended);
        }
        Reply::Close(text) => {
            out.extend_from_slice(text);
            return Err(Ended::ByQuit);
        }
    }
    Ok(())
}

/// A reply's text, a newline if it does not end in one, and the prompt.
fn say(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    if text.last() != Some(&b'\n') {
        out.push(b'\n');
    }
    out.extend_from_slice(PROMPT);
}

/// Sends everything and empties `out`. Its memory is kept for what comes next.
pub(super) fn write_out(lines: &Lines, out: &mut Vec<u8>) -> io::Result<()> {
    if !out.is_empty() {
        lines.connection().write_all(out)?;
        out.clear();
    }
    Ok(())
}

/// As `write_out`, when there may be nothing to send for a long time.
pub(super) fn write_out_and_rest(lines: &Lines, out: &mut Vec<u8>) -> io::Result<()> {
    write_out(lines, out)?;
    out.shrink_to(AT_REST);
    Ok(())
}
