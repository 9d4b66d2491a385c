//! The commands. Each is one type, which parses, does and answers.

pub(crate) mod get;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod set;
pub(crate) mod top;
pub(crate) mod unset;
pub(crate) mod values;
