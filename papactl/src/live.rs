//! Views that go on: what is shown, what is pressed, and what papad says meanwhile.

use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::screen::{self, Screen};

/// What waits to be shown at most. Who tells more waits.
const MAX_WAITING: usize = 64;

/// Something that a view is to know of.
#[derive(Debug)]
pub(crate) enum Happening<T> {
    Key(KeyEvent),
    /// The window has so many columns and rows now.
    Resized(u16, u16),
    /// papad was asked.
    Sample(T),
}

/// What is on the screen.
pub(crate) trait View {
    /// What papad is asked for.
    type Sample: Send + 'static;

    /// Something has happened. The view may end by it.
    fn on(&mut self, happening: Happening<Self::Sample>) -> ControlFlow<Exit>;

    fn draw(&self, screen: &mut Screen) -> Result<()>;
}

/// What is told by the threads that listen.
enum Told<T> {
    Happening(Happening<T>),
    Signal(i32),
}

/// Shows a view until it ends. `sample` asks papad, again and again, and waits in between.
pub(crate) fn run<V: View>(
    mut view: V,
    sample: impl FnMut() -> V::Sample + Send + 'static,
) -> Result<Exit> {
    let (tell, told) = mpsc::sync_channel(MAX_WAITING);
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT])
        .map_err(|error| Failure::io("signals cannot be caught", &error))?;
    let mut screen = Screen::new()?;
    let (columns, rows) = screen::size();
    if let ControlFlow::Break(exit) = view.on(Happening::Resized(columns, rows)) {
        return Ok(exit);
    }
    // These end with the program.
    spawn(tell.clone(), move |tell| listen_to_signals(signals, tell))?;
    spawn(tell.clone(), listen_to_keys)?;
    spawn(tell, move |tell| ask(sample, tell))?;
    for told in told {
        match told {
            Told::Happening(Happening::Key(key)) if is_stop(key) => stand_still()?,
            Told::Happening(happening) => {
                if let ControlFlow::Break(exit) = view.on(happening) {
                    return Ok(exit);
                }
                if let ControlFlow::Break(exit) = draw(&mut view, &mut screen)? {
                    return Ok(exit);
                }
            }
            Told::Signal(SIGTSTP) => stand_still()?,
            // It goes on, perhaps after a stop that nothing could be done about.
            Told::Signal(SIGCONT) => {
                screen.enter_again()?;
                if let ControlFlow::Break(exit) = draw(&mut view, &mut screen)? {
                    return Ok(exit);
                }
            }
            Told::Signal(SIGINT) => return Ok(Exit::INTERRUPTED),
            Told::Signal(signal) => {
                drop(screen);
                let ended = low_level::emulate_default_handler(signal);
                return Err(Failure::new(Exit::FAILED, format!("signal {signal}: {ended:?}")));
            }
        }
    }
    Ok(Exit::DONE)
}

/// Draws what there is to see, in the size that the window has now.
fn draw<V: View>(view: &mut V, screen: &mut Screen) -> Result<ControlFlow<Exit>> {
    if let Some((columns, rows)) = screen.fit()?
        && let ControlFlow::Break(exit) = view.on(Happening::Resized(columns, rows))
    {
        return Ok(ControlFlow::Break(exit));
    }
    view.draw(screen)?;
    Ok(ControlFlow::Continue(()))
}

/// Ctrl-Z, which a terminal in raw mode makes no signal of.
fn is_stop(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Gives the terminal back and stops, as Ctrl-Z asks for. When this returns, SIGCONT has come.
fn stand_still() -> Result<()> {
    screen::restore();
    let stopped = low_level::emulate_default_handler(SIGTSTP);
    stopped.map_err(|error| Failure::io("papactl cannot be stopped", &error))
}

fn spawn<T: Send + 'static>(
    tell: SyncSender<Told<T>>,
    what: impl FnOnce(&SyncSender<Told<T>>) + Send + 'static,
) -> Result<()> {
    let thread = thread::Builder::new().spawn(move || what(&tell));
    thread.map(drop).map_err(|error| Failure::io("a thread cannot be started", &error))
}

fn listen_to_signals<T>(mut signals: Signals, tell: &SyncSender<Told<T>>) {
    for signal in signals.forever() {
        if tell.send(Told::Signal(signal)).is_err() {
            return;
        }
    }
}

/// Without a keyboard there is nothing to hear.
fn listen_to_keys<T>(tell: &SyncSender<Told<T>>) {
    loop {
        let happening = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => Happening::Key(key),
            Ok(Event::Resize(columns, rows)) => Happening::Resized(columns, rows),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => continue,
        };
        if tell.send(Told::Happening(happening)).is_err() {
            return;
        }
    }
}

fn ask<T>(mut sample: impl FnMut() -> T, tell: &SyncSender<Told<T>>) {
    while tell.send(Told::Happening(Happening::Sample(sample()))).is_ok() {}
}

/// How every view ends by this key, if it does.
pub(crate) fn ends_by(key: KeyEvent) -> Option<Exit> {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
            Some(Exit::INTERRUPTED)
        }
        KeyCode::Char('q') => Some(Exit::DONE),
        _ => None,
    }
}
