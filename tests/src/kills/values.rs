//! Values that change all the time, and what they must be.

use std::collections::BTreeMap;

use super::{Gone, Patient, Random};

/// Names in use: few, so that each changes often.
const NAMES: u64 = 30;

/// The longest value, in bytes: long enough for the journal to be compacted now and then.
const LONGEST: u64 = 4000;

/// What all values are.
#[derive(Default)]
pub(super) struct Values {
    known: BTreeMap<String, String>,
    changes: u64,
}

impl Values {
    /// Sets or clears a value, and sees that this and no other has changed.
    pub(super) fn round(&mut self, patient: &mut Patient, random: &mut Random) {
        self.changes += 1;
        let name = format!("v.{}", random.below(NAMES));
        let value = (!random.one_in(4)).then(|| {
            let filling = "x".repeat(random.below(LONGEST) as usize);
            format!("{} {filling}.", self.changes)
        });
        let line = match &value {
            Some(value) => format!("set {name} {value}"),
            None if random.one_in(2) => format!("set {name}"),
            None => format!("remove values {name}"),
        };
        let answer = patient.once(|client| client.ask(&line));
        let happened = answer.map_or_else(
            // It was done or was not, and nothing in between.
            |Gone| {
                let now = patient.ask(&format!("get {name}")).text;
                let before = self.known.get(&name).map_or("", String::as_str);
                let after = value.as_deref().unwrap_or("");
                assert!(now == before || now == after, "{line}\nleft {now}\nafter {before}");
                now == after
            },
            |reply| {
                assert_eq!(reply, "", "{line}");
                true
            },
        );
        if happened {
            match value {
                Some(value) => drop(self.known.insert(name, value)),
                None => drop(self.known.remove(&name)),
            }
        }
        if random.one_in(10) {
            self.check(patient);
        }
    }

    fn check(&self, patient: &mut Patient) {
        let lines: Vec<String> =
            self.known.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(patient.ask("list values v.*").text, lines.join("\n"));
    }
}
