//! What the fuzz targets run inside papad. This is a module of papad's, in fuzz builds alone.

mod link;
mod ring;
mod values_file;

pub use crate::server::fuzzing::{handover, journal, sessions};
pub use link::link;
pub use ring::ring;
pub use values_file::values_file;
