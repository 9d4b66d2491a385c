//! What `top` shows, and how that changes.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::rates::Rates;
use super::reading::{Papad, Process, Reading};
use crate::exit::Exit;
use crate::live::{Happening, ends_by};

/// Rows of the screen that are not of processes: three above, one below.
const OTHER_ROWS: u16 = 4;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Rate,
    Unread,
    Name,
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct State {
    pub(super) in_colour: bool,
    pub(super) sort: Sort,
    pub(super) is_paused: bool,
    pub(super) has_help: bool,
    /// Processes above those that are shown.
    pub(super) offset: usize,
    pub(super) papad: Option<Papad>,
    /// In the order in which they are shown.
    pub(super) processes: Vec<Process>,
    pub(super) rates: Rates,
    /// Why nothing new is shown.
    pub(super) trouble: Option<String>,
    rows: u16,
    /// Readings that are still to be shown; `None`: as long as it is wanted.
    left: Option<u64>,
}

impl State {
    pub(super) fn new(count: Option<u64>, in_colour: bool) -> Self {
        Self {
            in_colour,
            sort: Sort::Rate,
            is_paused: false,
            has_help: false,
            offset: 0,
            papad: None,
            processes: Vec::new(),
            rates: Rates::default(),
            trouble: None,
            rows: 0,
            left: count,
        }
    }

