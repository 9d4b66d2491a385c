//! The terminal as one page, which is drawn anew in place.

use std::io::{self, Stdout, Write};
use std::panic;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, MoveTo, Show};
use ratatui::crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use ratatui::crossterm::{execute, queue};

use crate::failure::{Failure, Result};

/// The whole terminal, beside what was on it. Dropping this puts it back as it was, and so does a
/// panic.
pub(crate) struct Screen {
    /// For what is drawn by widgets.
    pub(crate) terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    pub(crate) fn new() -> Result<Self> {
        Self::enter().map_err(|error| {
            restore();
            Failure::io("the terminal cannot be used", &error)
        })
    }

    fn enter() -> io::Result<Self> {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            restore();
            hook(panicked);
        }));
        terminal::enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? })
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Shows these lines, from the top, which are no wider and no more than there is room for.
    pub(crate) fn lines(&mut self, lines: &[String]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        queue!(stdout, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(stdout, MoveTo(0, row))?;
            // Cleared first: at the last column the cursor stands on what was written.
            queue!(stdout, Clear(ClearType::CurrentLine))?;
            stdout.write_all(line.as_bytes())?;
        }
        let row = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        if row < self.size()?.1 {
            queue!(stdout, MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
        }
        queue!(stdout, EndSynchronizedUpdate)?;
        Ok(stdout.flush()?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was. Where that fails there is no terminal any more.
fn restore() {
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}
