//! Every option of `make` in protocol 2: what it becomes, how it is written, and what is said
//! when it is wrong.

use papa_protocol::exact::{Code, MakeProcess, MakeSocket, Request, parse};
use papa_protocol::options::{
    Family, Limit, MAX_BACKLOG, MAX_BUFSIZE, MAX_LINGER_MS, Overflow, ProcessOptions, Replace,
    Resource, SocketAddress, SocketOptions, SocketType, Stderr, Stdout,
};

fn refusal(line: &str) -> String {
    match parse(line.as_bytes()) {
        Err(failure) => {
            assert_eq!(failure.code, Code::Usage, "{failure}");
            failure.to_string()
        }
        other => panic!("{line} should be refused: {other:?}"),
    }
}

fn socket(options: &str) -> SocketOptions {
    match parse(format!("make socket web {options}").as_bytes()) {
        Ok(Some(Request::MakeSocket(MakeSocket { options, .. }))) => options,
        other => panic!("{options}: {other:?}"),
    }
}

fn socket_refusal(options: &str) -> String {
    refusal(&format!("make socket web {options}"))
}

fn process(options: &str) -> ProcessOptions {
    match parse(format!("make process web {options} -- /bin/true").as_bytes()) {
        Ok(Some(Request::MakeProcess(request))) => request.options,
        other => panic!("{options}: {other:?}"),
    }
}

fn process_refusal(options: &str) -> String {
    refusal(&format!("make process web {options} -- /bin/true"))
}

fn written(request: &Request) -> String {
    String::from_utf8_lossy(&request.line().into_bytes()).into_owned()
}

fn path(path: &str, umask: Option<u32>) -> SocketAddress {
    SocketAddress::Path { path: path.as_bytes().to_vec(), umask }
}

