//! `papactl logs`

use std::collections::BTreeMap;
use std::time::SystemTime;

use clap::Args;
use papa_client::{ErrorKind, Mode, Name, Papa, ProcessInfo, Stream};

use self::choice::Choice;
use self::source::{Entry, Place, Source, View, What, Who};
use self::writer::{Form, Names, Writer};
use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::time;
use crate::waiter::{Waiter, Woken};

mod choice;
mod gate;
mod lines;
mod merge;
mod previous;
mod source;
mod tail;
mod writer;

/// Processes whose output is put in the order of time. Each costs papad a session and a thread, and
/// both sides some memory, while what is there is read.
const MAX_BY_TIME: usize = 64;

/// Show what processes have written
///
/// This takes nothing from whoever else reads it, unless --take is given. The output of one process
/// is written as it is, byte by byte (but see --raw): its standard output to standard output, and its standard
/// error to standard error. Of several processes, all goes to standard output, by lines in the order
/// of time, and before each stands the process's name, with a bar | or for standard error a !. Where
/// output was lost, because the process wrote more than its buffer holds, and with --follow how a
/// process has ended, is said on standard error.
///
/// A line of more than 64 KiB is broken. Of more than 64 processes, what is there already comes by
/// process and not by time.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Logs {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    /// Go on with what they write, until they have ended
    ///
    /// With a *, go on until Ctrl-C: processes that are started later are shown, too.
    #[arg(long, short = 'f')]
    follow: bool,

    /// Only lines that are not older: 10m, 19:38, or 2026-11-22T10:00
    #[arg(long, value_name = "TIME", value_parser = time::moment)]
    since: Option<SystemTime>,

    /// Only lines that are not newer: 10m, 19:38, or 2026-11-22T10:00
    #[arg(long, value_name = "TIME", value_parser = time::moment, conflicts_with = "follow")]
    until: Option<SystemTime>,

    /// Only lines that contain this text, as it is
    ///
    /// Lines of standard error then go to standard output, too.
    #[arg(long, short = 'g', value_name = "TEXT")]
    grep: Option<String>,

    /// Only the last N lines of each process, and what comes then
    ///
    /// They are counted among those that --since, --until and --grep choose.
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(..=tail::MAX_LINES)
    )]
    tail: Option<u64>,

    /// Only standard output
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,

    /// Only standard error
    #[arg(long)]
    stderr: bool,

    /// Send a terminal what the process has written, byte by byte
    ///
    /// Otherwise a terminal is shown control characters as \xHH, and not sent them: they could
    /// change its title, or what is on it. Newlines, tabs and colours are sent. A file or a pipe is
    /// always sent every byte as it is.
    #[arg(long)]
    raw: bool,

    /// Put before each line when it was written
    ///
    /// That is when papad has read the line's first byte, by this machine's clock and time zone.
    #[arg(long, short = 't')]
    timestamps: bool,

    /// Show what the processes before these wrote, and how they ended
    ///
    /// When a process is restarted, what the one before left unread stays until it is taken, or the
    /// process is restarted once more.
    #[arg(long, short = 'p')]
    previous: bool,

    /// Take it: what was shown papad forgets
    ///
    /// What was written out here is acknowledged to papad, which then need not keep it: it has room
    /// for more, and nobody is shown it again. The end of a process is taken as well, and so a
    /// process that has ended leaves the list. What could not be written stays with papad. As all is
    /// taken, there is nothing to choose with --since, --until, --grep, --tail, --stdout or
    /// --stderr.
    #[arg(long, conflicts_with_all = ["since", "until", "grep", "tail", "stdout", "stderr"])]
    take: bool,
}

