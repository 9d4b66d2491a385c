//! papactl-json(7): the shapes of JSON, from the types that are written.

use clap_mangen::roff::{Roff, bold, roman};
use serde_json::{Map, Value};

pub(crate) const NAME: &str = "papactl-json.7";

const DESCRIPTION: [&str; 4] = [
    "With --json papactl writes one JSON text on one line of standard output. Errors are one JSON \
     text on one line of standard error, of the shape error.",
    "Keys may be added, and never change or go. A key that has nothing to tell is null, and is \
     there.",
    "Times are of RFC 3339, in UTC. Sizes are bytes. Names, which may be any bytes, are text with \
     what is no UTF-8, and control characters, as \\xHH.",
    "Of the types below, \"string or null\" and the like are what JSON calls them.",
];

pub(crate) fn render() -> String {
    let answers = papactl::answers();
    let mut roff = Roff::new();
    roff.control("TH", ["papactl-json", "7", " ", "papad", "papad"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("papactl-json - what papactl writes with --json")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    roff.control("SH", ["COMMANDS"]);
    for (command, schema) in &answers.commands {
        roff.control("TP", []);
        roff.text([bold(format!("papactl {command}"))]).text([roman(kind(schema))]);
    }
    roff.control("TP", []);
    roff.text([bold("an error")]).text([roman(kind(&answers.error))]);
    roff.control("SH", ["SHAPES"]);
    for (name, shape) in &answers.shapes {
        roff.control("SS", [name.as_str()]).text([roman(description(shape))]);
        properties(&mut roff, shape);
        for variant in shape["oneOf"].as_array().into_iter().flatten() {
            roff.control("PP", []).text([bold(tag(variant)), roman(": ")]);
            roff.text([roman(description(variant))]);
            properties(&mut roff, variant);
        }
    }
    roff.control("SH", ["SEE ALSO"]).text([roman("papactl(1)")]);
    roff.render()
}

/// What a schema says of itself.
///
/// # Panics
/// When it says nothing: everything is documented.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str();
    text.unwrap_or_else(|| panic!("not documented: {schema}")).replace('\n', " ")
}

fn properties(roff: &mut Roff, shape: &Value) {
    let none = Map::new();
    for (key, schema) in shape["properties"].as_object().unwrap_or(&none) {
        let meaning = match schema["const"].as_str() {
            Some(only) => format!("always {only}."),
            None => description(schema),
        };
        roff.control("TP", []);
        roff.text([bold(key), roman(format!(" ({})", kind(schema)))]);
        roff.text([roman(meaning)]);
    }
}

/// By what one variant of a shape is told from the others: `kind line`.
fn tag(variant: &Value) -> String {
    let properties = variant["properties"].as_object().expect("a variant is an object");
    let constants = properties.iter().filter_map(|(key, it)| Some((key, it["const"].as_str()?)));
    let tags: Vec<String> = constants.map(|(key, only)| format!("{key} {only}")).collect();
    tags.join(", ")
}

/// A type in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().expect("a path has a last part").to_owned();
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if schema["oneOf"].is_array() || schema["const"].is_string() {
        return "string".to_owned();
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("array of {}", kind(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
        }
        _ => panic!("a type without a name: {schema}"),
    }
}
