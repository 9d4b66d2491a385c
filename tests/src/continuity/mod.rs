//! Changes that nobody is to notice: a papad whose parts are replaced or killed, and what must be
//! the same afterwards.

mod exact_sessions;
mod oldest;
mod papa_sessions;
mod sessions;
mod subject;
mod unchanged;

pub use oldest::oldest_program;
pub use sessions::{go_on, sessions_go_on};
pub use subject::Subject;
pub use unchanged::{Unchanged, open_files};
