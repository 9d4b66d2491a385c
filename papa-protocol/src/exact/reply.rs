//! Answers: `ok N` and N lines, or `error CODE "what and why"`.

use std::io::Write;

use super::failure::{Code, Failure};
use super::frame::Frame;
use super::line::Line;
use super::words::parse_number;
use crate::quoted;
use crate::text::shown;

/// Appends the answer of a request that was done. The lines have no line ends yet; [`Line`]
/// builds them.
pub fn write_ok(out: &mut Vec<u8>, lines: &[Vec<u8>]) {
    // Writing to a Vec cannot fail.
    let _ = writeln!(out, "ok {}", lines.len());
    for line in lines {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

/// Appends the answer of a request that was not done.
pub fn write_error(out: &mut Vec<u8>, failure: &Failure) {
    let line = Line::new().word("error").word(failure.code.as_str()).word(&failure.what);
    out.extend_from_slice(&line.into_bytes());
    out.push(b'\n');
}

/// The first line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyHead {
    /// It was done, and so many lines follow.
    Ok(usize),
    /// It was not done. No line follows.
    Error(Failure),
}

/// Reads the first line of an answer, without its line end.
///
/// # Errors
/// [`Code::Internal`]: it is none.
pub fn parse_reply_head(line: &[u8]) -> Result<ReplyHead, Failure> {
    head(&split(line)?).ok_or_else(|| unreadable(line))
}

/// A line that a watching session is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerLine {
    /// The answer of a request begins.
    Reply(ReplyHead),
    /// A frame, or the beginning of one.
    Frame(Frame),
}

/// Reads a line that a watching session is sent, without its line end.
///
/// # Errors
/// [`Code::Internal`]: it is neither an answer's first line nor a frame's.
pub fn parse_server_line(line: &[u8]) -> Result<ServerLine, Failure> {
    let words = split(line)?;
    let read = match words.first().map(Vec::as_slice) {
        Some(b"ok" | b"error") => head(&words).map(ServerLine::Reply),
        _ => Frame::of_words(words).map(ServerLine::Frame),
    };
    read.ok_or_else(|| unreadable(line))
}

/// The words of a line from the server.
pub(super) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    quoted::split(line).map_err(|_| unreadable(line))
}

/// The failure of a line that no papad sends.
pub(super) fn unreadable(line: &[u8]) -> Failure {
    let line = shown(line);
    Failure::new(Code::Internal, format!("The server sent what is not protocol 2: {line}"))
}

fn head(words: &[Vec<u8>]) -> Option<ReplyHead> {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match words[..] {
        [b"ok", count] => Some(ReplyHead::Ok(parse_number(count)?)),
        [b"error", code, what] => {
            let what = String::from_utf8_lossy(what);
            Some(ReplyHead::Error(Failure::new(Code::parse(code)?, what)))
        }
        _ => None,
    }
}
