//! Tables that fit the terminal.

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table as Layout, Width,
    presets,
};
use unicode_width::UnicodeWidthStr;

/// Columns between two columns of a table.
const GAP: u16 = 2;

/// What is left to a column that may be cut, at least: less would tell nothing.
const LEAST_CUT: u16 = 12;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    header: &'static str,
    /// The columns of the least rank go first when the terminal is too narrow. `None`: it stays.
    rank: Option<u8>,
    is_cut: bool,
}

impl Column {
    /// One that is always there in full.
    pub(crate) const fn fixed(header: &'static str) -> Self {
        Self { header, rank: None, is_cut: false }
    }

    /// One that is left out where there is no room, those of the least rank first.
    pub(crate) const fn ranked(header: &'static str, rank: u8) -> Self {
        Self { header, rank: Some(rank), is_cut: false }
    }

    /// One that is cut where there is no room for all of it, and left out last.
    pub(crate) const fn cut(header: &'static str) -> Self {
        Self { header, rank: Some(u8::MAX), is_cut: true }
    }
}

/// A row's cells, one for each column.
pub(crate) type Row = Vec<Cell>;

/// A cell of text.
pub(crate) fn cell(text: impl ToString) -> Cell {
    Cell::new(text)
}

/// A cell of a number, which stands at the right.
pub(crate) fn number(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Rows below a header.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The table without a newline at its end; `width` is that of the terminal, if it is for one.
    pub(crate) fn render(&self, width: Option<u16>, in_colour: bool) -> String {
        let shown = self.shown(width);
        let pick = |row: &Row| -> Vec<Cell> {
            shown.iter().filter_map(|index| row.get(*index).cloned()).collect()
        };
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING);
        // What is too long for its one line ends in this.
        layout.set_truncation_indicator("\u{2026}");
        let headers = shown.iter().filter_map(|index| self.columns.get(*index)).map(|column| {
            let header = Cell::new(column.header);
            if in_colour { header.add_attribute(Attribute::Bold) } else { header }
        });
        layout.set_header(headers);
        for row in &self.rows {
            let mut row = comfy_table::Row::from(pick(row));
            row.max_height(1);
            layout.add_row(row);
        }
        if in_colour {
            layout.enforce_styling();
        } else {
            layout.force_no_tty();
        }
        self.arrange(&mut layout, &shown, width);
        layout.trim_fmt()
    }

    /// The columns that there is room for.
    fn shown(&self, width: Option<u16>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else { return shown };
        while self.needed(&shown) > u32::from(width) {
            let ranked = shown.iter().enumerate();
            let ranked = ranked.filter_map(|(at, index)| Some((self.columns[*index].rank?, at)));
            let Some((_, least)) = ranked.min() else { break };
            shown.remove(least);
        }
        shown
    }

    /// How wide these columns are at least.
    fn needed(&self, shown: &[usize]) -> u32 {
        shown.iter().map(|index| u32::from(self.least(*index)) + u32::from(GAP)).sum()
    }

    /// How wide a column is at least.
    fn least(&self, index: usize) -> u16 {
        let content = self.content(index);
        if self.columns[index].is_cut { content.min(LEAST_CUT) } else { content }
    }

    /// How wide a column's widest cell is.
    fn content(&self, index: usize) -> u16 {
        let cells = self.rows.iter().filter_map(|row| row.get(index)).map(Cell::content);
        let cells = cells.chain([self.columns[index].header.to_owned()]);
        cells.map(|text| text.width()).max().unwrap_or(0).try_into().unwrap_or(u16::MAX)
    }

    fn arrange(&self, layout: &mut Layout, shown: &[usize], width: Option<u16>) {
        let last = shown.len().saturating_sub(1);
        let cut = |index: &usize| self.columns[*index].is_cut;
        let rest: u32 = shown
            .iter()
            .filter(|index| !cut(index))
            .map(|index| u32::from(self.content(*index)) + u32::from(GAP))
            .sum();
        layout.set_content_arrangement(ContentArrangement::Disabled);
        for (at, index) in shown.iter().enumerate() {
            let Some(column) = layout.column_mut(at) else { continue };
            column.set_padding((0, if at == last { 0 } else { GAP }));
            let Some(width) = width.filter(|_| cut(index)) else { continue };
            // All that the others leave.
            let left = u32::from(width).saturating_sub(rest);
            let left = u16::try_from(left).unwrap_or(u16::MAX).max(LEAST_CUT);
            if self.content(*index) > left {
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(left)));
            }
        }
        if let Some(width) = width {
            layout.set_content_arrangement(ContentArrangement::Dynamic);
            layout.set_width(width.max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [Column::fixed("NAME"), Column::ranked("USER", 1), Column::ranked("PID", 2)];
        let mut table = Table::new(&[columns.as_slice(), &[Column::cut("COMMAND")]].concat());
        table.row(vec![cell("web"), cell("root"), number(42), cell("/bin/echo one two three")]);
        table
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let text = table().render(None, false);
        assert_eq!(text, "NAME  USER  PID  COMMAND\nweb   root   42  /bin/echo one two three");
    }

    #[test]
    fn on_a_terminal_the_command_is_cut_and_then_columns_are_left_out() {
        for (width, expected) in [
            (60, "NAME  USER  PID  COMMAND\nweb   root   42  /bin/echo one two three"),
            (34, "NAME  USER  PID  COMMAND\nweb   root   42  /bin/echo one tw…"),
            (26, "NAME  PID  COMMAND\nweb    42  /bin/echo one…"),
            (20, "NAME  COMMAND\nweb   /bin/echo one…"),
            (10, "NAME\nweb"),
        ] {
            let text = table().render(Some(width), false);
            assert_eq!(text, expected, "{width}");
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)));
        }
    }

    #[test]
    fn wide_characters_take_two_columns_each() {
        let mut table = table();
        table.row(vec![
            cell("日本語の名前"),
            cell("root"),
            number(7),
            cell("ああああああああああ"),
        ]);
        for (width, last) in [
            (60, "日本語の名前  root    7  ああああああああああ"),
            (40, "日本語の名前  root    7  あああああああ…"),
            (34, "日本語の名前    7  あああああああ…"),
        ] {
            let text = table.render(Some(width), false);
            assert_eq!(text.lines().last(), Some(last), "{text}");
            assert!(text.lines().all(|line| line.width() <= usize::from(width)), "{text}");
        }
    }

    #[test]
    fn colours_are_there_only_if_they_are_wanted() {
        assert!(table().render(None, true).contains('\u{1b}'));
        assert!(!table().render(None, false).contains('\u{1b}'));
    }
}
