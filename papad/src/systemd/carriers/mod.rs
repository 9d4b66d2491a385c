//! Carriers: socket pairs that hold descriptors in their queues, so that systemd's store has a few
//! entries whatever papad holds.
//!
//! To hold something is one message into a carrier that systemd has already: it is safe when
//! sendmsg(2) returns, and systemd is not told. [`Packing`] decides, this carries out.

mod allowance;
mod carrier;
mod message;
mod packing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socketpair, sockopt};

use self::carrier::LIMITS;
use self::packing::{Action, Packing};
use crate::link::Held;
use crate::{log, sys};

const PREFIX: &str = "carrier.";

/// What systemd is to be asked.
pub(super) enum Request {
    /// To store the carrier of this number.
    Store(u64),
    /// To remove it.
    Remove(u64),
}

/// Why there is no carrier for what is held.
pub(super) enum Trouble {
    /// The store has no room for another.
    NoRoom,
    /// What the kernel says.
    Refused(io::Error),
}

struct Ends {
    /// The end that systemd has, too.
    receiver: OwnedFd,
    /// `None` for a carrier of an earlier keeper.
    sender: Option<OwnedFd>,
}

/// A descriptor that a carrier has, and the message that it came with.
pub(crate) struct Carried {
    pub(crate) name: Held,
    pub(crate) fd: OwnedFd,
    /// Of several that have one name, the one with the highest counts.
    pub(crate) sequence: u64,
}

/// All carriers.
pub(super) struct Carriers {
    packing: Packing,
    ends: BTreeMap<u64, Ends>,
    /// How many the store has room for.
    most: usize,
}

/// What systemd stores a carrier as.
pub(super) fn name_of(number: u64) -> String {
    format!("{PREFIX}{number}")
}

/// The number of the carrier that is stored under this name, if it is one.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

impl Carriers {
    pub(super) fn new(most: usize) -> Carriers {
        let packing = Packing::new(LIMITS, allowance::allowance());
        Carriers { packing, ends: BTreeMap::new(), most }
    }

    /// Takes over a carrier of an earlier keeper, and returns duplicates of what is in it. It goes
    /// when all of that is in others.
    ///
    /// # Errors
    /// Not everything in it can be duplicated. It stays as it was.
    pub(super) fn adopt(&mut self, number: u64, receiver: OwnedFd) -> io::Result<Vec<Carried>> {
        let mut carried = Vec::new();
        let mut messages = Vec::new();
        for (text, fds) in sys::peek_all(receiver.as_fd())? {
            let (sequence, names) = read(number, &text);
            let pairs = names.iter().copied().zip(fds);
            carried
                .extend(pairs.filter_map(|(name, fd)| Some(Carried { name: name?, fd, sequence })));
            messages.push((sequence, names.into_iter().flatten().collect()));
        }
        self.take_over(number, receiver, messages);
        Ok(carried)
    }

    /// As `adopt`, where everything is held already.
    pub(super) fn adopt_held(&mut self, number: u64, receiver: OwnedFd) -> io::Result<()> {
        let texts = sys::peek_texts(receiver.as_fd())?;
        let messages = texts.iter().map(|text| {
            let (sequence, names) = read(number, text);
            (sequence, names.into_iter().flatten().collect())
        });
        let messages = messages.collect();
        self.take_over(number, receiver, messages);
        Ok(())
    }

    fn take_over(&mut self, number: u64, receiver: OwnedFd, messages: Vec<(u64, Vec<Held>)>) {
        self.packing.adopt(number, messages);
        self.ends.insert(number, Ends { receiver, sender: None });
    }

    pub(super) fn packing(&self) -> &Packing {
        &self.packing
    }

    pub(super) fn held(&mut self, name: Held) {
        self.packing.held(name);
    }

    pub(super) fn dropped(&mut self, name: Held, now: Instant) {
        self.packing.dropped(name, now);
    }

    pub(super) fn stored(&mut self, number: u64) {
        self.packing.stored(number);
    }