impl Logs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        if self.previous {
            return self.show_previous(context, &papa);
        }
        let mut processes = names::processes(&papa, &self.names)?;
        // One that was removed runs on without its output being kept.
        processes.retain(|process| !process.removed);
        let waiter = Waiter::new()?;
        let view = self.view(context);
        let mut writer = Writer::new(self.form(context, &processes), self.follow, self.raw)?;
        writer.choose(self.choice());
        let mut places = self.places(&papa, &processes)?;
        self.tell_what_is_lost(&processes, &mut writer)?;

        let mut names = self.names.clone();
        if (2..=MAX_BY_TIME).contains(&processes.len()) {
            let sources = by_process(&papa, &processes, view, &places)?;
            let (sources, woken) = merge::show(sources, !self.follow, &mut writer, &waiter)?;
            places.extend(sources.iter().flat_map(Source::places));
            for source in sources {
                source.stop(&papa)?;
            }
            names.retain(|name| is_to_go_on(name, &places));
            writer.finish()?;
            if woken == Woken::Interrupted {
                return Ok(Exit::INTERRUPTED);
            }
            if !self.follow || names.is_empty() {
                return Ok(Exit::DONE);
            }
        } else if processes.len() > MAX_BY_TIME && !context.output.is_json() {
            writer.note(format_args!(
                "{} processes: of more than {MAX_BY_TIME}, what is there comes by process",
                processes.len()
            ))?;
        }
        let until = (!self.follow).then_some(processes);
        let source = Source::start(&papa, &names, view, &places, until)?;
        let (sources, woken) = merge::show(vec![source], true, &mut writer, &waiter)?;
        for source in sources {
            source.stop(&papa)?;
        }
        writer.finish()?;
        Ok(if woken == Woken::Interrupted { Exit::INTERRUPTED } else { Exit::DONE })
    }

    fn view(&self, context: &Context) -> View {
        let mode = if self.take { Mode::Take } else { Mode::Peek };
        View { mode, only: self.only(), is_raw: self.is_raw(context), since: self.since }
    }

    fn choice(&self) -> Choice {
        Choice { until: self.until, text: self.grep.clone() }
    }

    fn only(&self) -> Option<Stream> {
        match (self.stdout, self.stderr) {
            (true, _) => Some(Stream::Out),
            (_, true) => Some(Stream::Err),
            (false, false) => None,
        }
    }

    /// Whether one process is meant, whatever comes.
    fn is_single(&self) -> bool {
        matches!(&self.names[..], [name] if !name.ends_with('*'))
    }

    fn is_raw(&self, context: &Context) -> bool {
        let by_lines = self.timestamps || self.grep.is_some() || self.until.is_some();
        self.is_single() && !by_lines && !context.output.is_json()
    }

    fn form(&self, context: &Context, processes: &[ProcessInfo]) -> Form {
        if context.output.is_json() {
            return Form::Json;
        }
        if self.is_raw(context) {
            return Form::Raw;
        }
        let names = processes.iter().map(|process| &process.name);
        let names = (!self.is_single()).then(|| Names::new(names, context.output.in_colour()));
        Form::Text { names, with_times: self.timestamps }
    }

    /// Where to begin, where that is not at the beginning.
    fn places(&self, papa: &Papa, processes: &[ProcessInfo]) -> Result<BTreeMap<Name, Place>> {
        let Some(lines) = self.tail else {
            return Ok(BTreeMap::new());
        };
        let choice = self.choice();
        let wanted = tail::Wanted { lines, only: self.only(), since: self.since, choice: &choice };
        let place = |info: &ProcessInfo| Ok((info.name.clone(), tail::place(papa, info, wanted)?));
        processes.iter().map(place).collect()
    }

    /// Says what was lost before there was anybody to be told, where all is to be shown.
    fn tell_what_is_lost(&self, processes: &[ProcessInfo], writer: &mut Writer) -> Result<()> {
        if self.tail.is_some() || self.since.is_some() {
            return Ok(());
        }
        for info in processes.iter().filter(|info| info.lost > 0) {
            let who = Who { name: info.name.clone(), id: info.id };
            let what = What::Lost { position: info.first, bytes: info.lost };
            writer.write(&Entry { who, what })?;
        }
        Ok(())
    }
}

/// A source for each process, of what is there now.
fn by_process(
    papa: &Papa,
    processes: &[ProcessInfo],
    view: View,
    places: &BTreeMap<Name, Place>,
) -> Result<Vec<Source>> {
    let mut sources = Vec::with_capacity(processes.len());
    for info in processes {
        let place = places.get_key_value(&info.name);
        let place = place.map(|(name, place)| (name.clone(), place.clone())).into_iter().collect();
        let until = Some(vec![info.clone()]);
        match Source::start(papa, &[&info.name], view, &place, until) {
            Ok(source) => sources.push(source),
            // It has gone since it was listed.
            Err(Failure::Papad(error)) if error.kind() == ErrorKind::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(sources)
}

/// Whether there may be more of a name.
fn is_to_go_on(name: &str, places: &BTreeMap<Name, Place>) -> bool {
    name.ends_with('*') || places.get(name.as_bytes()).is_some_and(|place| !place.is_over)
}