fn names(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

#[test]
fn a_socket_has_defaults_and_is_written_with_them() {
    let options = socket("");
    let (reuseport, v6only) = (false, false);
    let address = SocketAddress::Host { host: None, port: 0, interface: None, reuseport, v6only };
    let expected = SocketOptions {
        family: Family::Inet,
        socket_type: SocketType::Stream,
        backlog: MAX_BACKLOG,
        address,
    };
    assert_eq!(options, expected);
    let request = Request::MakeSocket(MakeSocket { name: b"web".to_vec(), options });
    assert_eq!(
        written(&request),
        "make socket web family=inet type=stream backlog=2147483647 port=0"
    );
}

#[test]
fn socket_options_become_what_they_say_and_are_written_so() {
    for line in [
        "make socket web family=inet6 type=dgram backlog=0 host=::1 port=65535 interface=lo \
         reuseport=1 v6only=1",
        "make socket log family=unix type=dgram backlog=5 path=@log",
        "make socket db family=unix type=seqpacket backlog=2147483647 path=/run/db umask=0022",
        "make socket db family=unix type=stream backlog=5 \"path=/a b\\n\" umask=0777",
    ] {
        match parse(line.as_bytes()) {
            Ok(Some(request)) => assert_eq!(written(&request), line),
            other => panic!("{line}: {other:?}"),
        }
    }
    assert_eq!(socket("path=/run/x").family, Family::Unix);
    assert_eq!(socket("path=/run/x").address, path("/run/x", None));
    assert_eq!(socket("reuseport=0 port=0"), socket(""));
}

#[test]
fn a_umask_is_octal() {
    for (text, umask) in [("0", 0), ("22", 0o22), ("022", 0o22), ("0777", 0o777)] {
        assert_eq!(socket(&format!("path=/x umask={text}")).address, path("/x", Some(umask)));
        assert_eq!(process(&format!("umask={text}")).umask, Some(umask));
    }
    for text in ["", "8", "0o22", "1000", "-1", "+1", "77777777777777777777"] {
        let said = format!("umask= must be octal, from 0 to 0777, not \"{text}\"");
        assert_eq!(socket_refusal(&format!("path=/x umask={text}")), said);
        assert_eq!(process_refusal(&format!("umask={text}")), said);
    }
}

#[test]
fn a_wrong_socket_option_is_answered_with_what_would_be_right() {
    for (options, said) in [
        ("family=ipv4", r#"family= must be unix, inet or inet6, not "ipv4""#),
        ("type=tcp", r#"type= must be stream, dgram, raw, rdm or seqpacket, not "tcp""#),
        ("backlog=-1", r#"backlog= must be a number from 0 to 2147483647, not "-1""#),
        (
            "backlog=2147483648",
            r#"backlog= must be a number from 0 to 2147483647, not "2147483648""#,
        ),
        ("port=65536", r#"port= must be a number from 0 to 65535, not "65536""#),
        ("port=8_0", r#"port= must be a number from 0 to 65535, not "8_0""#),
        ("port=+80", r#"port= must be a number from 0 to 65535, not "+80""#),
        ("reuseport=True", r#"reuseport= must be 0 or 1, not "True""#),
        ("host=", "host= must not be empty; leave it out for none"),
        (r#""host=a\x00""#, "host= must not contain a NUL byte"),
        ("interface=", "interface= must not be empty; leave it out for none"),
        ("interface=0123456789abcdef", "interface must not be longer than 15 bytes"),
        ("path=x", "Absolute path required for Unix sockets"),
        ("family=unix", "Absolute path required for Unix sockets"),
        ("path=/x/", "The path must name a file, not end in \"/\""),
        (r#""path=/\x00""#, "path must not contain a NUL byte"),
        ("path=@", "path=@ must have a name after the \"@\""),
        (r#""path=@a\x00""#, "path must not contain a NUL byte"),
        ("path=@a umask=0", "umask= must not be given with path=@NAME, which is no file"),
        ("v6only=1", "v6only= must be given for family=inet6 only"),
        ("path=/x v6only=1", "v6only= must not be given for family=unix"),
        ("family=inet6 v6only=yes", r#"v6only= must be 0 or 1, not "yes""#),
        ("path=/x port=1", "port= must not be given for family=unix"),
        ("family=inet path=/x", "path= must be given for family=unix only"),
        ("umask=022", "umask= must be given for family=unix only"),
        ("port=1 port=1", "port= must be given once only"),
        ("80", "This request is written: make socket NAME [KEY=VALUE...]"),
        (
            "prot=80",
            "There is no prot= for make socket; its options are: family=, type=, backlog=, \
             path=, umask=, host=, port=, interface=, reuseport= and v6only=",
        ),
    ] {
        assert_eq!(socket_refusal(options), said, "{options}");
    }
}

#[test]
fn a_process_has_defaults_and_is_written_without_them() {
    assert_eq!(process(""), ProcessOptions::default());
    let by_default = "overflow=drop stdout=keep stderr=keep shell=0";
    assert_eq!(process(by_default), ProcessOptions::default());
    let request = Request::MakeProcess(Box::new(MakeProcess {
        name: b"web".to_vec(),
        options: ProcessOptions::default(),
        command: names(&["/bin/true"]),
    }));
    assert_eq!(written(&request), "make process web -- /bin/true");
}

#[test]
fn process_options_become_what_they_say() {
    let options = process(
        "uid=www gid=33 dir=sub/dir umask=027 bufsize=64k overflow=block stdout=null \
         stderr=stdout linger=3600000 shell=1 listen=web,db inherit=a=b,log replace=taken \
         rlimit.nofile=1024 rlimit.core=unlimited rlimit.cpu=1:2 env.A=b=c env.EMPTY= \"env. x=\\n\"",
    );
    let expected = ProcessOptions {
        uid: Some(b"www".to_vec()),
        gid: Some(b"33".to_vec()),
        working_dir: Some(b"sub/dir".to_vec()),
        bufsize: Some(64 << 10),
        stdout: Stdout::Null,
        stderr: Stderr::Merge,
        watch: false,
        shell: true,
        env: [("A", "b=c"), ("EMPTY", ""), (" x", "\n")]
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .into(),
        rlimits: [
            (Resource::Nofile, Limit::both(1024)),
            (Resource::Core, Limit::both(Limit::UNLIMITED)),
            (Resource::Cpu, Limit { soft: 1, hard: 2 }),
        ]
        .into(),
        umask: Some(0o27),
        overflow: Overflow::Block,
        linger_ms: Some(MAX_LINGER_MS),
        listen: names(&["web", "db"]),
        inherit: names(&["a=b", "log"]),
        replace: Some(Replace::Taken),
    };
    assert_eq!(options, expected);
    assert_eq!(process("working_dir=/x"), process("dir=/x"));
    assert_eq!(process("stderr=null").stderr, Stderr::Null);
    assert_eq!(process("bufsize=64g").bufsize, Some(MAX_BUFSIZE));
}

#[test]
fn process_options_are_written_as_they_are_read() {
    let line = "make process web uid=www gid=33 \"dir=/a b\" umask=0027 bufsize=65536 \
                overflow=block stdout=null stderr=null linger=0 shell=1 listen=web,db \
                inherit=log replace=ended rlimit.cpu=1:unlimited rlimit.nofile=1024 env.A=b=c \
                \"env.B=\\xff\" -- /bin/sh \"\" -- a=b \"\\n\\\\\"";
    match parse(line.as_bytes()) {
        Ok(Some(request)) => assert_eq!(written(&request), line),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_dashes_stand_before_the_command() {
    let form = "This request is written: make process NAME [KEY=VALUE...] -- COMMAND [ARGUMENT...]";
    for line in [
        "make process",
        "make process web",
        "make process web shell=1",
        "make process web /bin/true",
        "make process web --",
        "make process web shell=1 /bin/true -- x",
    ] {
        assert_eq!(refusal(line), form, "{line}");
    }
    assert_eq!(
        refusal("make process web -- \"a\\x00\""),
        "The command must not contain a NUL byte"
    );
}

#[test]
fn a_wrong_process_option_is_answered_with_what_would_be_right() {
    for (options, said) in [
        ("uid=", "uid= must not be empty; leave it out for none"),
        (r#""gid=a\x00""#, "gid= must not contain a NUL byte"),
        ("working_dir=", "dir= must not be empty; leave it out for none"),
        ("bufsize=65g", r#"bufsize= must be a size from 0 to 64g, not "65g""#),
        ("bufsize=", r#"bufsize= must be a size from 0 to 64g, not """#),
        ("overflow=stop", r#"overflow= must be drop or block, not "stop""#),
        ("stdout=1", r#"stdout= must be keep or null, not "1""#),
        ("stderr=stderr", r#"stderr= must be keep, null or stdout, not "stderr""#),
        ("linger=3600001", r#"linger= must be from 0 to 3600000 milliseconds, not "3600001""#),
        ("linger=1s", r#"linger= must be from 0 to 3600000 milliseconds, not "1s""#),
        ("replace=1", r#"replace= must be taken or ended, not "1""#),
        ("shell=True", r#"shell= must be 0 or 1, not "True""#),
        ("env.=x", "An environment variable must have a name: env.NAME=VALUE"),
        (r#""env.A=\x00""#, "The environment must not contain a NUL byte"),
        ("env.A=1 env.A=2", "env.A= must be given once only"),
        ("listen=", r#"listen= must be names of sockets with single commas between them, not """#),
        (
            "inherit=a,,b",
            r#"inherit= must be names of sockets with single commas between them, not "a,,b""#,
        ),
        ("listen=a,b,a", "listen= must name a socket once, not twice: a"),
        (
            "rlimit.cpu=2:1",
            "rlimit.cpu= must be N, SOFT:HARD or unlimited, the soft limit not above the hard \
             one, not \"2:1\"",
        ),
        (
            "rlimit.CPU=1",
            "rlimit.CPU= is none; a limit's name must be one of: as, core, cpu, data, fsize, \
             locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, \
             stack",
        ),
        (
            "watch=1",
            "There is no watch= for make process; its options are: uid=, gid=, dir=, umask=, \
             bufsize=, overflow=, stdout=, stderr=, linger=, shell=, listen=, inherit=, \
             replace=, env.NAME= and rlimit.NAME=",
        ),
    ] {
        assert_eq!(process_refusal(options), said, "{options}");
    }
    assert!(process_refusal("rlimit.ofile=1").starts_with("rlimit.ofile= is none; "));
}

#[test]
fn process_options_that_contradict_each_other_are_refused() {
    for (options, said) in [
        ("dir=/ working_dir=/", "dir= and working_dir= are one: give one only"),
        ("overflow=block bufsize=0", "overflow=block must not be given with bufsize=0"),
        (
            "listen=a:b",
            "A socket in listen= must not have a \":\" in its name, which LISTEN_FDNAMES cannot \
             hold: a:b",
        ),
        ("listen=a,b inherit=c,b", "A socket must be in listen= or in inherit=, not in both: b"),
        (
            "listen=a env.LISTEN_FDS=1",
            "env.LISTEN_FDS= must not be given with listen=, which sets it",
        ),
    ] {
        assert_eq!(process_refusal(options), said, "{options}");
    }
    assert_eq!(process("inherit=a:b").inherit, names(&["a:b"]));
    assert!(process("env.LISTEN_FDS=1").env.contains_key(b"LISTEN_FDS".as_slice()));
}
