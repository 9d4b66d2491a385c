//! How the server answers a session that becomes exact.

use super::failure::Failure;
use super::fields::Fields;
use super::line::Line;
use super::reply::{unreadable, write_ok};

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 16;

/// The answer to [`super::PROTOCOL`]: whom one is speaking with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// papad's version, as `0.1.0`.
    pub version: String,
    /// The pid of papad's keeper, which is the service's pid.
    pub pid: i32,
    /// 16 hexadecimal digits that change only when papad started from nothing: with the same id,
    /// everything that was there before is still there.
    pub id: String,
}

impl Hello {
    /// Appends the whole answer: `ok 1` and the line that [`Hello::parse`] reads.
    pub fn write(&self, out: &mut Vec<u8>) {
        let line = Line::new().number("protocol", 2).pair("version", &self.version);
        let line = line.number("pid", self.pid).pair("id", &self.id);
        write_ok(out, &[line.into_bytes()]);
    }

    /// Reads the line that follows `ok 1`, without its line end.
    ///
    /// # Errors
    /// [`super::Code::Internal`]: the server does not speak protocol 2.
    pub fn parse(line: &[u8]) -> Result<Self, Failure> {
        Self::of_fields(&Fields::parse(line)?).ok_or_else(|| unreadable(line))
    }

    fn of_fields(fields: &Fields) -> Option<Self> {
        let text = |key| Some(std::str::from_utf8(fields.get(key)?).ok()?.to_owned());
        let id = text("id")?;
        let is_id = id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let pid = fields.number("pid").filter(|&pid: &i32| pid > 0)?;
        let hello = Self { version: text("version")?, pid, id };
        (is_id && fields.get("protocol") == Some(b"2")).then_some(hello)
    }
}