    pub(super) fn tidy(&mut self) {
        self.packing.tidy();
    }

    /// The end of a carrier that is to be stored; `None` if there is no such carrier any more.
    pub(super) fn receiver(&self, number: u64) -> Option<BorrowedFd<'_>> {
        self.ends.get(&number).map(|ends| ends.receiver.as_fd())
    }

    /// Every carrier, by its number.
    pub(super) fn receivers(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.ends.iter().map(|(number, ends)| (*number, ends.receiver.as_fd()))
    }

    /// Does everything that can be done, and adds what systemd is to be asked. Beside carriers, the
    /// store has so many `others`: systemd drops without a word what it has no room for.
    pub(super) fn advance(
        &mut self,
        held: &BTreeMap<Held, OwnedFd>,
        now: Instant,
        requests: &mut VecDeque<Request>,
        others: usize,
    ) -> Result<(), Trouble> {
        let most = self.most.saturating_sub(others);
        if self.ends.len() < most {
            self.packing.note_room(true);
        }
        while let Some(action) = self.packing.next(now) {
            match &action {
                Action::Create(..) if self.ends.len() >= most => {
                    self.packing.note_room(false);
                    continue;
                }
                Action::Create(number, _) => {
                    self.ends.insert(*number, create().map_err(Trouble::Refused)?);
                    sys::kill_point("carrier-created");
                    requests.push_back(Request::Store(*number));
                }
                Action::Send { carrier, sequence, names } => {
                    let mut fds = Vec::with_capacity(names.len());
                    for name in names {
                        match held.get(name) {
                            Some(fd) => fds.push(fd.as_fd()),
                            None => self.packing.dropped(*name, now),
                        }
                    }
                    if fds.len() < names.len() {
                        log::error!("keeper", "something was to be stored that is not held");
                        continue;
                    }
                    let text = message::write(*sequence, names);
                    if !self.send(*carrier, &text, &fds).map_err(Trouble::Refused)? {
                        if !self.packing.full(*carrier) {
                            return Err(Trouble::Refused(Errno::EAGAIN.into()));
                        }
                        continue;
                    }
                    sys::kill_point("carrier-sent");
                }
                Action::Take(number) => {
                    if let Some(ends) = self.ends.get(number)
                        && let Err(error) = sys::discard_message(ends.receiver.as_fd())
                    {
                        log::error!("keeper", "carrier {number} has less than it should: {error}");
                    }
                    sys::kill_point("carrier-taken");
                }
                Action::Remove(number) => {
                    requests.push_back(Request::Remove(*number));
                    self.ends.remove(number);
                }
            }
            self.packing.done(action, now);
        }
        if self.packing.lacks_room() {
            Err(Trouble::NoRoom)
        } else if self.packing.lacks_allowance() {
            Err(Trouble::Refused(Errno::ETOOMANYREFS.into()))
        } else {
            Ok(())
        }
    }

    fn send(&self, carrier: u64, text: &str, fds: &[BorrowedFd]) -> io::Result<bool> {
        let sender = self.ends.get(&carrier).and_then(|ends| ends.sender.as_ref());
        sender.map_or(Ok(false), |sender| sys::send_now(sender.as_fd(), text.as_bytes(), fds))
    }
}

/// Whether this is the end of a socket pair of the kind that carriers are.
pub(crate) fn is_carrier(fd: &OwnedFd) -> bool {
    getsockopt(fd, sockopt::SockType).is_ok_and(|kind| kind == SockType::SeqPacket)
}

fn create() -> io::Result<Ends> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (sender, receiver) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok(Ends { receiver, sender: Some(sender) })
}

/// What a message says. What cannot be understood has the lowest sequence number, and no names.
fn read(carrier: u64, text: &[u8]) -> (u64, Vec<Option<Held>>) {
    let (sequence, names) = message::read(text).unwrap_or_default();
    if names.is_empty() || names.contains(&None) {
        log::warn!("keeper", "carrier {carrier} has something of which papad knows nothing");
    }
    (sequence, names)
}
