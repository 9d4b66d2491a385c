//! The table for people.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::Row;

/// The widest table, in characters.
const WIDTH: u16 = 160;

/// All rows, as text.
pub(crate) fn table(rows: &[Row<'_>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(["case", "what", "papad", "against", "its figure", "ratio", "to reach", ""]);
    for row in rows {
        let show = |figure: Result<f64, &str>| {
            figure.map_or_else(str::to_owned, |figure| row.line.unit.show(figure))
        };
        let against = row.reference.as_ref().map_or_else(
            || row.note.unwrap_or_default().to_owned(),
            |reference| reference.subject.to_string(),
        );
        let figure = row.reference.as_ref().map_or_else(String::new, |it| show(it.figure));
        let ratio = row.ratio().map_or_else(String::new, crate::unit::ratio);
        let met = row.is_met().map_or("", |is_met| if is_met { "met" } else { "missed" });
        table.add_row([
            Cell::new(row.case),
            Cell::new(&row.line.what),
            Cell::new(show(row.papad)).set_alignment(CellAlignment::Right),
            Cell::new(against),
            Cell::new(figure).set_alignment(CellAlignment::Right),
            Cell::new(ratio).set_alignment(CellAlignment::Right),
            Cell::new(row.target()),
            Cell::new(met),
        ]);
    }
    table.to_string()
}
