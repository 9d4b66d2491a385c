//! How `top` looks: a picture of its state, and nothing else.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table};
use unicode_width::UnicodeWidthStr;

use super::reading::Process;
use super::state::{Sort, State};
use crate::text::{self, Tone};
use crate::time;

/// The longest name that is shown in full, in columns.
const MAX_NAME: usize = 32;

/// Columns of a graph: each bar stands for three seconds.
const GRAPH: u16 = 20;

/// What the first line begins with.
const TITLE: &str = "papad";

const HELP: [&str; 9] = [
    "q, Ctrl-C         end",
    "up, down, k, j    move by one",
    "Page Up, Down     move by a page",
    "Home, End         to the first, the last",
    "s                 sort by rate, unread, name",
    "p                 pause, and go on",
    "Ctrl-Z            stop, until fg",
    "?                 this help",
    "any key           back",
];

/// A column: its header, and how wide it is. The columns of the least rank go first when the window
/// is too narrow.
struct Column {
    header: &'static str,
    width: u16,
    rank: u8,
    is_number: bool,
    cell: fn(&State, &Process) -> (String, Style),
}

/// Columns between two columns.
const GAP: u16 = 2;

/// What the command, which takes all that is left, has at least.
const LEAST_COMMAND: u16 = 12;

pub(super) fn draw(state: &State, frame: &mut Frame) {
    let area = frame.area();
    let [papad, totals, table, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(papad_line(state, area.width), papad);
    frame.render_widget(totals_line(state, area.width), totals);
    draw_table(state, frame, table);
    let hints = " q quit   s sort   p pause   ? help";
    frame.render_widget(Line::styled(hints, Style::new().add_modifier(Modifier::DIM)), keys);
    if state.has_help {
        draw_help(frame, area);
    }
}

/// The first line: papad, or why it is not known.
fn papad_line(state: &State, width: u16) -> Line<'_> {
    if let Some(trouble) = &state.trouble {
        let style = state.tone(Tone::Bad).add_modifier(Modifier::BOLD);
        return Line::styled(format!("papad does not answer: {trouble}"), style);
    }
    let Some(papad) = &state.papad else {
        return Line::from("papad ...");
    };
    let starts = if papad.starts == 1 { String::new() } else { format!(" #{}", papad.starts) };
    let parts = [
        format!(" {}", papad.version),
        format!("up {}", time::short(papad.uptime)),
        format!("server {}{starts}", papad.server),
        counted(papad.sessions, "session", "sessions"),
        format!("{}/{} descriptors", papad.descriptors, papad.descriptors_allowed),
    ];
    let rest = fitting(&parts, usize::from(width).saturating_sub(TITLE.len()));
    Line::from(vec![Span::styled(TITLE, Modifier::BOLD), rest.into()])
}

/// The second line: all processes together.
fn totals_line(state: &State, width: u16) -> Line<'_> {
    let all = &state.processes;
    let running = all.iter().filter(|process| process.is_running).count();
    let sum = |what: fn(&Process) -> u64| text::size(all.iter().map(what).sum());
    let sort = match state.sort {
        Sort::Rate => "rate",
        Sort::Unread => "unread",
        Sort::Name => "name",
    };
    let parts = [
        format!("{}, {running} running", counted(all.len(), "process", "processes")),
        format!("{}/s", text::size(state.rates.total())),
        format!("{} unread", sum(|process| process.unread)),
        format!("{} lost", sum(|process| process.lost)),
        format!("by {sort}"),
    ];
    let paused = if state.is_paused { "  PAUSED" } else { "" };
    let totals = fitting(&parts, usize::from(width).saturating_sub(paused.len()));
    Line::from(vec![totals.into(), Span::styled(paused, Modifier::BOLD)])
}

/// As many of the parts as there is room for, the first ones first.
fn fitting(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { "  " };
        if !line.is_empty() && line.width() + gap.len() + part.width() > width {
            break;
        }
        line.push_str(gap);
        line.push_str(part);
    }
    line
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// The columns that there is room for.
fn columns(state: &State, width: u16) -> Vec<Column> {
    let names = state.processes.iter().map(|process| process.name.width());
    let name = names.max().unwrap_or(0).clamp(4, MAX_NAME) as u16;
    // Something is to be seen beside a long name.
    let name = name.min((width / 3).max(4));
    let column =
        |header, width, rank, is_number, cell| Column { header, width, rank, is_number, cell };
    let mut columns = vec![
        column("NAME", name, 9, false, |_, it| (it.name.clone(), Style::new())),
        column("STATE", 8, 8, false, |state, it| (it.state.0.clone(), state.tone(it.state.1))),
        column("RATE", 6, 7, true, |state, it| {
            let rate = state.rates.of(it.id);
            (rate.map_or_else(|| "-".to_owned(), text::size), Style::new())
        }),
        column("LAST MINUTE", GRAPH, 1, false, |state, it| {
            (state.rates.graph(it.id, GRAPH.into()), state.tone(Tone::Good))
        }),
        column("UNREAD", 6, 5, true, |_, it| (text::size(it.unread), Style::new())),
        column("LOST", 5, 4, true, |state, it| {
            let tone = if it.lost > 0 { Tone::Bad } else { Tone::Plain };
            (text::size(it.lost), state.tone(tone))
        }),
        column("CPU", 5, 6, true, |state, it| {
            let load = state.rates.load(it.id);
            (load.map_or_else(|| "-".to_owned(), |load| format!("{load}%")), Style::new())
        }),
        column("MEM", 5, 3, true, |_, it| {
            let memory = it.usage.map(|usage| text::size(usage.memory));
            (memory.unwrap_or_else(|| "-".to_owned()), Style::new())
        }),
        column("COMMAND", LEAST_COMMAND, 2, false, |_, it| (it.command.clone(), Style::new())),
    ];
    let needed = |columns: &[Column]| -> u32 {
        columns.iter().map(|column| u32::from(column.width) + u32::from(GAP)).sum()
    };
    while needed(&columns) > u32::from(width) + u32::from(GAP) && columns.len() > 1 {
        let least = columns.iter().enumerate().min_by_key(|(_, column)| column.rank);
        let Some((least, _)) = least else { break };
        columns.remove(least);
    }
    columns
}

