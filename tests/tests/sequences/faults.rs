//! Faults that a step may meet. None of them may lose output: that is what a want of memory for it
//! is allowed to.

use nix::errno::Errno;
use papad_tests::kills::Random;
use papad_tests::{Fault, Part};

const FAULTS: [Fault; 25] = [
    Fault::fail("*", Errno::EINTR).one_in(3),
    Fault::fail("*", Errno::EINTR).one_in(5),
    Fault::cut("read", 1),
    Fault::cut("recvmsg", 1).at(":stream"),
    Fault::cut("splice", 1),
    Fault::cut("pread64", 3),
    Fault::cut("pwrite64", 3),
    Fault::cut("write", 1).at(":stream"),
    Fault::cut("write", 5).at("papad-journal").times(1),
    Fault::fail("write", Errno::ENOSPC).at("papad-journal").times(2),
    Fault::fail("mmap", Errno::ENOMEM).at("papad-journal").times(2),
    Fault::fail("sendmsg", Errno::ENOMEM).at(":seqpacket").times(2),
    Fault::fail("sendmsg", Errno::ETOOMANYREFS).at(":seqpacket").of(Part::Server).times(1),
    Fault::fail("recvmsg", Errno::ENOMEM).at(":seqpacket").times(2),
    Fault::fail("memfd_create", Errno::EMFILE).times(1),
    Fault::fail("pipe2", Errno::ENFILE).times(2),
    Fault::fail("open64", Errno::EMFILE).times(1),
    Fault::fail("clone", Errno::EAGAIN).times(1),
    Fault::fail("fcntl", Errno::EMFILE).times(3),
    Fault::fail("epoll_ctl", Errno::ENOMEM).times(1),
    Fault::fail("eventfd", Errno::EMFILE).times(1),
    Fault::fail("posix_spawnp", Errno::EAGAIN).times(2),
    Fault::fail("execve", Errno::ENOMEM).times(1),
    Fault::shift_clock(-86_400),
    Fault::shift_clock(86_400),
];

/// One of them, at one of the first calls that could meet it.
pub(crate) fn any(random: &mut Random) -> Fault {
    random.pick(&FAULTS).after(random.below(6))
}
