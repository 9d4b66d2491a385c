//! The terminal as one page, which is drawn anew in place.

use std::io::{self, Stdout, Write};
use std::panic;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, MoveTo, Show};
use ratatui::crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use crate::failure::{Failure, Result};

/// The whole terminal, beside what was on it. Dropping this puts it back as it was, and so does a
/// panic.
pub(crate) struct Screen {
    /// For what is drawn by widgets.
    pub(crate) terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Columns and rows that are drawn.
    size: (u16, u16),
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
        take_over()?;
        let (columns, rows) = size();
        // Of a fixed size: what a terminal without a size says of itself is nothing to draw on.
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
        let backend = CrosstermBackend::new(io::stdout());
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport })?;
        Ok(Self { terminal, size: (columns, rows) })
    }

    /// Takes the terminal again, on which anything may have been written meanwhile.
    pub(crate) fn enter_again(&mut self) -> Result<()> {
        take_over()?;
        self.resize(size())
    }

    /// Goes by the size that the terminal has now, and returns it if that is another than before.
    pub(crate) fn fit(&mut self) -> Result<Option<(u16, u16)>> {
        let now = size();
        if now == self.size {
            return Ok(None);
        }
        self.resize(now)?;
        Ok(Some(now))
    }

    /// Everything is drawn anew after this.
    fn resize(&mut self, (columns, rows): (u16, u16)) -> Result<()> {
        self.terminal.resize(Rect::new(0, 0, columns, rows))?;
        self.size = (columns, rows);
        Ok(())
    }

    /// Shows these lines, from the top, which are no wider and no more than there is room for.
    pub(crate) fn lines(&mut self, lines: &[String]) -> Result<()> {
        let stdout = self.terminal.backend_mut();
        queue!(stdout, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(stdout, MoveTo(0, row))?;
            // Cleared first: at the last column the cursor stands on what was written.
            queue!(stdout, Clear(ClearType::CurrentLine))?;
            stdout.write_all(line.as_bytes())?;
        }
        let row = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        if row < size().1 {
            queue!(stdout, MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
        }
        queue!(stdout, EndSynchronizedUpdate)?;
        Ok(Write::flush(stdout)?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Begins to use the terminal as one page.
fn take_over() -> io::Result<()> {
    terminal::enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// Columns and rows of the terminal.
pub(crate) fn size() -> (u16, u16) {
    let (columns, rows) = terminal::size().unwrap_or((0, 0));
    // A terminal that does not know its own, as over a serial line, says 0.
    (if columns == 0 { 80 } else { columns }, if rows == 0 { 24 } else { rows })
}

/// Puts the terminal back as it was. Where that fails there is no terminal any more.
pub(crate) fn restore() {
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}
