//! papactl on a terminal: a pseudo-terminal, and the screen that it shows.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use papad_tests::{DEADLINE, papad_program};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

use crate::ctl::{Ctl, OF_COLOURS};

/// What is on the screen, and whether there will be more.
struct Shown {
    parser: Parser,
    /// Everything that was sent to the terminal.
    bytes: Vec<u8>,
    is_over: bool,
}

/// A papactl that runs on a terminal. Dropping this hangs up, as closing the window does.
pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

impl Terminal {
    /// Starts papactl on a terminal of this size.
    pub(crate) fn start(ctl: &Ctl, words: &[&str], (rows, columns): (u16, u16)) -> Self {
        Self::start_in(ctl, words, (rows, columns), &[])
    }

    /// The same, with more of an environment.
    pub(crate) fn start_in(
        ctl: &Ctl,
        words: &[&str],
        (rows, columns): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_on((rows, columns), (rows, columns), ctl, words, environment)
    }

    /// Starts papactl on a terminal that says of itself that it has no columns and rows.
    pub(crate) fn start_without_size(ctl: &Ctl, words: &[&str]) -> Self {
        Self::start_on((0, 0), (24, 80), ctl, words, &[])
    }

    /// On a terminal that says that it has one size, and has another.
    fn start_on(
        said: (u16, u16),
        (rows, columns): (u16, u16),
        ctl: &Ctl,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let pty = native_pty_system().openpty(size(said.0, said.1)).unwrap();
        let mut command = CommandBuilder::new(Ctl::program());
        command.args(words);
        command.env("PAPA_ENDPOINT", ctl.endpoint());
        command.env("PAPAD_BIN", papad_program());
        command.env("TERM", "xterm-256color");
        for name in OF_COLOURS {
            command.env_remove(name);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command).unwrap();
        let shown = Shown {
            parser: Parser::new(some(rows), some(columns), 0),
            bytes: Vec::new(),
            is_over: false,
        };
        let shown = Arc::new((Mutex::new(shown), Condvar::new()));
        let keyboard = pty.master.take_writer().unwrap();
        let screen = pty.master.try_clone_reader().unwrap();
        let to_show = Arc::clone(&shown);
        thread::spawn(move || show(screen, &to_show));
        Self { master: pty.master, keyboard, child, shown }
    }

    /// papactl's pid.
    pub(crate) fn pid(&self) -> i32 {
        self.child.process_id().expect("it was started") as i32
    }

    /// Types.
    pub(crate) fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Makes the window another size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        self.shown.0.lock().unwrap().parser.screen_mut().set_size(some(rows), some(columns));
        self.master.resize(size(rows, columns)).unwrap();
    }

    /// Waits until the screen's text is as wanted, and returns it.
    pub(crate) fn wait_for(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let (shown, news) = &*self.shown;
        let is_to_come =
            |shown: &mut Shown| !shown.is_over && !is_wanted(&shown.parser.screen().contents());
        let (shown, _) =
            news.wait_timeout_while(shown.lock().unwrap(), DEADLINE, is_to_come).unwrap();
        let text = shown.parser.screen().contents();
        assert!(is_wanted(&text), "not on the screen: {what}\n{text}");
        text
    }

    /// Waits for a text on the screen.
    pub(crate) fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contains(text))
    }

    /// Waits until papactl has ended, and returns its exit status and what the screen shows.
    pub(crate) fn wait(&mut self) -> (u32, String) {
        let (shown, news) = &*self.shown;
        let (shown, _) = news
            .wait_timeout_while(shown.lock().unwrap(), DEADLINE, |shown| !shown.is_over)
            .unwrap();
        let text = shown.parser.screen().contents();
        assert!(shown.is_over, "it has not ended\n{text}");
        (self.child.wait().unwrap().exit_code(), text)
    }

    /// Everything that was sent to the terminal until now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.shown.0.lock().unwrap().bytes.clone()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A size that is not 0.
fn some(count: u16) -> NonZeroU16 {
    count.try_into().expect("a terminal has a size")
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

/// Shows what comes until the terminal has no more users.
fn show(mut from: impl Read, shown: &(Mutex<Shown>, Condvar)) {
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        let mut shown_now = shown.0.lock().unwrap();
        shown_now.parser.process(&buffer[..count]);
        shown_now.bytes.extend_from_slice(&buffer[..count]);
        shown_now.is_over = count == 0;
        shown.1.notify_all();
        if count == 0 {
            return;
        }
    }
}
