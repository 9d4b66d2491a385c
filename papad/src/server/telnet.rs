//! telnet's commands among what a client sends (RFC 854): which bytes are text, and what is answered.
//!
//! Every option is refused but one: someone at telnet who types Ctrl-C sees nothing more until papad
//! has said that it has come to that point (TIMING-MARK, RFC 860).

/// What Ctrl-D sends.
pub(super) const END_OF_TRANSMISSION: u8 = 4;

pub(super) const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
/// The end of file, as it is said where lines are edited by the client (RFC 1184).
const EOF: u8 = 236;

const TIMING_MARK: u8 = 6;

/// Where in a telnet command the last byte was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Telnet {
    #[default]
    Text,
    Command,
    /// The option follows.
    Option(Verb),
    Subnegotiation,
    /// IAC within a subnegotiation.
    MaybeEnd,
}

/// What is said of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Will,
    Do,
    /// WONT or DONT, which is not answered: an answer to that would be answered, and so on.
    Refusing,
}

/// What a byte brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Text(u8),
    Nothing,
    /// This is to be answered.
    Question(Answer),
    /// The client ends the session.
    End,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Wont(u8),
    Dont(u8),
    /// What was sent before it, the client may have thrown away.
    TimingMark,
}

impl Answer {
    pub(super) fn bytes(self) -> [u8; 3] {
        match self {
            Answer::Wont(option) => [IAC, WONT, option],
            Answer::Dont(option) => [IAC, DONT, option],
            Answer::TimingMark => [IAC, WILL, TIMING_MARK],
        }
    }
}

impl Telnet {
    /// Takes the next byte.
    pub(super) fn on(&mut self, byte: u8, begins_line: bool) -> Heard {
        let (state, heard) = match (*self, byte) {
            (Telnet::Text, IAC) => (Telnet::Command, Heard::Nothing),
            (Telnet::Text, END_OF_TRANSMISSION) | (Telnet::Command, EOF) if begins_line => {
                (Telnet::Text, Heard::End)
            }
            // Doubled, it stands for itself.
            (Telnet::Text, byte) | (Telnet::Command, byte @ IAC) => {
                (Telnet::Text, Heard::Text(byte))
            }
            (Telnet::Command, WILL) => (Telnet::Option(Verb::Will), Heard::Nothing),
            (Telnet::Command, DO) => (Telnet::Option(Verb::Do), Heard::Nothing),
            (Telnet::Command, WONT | DONT) => (Telnet::Option(Verb::Refusing), Heard::Nothing),
            (Telnet::Command, SB) => (Telnet::Subnegotiation, Heard::Nothing),
            // Among them is the end of a synch, which comes as urgent data.
            (Telnet::Command | Telnet::Option(Verb::Refusing), _) | (Telnet::MaybeEnd, SE) => {
                (Telnet::Text, Heard::Nothing)
            }
            (Telnet::Option(Verb::Do), TIMING_MARK) => {
                (Telnet::Text, Heard::Question(Answer::TimingMark))
            }
            (Telnet::Option(Verb::Do), option) => {
                (Telnet::Text, Heard::Question(Answer::Wont(option)))
            }
            (Telnet::Option(Verb::Will), option) => {
                (Telnet::Text, Heard::Question(Answer::Dont(option)))
            }
            (Telnet::Subnegotiation, IAC) => (Telnet::MaybeEnd, Heard::Nothing),
            (Telnet::Subnegotiation | Telnet::MaybeEnd, _) => {
                (Telnet::Subnegotiation, Heard::Nothing)
            }
        };
        *self = state;
        heard
    }

    /// As the next server is told of it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Telnet::Text => "text",
            Telnet::Command => "command",
            Telnet::Option(Verb::Will) => "will",
            Telnet::Option(Verb::Do) => "do",
            Telnet::Option(Verb::Refusing) => "option",
            Telnet::Subnegotiation => "subnegotiation",
            Telnet::MaybeEnd => "maybe-end",
        }
    }

    pub(super) fn of_word(word: &[u8]) -> Option<Telnet> {
        Some(match word {
            b"text" => Telnet::Text,
            b"command" => Telnet::Command,
            b"will" => Telnet::Option(Verb::Will),
            b"do" => Telnet::Option(Verb::Do),
            b"option" => Telnet::Option(Verb::Refusing),
            b"subnegotiation" => Telnet::Subnegotiation,
            b"maybe-end" => Telnet::MaybeEnd,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8]) -> Vec<Heard> {
        let mut telnet = Telnet::default();
        let all = bytes.iter().map(|&byte| telnet.on(byte, false));
        all.filter(|heard| *heard != Heard::Nothing).collect()
    }

    #[test]
    fn every_do_and_will_is_answered_and_nothing_else() {
        for option in 0..=255 {
            let answer = if option == 6 { Answer::TimingMark } else { Answer::Wont(option) };
            assert_eq!(heard(&[IAC, DO, option]), [Heard::Question(answer)]);
            let answer = Answer::Dont(option);
            assert_eq!(heard(&[IAC, WILL, option]), [Heard::Question(answer)]);
            assert_eq!(heard(&[IAC, WONT, option]), []);
            assert_eq!(heard(&[IAC, DONT, option]), []);
        }
    }

    #[test]
    fn the_signals_of_a_terminal_are_passed_over() {
        // Interrupt, suspend, abort, break, the mark of a synch.
        for command in [244, 237, 238, 243, 242] {
            assert_eq!(heard(&[IAC, command, b'x']), [Heard::Text(b'x')]);
        }
    }

    #[test]
    fn the_end_of_a_file_ends_a_session_where_a_line_begins() {
        assert_eq!(Telnet::Text.on(4, true), Heard::End);
        assert_eq!(Telnet::Command.on(EOF, true), Heard::End);
        assert_eq!(Telnet::Text.on(4, false), Heard::Text(4));
        assert_eq!(Telnet::Command.on(EOF, false), Heard::Nothing);
    }

    #[test]
    fn the_next_server_is_told_where_in_a_command_it_is() {
        for word in ["text", "command", "will", "do", "option", "subnegotiation", "maybe-end"] {
            assert_eq!(Telnet::of_word(word.as_bytes()).unwrap().word(), word);
        }
    }
}
