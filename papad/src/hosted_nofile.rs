//! The descriptor limit that hosted processes begin with.
//!
//! papad raises its own limit as far as it may, and a service manager has to start it with a high
//! one. Hosted processes get a low soft limit all the same: programs that use select(2) cannot
//! handle descriptors above 1023, and some close every number up to the limit one by one.

use nix::unistd::Uid;

/// The soft limit unless `--hosted-nofile` says otherwise.
const DEFAULT_SOFT: u64 = 1024;

/// What `--hosted-nofile` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostedNofile {
    soft: Option<u64>,
    hard: Option<u64>,
}

impl HostedNofile {
    /// Reads `SOFT` or `SOFT:HARD`.
    ///
    /// # Errors
    /// What is wrong with it, for the command line.
    pub(crate) fn parse(text: &str) -> Result<HostedNofile, String> {
        let number = |text: &str| {
            let number = text.parse().ok().filter(|_| !text.starts_with('+'));
            number.ok_or_else(|| "not SOFT or SOFT:HARD, numbers of descriptors".to_owned())
        };
        let (soft, hard) = match text.split_once(':') {
            Some((soft, hard)) => (number(soft)?, Some(number(hard)?)),
            None => (number(text)?, None),
        };
        match hard {
            Some(hard) if soft > hard => Err("the soft limit is above the hard one".to_owned()),
            hard => Ok(HostedNofile { soft: Some(soft), hard }),
        }
    }

    /// The soft and the hard limit of hosted processes, given those that papad was started with.
    pub(crate) fn limits(self, started_with: (u64, u64)) -> (u64, u64) {
        let (soft, hard) = started_with;
        let hard = self.hard.unwrap_or(hard);
        (self.soft.unwrap_or(soft.min(DEFAULT_SOFT)).min(hard), hard)
    }

    /// Whether papad can give hosted processes what is asked for.
    ///
    /// # Errors
    /// One sentence that says why not.
    pub(crate) fn check(self, started_with: (u64, u64)) -> Result<(), String> {
        let (_, started_hard) = started_with;
        let allowed = if Uid::effective().is_root() { u64::MAX } else { started_hard };
        let wanted = self.hard.or(self.soft).unwrap_or_default();
        if self.hard.is_none() && wanted > started_hard {
            return Err(format!(
                "--hosted-nofile: the soft limit {wanted} is above the hard limit {started_hard}"
            ));
        }
        if wanted > allowed {
            return Err(format!(
                "--hosted-nofile: the hard limit {wanted} is above papad's own, {allowed}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_1024_or_papads_own_and_the_hard_one_is_papads() {
        let nothing = HostedNofile::default();
        assert_eq!(nothing.limits((1 << 20, 1 << 20)), (1024, 1 << 20));
        assert_eq!(nothing.limits((300, 4096)), (300, 4096));
        assert_eq!(nothing.check((300, 4096)), Ok(()));
    }

    #[test]
    fn what_is_asked_for_is_given() {
        let both = HostedNofile::parse("50:60").unwrap();
        assert_eq!(both.limits((1024, 4096)), (50, 60));
        let soft = HostedNofile::parse("2000").unwrap();
        assert_eq!(soft.limits((1024, 4096)), (2000, 4096));
        assert_eq!(soft.check((1024, 4096)), Ok(()));
        assert!(
            soft.check((1024, 1999)).unwrap_err().contains("2000 is above the hard limit 1999")
        );
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in ["", "x", "-1", "+1", "1:", ":1", "2:1", "1:2:3"] {
            assert!(HostedNofile::parse(text).is_err(), "{text}");
        }
    }
}
