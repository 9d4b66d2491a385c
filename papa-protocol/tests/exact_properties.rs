//! What holds for any request, answer and frame of protocol 2, and for any bytes at all.

use papa_protocol::exact::{
    AckTo, Code, Condition, End, Ended, Failure, Fetched, Fields, Frame, From, Hello, Line,
    MAX_WINDOW, MIN_WINDOW, MakeProcess, MakeSocket, Mode, ReplyHead, Request, ServerLine, Set,
    Watch, WatchRequest, parse, parse_in_watch, parse_reply_head, parse_server_line, write_error,
};
use papa_protocol::frame::{Stream, Time};
use papa_protocol::name::{self, Noun, Patterns};
use papa_protocol::options::{
    Family, Limit, MAX_BUFSIZE, MAX_LINGER_MS, Overflow, ProcessOptions, Replace, Resource,
    SocketAddress, SocketOptions, SocketType, Stderr, Stdout,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes that are likely to be special somewhere, among others that are not.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![4 => select(&b" \\\"\n\r\t\x00=*:,-.x1"[..]), 1 => any::<u8>()]
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    vec(byte(), 0..12)
}

/// Words that mean something somewhere, among any others.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let special =
        select(vec!["*", "--", "mode=peek", "absent", "if=absent", "closed", "ok", "end"]);
    prop_oneof![3 => word(), 1 => special.prop_map(|text| text.as_bytes().to_vec())]
}

/// A name that something new may have.
fn new_name(noun: Noun) -> impl Strategy<Value = Vec<u8>> {
    vec(byte(), 1..12).prop_filter("it may not be a new name", move |name| {
        name::check(noun, name).is_ok() && !name.ends_with(b"*")
    })
}

/// Text that goes into a system call.
fn c_text() -> impl Strategy<Value = Vec<u8>> {
    vec(byte().prop_filter("a NUL byte", |&byte| byte != 0), 1..12)
}

fn noun() -> impl Strategy<Value = Noun> {
    select(vec![Noun::Socket, Noun::Process, Noun::Value])
}

fn patterns() -> impl Strategy<Value = Patterns> {
    vec(name(), 0..5).prop_map(Patterns::new)
}

fn umask() -> impl Strategy<Value = Option<u32>> {
    option::of(0_u32..=0o777)
}

fn socket_options() -> impl Strategy<Value = SocketOptions> {
    let types = ["stream", "dgram", "raw", "rdm", "seqpacket"];
    let socket_type =
        select(types.to_vec()).prop_filter_map("a type", |text| SocketType::parse(text.as_bytes()));
    let host = (option::of(c_text()), any::<u16>(), option::of(c_text()), any::<bool>());
    let inet = (select(vec![Family::Inet, Family::Inet6]), host, any::<bool>()).prop_map(
        |(family, (host, port, interface, reuseport), only)| {
            let v6only = only && family == Family::Inet6;
            (family, SocketAddress::Host { host, port, interface, reuseport, v6only })
        },
    );
    let path = (c_text(), umask()).prop_map(|(name, umask)| {
        let address = SocketAddress::Path { path: [b"/", &name[..], b"x"].concat(), umask };
        (Family::Unix, address)
    });
    let name = c_text().prop_map(|name| {
        let address = SocketAddress::Path { path: [b"@", &name[..], b"x"].concat(), umask: None };
        (Family::Unix, address)
    });
    let backlog = 0..=i32::MAX.cast_unsigned();
    (prop_oneof![inet, path, name], socket_type, backlog).prop_map(
        |((family, address), socket_type, backlog)| SocketOptions {
            family,
            socket_type,
            backlog,
            address,
        },
    )
}

fn limit() -> impl Strategy<Value = Limit> {
    let value = || prop_oneof![any::<u64>(), Just(Limit::UNLIMITED), 0..9_u64];
    (value(), value()).prop_map(|(a, b)| Limit { soft: a.min(b), hard: a.max(b) })
}

/// Names for `listen=` and `inherit=`: none in both.
fn socket_names() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Vec<u8>>)> {
    let name = vec(byte().prop_filter("it separates", |byte| !b",:".contains(byte)), 1..6);
    (btree_set(name, 0..6), any::<prop::sample::Index>()).prop_map(|(names, at)| {
        let mut listen: Vec<_> = names.into_iter().collect();
        let inherit = listen.split_off(at.index(listen.len() + 1));
        (listen, inherit)
    })
}

