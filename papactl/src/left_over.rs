//! What earlier versions of papactl left in values: requests, with their environments, of processes
//! that could not be started again. Nothing reads them any more.

use papa_client::Papa;

use crate::failure::Result;
use crate::names;

/// What such a value's name begins with; the process's name follows.
const PREFIX: &str = "papactl.restart.";

/// The names of processes that these names and wildcards stand for, and that such a value is of.
pub(crate) fn find(papa: &Papa, names: &[String]) -> Result<Vec<Vec<u8>>> {
    let values = papa.values(format!("{PREFIX}*"))?;
    let of = values.iter().filter_map(|it| it.name.as_bytes().strip_prefix(PREFIX.as_bytes()));
    let of = of.filter(|of| names.iter().any(|name| names::matches(name, of)));
    Ok(of.map(<[u8]>::to_vec).collect())
}

/// Removes the values of these.
pub(crate) fn remove(papa: &Papa, found: &[Vec<u8>]) -> Result<()> {
    for name in found {
        papa.unset([PREFIX.as_bytes(), name].concat())?;
    }
    Ok(())
}
