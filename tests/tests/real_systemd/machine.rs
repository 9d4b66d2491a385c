//! A booted system.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::{BANNER, DEADLINE, ScratchDir, Session, eventually};

use crate::roots::{MOUNT, Root, cgroups, mounting};

/// Boots what [`MOUNT`] has mounted.
const BOOT: &str = r#"
echo 0 > "/sys/fs/cgroup/$3/cgroup.procs"
exec systemd-nspawn --quiet --directory="$2/root" --machine="$3" \
    --boot --register=no --keep-unit --private-network --console=pipe --notify-ready=yes
"#;

/// How long a command in the system may take, in seconds.
const COMMAND_SECONDS: &str = "120";

/// What systemd-nspawn exits with when the system wants to be booted again.
const REBOOT: i32 = 133;

/// A Debian system with systemd as its first process, and papad's programs and units installed.
/// When it is dropped, everything in it is killed; what it wrote goes, too.
pub(crate) struct Machine {
    root: Root,
    scratch: ScratchDir,
    name: String,
    nspawn: Child,
    /// systemd, by the pid it has here.
    leader: i32,
}

impl Machine {
    /// Boots a system, and waits until it says that it has done so.
    pub(crate) fn boot(root: &Root) -> Self {
        Self::boot_prepared(root, |_| {})
    }

    /// As [`Self::boot`], with files added before: the directory that is given lies over the
    /// system's `/`.
    pub(crate) fn boot_prepared(root: &Root, prepare: impl FnOnce(&Path)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let scratch = ScratchDir::new();
        fs::create_dir(scratch.join("upper")).unwrap();
        prepare(Path::new(&scratch.join("upper")));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("papad-test-{}-{number}", process::id());
        let (nspawn, leader) = start(root, &scratch, &name);
        Self { root: root.clone(), scratch, name, nspawn, leader }
    }

    /// The version of its systemd.
    pub(crate) fn systemd(&self) -> u32 {
        self.root.systemd
    }

    /// A file of the system, by its path here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root{path}", self.leader).into()
    }

    /// The system's control group, by its path here.
    pub(crate) fn cgroup(&self) -> PathBuf {
        cgroups().expect("the system has one").join(&self.name)
    }

    /// Runs a shell script in the system, as root, and returns its exit status and what it wrote.
    pub(crate) fn try_run(&self, script: &str) -> (i32, String) {
        let output = Command::new("timeout")
            .args(["--kill-after=5", COMMAND_SECONDS, "nsenter", "--target"])
            .arg(self.leader.to_string())
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "sh", "-c"])
            .arg(format!("exec 2>&1\n{script}"))
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let status = output.status;
        (status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)), said)
    }

    /// Runs a shell script that is to succeed, and returns what it wrote, without the last newline.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let (status, said) = self.try_run(script);
        assert_eq!(status, 0, "{script}\n{said}");
        said.trim_end().to_owned()
    }

    /// Runs a shell script that is to fail, and returns what it wrote.
    #[track_caller]
    pub(crate) fn run_failing(&self, script: &str) -> String {
        let (status, said) = self.try_run(script);
        assert_ne!(status, 0, "{script}\n{said}");
        said
    }

    /// A property of a unit.
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.run(&format!("systemctl show --property {property} --value {unit}"))
    }

    /// Whether papad.service, papad.socket and papad-ipv6.socket are active, in this order.
    pub(crate) fn active(&self) -> [bool; 3] {
        ["papad.service", "papad.socket", "papad-ipv6.socket"]
            .map(|unit| self.property(unit, "ActiveState") == "active")
    }

    /// The pid, in the system, of papad's keeper.
    pub(crate) fn keeper(&self) -> String {
        self.property("papad.service", "MainPID")
    }

    /// The pid, in the system, of papad's server.
    pub(crate) fn server(&self) -> String {
        let script = "for process in /proc/[0-9]*; do \
            case \"$(tr '\\0' ' ' 2>/dev/null <$process/cmdline)\" in \
            'papad: server'*) echo ${process#/proc/};; esac; done";
        let mut servers = String::new();
        eventually("papad has one server", || {
            servers = self.run(script);
            !servers.is_empty() && !servers.contains('\n')
        });
        servers
    }

    /// Does something that ends papad, and waits until systemd has started another.
    #[track_caller]
    pub(crate) fn replace_papad(&self, by: &str) {
        let before = self.keeper();
        self.run(by);
        eventually("there is another papad", || self.keeper() != before && self.active()[0]);
    }

    /// A session over papad's Unix socket, ready for commands.
    pub(crate) fn session(&self) -> Session {
        let mut session = Session::over(self.connect().unwrap().into());
        session.expect(BANNER);
        session
    }

    /// A connection to papad's Unix socket.
    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.path("/run/papad.sock"))
    }

    /// What the journal has of papad since the system was booted, without what comes before each
    /// message.
    pub(crate) fn journal(&self, options: &str) -> String {
        self.run(&format!("journalctl --sync; journalctl -b -u papad -q -o cat {options}"))
    }

    /// Reboots the system in order.
    pub(crate) fn reboot(&mut self) {
        // systemd may end before it has answered.
        self.try_run("systemctl reboot");
        let ended = self.nspawn.wait().unwrap();
        assert_eq!(ended.code(), Some(REBOOT), "{}", self.console());
        (self.nspawn, self.leader) = start(&self.root, &self.scratch, &self.name);
    }

    /// What the system has written to its console.
    fn console(&self) -> String {
        fs::read_to_string(self.scratch.join("console")).unwrap()
    }
}

