//! The transcripts in `protocol.md`, replayed against a running papad: byte for byte, but for the
//! placeholders. How a transcript is written is told there, under "Examples".
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt;

use papad_tests::{BANNER, Papad, ScratchDir, Session};

const PROTOCOL_MD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol.md");

/// What opens a block that is a transcript in papa 1.0 or in protocol 2, and what ends any block.
const OPENING: &str = "```papa";
const OPENING_EXACT: &str = "```papa2";
const FENCE: &str = "```";

/// One transcript: what is said on a papad that was just started.
#[derive(Debug)]
struct Transcript {
    /// The line of the file on which it opens.
    line: usize,
    /// Its sessions speak protocol 2, unless how they begin is shown.
    is_exact: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    /// The line of the file.
    line: usize,
    /// Which session: 1 is `C:` and `S:`, 2 is `C2:` and `S2:`, and so on.
    session: u8,
    event: Event,
}

#[derive(Debug)]
enum Event {
    /// `C: TEXT`: the client sends this line.
    Sends(Template),
    /// `C: <leaves>`: the client closes the connection.
    Leaves,
    /// `S: TEXT`: papad sends this line.
    Says(Template),
    /// `S: >` and `S: ]`: papad sends this and a space, with no newline after it.
    SaysAlone(&'static [u8]),
    /// `S: <closes>`: papad closes the connection.
    Closes,
    /// `S: <is killed>`: papad's server is killed, which closes every connection.
    IsKilled,
}

/// A line's text, its placeholders apart.
#[derive(Debug)]
struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    /// A placeholder's name, with its number: the same name stands for the same text all through
    /// a transcript.
    Variable(Kind, String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Decimal digits.
    Number,
    /// Seconds with six decimals.
    Time,
    /// 16 hexadecimal digits.
    Id,
    /// Hexadecimal digits, or `unknown`.
    Commit,
    /// A directory of the test's own. Known from the start.
    Directory,
}

impl Kind {
    fn of(placeholder: &str) -> Option<Self> {
        match placeholder.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "pid" | "port" | "length" | "ns" | "number" => Some(Self::Number),
            "time" => Some(Self::Time),
            "id" => Some(Self::Id),
            "commit" => Some(Self::Commit),
            "dir" => Some(Self::Directory),
            _ => None,
        }
    }

    /// How many bytes at the beginning of `text` can be meant.
    fn length_in(self, text: &str) -> Option<usize> {
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let whole = digits(text);
        let length = match self {
            Self::Number => whole,
            Self::Time => {
                let decimals = digits(text[whole..].strip_prefix('.')?);
                (whole > 0 && decimals == 6).then_some(whole + 1 + decimals)?
            }
            Self::Id => {
                let other = |c: char| !matches!(c, '0'..='9' | 'a'..='f');
                let digits = text.find(other).unwrap_or(text.len());
                if digits == 16 { digits } else { 0 }
            }
            Self::Commit if text.starts_with("unknown") => "unknown".len(),
            Self::Commit => text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len()),
            Self::Directory => return None,
        };
        (length > 0).then_some(length)
    }
}

