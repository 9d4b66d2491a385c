//! `papactl values`

use clap::Args;

use super::get::no_value;
use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::names;
use crate::output::{self, Column, Table, cell};
use crate::shape::StoredValue;
use crate::text;

/// Show the stored values
#[derive(Debug, Args)]
pub(crate) struct Values {
    /// Only these: names, or beginnings of names with a *
    #[arg(value_name = "NAME", add = complete::values())]
    names: Vec<String>,
}

impl Values {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let mut values = context.connect()?.values("*")?;
        for name in self.names.iter().filter(|name| !names::is_wildcard(name)) {
            if !values.iter().any(|value| names::matches(name, value.name.as_bytes())) {
                return Err(no_value(name));
            }
        }
        let is_meant = |name: &[u8]| self.names.iter().any(|it| names::matches(it, name));
        values.retain(|value| self.names.is_empty() || is_meant(value.name.as_bytes()));
        if context.output.is_json() {
            let values: Vec<StoredValue> = values.iter().map(StoredValue::new).collect();
            output::json(&values)?;
            return Ok(Exit::DONE);
        }
        let mut table =
            Table::new(&[Column::fixed("NAME"), Column::ranked("FOR", 1), Column::cut("VALUE")]);
        for value in &values {
            let kept = if value.for_session { "session" } else { "good" };
            table.row(vec![cell(&value.name), cell(kept), cell(text::printable(&value.value))]);
        }
        context.output.table(&table)?;
        Ok(Exit::DONE)
    }
}
