//! A value that is counted up by compare-and-set.

use papa_client::{Endpoint, ErrorKind, Papa, Result};
use papad_tests::kills::Random;

use crate::Arena;

const NAME: &str = "counter";

/// Counts up until the run is over. Each change is done once, or not, and is never lost.
pub(crate) fn count_up(arena: &Arena, mut random: Random) {
    let papad = &arena.subject.papad;
    let endpoint = match random.below(2) {
        0 => Endpoint::tcp(papad.port()),
        _ => Endpoint::unix(papad.unix_path()),
    };
    let papa = Papa::connect(&endpoint).unwrap();
    let get = || connected(|| papa.get(NAME));
    let mut kills = papad.kills_over();
    let mut value: Option<u64> = None;
    while arena.goes_on() {
        let next = value.map_or(1, |value| value + 1);
        let old = value.map(|value| value.to_string());
        match papa.compare_and_set(NAME, old.as_ref().map(String::as_bytes), next.to_string()) {
            Ok(is_done) => assert!(is_done, "{value:?} was another's"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Disconnected);
                assert!(papad.has_killed_since(kills), "a session ended by itself: {error}");
                let now = get();
                if now.as_deref() == old.as_ref().map(String::as_bytes) {
                    continue;
                }
            }
        }
        // What is asked now is answered in a session that lives now.
        kills = papad.kills_over();
        assert_eq!(get(), Some(next.to_string().into_bytes()));
        value = Some(next);
        Arena::count(&arena.values, 1);
    }
    connected(|| {
        papa.remove_values(NAME).map(drop).or_else(|error| match error.kind() {
            // It was removed, and the answer was lost.
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    });
}

/// Asks until there is an answer.
fn connected<T>(ask: impl Fn() -> Result<T>) -> T {
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Disconnected),
        }
    }
}
