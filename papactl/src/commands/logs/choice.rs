//! Which lines are shown of those that are read.

use std::time::SystemTime;

use memchr::memmem;

use super::lines::Line;

/// What a line must be like.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// No newer than this.
    pub(super) until: Option<SystemTime>,
    /// With this in it.
    pub(super) text: Option<String>,
}

impl Choice {
    pub(super) fn wants(&self, line: &Line) -> bool {
        self.until.is_none_or(|until| line.time <= until)
            && self
                .text
                .as_ref()
                .is_none_or(|text| memmem::find(&line.bytes, text.as_bytes()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_is_chosen_by_its_time_and_by_what_is_in_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let line = Line { position: 0, time: at(5), bytes: b"an \xfferror".into(), is_whole: true };
        let wants = |until: Option<u64>, text: Option<&str>| {
            Choice { until: until.map(at), text: text.map(str::to_owned) }.wants(&line)
        };
        assert!(wants(None, None) && wants(Some(5), Some("error")) && wants(None, Some("")));
        assert!(!wants(Some(4), None) && !wants(None, Some("Error")));
    }
}