/// What placeholders stand for so far.
type Bindings = BTreeMap<String, String>;

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            let (before, from) = rest.split_at(start);
            parts.push(Part::Text(before.to_owned()));
            let name = from[1..].split(['>', ' ']).next().unwrap_or_default();
            let is_placeholder = from[1 + name.len()..].starts_with('>');
            rest = if is_placeholder {
                let kind = Kind::of(name).ok_or_else(|| format!("what is <{name}>?"))?;
                parts.push(Part::Variable(kind, name.to_owned()));
                &from[name.len() + 2..]
            } else {
                parts.push(Part::Text("<".to_owned()));
                &from[1..]
            };
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The text with everything filled in; an error names a placeholder that is not bound yet.
    fn fill(&self, bound: &Bindings) -> Result<String, String> {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => Ok(text.as_str()),
            Part::Variable(_, name) => bound
                .get(name)
                .map(String::as_str)
                .ok_or_else(|| format!("nothing says yet what <{name}> is")),
        });
        filled.collect()
    }

    /// Whether `line` is what is meant. Placeholders that are new are bound.
    fn matches(&self, line: &str, bound: &mut Bindings) -> bool {
        let mut rest = line;
        for part in &self.0 {
            let expected = match part {
                Part::Text(text) => text.clone(),
                Part::Variable(kind, name) => match bound.get(name) {
                    Some(known) => known.clone(),
                    None => match kind.length_in(rest) {
                        Some(length) => {
                            bound.insert(name.clone(), rest[..length].to_owned());
                            rest[..length].to_owned()
                        }
                        None => return false,
                    },
                },
            };
            match rest.strip_prefix(&expected) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Whether this is the first line of a frame of a batch.
    fn begins_frame(&self) -> bool {
        let Some(Part::Text(text)) = self.0.first() else {
            return false;
        };
        ["out:", "err:", "closed:"].iter().any(|kind| text.starts_with(kind))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(_, name) => write!(f, "<{name}>"),
        })
    }
}

/// The transcripts of a file.
///
/// # Errors
/// Where and why the file is not what the test can read: nothing is passed over.
fn parse(text: &str) -> Result<Vec<Transcript>, String> {
    let mut transcripts = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((opening, line)) = lines.next() {
        if !opening.starts_with(FENCE) {
            continue;
        }
        let is_exact = opening == OPENING_EXACT;
        let is_transcript = is_exact || opening == OPENING;
        let mut steps = Vec::new();
        loop {
            let (text, line) =
                lines.next().ok_or_else(|| format!("line {line}: the block has no end"))?;
            if text == FENCE {
                break;
            }
            if is_transcript {
                let step = parse_step(text, line);
                steps.push(step.map_err(|why| format!("line {line}: {why}"))?);
            }
        }
        if is_transcript {
            check_end(&steps, is_exact).map_err(|why| format!("line {line}: {why}"))?;
            transcripts.push(Transcript { line, is_exact, steps });
        }
    }
    if transcripts.is_empty() {
        return Err("there is no transcript".to_owned());
    }
    Ok(transcripts)
}

fn parse_step(text: &str, line: usize) -> Result<Step, String> {
    let bad = || format!("neither C: nor S: begins {text:?}");
    let (prefix, text) = text.split_once(':').ok_or_else(bad)?;
    let number = prefix.strip_prefix(['C', 'S']).ok_or_else(bad)?;
    let session = match number {
        "" => 1,
        number => number.parse().map_err(|_| bad())?,
    };
    let text = match text {
        "" => "",
        text => text.strip_prefix(' ').ok_or("a space belongs after a :")?,
    };
    let event = match (&prefix[..1], text) {
        ("C", "<leaves>") => Event::Leaves,
        ("C", text) => Event::Sends(Template::parse(text)?),
        (_, ">") => Event::SaysAlone(b"> "),
        (_, "]") => Event::SaysAlone(b"] "),
        (_, "<closes>") => Event::Closes,
        (_, "<is killed>") => Event::IsKilled,
        (_, text) => Event::Says(Template::parse(text)?),
    };
    Ok(Step { line, session, event })
}

/// Every session of papa 1.0 ends at a prompt, or has ended: only then is it known that nothing is
/// left out. In protocol 2 the answer to the last `quit` tells that.
fn check_end(steps: &[Step], is_exact: bool) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for step in steps {
        if let Event::IsKilled = step.event {
            last.clear();
        } else {
            last.insert(step.session, &step.event);
        }
    }
    if steps.is_empty() {
        return Err("the transcript is empty".to_owned());
    }
    let is_end =
        |event: &Event| matches!(event, Event::SaysAlone(b"> ") | Event::Closes | Event::Leaves);
    match last.iter().find(|(_, event)| !is_exact && !is_end(event)) {
        Some((session, _)) => Err(format!("session {session} does not end at a prompt")),
        None => Ok(()),
    }
}

