//! Whether a lock is lost, decided from what papad answers.
//!
//! papad's server may be killed, and what belonged to its sessions vanishes with it: a lock whose
//! session has ended belongs to nobody, and is taken again. It is lost when somebody else was faster,
//! or when somebody has set or removed its value while the session stood.

use std::error::Error as StdError;
use std::fmt;

use super::Claim;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;

/// That a lock was lost, and why: see [`KeptLock`](crate::KeptLock).
#[derive(Debug)]
pub struct LockLost {
    name: Name,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Taken,
    Removed,
    Failed(Error),
}

/// What is to be done about a lock.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing: it is held, as far as anybody knows.
    Wait,
    /// It is to be taken over another session.
    TakeAgain,
    Stop(LockLost),
}

impl LockLost {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl fmt::Display for LockLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, cause } = self;
        match cause {
            Cause::Taken => write!(f, "the lock {name} is lost: somebody else has it"),
            Cause::Removed => write!(f, "the lock {name} is lost: somebody has removed it"),
            Cause::Failed(error) => write!(f, "the lock {name} is lost: {error}"),
        }
    }
}

impl StdError for LockLost {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::Failed(error) => error.source(),
            Cause::Taken | Cause::Removed => None,
        }
    }
}

impl Claim {
    /// What follows from the lock's value, which was asked for over the session that took the lock.
    pub(crate) fn on_value(&self, value: Result<Option<Vec<u8>>>) -> Next {
        match value {
            Ok(Some(value)) if value == self.token => Next::Wait,
            Ok(Some(_)) => self.lost(Cause::Taken),
            Ok(None) => self.lost(Cause::Removed),
            // A papad that does not answer gives it to nobody else.
            Err(error) if error.kind() == ErrorKind::Timeout => Next::Wait,
            Err(error) => self.on_error(error),
        }
    }

    /// What follows from the lock's value, if another session was refused the lock just before.
    pub(crate) fn on_refusal(&self, value: Result<Option<Vec<u8>>>) -> Next {
        match value {
            // papad has not noticed yet that the session before has ended.
            Ok(Some(value)) if value == self.token => Next::TakeAgain,
            Ok(Some(_)) => self.lost(Cause::Taken),
            Ok(None) => Next::TakeAgain,
            Err(error) => self.on_error(error),
        }
    }

    /// What follows when papad could not be asked. Until it answers somebody, nobody has the lock.
    pub(crate) fn on_error(&self, error: Error) -> Next {
        match error.kind() {
            ErrorKind::NotRunning
            | ErrorKind::Disconnected
            | ErrorKind::Timeout
            | ErrorKind::Busy
            | ErrorKind::Limit => Next::TakeAgain,
            _ => self.lost(Cause::Failed(error)),
        }
    }

    fn lost(&self, cause: Cause) -> Next {
        Next::Stop(LockLost { name: self.name.clone(), cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim::new(b"manager").unwrap()
    }

    fn failed(kind: ErrorKind) -> Result<Option<Vec<u8>>> {
        Err(Error::new(kind, "why"))
    }

    #[test]
    fn a_lock_is_held_while_its_value_is_there_or_nothing_is_heard() {
        let claim = claim();
        assert!(matches!(claim.on_value(Ok(Some(claim.token.clone()))), Next::Wait));
        assert!(matches!(claim.on_value(failed(ErrorKind::Timeout)), Next::Wait));
    }

    #[test]
    fn a_lock_is_taken_again_after_its_session_until_somebody_else_has_it() {
        let claim = claim();
        let own = || Ok(Some(claim.token.clone()));
        for next in [
            claim.on_value(failed(ErrorKind::Disconnected)),
            claim.on_refusal(own()),
            claim.on_refusal(Ok(None)),
            claim.on_refusal(failed(ErrorKind::Timeout)),
            claim.on_error(Error::new(ErrorKind::NotRunning, "why")),
        ] {
            assert!(matches!(next, Next::TakeAgain), "{next:?}");
        }
    }

    #[test]
    fn a_lock_is_lost_to_somebody_else_and_the_reason_is_said() {
        let claim = claim();
        for (next, why) in [
            (claim.on_value(Ok(Some(b"other".into()))), "somebody else has it"),
            (claim.on_value(Ok(None)), "somebody has removed it"),
            (claim.on_refusal(Ok(Some(b"other".into()))), "somebody else has it"),
            (claim.on_value(failed(ErrorKind::NotYours)), "why"),
        ] {
            let Next::Stop(lost) = next else { panic!("{next:?}") };
            assert_eq!(lost.to_string(), format!("the lock manager is lost: {why}"));
        }
    }
}