fn process_options() -> impl Strategy<Value = ProcessOptions> {
    let resources = ["as", "core", "cpu", "nofile", "sigpending", "stack"];
    let resource = select(resources.to_vec())
        .prop_filter_map("a resource", |text| Resource::parse(text.as_bytes()));
    let env_name = vec(byte().prop_filter("it ends the name", |byte| !b"\0=".contains(byte)), 1..6);
    let env_value = vec(byte().prop_filter("a NUL byte", |&byte| byte != 0), 0..12);
    let first = (
        option::of(c_text()),
        option::of(c_text()),
        option::of(c_text()),
        option::of(1..=MAX_BUFSIZE),
        select(vec![Stdout::Keep, Stdout::Null]),
        select(vec![Stderr::Keep, Stderr::Null, Stderr::Merge]),
        any::<bool>(),
    );
    let second = (
        btree_map(env_name, env_value, 0..4),
        btree_map(resource, limit(), 0..4),
        umask(),
        select(vec![Overflow::Drop, Overflow::Block]),
        option::of(0..=MAX_LINGER_MS),
        socket_names(),
        option::of(select(vec![Replace::Taken, Replace::Ended])),
    );
    (first, second).prop_map(|(first, second)| {
        let (uid, gid, working_dir, bufsize, stdout, stderr, shell) = first;
        let (env, rlimits, umask, overflow, linger_ms, (listen, inherit), replace) = second;
        ProcessOptions {
            uid,
            gid,
            working_dir,
            bufsize,
            stdout,
            stderr,
            watch: false,
            shell,
            env,
            rlimits,
            umask,
            overflow,
            linger_ms,
            listen,
            inherit,
            replace,
        }
    })
}

fn set() -> impl Strategy<Value = Set> {
    let condition =
        prop_oneof![Just(Condition::Any), Just(Condition::Absent), name().prop_map(Condition::Is),];
    (new_name(Noun::Value), name(), condition, any::<bool>()).prop_map(
        |(name, value, condition, for_session)| Set { name, value, condition, for_session },
    )
}

fn watch() -> impl Strategy<Value = Watch> {
    let from =
        prop_oneof![Just(From::Oldest), Just(From::Newest), any::<u64>().prop_map(From::Position),];
    let mode = select(vec![Mode::Take, Mode::Peek]);
    let window = MIN_WINDOW..=MAX_WINDOW;
    let id = option::of(any::<u64>());
    (vec(name(), 1..4), mode, from, any::<bool>(), any::<bool>(), window, id)
        .prop_map(|(names, mode, from, follow, data, window, id)| Watch {
            names,
            mode,
            from,
            follow,
            data,
            window,
            id,
        })
        .prop_filter("a position and an id are one process's", |watch| {
            !(matches!(watch.from, From::Position(_)) || watch.id.is_some())
                || (watch.names.len() == 1 && !watch.names[0].ends_with(b"*"))
        })
}

fn request() -> impl Strategy<Value = Request> {
    let make_process = (new_name(Noun::Process), process_options(), vec(c_text(), 1..5)).prop_map(
        |(name, options, command)| {
            Request::MakeProcess(Box::new(MakeProcess { name, options, command }))
        },
    );
    prop_oneof![
        select(vec![Request::Help, Request::Status, Request::ExitIfIdle, Request::Quit]),
        (noun(), patterns()).prop_map(|(noun, names)| Request::List { noun, names }),
        (noun(), patterns()).prop_map(|(noun, names)| Request::Remove { noun, names }),
        patterns().prop_map(|names| Request::ListPrevious { names }),
        patterns().prop_map(|names| Request::ListMembers { names }),
        patterns().prop_map(|names| Request::RemovePrevious { names }),
        (new_name(Noun::Socket), socket_options())
            .prop_map(|(name, options)| Request::MakeSocket(MakeSocket { name, options })),
        make_process,
        name().prop_map(|name| Request::ShowProcess { name }),
        name().prop_map(|name| Request::Get { name }),
        set().prop_map(Request::Set),
        (name(), option::of(name()))
            .prop_map(|(name, condition)| Request::Unset { name, condition }),
        watch().prop_map(Request::Watch),
        new_name(Noun::Socket).prop_map(|name| Request::AdoptSocket { name }),
        (select(vec![Fetched::Socket, Fetched::Pidfd]), name())
            .prop_map(|(what, name)| Request::Fetch { what, name }),
    ]
}

fn watch_request() -> impl Strategy<Value = WatchRequest> {
    let to = prop_oneof![any::<u64>().prop_map(AckTo::Position), Just(AckTo::Closed)];
    prop_oneof![
        (name(), to).prop_map(|(name, to)| WatchRequest::Ack { name, to }),
        watch().prop_map(WatchRequest::Watch),
        Just(WatchRequest::Stop),
    ]
}

/// A position and a length whose sum can be counted.
fn range() -> impl Strategy<Value = (u64, u64)> {
    any::<u64>().prop_flat_map(|position| (Just(position), 0..=u64::MAX - position))
}

fn frame() -> impl Strategy<Value = Frame> {
    let time = || any::<u64>().prop_map(Time);
    let stream = select(vec![Stream::Out, Stream::Err]);
    let end = prop_oneof![
        any::<i32>().prop_map(End::Exit),
        any::<i32>().prop_map(End::Signal),
        Just(End::Unknown),
    ];
    prop_oneof![
        (name(), stream, range(), time()).prop_map(|(name, stream, (position, length), time)| {
            Frame::Data { name, stream, position, time, length }
        }),
        (name(), range()).prop_map(|(name, (position, bytes))| Frame::Lost {
            name,
            position,
            bytes
        }),
        (name(), any::<u64>(), time(), end).prop_map(|(name, position, time, end)| Frame::Closed {
            name,
            position,
            time,
            end
        }),
        (name(), any::<u64>(), any::<i32>()).prop_map(|(name, id, pid)| Frame::Joined {
            name,
            id,
            pid
        }),
        name().prop_map(|name| Frame::Removed { name }),
        select(vec![Frame::End(Ended::Stopped), Frame::End(Ended::Finished)]),
    ]
}