fn draw_table(state: &State, frame: &mut Frame, area: Rect) {
    let columns = columns(state, area.width);
    let aligned = |column: &Column, text: String| {
        let line = Line::from(text);
        Cell::from(if column.is_number { line.right_aligned() } else { line })
    };
    let rows = state.processes.iter().skip(state.offset).take(area.height.into()).map(|process| {
        Row::new(columns.iter().map(|column| {
            let (text, style) = (column.cell)(state, process);
            aligned(column, text).style(style)
        }))
    });
    let header = Row::new(columns.iter().map(|column| aligned(column, column.header.to_owned())));
    let header = header.style(Style::new().add_modifier(Modifier::REVERSED));
    let widths = columns.iter().map(|column| match column.header {
        "COMMAND" => Constraint::Fill(1),
        _ => Constraint::Length(column.width),
    });
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(GAP), area);
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let width = HELP.iter().map(|line| line.len()).max().unwrap_or(0) as u16 + 4;
    let area = area.centered(Constraint::Length(width), Constraint::Length(HELP.len() as u16 + 2));
    let lines: Vec<Line> = HELP.iter().map(|line| Line::from(format!(" {line}"))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" top ")), area);
}

impl State {
    fn tone(&self, tone: Tone) -> Style {
        let colour = match tone {
            Tone::Plain => return Style::new(),
            Tone::Good => Color::Green,
            Tone::Odd => Color::Yellow,
            Tone::Bad => Color::Red,
        };
        if self.in_colour { Style::new().fg(colour) } else { Style::new() }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    use super::super::state::tests::{press, state};
    use super::*;
    use crate::live::Happening;

    /// What a window of this size shows, without blanks at the ends of lines.
    fn shown(state: &State, (columns, rows): (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(state, frame)).unwrap();
        let text = terminal.backend().to_string();
        text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    #[test]
    fn a_wide_window_shows_all() {
        assert_eq!(
            shown(&state(8), (100, 8)),
            [
                "papad 0.1.0  up 1m30s  server 42  3 sessions  20/1024 descriptors",
                "3 processes, 3 running  5.8k/s  17k unread  0 lost  by rate",
                "NAME  STATE       RATE  LAST MINUTE           UNREAD   LOST    CPU    MEM  COMMAND",
                "b     running     2.9k                     █    4.8k      0      -      -  /bin/b",
                "a     running     1.9k                     █     10k      0      -      -  /bin/a",
                "c     running     1000                     █    1.9k      0      -      -  /bin/c",
                "",
                " q quit   s sort   p pause   ? help",
            ]
        );
    }

    #[test]
    fn a_narrow_window_shows_what_matters_most() {
        let header = |columns| shown(&state(8), (columns, 8))[2].clone();
        assert_eq!(header(60), "NAME  STATE       RATE  UNREAD   LOST    CPU    MEM");
        assert_eq!(header(50), "NAME  STATE       RATE  UNREAD   LOST    CPU");
        assert_eq!(header(30), "NAME  STATE       RATE    CPU");
        assert_eq!(shown(&state(8), (30, 8))[0], "papad 0.1.0  up 1m30s");
        let lines = shown(&state(8), (60, 8));
        assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
        assert_eq!(lines[0], "papad 0.1.0  up 1m30s  server 42  3 sessions");
        assert_eq!(shown(&state(1), (10, 1)).len(), 1);
    }

    #[test]
    fn a_low_window_shows_as_many_as_there_is_room_for() {
        let mut state = state(6);
        let names = |state: &State| -> Vec<char> {
            shown(state, (80, 6))[3..5].iter().filter_map(|line| line.chars().next()).collect()
        };
        assert_eq!(names(&state), ['b', 'a']);
        let _ = press(&mut state, KeyCode::Down);
        assert_eq!(names(&state), ['a', 'c']);
    }

    #[test]
    fn trouble_stands_at_the_top_until_it_is_over() {
        let mut state = state(8);
        let _ = state.on(Happening::Sample(Err("it is late".to_owned())));
        let lines = shown(&state, (80, 8));
        assert_eq!(lines[0], "papad does not answer: it is late");
        assert!(lines[3].starts_with("b "), "what was known is there still");
    }

    #[test]
    fn help_and_a_pause_are_seen() {
        let mut state = state(12);
        let _ = press(&mut state, KeyCode::Char('p'));
        assert!(shown(&state, (80, 12))[1].ends_with("PAUSED"));
        let _ = press(&mut state, KeyCode::Char('?'));
        let help = shown(&state, (80, 12)).join("\n");
        assert!(HELP.iter().all(|line| help.contains(line)), "{help}");
        let _ = press(&mut state, KeyCode::Char('x'));
        assert!(!shown(&state, (80, 12)).join("\n").contains(HELP[0]));
    }

    #[test]
    fn without_colours_there_are_none() {
        let colours = |in_colour| {
            let mut state = state(8);
            state.in_colour = in_colour;
            let mut terminal = Terminal::new(TestBackend::new(80, 8)).unwrap();
            terminal.draw(|frame| draw(&state, frame)).unwrap();
            terminal.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset)
        };
        assert_eq!((colours(false), colours(true)), (false, true));
    }
}
