//! What papad hosts while something ends, and whether it is all there afterwards.

use papad_tests::{Session, eventually, shell};

use crate::machine::Machine;

/// What a process writes that nobody takes.
const UNREAD: &str = "written and not read";

/// Things that papad holds of each kind.
pub(crate) struct Hosted {
    processes: String,
    sockets: String,
}

impl Hosted {
    /// Makes so many processes, a socket, a value, unread output and an exit code.
    pub(crate) fn make(machine: &Machine, count: usize) -> Self {
        let mut session = machine.session();
        session.ask("make socket web");
        session.ask("set greeting hello");
        let writing = format!("echo {UNREAD}; exec sleep 100000");
        session.ask(format!("make process writer {}", shell(&writing)));
        session.ask(format!("make process ended {}", shell("exit 7")));
        make_processes(&mut session, 2..count);
        machine.run("papactl wait ended; test $? = 7");
        eventually("the writer has written", || {
            machine.run("papactl logs writer").contains(UNREAD)
        });
        let (processes, sockets) = (session.ask("list processes"), session.ask("list sockets"));
        assert_eq!(processes.lines().count(), count);
        Self { processes, sockets }
    }

    /// Sees that everything is as it was, the pids, ports and unread output included, and that
    /// the processes run.
    #[track_caller]
    pub(crate) fn check(&self, machine: &Machine, after: &str) {
        let mut session = machine.session();
        let processes = session.ask("list processes");
        let missing: Vec<&str> =
            self.processes.lines().filter(|line| !processes.contains(line)).collect();
        assert_eq!(missing, [""; 0], "changed or missing after {after}");
        assert_eq!(session.ask("list sockets"), self.sockets, "after {after}");
        assert_eq!(session.ask("get greeting"), "hello", "after {after}");
        assert_eq!(machine.run("papactl logs writer"), UNREAD, "after {after}");
        machine.run("papactl wait ended; test $? = 7");
        let pids: Vec<String> = self
            .processes
            .lines()
            .filter(|line| line.contains("running=True"))
            .map(|line| papad_tests::pid_of(line).to_string())
            .collect();
        machine.run(&format!("kill -0 {}", pids.join(" ")));
    }
}

/// Makes processes that run on, many requests at once.
fn make_processes(session: &mut Session, numbers: std::ops::Range<usize>) {
    const AT_ONCE: usize = 100;
    let numbers: Vec<usize> = numbers.collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let lines =
            numbers.iter().map(|number| format!("make process p{number} /bin/sleep 100000\n"));
        session.send(lines.collect::<String>());
        for number in numbers {
            session.expect(format!("p{number} "));
            let line = String::from_utf8(session.read_line()).unwrap();
            assert!(line.starts_with("pid="), "{line}");
            session.expect("> ");
        }
    }
}