/// Lines that are nearly right: a request's, of which some bytes are others.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), byte()), 0..4);
    (request(), changes).prop_map(|(request, changes)| {
        let mut line = request.line().into_bytes();
        for (at, byte) in changes {
            let at = at.index(line.len());
            line[at] = byte;
        }
        line
    })
}

/// The line, which must be one: printable ASCII and a newline.
fn one_line(written: &[u8]) -> &[u8] {
    match written.strip_suffix(b"\n") {
        Some(line) if line.iter().all(|byte| (0x20..=0x7e).contains(byte)) => line,
        _ => panic!("{written:?} is not one line"),
    }
}

fn is_short_sentence(failure: &Failure) -> bool {
    !failure.what.is_empty()
        && failure.what.len() < 1000
        && !failure.what.contains(char::is_control)
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(request in request()) {
        let mut written = Vec::new();
        request.write(&mut written);
        prop_assert_eq!(parse(one_line(&written)), Ok(Some(request)));
    }

    #[test]
    fn what_is_said_in_a_watch_is_read_as_it_was_written(request in watch_request()) {
        let mut written = Vec::new();
        request.write(&mut written);
        prop_assert_eq!(parse_in_watch(one_line(&written)), Ok(Some(request)));
    }

    #[test]
    fn a_frame_is_read_as_it_was_written(frame in frame()) {
        let mut written = Vec::new();
        frame.write(&mut written);
        let line = one_line(&written);
        prop_assert_eq!(Frame::parse(line), Ok(frame.clone()));
        prop_assert_eq!(parse_server_line(line), Ok(ServerLine::Frame(frame)));
    }

    #[test]
    fn a_failure_is_read_as_it_was_written(what in any::<String>(), word in 0_usize..10) {
        let codes = "usage exists not-found denied limit spawn conflict busy gone internal";
        let code = codes.split(' ').nth(word).and_then(|word| Code::parse(word.as_bytes()));
        let failure = Failure::new(code.expect("a code"), what);
        let mut written = Vec::new();
        write_error(&mut written, &failure);
        let head = ReplyHead::Error(failure);
        prop_assert_eq!(parse_reply_head(one_line(&written)), Ok(head.clone()));
        prop_assert_eq!(parse_server_line(one_line(&written)), Ok(ServerLine::Reply(head)));
    }

    #[test]
    fn a_line_of_fields_is_read_as_it_was_built(
        pairs in btree_map("[a-z._]{0,6}", name(), 0..5),
        rest in option::of(vec(name(), 0..5)),
    ) {
        let line = pairs.iter().fold(Line::new(), |line, (key, value)| line.pair(key, value));
        let line = match &rest {
            Some(words) => line.rest(words),
            None => line,
        };
        let fields = Fields::parse(&line.into_bytes()).expect("a line of fields");
        for (key, value) in &pairs {
            prop_assert_eq!(fields.get(key), Some(value.as_slice()));
        }
        prop_assert_eq!(fields.pairs().count(), pairs.len());
        prop_assert_eq!(fields.rest(), rest.unwrap_or_default());
    }

    #[test]
    fn hello_is_read_as_it_was_written(
        version in any::<String>(),
        pid in 1..=i32::MAX,
        id in "[0-9a-f]{16}",
    ) {
        let hello = Hello { version, pid, id };
        let mut written = Vec::new();
        hello.write(&mut written);
        let line = written.strip_prefix(b"ok 1\n").expect("one line follows");
        prop_assert_eq!(Hello::parse(one_line(line)), Ok(hello));
    }

    #[test]
    fn a_line_is_a_request_that_is_written_again_or_a_short_sentence(line in nearly_a_request()) {
        match parse(&line) {
            Ok(None) => prop_assert!(line.iter().all(|byte| b" \r".contains(byte))),
            Ok(Some(request)) => {
                let again = request.line().into_bytes();
                prop_assert_eq!(parse(&again), Ok(Some(request)));
            }
            Err(failure) => {
                prop_assert_eq!(failure.code, Code::Usage);
                prop_assert!(is_short_sentence(&failure), "{}", failure);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_with_a_short_sentence(line in vec(byte(), 0..120)) {
        let refused = [
            parse(&line).err(),
            parse_in_watch(&line).err(),
            parse_reply_head(&line).err(),
            parse_server_line(&line).err(),
            Frame::parse(&line).err(),
            Fields::parse(&line).err(),
            Hello::parse(&line).err(),
        ];
        for failure in refused.into_iter().flatten() {
            prop_assert!(is_short_sentence(&failure), "{}", failure);
        }
    }
}