    pub(super) fn on(
        &mut self,
        happening: Happening<Result<Reading, String>>,
    ) -> ControlFlow<Exit> {
        match happening {
            Happening::Key(key) => return self.press(key),
            Happening::Resized(_, rows) => {
                self.rows = rows;
                self.move_to(self.offset);
            }
            Happening::Sample(sample) => {
                if self.left == Some(0) {
                    return ControlFlow::Break(Exit::DONE);
                }
                self.left = self.left.map(|left| left - 1);
                match sample {
                    Ok(_) if self.is_paused => self.trouble = None,
                    Ok(reading) => self.read(reading),
                    Err(trouble) => self.trouble = Some(trouble),
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn press(&mut self, key: KeyEvent) -> ControlFlow<Exit> {
        if let Some(exit) = ends_by(key) {
            return ControlFlow::Break(exit);
        }
        // Any key puts the help away.
        if std::mem::take(&mut self.has_help) {
            return ControlFlow::Continue(());
        }
        match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.move_to(self.offset.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.move_to(self.offset.saturating_sub(1)),
            KeyCode::PageDown => self.move_to(self.offset.saturating_add(self.room())),
            KeyCode::PageUp => self.move_to(self.offset.saturating_sub(self.room())),
            KeyCode::Home => self.move_to(0),
            KeyCode::End => self.move_to(usize::MAX),
            KeyCode::Char('s') => {
                self.sort = match self.sort {
                    Sort::Rate => Sort::Unread,
                    Sort::Unread => Sort::Name,
                    Sort::Name => Sort::Rate,
                };
                self.order();
            }
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('?') => self.has_help = true,
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn read(&mut self, reading: Reading) {
        self.trouble = None;
        self.rates.add(&reading);
        self.papad = Some(reading.papad);
        self.processes = reading.processes;
        self.order();
        self.move_to(self.offset);
    }

    fn order(&mut self) {
        let Self { processes, rates, sort, .. } = self;
        match sort {
            Sort::Rate => processes.sort_by_key(|it| (Reverse(rates.of(it.id)), it.name.clone())),
            Sort::Unread => processes.sort_by_key(|it| (Reverse(it.unread), it.name.clone())),
            Sort::Name => processes.sort_by_key(|it| it.name.clone()),
        }
    }

    /// Rows for processes.
    fn room(&self) -> usize {
        self.rows.saturating_sub(OTHER_ROWS).max(1).into()
    }

    /// Scrolls, but not beyond the last process.
    fn move_to(&mut self, offset: usize) {
        self.offset = offset.min(self.processes.len().saturating_sub(self.room()));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use papa_client::ProcessId;
    use ratatui::crossterm::event::KeyModifiers;

    use super::*;
    use crate::text::Tone;

    pub(crate) fn id(number: u64) -> ProcessId {
        format!("0123456789abcdef-{number}").parse().unwrap()
    }

    /// A process that has written so much, of which nothing was read.
    pub(crate) fn process(number: u64, name: &str, next: u64) -> Process {
        Process {
            id: id(number),
            name: name.to_owned(),
            state: ("running".to_owned(), Tone::Good),
            is_running: true,
            next,
            unread: next,
            lost: 0,
            usage: None,
            command: format!("/bin/{name}"),
        }
    }

    pub(crate) fn reading(begin: Instant, second: u64, processes: Vec<Process>) -> Reading {
        let papad = Papad {
            version: "0.1.0".to_owned(),
            server: 42,
            starts: 1,
            uptime: Duration::from_secs(90),
            sessions: 3,
            descriptors: 20,
            descriptors_allowed: 1024,
        };
        Reading { at: begin + Duration::from_secs(second), papad, processes }
    }

    /// A state in a window of so many rows, with processes that have written for a second: `a` the
    /// most in all, and `b` the most in this second.
    pub(crate) fn state(rows: u16) -> State {
        let mut state = State::new(None, false);
        let begin = Instant::now();
        let processes = |more: u64| {
            let b = process(2, "b", 2000 + 3 * more);
            vec![process(3, "c", 1000 + more), b, process(1, "a", 9000 + 2 * more)]
        };
        let _ = state.on(Happening::Resized(80, rows));
        let _ = state.on(Happening::Sample(Ok(reading(begin, 0, processes(0)))));
        let _ = state.on(Happening::Sample(Ok(reading(begin, 1, processes(1000)))));
        state
    }

    pub(crate) fn press(state: &mut State, key: KeyCode) -> ControlFlow<Exit> {
        state.on(Happening::Key(KeyEvent::new(key, KeyModifiers::NONE)))
    }

    fn names(state: &State) -> Vec<&str> {
        state.processes.iter().map(|process| process.name.as_str()).collect()
    }

    #[test]
    fn s_sorts_by_the_next_thing() {
        let mut state = state(24);
        for expected in [["b", "a", "c"], ["a", "b", "c"], ["a", "b", "c"], ["b", "a", "c"]] {
            assert_eq!(names(&state), expected, "{:?}", state.sort);
            let _ = press(&mut state, KeyCode::Char('s'));
        }
        assert_eq!(state.sort, Sort::Unread);
    }

    #[test]
    fn it_scrolls_as_far_as_there_are_processes() {
        let mut state = state(OTHER_ROWS + 2);
        for (key, expected) in [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::Char('j'), 1),
            (KeyCode::Char('k'), 0),
            (KeyCode::PageDown, 1),
            (KeyCode::PageUp, 0),
            (KeyCode::End, 1),
            (KeyCode::Home, 0),
            (KeyCode::End, 1),
        ] {
            let _ = press(&mut state, key);
            assert_eq!(state.offset, expected, "{key:?}");
        }
        // In a larger window there is room for all.
        let _ = state.on(Happening::Resized(80, 24));
        assert_eq!(state.offset, 0);
    }

    #[test]
    fn while_it_is_paused_nothing_changes_and_then_the_rate_is_of_the_whole_time() {
        let begin = Instant::now();
        let mut state = State::new(None, false);
        let see = |state: &mut State, second, next| {
            let sample = reading(begin, second, vec![process(1, "a", next)]);
            let _ = state.on(Happening::Sample(Ok(sample)));
            state.rates.of(id(1))
        };
        see(&mut state, 0, 0);
        assert_eq!(see(&mut state, 1, 100), Some(100));
        let _ = press(&mut state, KeyCode::Char('p'));
        assert_eq!(see(&mut state, 2, 9000), Some(100));
        let _ = press(&mut state, KeyCode::Char('p'));
        assert_eq!(see(&mut state, 11, 10100), Some(1000));
    }

    #[test]
    fn q_and_ctrl_c_end_it_and_so_does_the_last_reading() {
        let mut state = state(24);
        assert_eq!(press(&mut state, KeyCode::Char('q')), ControlFlow::Break(Exit::DONE));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.on(Happening::Key(interrupt)), ControlFlow::Break(Exit::INTERRUPTED));
        let mut counted = State::new(Some(1), false);
        let sample = || Happening::Sample(Ok(reading(Instant::now(), 0, Vec::new())));
        assert_eq!(counted.on(sample()), ControlFlow::Continue(()));
        assert_eq!(counted.on(sample()), ControlFlow::Break(Exit::DONE));
    }
}