/// A session, and what it was sent that no step has taken yet.
struct Side {
    session: Session,
    received: Vec<u8>,
}

impl Side {
    /// Waits until `length` bytes have come. Fewer are there only when papad has closed.
    fn wait_for(&mut self, length: usize) {
        while self.received.len() < length {
            let more = self.session.read_once();
            if more.is_empty() {
                return;
            }
            self.received.extend(more);
        }
    }

    /// Takes `bytes` if they come next.
    fn take(&mut self, bytes: &[u8]) -> bool {
        self.wait_for(bytes.len());
        let comes_next = self.received.starts_with(bytes);
        if comes_next {
            self.received.drain(..bytes.len());
        }
        comes_next
    }

    /// Takes a line, without its newline; what there is if papad closes before one has come.
    fn take_line(&mut self) -> String {
        let mut length = 0;
        loop {
            let newline = self.received[length..].iter().position(|&b| b == b'\n');
            length = newline.map_or(self.received.len(), |at| length + at);
            self.wait_for(length + 1);
            if newline.is_some() || length == self.received.len() {
                break;
            }
        }
        let rest = self.received.split_off(length);
        let line = std::mem::replace(&mut self.received, rest);
        self.take(b"\n");
        String::from_utf8(line).unwrap()
    }
}

/// Plays a transcript; an error says at which line it is not what papad does.
fn replay(transcript: &Transcript) -> Result<(), String> {
    let papad = Papad::start();
    let scratch = ScratchDir::new();
    let directory = scratch.path().display().to_string();
    let mut bound = Bindings::from([("dir".to_owned(), directory)]);
    let mut sides = BTreeMap::new();
    for step in &transcript.steps {
        if let Event::IsKilled = step.event {
            papad.kill_server();
            for (_, mut side) in std::mem::take(&mut sides) {
                finish_killed(&mut side, step.line)?;
            }
            continue;
        }
        let side = sides.entry(step.session).or_insert_with(|| Side {
            session: open(&papad, step, transcript.is_exact),
            received: Vec::new(),
        });
        play(step, side, &mut bound).map_err(|why| format!("protocol.md:{}: {why}", step.line))?;
        if let Event::Closes | Event::Leaves = step.event {
            sides.remove(&step.session);
        }
    }
    for mut side in sides.into_values() {
        side.session.send("quit\n");
        let last = if transcript.is_exact { "ok 0" } else { "ok" };
        if side.take_line() != last || !side.session.read_to_end().is_empty() {
            let line = transcript.line;
            return Err(format!("protocol.md:{line}: papad says more than is shown"));
        }
    }
    Ok(())
}

/// A new session. How it begins is shown by a transcript that begins with papad's banner, and
/// skipped otherwise.
fn open(papad: &Papad, first: &Step, is_exact: bool) -> Session {
    match &first.event {
        Event::Says(text) if BANNER.starts_with(&text.to_string()) => papad.connect(),
        _ if is_exact => {
            let mut session = papad.session();
            session.send("protocol 2\n");
            session.expect("ok 1\n");
            session.read_line();
            session
        }
        _ => papad.session(),
    }
}

fn finish_killed(side: &mut Side, line: usize) -> Result<(), String> {
    let rest = [std::mem::take(&mut side.received), side.session.read_to_end()].concat();
    if rest.is_empty() {
        Ok(())
    } else {
        let rest = rest.escape_ascii();
        Err(format!("protocol.md:{line}: before it was killed: {rest}"))
    }
}

