//! Every option of `make process`: what it becomes, and what is said when it is wrong.

use papa_protocol::command::{Command, parse};
use papa_protocol::options::{Limit, MAX_BUFSIZE, ProcessOptions, Resource, Stderr, Stdout};
use papa_protocol::words;

fn run(line: &str) -> Result<Command, String> {
    parse(words::split(line.as_bytes())).map_err(|error| error.to_string())
}

fn process(options: &str) -> ProcessOptions {
    match run(&format!("make process p {options} /bin/true")) {
        Ok(Command::MakeProcess(made)) => made.options,
        other => panic!("{options}: {other:?}"),
    }
}

fn process_error(options: &str) -> String {
    match run(&format!("make process p {options} /bin/true")) {
        Ok(command) => panic!("{options}: should be refused: {command:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_process_has_defaults() {
    let options = process("");
    assert_eq!(options, ProcessOptions::default());
    assert_eq!((options.stdout, options.stderr), (Stdout::Keep, Stderr::Keep));
    assert_eq!(process("uid= gid= working_dir="), ProcessOptions::default());
}

#[test]
fn process_options_become_what_they_say() {
    let options = process(
        "uid=www gid=33 working_dir=sub/dir bufsize=64k stdout=0 stderr=stdout watch=1 shell=True \
         env.PATH=/bin env.EMPTY= env.a.b=c=d rlimit.nofile=1024 rlimit.CORE=-1",
    );
    let expected = ProcessOptions {
        uid: Some(b"www".to_vec()),
        gid: Some(b"33".to_vec()),
        working_dir: Some(b"sub/dir".to_vec()),
        bufsize: Some(65_536),
        stdout: Stdout::Null,
        stderr: Stderr::Merge,
        watch: true,
        shell: true,
        env: [("PATH", "/bin"), ("EMPTY", ""), ("a.b", "c=d")]
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .into(),
        rlimits: [
            (Resource::Nofile, Limit::both(1024)),
            (Resource::Core, Limit::both(Limit::UNLIMITED)),
        ]
        .into(),
        ..ProcessOptions::default()
    };
    assert_eq!(options, expected);
    assert_eq!(process("stderr=0").stderr, Stderr::Null);
    assert_eq!(process("stdout=1 stderr=1 watch=0 shell=False"), ProcessOptions::default());
}

#[test]
fn a_value_that_ends_in_a_backslash_comes_in_quotes() {
    let options = process(r#"working_dir="/a\" env.X="\" env.Y=""#);
    assert_eq!(options.working_dir, Some(br"/a\".to_vec()));
    assert_eq!(options.env[b"X".as_slice()], br"\");
    assert_eq!(options.env[b"Y".as_slice()], b"\"", "a lone quote stays");
}

#[test]
fn bufsize_has_a_greatest_value() {
    assert_eq!(process("bufsize=0").bufsize, Some(0));
    assert_eq!(process("bufsize=64g").bufsize, Some(MAX_BUFSIZE));
    assert_eq!(process_error("bufsize=65g"), r#"Bad bufsize "65g": it must not be above 64g"#);
    for text in ["x", "", "-1", "1t", "99999999999999999999"] {
        assert_eq!(process_error(&format!("bufsize={text}")), format!("Bad bufsize \"{text}\""));
    }
}

#[test]
fn a_resource_has_one_name_in_any_case() {
    let names = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio \
                 rttime sigpending stack";
    for name in names.split_ascii_whitespace() {
        for spelling in [name.to_string(), name.to_ascii_uppercase()] {
            let resource = Resource::parse(spelling.as_bytes()).map(Resource::as_str);
            assert_eq!(resource, Some(name), "{spelling}");
        }
    }
    assert_eq!(Resource::parse(b"OFile"), Some(Resource::Nofile));
    assert_eq!(process_error("rlimit.x=1"), r#"Unknown rlimit "x""#);
    assert_eq!(process_error("rlimit.=1"), r#"Unknown rlimit """#);
}

#[test]
fn an_rlimit_is_an_integer() {
    let limit = |value: &str| process(&format!("rlimit.cpu={value}")).rlimits[&Resource::Cpu];
    assert_eq!(limit("0"), Limit::both(0));
    assert_eq!(limit("1_000"), Limit::both(1_000));
    assert_eq!(limit("-1"), Limit::both(Limit::UNLIMITED));
    assert_eq!(limit("18446744073709551615"), Limit::both(Limit::UNLIMITED));
    for text in ["x", "", "1k", "1.5", "1:2", "unlimited"] {
        let said = process_error(&format!("rlimit.NoFile={text}"));
        let expected =
            format!("The rlimit value for \"NoFile\" must be an integer, not \"{text}\"");
        assert_eq!(said, expected);
    }
    for text in ["-2", "18446744073709551616"] {
        let said = process_error(&format!("rlimit.cpu={text}"));
        assert_eq!(said, format!("The rlimit value for \"cpu\" is out of range: {text}"));
    }
}

#[test]
fn nothing_is_given_twice() {
    assert_eq!(process_error("uid=1 uid=1"), r#"Option "uid" is given twice"#);
    assert_eq!(process_error("env.A=1 env.A=2"), r#"Option "env.A" is given twice"#);
    assert_eq!(
        process_error("rlimit.nofile=1 rlimit.ofile=1"),
        r#"Option "rlimit.ofile" is given twice"#
    );
}

#[test]
fn other_process_options_are_refused_by_name() {
    assert_eq!(process_error("bogus=1"), r#"Unknown option "bogus" for make process"#);
    assert_eq!(process_error("port=1"), r#"Unknown option "port" for make process"#);
    assert_eq!(process_error("env=1"), r#"Unknown option "env" for make process"#);
    assert_eq!(process_error("stdout=x"), r#"stdout must be 0 or 1, not "x""#);
    assert_eq!(process_error("stderr=2"), r#"stderr must be 0, 1 or stdout, not "2""#);
    assert_eq!(process_error("watch=2"), r#"watch must be 0 or 1, not "2""#);
    assert_eq!(process_error("shell="), r#"shell must be 0 or 1, not """#);
    assert_eq!(process_error("env.=1"), "An environment variable requires a name");
}

#[test]
fn what_protocol_2_adds_is_unknown_here() {
    for key in ["umask", "overflow", "linger", "listen", "inherit", "dir"] {
        let said = process_error(&format!("{key}=1"));
        assert_eq!(said, format!("Unknown option \"{key}\" for make process"));
    }
}

#[test]
fn a_nul_byte_cannot_be_handed_to_the_system() {
    for key in ["uid", "gid", "working_dir"] {
        let said = process_error(&format!("{key}=a\0b"));
        assert_eq!(said, format!("{key} must not contain a NUL byte"));
    }
    assert_eq!(process_error("env.A\0=1"), "The environment must not contain a NUL byte");
    assert_eq!(process_error("env.A=1\0"), "The environment must not contain a NUL byte");
}
