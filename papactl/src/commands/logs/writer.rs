//! How entries are written: as bytes, as lines for people, or as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

use anstyle::{AnsiColor, Style};
use papa_client::{Name, ProcessId, Stream};
use unicode_width::UnicodeWidthStr;

use super::choice::Choice;
use super::lines::Line;
use super::source::{Entry, What, Who};
use crate::escape::{self, Escaper};
use crate::failure::{Failure, Result};
use crate::shape::{self, Logged};
use crate::time;

/// The colours of names, in the order in which they are given.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// How to write.
#[derive(Debug)]
pub(super) enum Form {
    /// Bytes as they are, to the stream that they came from.
    Raw,
    /// Lines.
    Text { names: Option<Names>, with_times: bool },
    /// One object a line.
    Json,
}

/// The names before lines.
#[derive(Debug)]
pub(super) struct Names {
    /// What is known of each name: its place among the colours.
    known: BTreeMap<Name, usize>,
    /// Columns of the widest name.
    width: usize,
    in_colour: bool,
}

/// Writes entries.
#[derive(Debug)]
pub(super) struct Writer {
    form: Form,
    /// Whether to say how processes end.
    with_ends: bool,
    /// For stdout and stderr, where they are terminals that are not to obey what is written.
    escapers: [Option<Escaper>; 2],
    /// Which lines are written.
    choice: Choice,
    /// Without the standard library's buffer, which knows lines: output need not have any.
    stdout: BufWriter<File>,
}

impl Names {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a Name>, in_colour: bool) -> Self {
        let mut all = Self { known: BTreeMap::new(), width: 0, in_colour };
        for name in names {
            all.meet(name);
        }
        all
    }

    /// A name's place among the colours. From its first line on all names have as much room.
    fn meet(&mut self, name: &Name) -> usize {
        if let Some(index) = self.known.get(name) {
            return *index;
        }
        let index = self.known.len() % COLOURS.len();
        self.known.insert(name.clone(), index);
        self.width = self.width.max(name.to_string().width());
        index
    }

    /// The name and a bar, which is another one before standard error.
    fn prefix(&mut self, name: &Name, stream: Stream) -> String {
        let index = self.meet(name);
        let name = name.to_string();
        let gap = " ".repeat(self.width.saturating_sub(name.width()));
        let bar = match stream {
            Stream::Out => '|',
            Stream::Err => '!',
        };
        let colour = COLOURS.get(index).filter(|_| self.in_colour);
        match colour.map(|colour| Style::new().fg_color(Some((*colour).into()))) {
            None => format!("{name}{gap} {bar} "),
            // What the process itself has set ends here.
            Some(style) => {
                let reset = anstyle::Reset;
                format!("{reset}{style}{name}{gap} {bar}{reset} ")
            }
        }
    }
}

impl Writer {
    pub(super) fn new(form: Form, with_ends: bool, is_raw: bool) -> Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = stdout.map_err(|error| Failure::io("there is no standard output", &error))?;
        let escapers = Escaper::of_streams(is_raw);
        let (choice, stdout) = (Choice::default(), BufWriter::new(stdout.into()));
        Ok(Self { form, with_ends, escapers, choice, stdout })
    }

    /// Writes only these lines from now on.
    pub(super) fn choose(&mut self, choice: Choice) {
        self.choice = choice;
    }

    pub(super) fn write(&mut self, entry: &Entry) -> Result<()> {
        if matches!(&entry.what, What::Line(_, line) if !self.choice.wants(line)) {
            return Ok(());
        }
        if matches!(self.form, Form::Json) {
            return self.json(entry);
        }
        let name = &entry.who.name;
        match &entry.what {
            What::Line(stream, line) => self.line(name, *stream, line),
            What::Lost { bytes, .. } => {
                let unit = if *bytes == 1 { "byte" } else { "bytes" };
                self.note(format_args!("{name}: {bytes} {unit} lost"))
            }
            What::End { end, .. } if self.with_ends => self.note(format_args!("{name}: {end}")),
            What::Removed if self.with_ends => self.note(format_args!("{name}: removed")),
            What::End { .. } | What::Removed => Ok(()),
        }
    }

    /// Says something that no process has written.
    pub(super) fn note(&mut self, what: impl std::fmt::Display) -> Result<()> {
        self.flush()?;
        writeln!(io::stderr(), "--- {what} ---")?;
        Ok(())
    }

    /// Has everything written that was to be.
    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.stdout.flush()?)
    }

    /// Nothing more is written: has everything written, the beginnings of characters included.
    pub(super) fn finish(&mut self) -> Result<()> {
        let [out, err] = &mut self.escapers;
        let held = |escaper: &mut Option<Escaper>| {
            escaper.as_mut().map(Escaper::finish).unwrap_or_default()
        };
        let (out, err) = (held(out), held(err));
        self.stdout.write_all(&out)?;
        self.flush()?;
        Ok(io::stderr().write_all(&err)?)
    }

    fn line(&mut self, name: &Name, stream: Stream, line: &Line) -> Result<()> {
        let [out, err] = &mut self.escapers;
        match &mut self.form {
            Form::Raw if stream == Stream::Err => {
                let bytes = escaped(err, &line.bytes);
                self.stdout.flush()?;
                io::stderr().write_all(&bytes)?;
            }
            Form::Raw => self.stdout.write_all(&escaped(out, &line.bytes))?,
            Form::Text { names, with_times } => {
                if let Some(names) = names {
                    self.stdout.write_all(names.prefix(name, stream).as_bytes())?;
                }
                if *with_times {
                    write!(self.stdout, "{} ", time::local(line.time))?;
                }
                match out {
                    // Each line for itself: what one leaves unfinished is not the next one's.
                    Some(_) => self.stdout.write_all(&escape::whole(&line.bytes))?,
                    None => self.stdout.write_all(&line.bytes)?,
                }
                self.stdout.write_all(b"\n")?;
            }
            Form::Json => {}
        }
        Ok(())
    }

    fn json(&mut self, entry: &Entry) -> Result<()> {
        serde_json::to_writer(&mut self.stdout, &logged(entry)).map_err(io::Error::from)?;
        self.stdout.write_all(b"\n")?;
        Ok(())
    }
}

/// What is to be written of these bytes of a stream.
fn escaped<'a>(escaper: &mut Option<Escaper>, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    match escaper {
        Some(escaper) => escaper.escape(bytes).into(),
        None => bytes.into(),
    }
}

fn logged(entry: &Entry) -> Logged {
    let Who { name, id } = &entry.who;
    let (name, id) = (name.to_string(), ProcessId::to_string(id));
    match &entry.what {
        What::Line(stream, line) => {
            let (text, base64) = shape::text_or_base64(&line.bytes);
            let stream = match stream {
                Stream::Out => "stdout",
                Stream::Err => "stderr",
            };
            let (time, position, partial) =
                (time::rfc3339(line.time), line.position, !line.is_whole);
            Logged::Line { name, id, stream, time, position, text, base64, partial }
        }
        What::Lost { position, bytes } => {
            Logged::Lost { name, id, position: *position, bytes: *bytes }
        }
        What::End { time, end } => {
            let (exit_status, signal) = shape::end(Some(*end));
            Logged::End { name, id, time: time::rfc3339(*time), exit_status, signal }
        }
        What::Removed => Logged::Removed { name, id },
    }
}