fn play(step: &Step, side: &mut Side, bound: &mut Bindings) -> Result<(), String> {
    match &step.event {
        Event::Sends(line) => side.session.send(line.fill(bound)? + "\n"),
        Event::Says(expected) => {
            // A batch may end earlier than it is shown: when it does is a matter of time.
            while expected.begins_frame() && side.take(b"] ") {
                side.session.send("\n");
            }
            let line = side.take_line();
            if !expected.matches(&line, bound) {
                return Err(format!("expected: {expected}\n     got: {line}"));
            }
        }
        Event::SaysAlone(bytes) => {
            if !side.take(bytes) {
                let (expected, got) = (bytes.escape_ascii(), side.received.escape_ascii());
                return Err(format!("expected: {expected}\n     got: {got}"));
            }
        }
        Event::Closes => {
            side.wait_for(1);
            if !side.received.is_empty() {
                let got = side.received.escape_ascii();
                return Err(format!("expected the end, but got: {got}"));
            }
        }
        Event::Leaves | Event::IsKilled => {}
    }
    Ok(())
}

#[test]
fn every_transcript_is_what_papad_does() {
    let text = std::fs::read_to_string(PROTOCOL_MD).unwrap();
    let transcripts = parse(&text).unwrap_or_else(|why| panic!("protocol.md: {why}"));
    let failures: Vec<String> =
        transcripts.iter().filter_map(|transcript| replay(transcript).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What `parse` says of a transcript with these lines.
fn refusal(lines: &str) -> String {
    let text = format!("# Title\n{OPENING}\n{lines}\n{FENCE}\n");
    match parse(&text) {
        Ok(transcripts) => panic!("{lines:?} is taken for {transcripts:?}"),
        Err(why) => why,
    }
}

#[test]
fn a_file_without_transcripts_is_refused() {
    assert_eq!(parse("text\n```sh\nC: x\n```\n").unwrap_err(), "there is no transcript");
}

#[test]
fn a_transcript_that_is_malformed_is_refused() {
    for (lines, why) in [
        ("get v", "line 3: neither C: nor S: begins \"get v\""),
        ("X: get v", "line 3: neither C: nor S: begins \"X: get v\""),
        ("Cx: get v", "line 3: neither C: nor S: begins \"Cx: get v\""),
        ("C: a\nS:b\nS: >", "line 4: a space belongs after a :"),
        ("C: get <colour>\nS: >", "line 3: what is <colour>?"),
        ("C: get v\nS: 1", "line 2: session 1 does not end at a prompt"),
        ("C: get v\nS: >\nC2: quit\nS2: ok", "line 2: session 2 does not end at a prompt"),
    ] {
        assert_eq!(refusal(lines), why, "{lines}");
    }
    assert_eq!(parse("```papa\nC: get v\nS: >\n").unwrap_err(), "line 1: the block has no end");
    assert_eq!(parse("```papa\n```\n").unwrap_err(), "line 1: the transcript is empty");
}

#[test]
fn a_transcript_of_something_else_fails_where_it_differs() {
    for (lines, expected) in [
        ("C: get v\nS: 1\nS: >", "protocol.md:3: expected: 1"),
        ("C: get v\nS: >", "protocol.md:3: expected: > "),
        ("C: get v\nS: <closes>", "protocol.md:3: expected the end"),
        ("C: get <pid>\nS: >", "protocol.md:2: nothing says yet"),
        ("C: set v 7\nS:\nS: >\nC: get v\nS: <time>\nS: >", "protocol.md:6: "),
        (
            "C: set v 7\nS:\nS: >\nC: get v\nS: <pid>\nS: >\nC: list values\nS: w <pid>\nS: >",
            "protocol.md:9: expected: w <pid>\n     got: v 7",
        ),
        ("C: get v\nC: get v\nS:\nS: >", "protocol.md:1: papad says more than is shown"),
    ] {
        let transcripts = parse(&format!("{OPENING}\n{lines}\n{FENCE}\n")).unwrap();
        let why = replay(&transcripts[0]).unwrap_err();
        assert!(why.starts_with(expected), "{lines}\n{why}");
    }
}
