//! `set` and `unset`: values that change only as expected, or for as long as a session lasts.

use super::failure::Failure;
use super::line::Line;
use super::words::{Words, given_twice, new_name, split_pair, wrong_form};
use crate::name::Noun;
use crate::text::shown;

const SET: &str = "set NAME VALUE [if=OLD|if=absent|old=OLD] [for=session]";
const UNSET: &str = "unset NAME [if=OLD|old=OLD]";

/// `set NAME VALUE [CONDITION] [for=session]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The value's name, which has passed [`name::check`](crate::name::check).
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
    /// What must be there before.
    pub condition: Condition,
    /// Whether the value vanishes when the session ends, however it ends.
    pub for_session: bool,
}

/// What must be there before a value is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Anything or nothing.
    #[default]
    Any,
    /// Nothing.
    Absent,
    /// This value.
    Is(Vec<u8>),
}

impl Set {
    /// Reads what follows `set`.
    pub(super) fn read(mut words: Words) -> Result<Self, Failure> {
        let (Some(name), Some(value)) = (words.next(), words.next()) else {
            return Err(wrong_form(SET));
        };
        new_name(Noun::Value, &name)?;
        let mut condition = Condition::Any;
        let mut for_session = false;
        for word in words {
            if word == b"for=session" {
                if for_session {
                    return Err(given_twice(b"for"));
                }
                for_session = true;
                continue;
            }
            if condition != Condition::Any {
                return Err(Failure::usage("A value must be set on one condition only"));
            }
            condition = match split_pair(&word) {
                None if word == b"absent" => Condition::Absent,
                Some((b"if", b"absent")) => Condition::Absent,
                Some((b"if" | b"old", old)) => Condition::Is(old.to_vec()),
                Some((b"for", lifetime)) => {
                    let lifetime = shown(lifetime);
                    let what = format!("for= must be session, not \"{lifetime}\"");
                    return Err(Failure::usage(what));
                }
                _ => return Err(wrong_form(SET)),
            };
        }
        Ok(Self { name, value, condition, for_session })
    }

    /// Adds what [`Set::read`] reads.
    pub(super) fn write(&self, line: Line) -> Line {
        let line = line.word(&self.name).word(&self.value);
        let line = match &self.condition {
            Condition::Any => line,
            Condition::Absent => line.word("if=absent"),
            // Not if=, for the old value may be the text "absent".
            Condition::Is(old) => line.pair("old", old),
        };
        if self.for_session { line.word("for=session") } else { line }
    }
}

/// Reads what follows `unset`: the name, and the value that must be there.
pub(super) fn read_unset(mut words: Words) -> Result<(Vec<u8>, Option<Vec<u8>>), Failure> {
    let name = words.next().ok_or_else(|| wrong_form(UNSET))?;
    let condition = match (words.next(), words.next()) {
        (None, _) => None,
        (Some(word), None) => match split_pair(&word) {
            Some((b"if", b"absent")) => {
                let what =
                    "What is absent cannot be unset; for the text \"absent\" write old=absent";
                return Err(Failure::usage(what));
            }
            Some((b"if" | b"old", old)) => Some(old.to_vec()),
            _ => return Err(wrong_form(UNSET)),
        },
        (Some(_), Some(_)) => return Err(wrong_form(UNSET)),
    };
    Ok((name, condition))
}

/// Adds what [`read_unset`] reads.
pub(super) fn write_unset(line: Line, name: &[u8], condition: Option<&Vec<u8>>) -> Line {
    line.word(name).maybe("old", condition)
}
