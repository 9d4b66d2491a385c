//! papad under systemd is killed between any two steps by which its descriptors get from one carrier
//! into another, and the next one must find all of them.
//!
//! This needs a build of papad with the feature `kill-points`, as `kill_points` does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use papad_tests::kills::Client;
use papad_tests::{Builder, FakeSystemd, Papad, ScratchDir, eventually, pid_of};

/// Between the steps of the keeper, in their order.
const POINTS: [&str; 5] =
    ["carrier-created", "carrier-stored", "carrier-sent", "carrier-taken", "carrier-removed"];

struct World {
    systemd: FakeSystemd,
    points: ScratchDir,
}

impl World {
    fn new() -> World {
        World { systemd: FakeSystemd::new(), points: ScratchDir::new() }
    }

    fn papad(&self) -> Builder<'_> {
        let points = self.points.join("");
        let variables = format!("export LISTEN_PID=$$ PAPAD_KILL_POINTS={points}");
        Papad::builder().with_kill_points().under(&self.systemd).after_shell(&variables)
    }

    /// A papad with two sockets, a value, and two processes.
    fn start(&self) -> Papad {
        let papad = self.papad().start();
        let mut session = papad.session();
        session.ask("set v kept");
        for name in ["one", "two"] {
            session.ask(format!("make socket s{name}"));
            let made = session.ask(format!("make process p{name} /bin/sleep 1000"));
            self.systemd.look_after(pid_of(&made));
        }
        papad
    }

    fn arm(&self, point: &str) {
        fs::write(self.points.join(point), "").unwrap();
    }

    fn is_armed(&self, point: &str) -> bool {
        fs::exists(self.points.join(point)).unwrap()
    }
}

/// What papad has, and the names under which it is stored, but for those that each papad makes anew.
fn everything(world: &World, papad: &Papad) -> [Vec<String>; 2] {
    let mut session = papad.session();
    let lists = ["list processes", "list sockets", "list values"].map(|list| session.ask(list));
    let is_lasting = |name: &String| !name.starts_with("server.") && !name.starts_with("pidfd.");
    [lists.to_vec(), world.systemd.stored().into_iter().filter(is_lasting).collect()]
}

#[test]
fn nothing_is_lost_when_papad_is_killed_while_it_unpacks_what_another_left() {
    for point in POINTS {
        let world = World::new();
        let mut papad = world.start();
        let before = everything(&world, &papad);
        papad.kill_both();
        for _ in 0..2 {
            world.arm(point);
            world.papad().run_until_killed();
            assert!(!world.is_armed(point), "{point}");
        }
        let papad = world.papad().start();
        eventually("everything is there", || everything(&world, &papad) == before);
    }
}

#[test]
fn nothing_else_is_lost_when_papad_is_killed_while_a_socket_is_removed() {
    for point in ["carrier-sent", "carrier-taken"] {
        let world = World::new();
        let mut papad = world.start();
        let [before, _] = everything(&world, &papad);
        let mut client = Client::connect(&papad).unwrap();
        world.arm(point);
        // Whether it is answered or not: the keeper is killed, and the server ends.
        let _ = client.ask("remove sockets sone");
        papad.wait_for_exit();
        assert!(!world.is_armed(point), "{point}");

        let papad = world.papad().start();
        let mut session = papad.session();
        let sockets = session.ask("list sockets");
        assert!(sockets.contains("stwo "), "{point}: {sockets}");
        session.ask_expecting("list processes", &before[0]);
        session.ask_expecting("list values", &before[2]);
        // Whether it was there still or not, it is gone now, and so is its descriptor.
        session.ask("remove sockets sone");
        let is_left = |name: &String| name.starts_with("socket.");
        let left = world.systemd.stored().into_iter().filter(is_left).collect::<Vec<_>>();
        assert_eq!(left, ["socket.2"], "{point}");
    }
}

#[test]
fn nothing_is_lost_when_papad_is_killed_while_it_makes_a_carrier() {
    for point in ["carrier-created", "carrier-stored", "carrier-sent"] {
        let world = World::new();
        let mut papad = world.papad().start();
        let mut session = papad.session();
        let socket = session.ask("make socket s");
        session.ask("set v kept");
        let mut client = Client::connect(&papad).unwrap();
        world.arm(point);
        // The first process has the first carrier for what processes have.
        let _ = client.ask("make process p /bin/sleep 1000");
        papad.wait_for_exit();
        assert!(!world.is_armed(point), "{point}");

        let papad = world.papad().start();
        let mut session = papad.session();
        session.ask_expecting("list sockets", &socket);
        session.ask_expecting("get v", "kept");
        // It was not made, since its specification is recorded only when its pipes are stored.
        session.ask_expecting("list processes", "");
        let is_of_process = |name: &String| name.starts_with("ring.");
        eventually("nothing of it is left", || !world.systemd.stored().iter().any(is_of_process));
    }
}
