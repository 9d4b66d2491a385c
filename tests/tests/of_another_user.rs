//! Everything that a process finds which root's papad runs as another user, and what it does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::process;

use nix::unistd::User;
use papad_tests::{
    Papad, ScratchDir, argument, copy_program, is_root, join_keyring_with_a_key, procfs,
};

/// A user of nobody else, whom the system's list of users has.
const USER: &str = "games";

/// What papad is started with for its children not to have: a directory closed to others,
/// variables, descriptors, ignored signals, and capabilities that a mere change of user leaves.
fn surroundings(closed: &str) -> String {
    format!(
        "umask 027; cd {closed}/open; export SECRET=1; exec 7<{closed}/open/secret; \
         trap '' PIPE HUP INT QUIT USR1 CHLD; \
         ulimit -S -n 300; ulimit -c 0; \
         exec nice -n 3 setpriv --inh-caps=+chown,+kill --ambient-caps=+chown,+kill --securebits=+no_setuid_fixup \
         \"$0\" \"$@\""
    )
}

/// What a process of these options says of itself.
fn look(papad: &Papad, program: &str, options: &str) -> BTreeMap<String, String> {
    let ran = papad.session().run(&format!("{options} {program}"));
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let pair = |line: &str| {
        let (what, how) = line.split_once(": ").or(line.split_once(':')).unwrap();
        (what.to_owned(), how.to_owned())
    };
    ran.text().lines().map(pair).collect()
}

fn lines(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(what, how)| ((*what).to_owned(), (*how).to_owned())).collect()
}

/// A papad whose surroundings are as hostile, and the path of the program that tells of its own.
fn start(scratch: &ScratchDir) -> Papad {
    let closed = scratch.join("closed");
    fs::create_dir_all(format!("{closed}/open")).unwrap();
    fs::write(format!("{closed}/open/secret"), "secret").unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    copy_program(env!("CARGO_BIN_EXE_surroundings").as_ref(), scratch.join("surroundings"));
    Papad::builder().after_shell(&surroundings(&closed)).start()
}

#[test]
fn nothing_of_roots_is_left_in_it() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let has_keyrings = join_keyring_with_a_key();
    let papad = start(&scratch);
    let program = scratch.join("surroundings");
    let own = process::id() as i32;
    let options = format!("uid={USER} env.A=1");
    let mut found = look(&papad, &program, &options);

    // What is inherited, whoever it runs as: it is the machine's, or the operator's wish.
    let inherited = |what: &str| procfs::status_field(own, what).unwrap();
    let file = |name: &str| {
        let text = fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        text.trim().replace('\n', " ")
    };
    let hard = |name: &str| procfs::limit(own, name).unwrap().1;
    for (what, how) in [
        ("CapBnd", inherited("CapBnd")),
        ("NoNewPrivs", inherited("NoNewPrivs")),
        ("Seccomp", inherited("Seccomp")),
        ("Cpus_allowed", inherited("Cpus_allowed")),
        ("Umask", "0027".to_owned()),
        ("Nice", "3".to_owned()),
        ("Securebits", "4".to_owned()),
        ("loginuid", file("loginuid")),
        ("cgroup", file("cgroup")),
        ("oom_score_adj", file("oom_score_adj")),
        ("Max open files", format!("300 {}", hard("Max open files"))),
        ("Max core file size", "0 0".to_owned()),
        ("Parent", papad.keeper_pid().to_string()),
    ] {
        assert_eq!(found.remove(what), Some(how), "{what}");
    }
    for name in fs::read_to_string("/proc/self/limits").unwrap().lines().skip(1) {
        let name = name.split_at(26).0.trim();
        if let Some(both) = found.remove(name) {
            let (soft, hard) = procfs::limit(own, name).unwrap();
            assert_eq!(both, format!("{soft} {hard}"), "{name}");
        }
    }

    if !has_keyrings {
        eprintln!("not looked for, because there are no keyrings here: a key");
        found.insert("Key".to_owned(), "ENOKEY".to_owned());
    }

    // All the rest, and that there is no more.
    let user = User::from_name(USER).unwrap().expect("Debian has this user");
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    let expected = lines(&[
        ("Descriptors", "0 /dev/null, 1 pipe, 2 pipe"),
        ("Uid", &[uid.as_str(); 4].join(" ")),
        ("Gid", &[gid.as_str(); 4].join(" ")),
        ("Groups", &gid),
        ("SigPnd", "0000000000000000"),
        ("SigBlk", "0000000000000000"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("Leads its group", "true"),
        ("Leads its session", "true"),
        ("Terminal", "0"),
        ("Signal at its parent's end", "0"),
        ("Can be traced", "1"),
        ("Key", "ENOKEY"),
        ("Directory", "/"),
        ("Root", "/"),
        ("Environment", "A=1"),
    ]);
    assert_eq!(found, expected);

    // grep, unlike the program above, ignores nothing by itself.
    let ignored = look(&papad, "/bin/grep ^SigIgn /proc/self/status", &options);
    assert_eq!(ignored, lines(&[("SigIgn", "\t0000000000000000")]));
}

#[test]
fn a_process_of_papads_own_user_has_papads_keys_and_directory() {
    if !is_root("adding capabilities") {
        return;
    }
    let scratch = ScratchDir::new();
    let has_keyrings = join_keyring_with_a_key();
    let papad = start(&scratch);
    let program = scratch.join("surroundings");
    for options in ["", "uid=0"] {
        let found = look(&papad, &program, options);
        assert_eq!(found["Directory"], scratch.join("closed/open"));
        assert_eq!(found["Key"] == "found", has_keyrings);
        assert_ne!(found["CapInh"], "0000000000000000");
    }
    // Another group alone changes nothing of that.
    let found = look(&papad, &program, "gid=nogroup");
    assert_eq!(found["Directory"], scratch.join("closed/open"));
    assert_eq!(found["Key"] == "found", has_keyrings);
}

#[test]
fn a_directory_that_was_asked_for_is_the_one() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let papad = Papad::start();
    let ran = papad.session().run(&format!("uid={USER} working_dir=/usr /bin/pwd"));
    assert_eq!(ran.text(), "/usr\n");
}

#[test]
fn its_output_can_be_opened_by_its_name() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let papad = Papad::start();
    let mut session = papad.session();
    let command = argument("echo a >/dev/stdout; echo b >/dev/stderr; echo c >/proc/self/fd/1");
    for (options, out) in [("", "a\nc\n"), ("stderr=stdout", "a\nb\nc\n")] {
        let ran = session.run(&format!("uid={USER} {options} /bin/sh -c {command}"));
        assert_eq!((ran.code, ran.text()), (Some(0), out), "{options}");
    }
    // papad's own user has pipes that are its own.
    let ran = session.run(&format!("uid=0 /bin/sh -c {command}"));
    assert_eq!(ran.code, Some(0), "{}", ran.text());
}
