//! Which sessions there may be: some places are kept for root, and some for papad's own user, so that
//! nobody else can lock them out.

use nix::unistd::Uid;

/// Whose a session is, as far as places are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Root,
    /// papad's own user, where that is not root.
    Own,
    /// Somebody who was let in besides.
    Other,
}

impl Owner {
    pub(super) fn of(uid: Option<Uid>) -> Owner {
        match uid {
            Some(uid) if uid.is_root() => Owner::Root,
            Some(uid) if uid == Uid::effective() => Owner::Own,
            Some(_) | None => Owner::Other,
        }
    }
}

/// How many sessions there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    root: usize,
    own: usize,
    other: usize,
}

impl Taken {
    pub(super) fn count(owners: impl Iterator<Item = Owner>) -> Taken {
        owners.fold(Taken::default(), |mut taken, owner| {
            match owner {
                Owner::Root => taken.root += 1,
                Owner::Own => taken.own += 1,
                Owner::Other => taken.other += 1,
            }
            taken
        })
    }

    /// Whether there may be one more of this owner's where all may have so many.
    pub(super) fn has_room_for(self, owner: Owner, all: u64) -> bool {
        let kept = kept(all);
        let (root, own, other) = (self.root as u64, self.own as u64, self.other as u64);
        let is_within = |taken: u64, most: u64| taken < most;
        is_within(root + own + other, all)
            && (owner == Owner::Root || is_within(own + other, all - kept))
            && (owner != Owner::Other || is_within(other, all - 2 * kept))
    }
}

/// Places that are kept for root, and as many for papad's own user: a tenth, and at least one where
/// that leaves one to others.
fn kept(all: u64) -> u64 {
    all.div_ceil(10).min(all.saturating_sub(1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many each gets who asks for all, one after the other.
    fn given(all: u64, owners: &[Owner]) -> Vec<u64> {
        let mut taken = Vec::new();
        let mut give = |owner| {
            let mut count = 0;
            while Taken::count(taken.iter().copied()).has_room_for(owner, all) {
                taken.push(owner);
                count += 1;
            }
            count
        };
        owners.iter().map(|&owner| give(owner)).collect()
    }

    #[test]
    fn others_leave_places_to_root_and_to_papads_own_user() {
        use Owner::{Other, Own, Root};
        assert_eq!(given(100, &[Other, Own, Root]), [80, 10, 10]);
        assert_eq!(given(100, &[Own, Other, Root]), [90, 0, 10]);
        assert_eq!(given(100, &[Root, Own, Other]), [100, 0, 0]);
        assert_eq!(given(3, &[Other, Own, Root]), [1, 1, 1]);
        // So few that nothing can be kept.
        assert_eq!(given(2, &[Other, Own, Root]), [2, 0, 0]);
        assert_eq!(given(1, &[Other, Root]), [1, 0]);
    }

    #[test]
    fn whose_session_nobody_knows_is_as_one_of_others() {
        assert_eq!(Owner::of(None), Owner::Other);
        assert_eq!(Owner::of(Some(Uid::from_raw(0))), Owner::Root);
        assert_ne!(Owner::of(Some(Uid::effective())), Owner::Other);
    }
}
