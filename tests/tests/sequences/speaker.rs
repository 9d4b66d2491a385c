//! A session in either dialect.

use papad_tests::Papad;
use papad_tests::exact::Exact;
use papad_tests::kills::{Client, Gone, Random};

/// A session.
pub(crate) enum Speaker {
    Papa(Client),
    Exact(Exact),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
    /// There was none: it may be done or not.
    None,
}

impl Speaker {
    /// Connects, as often as it takes.
    pub(crate) fn any(papad: &Papad, random: &mut Random) -> Self {
        loop {
            let speaker = if random.one_in(2) {
                Client::connect(papad).map(Self::Papa).ok()
            } else {
                Exact::try_tcp(papad).map(Self::Exact).ok()
            };
            if let Some(speaker) = speaker {
                return speaker;
            }
        }
    }

    /// Asks what is said differently in the two dialects, papa 1.0's first.
    pub(crate) fn ask(&mut self, papa: &str, exact: &str) -> Answer {
        match self {
            Self::Papa(client) => match client.ask(papa) {
                Ok(reply) if reply.starts_with("Error: ") => Answer::Refused,
                Ok(_) => Answer::Done,
                Err(Gone) => Answer::None,
            },
            Self::Exact(session) => match session.try_ask(exact) {
                Ok(Ok(_)) => Answer::Done,
                Ok(Err(_)) => Answer::Refused,
                Err(_) => Answer::None,
            },
        }
    }
}
