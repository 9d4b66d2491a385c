//! What each command writes with `--json`, for the manual.

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::failure::Report;
use crate::finding::Finding;
use crate::shape;

/// The shapes of JSON, as JSON Schema has them.
#[derive(Debug)]
pub struct Answers {
    /// Each command with what it writes; commands that write no JSON are not among them.
    pub commands: Vec<(&'static str, Value)>,
    /// What is written on standard error when something goes wrong.
    pub error: Value,
    /// The shapes that these refer to, by their names.
    pub shapes: Map<String, Value>,
}

impl Answers {
    pub(crate) fn collect() -> Self {
        let mut generator = SchemaGenerator::default();
        let of = &mut generator;
        let commands = vec![
            ("doctor", schema::<Vec<Finding>>(of)),
            ("get", schema::<shape::StoredValue>(of)),
            ("inspect", schema::<Vec<shape::Inspected>>(of)),
            ("log", schema::<shape::PapadLog>(of)),
            ("logs", schema::<shape::Logged>(of)),
            ("pause", schema::<Vec<shape::Named>>(of)),
            ("ps", schema::<Vec<shape::Process>>(of)),
            ("restart", schema::<Vec<shape::Restarted>>(of)),
            ("resume", schema::<Vec<shape::Named>>(of)),
            ("rm", schema::<Vec<shape::Removed>>(of)),
            ("run", schema::<shape::Process>(of)),
            ("set", schema::<shape::Named>(of)),
            ("shutdown", schema::<shape::Shutdown>(of)),
            ("signal", schema::<Vec<shape::Named>>(of)),
            ("socket adopt", schema::<shape::Socket>(of)),
            ("socket make", schema::<shape::Socket>(of)),
            ("socket rm", schema::<Vec<shape::Named>>(of)),
            ("sockets", schema::<Vec<shape::Socket>>(of)),
            ("status", schema::<shape::Status>(of)),
            ("stop", schema::<Vec<shape::Stopped>>(of)),
            ("top", schema::<shape::Top>(of)),
            ("unset", schema::<Vec<shape::Named>>(of)),
            ("upgrade", schema::<shape::Upgraded>(of)),
            ("values", schema::<Vec<shape::StoredValue>>(of)),
            ("wait", schema::<Vec<shape::Ended>>(of)),
        ];
        let error = schema::<Report>(of);
        Self { commands, error, shapes: generator.take_definitions(true) }
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    Schema::to_value(generator.subschema_for::<T>())
}
