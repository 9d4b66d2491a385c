//! The commands. Each is one type, which parses, does and answers.

pub(crate) mod doctor;
pub(crate) mod get;
pub(crate) mod inspect;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod logs;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod set;
pub(crate) mod shutdown;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod sockets;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unset;
pub(crate) mod upgrade;
pub(crate) mod values;
pub(crate) mod wait;
