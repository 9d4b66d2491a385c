//! One thing done again and again, each time with another call failing: the first one of a kind, the
//! second, and so on, until it does not come to so many.

use nix::errno::Errno;
use papad_tests::{Fault, Part};

/// A call, what it is about, and what it fails with.
pub(crate) type Failing = (&'static str, &'static str, &'static [Errno]);

/// More calls of one kind than anything makes that is swept.
pub(crate) const ALL: u64 = 200;

/// So many calls of a kind, where a papad has to be started for each.
pub(crate) const FIRST: u64 = 3;

/// Does `act` with each fault, at so many calls, until it says that the fault was not met. Its errors are what is
/// wrong; they are shown together.
#[track_caller]
pub(crate) fn sweep(
    part: Part,
    failing: &[Failing],
    calls: u64,
    mut act: impl FnMut(Fault) -> Result<bool, String>,
) {
    let (mut met, mut wrong) = (0, Vec::new());
    for (call, place, errnos) in failing {
        for errno in *errnos {
            for after in 0..calls {
                let fault = Fault::fail(call, *errno).at(place).of(part).after(after).once();
                match act(fault) {
                    Ok(true) => met += 1,
                    Ok(false) => break,
                    Err(why) => {
                        wrong.push(format!("{fault}: {why}"));
                        break;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(met >= failing.len(), "only {met} faults were met");
}