/// Boots a system. Returns systemd-nspawn and the pid of the system's first process.
fn start(root: &Root, scratch: &ScratchDir, name: &str) -> (Child, i32) {
    let told_at = scratch.join("notify");
    // A former boot's.
    let _ = fs::remove_file(&told_at);
    let told = UnixDatagram::bind(&told_at).unwrap();
    told.set_read_timeout(Some(DEADLINE)).unwrap();
    fs::create_dir_all(cgroups().expect("a system that can be booted").join(name)).unwrap();
    let console = File::options().create(true).append(true).open(scratch.join("console")).unwrap();
    let mut nspawn = mounting(root, scratch, &[MOUNT, BOOT].concat())
        .arg(name)
        .env("NOTIFY_SOCKET", &told_at)
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap();
    let mut message = [0; 4096];
    let mut is_ready = false;
    while !is_ready {
        let Ok(length) = told.recv(&mut message) else {
            let _ = nspawn.kill();
            let _ = nspawn.wait();
            panic!("not booted: {}", fs::read_to_string(scratch.join("console")).unwrap());
        };
        is_ready = String::from_utf8_lossy(&message[..length]).lines().any(|it| it == "READY=1");
    }
    let group = cgroups().expect("the system has one").join(name);
    let processes = fs::read_to_string(group.join("payload/init.scope/cgroup.procs")).unwrap();
    let leader = processes.lines().find(|pid| is_first(pid)).expect("systemd is in its own group");
    (nspawn, leader.parse().expect("a pid is a number"))
}

/// Whether a process is the first one in its namespace of pids.
fn is_first(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            let (_, journal) = self.try_run("journalctl -b -q -n 200; systemctl status papad");
            eprintln!("{} in the end:\n{journal}\n{}", self.root.release, self.console());
        }
        // Everything in the system is in its namespace of pids, and dies with its first process.
        let _ = kill(Pid::from_raw(self.leader), Signal::SIGKILL);
        let _ = self.nspawn.wait();
        remove_cgroup(&self.cgroup());
    }
}

/// Removes a control group and those below it. A moment passes until those that were killed have
/// left it; where that takes too long, an empty group is left, which costs nothing.
fn remove_cgroup(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&below.path());
        }
    }
    let until = Instant::now() + Duration::from_secs(5);
    while group.exists() && fs::remove_dir(group).is_err() && Instant::now() < until {
        thread::sleep(Duration::from_millis(2));
    }
}
