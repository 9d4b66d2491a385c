//! The text of `help`.

/// The lines of `help`, for people: printable ASCII, at most 79 columns.
#[must_use]
pub fn help() -> Vec<&'static str> {
    TEXT.lines().collect()
}

const TEXT: &str = r#"papad keeps sockets, processes and values for programs that come and go.
This is its protocol 2.

Each line is one request, and each gets one answer, in order: "ok N" and N
lines, or: error CODE "what and why". CODE is one of usage, exists, not-found,
denied, limit, spawn, conflict, busy, gone, internal. Do not wait for an answer
if you have more to ask.

WORDS are separated by spaces. One with spaces in it stands in double quotes,
as a whole: "env.GREETING=hello world". In quotes \\ is a backslash, \" a
quote, \n \r \t a newline, return or tab, and \xHH any byte. "" is an empty
word. Nothing can be abbreviated, and upper and lower case differ.

NAME in list, remove and watch may end in *, which matches any rest.

Sockets
  make socket NAME [OPTION...]          bind it, or find it if it is there
  list sockets [NAME...]                show sockets
  remove sockets NAME...                close sockets
  adopt socket NAME                     take the socket sent with the line
  fetch socket NAME                     hand out a copy of its descriptor

  family=unix|inet|inet6    unix if there is a path, or else inet
  type=TYPE                 stream (default), dgram, raw, rdm or seqpacket
  backlog=N                 connections that may wait (default: as many as
                            the system allows)
  path=PATH                 unix: an absolute path, or @NAME for an abstract
                            socket
  umask=OCTAL               unix: permissions that the file does not get
  host=HOST                 inet, inet6: address or name (default: loopback)
  port=N                    inet, inet6: 0, the default, lets the system choose
  interface=DEVICE          inet, inet6: this network device only
  reuseport=1               inet, inet6: a socket of its own for each process
  v6only=1                  inet6: leave the port of IPv4 to others

Processes
  make process NAME [OPTION...] -- COMMAND [ARGUMENT...]
                                        start it, or find it if it is there
  list processes [NAME...]              show processes and how they ended
  list previous [NAME...]               show those that others have replaced
  list members [NAME...]                show all in their sessions (setsid(2))
  show process NAME                     show the request that makes it again
  remove processes NAME...              stop keeping output; they run on
  remove previous NAME...               stop keeping output of those replaced
  fetch pidfd NAME                      hand out a pidfd, to signal or wait

  uid=USER gid=GROUP        run as these, by number or name
  dir=DIR                   start here (working_dir= is the same)
  umask=OCTAL               its file mode creation mask
  bufsize=SIZE              output to keep: bytes, or with k, m or g; 0 is none
  overflow=drop|block       when that is full, drop the oldest (default), or
                            let the process wait
  stdout=keep|null          keep what it writes (default), or send it to
                            /dev/null
  stderr=keep|null|stdout   the same for stderr, or treat it as stdout
  linger=MILLISECONDS       how long after its exit output of its children is
                            waited for, at most an hour (default: 1000)
  env.NAME=VALUE            an environment variable; it gets no others
  rlimit.NAME=LIMIT         N, SOFT:HARD or unlimited; NAME is nofile, core...
  listen=SOCKET,...         these sockets at 3, 4...: see sd_listen_fds(3)
  inherit=SOCKET,...        these sockets at their own fileno
  shell=1                   let /bin/sh -c run the command
  replace=ended|taken       take the place of one of this name that has ended,
                            or of one that has and whose output was taken

  In the command and in values of env, $(socket.NAME.port) is the port of a
  socket, and $(socket.NAME.fileno) its number in the process.

Values
  set NAME VALUE [CONDITION] [for=session]
                                        store a value; with for=session until
                                        this session ends
  get NAME                              show a value
  unset NAME [CONDITION]                remove a value
  list values [NAME...]                 show values
  remove values NAME...                 remove values

  CONDITION is if=OLD: only if the value is OLD, or for set if=absent: only if
  there is none. old=OLD is for any OLD, the text "absent" too.

Watching
  watch NAME... [OPTION...]             read what processes write, and how they
                                        end; a NAME with "=" comes after --

  mode=take|peek            what you acknowledge is dropped (default), or only
                            look
  from=oldest|newest|N      begin with the oldest output kept (default), with
                            what is new, or at a position (one NAME only)
  follow=no                 end when all that is there now is sent
  data=no                   only say how processes end
  window=SIZE               how much is sent ahead of what you acknowledge,
                            4k to 64m (default: 1m)
  id=ID                     this process of the name, also if another has
                            replaced it

  After the answer these come, as they happen:
    data NAME out|err POSITION NANOSECONDS LENGTH     LENGTH bytes follow
    lost NAME POSITION BYTES                          not kept any more
    closed NAME POSITION NANOSECONDS exit CODE        or signal N, or unknown 0
    joined NAME ID PID                                a new one that matches
    removed NAME                                      somebody removed it
    end stopped|finished                              the watch is over
  POSITION counts a process's output in bytes. Meanwhile you may say:
    ack NAME POSITION                   all before POSITION is taken
    ack NAME closed                     all is taken, and the end is known
    watch NAME... [OPTION...]           watch these, too
    stop                                stop watching

papad
  status                                how papad is, and who speaks with it
  upgrade [PATH]                        have a new version take over
  exit-if-idle                          end papad if it holds nothing
  quit                                  end this session
  help                                  this
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_fit_for_a_terminal() {
        for line in help() {
            assert!(line.len() <= 79 && !line.ends_with(' '), "{line}");
            assert!(line.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{line}");
        }
    }

    #[test]
    fn every_request_is_named() {
        let requests = "make socket,list sockets,remove sockets,adopt socket,fetch socket,\
                        make process,list processes,list previous,list members,show process,\
                        remove previous,remove processes,fetch pidfd,\
                        set,get,unset,list values,remove values,watch,status,upgrade,exit-if-idle,quit,\
                        help";
        for request in requests.split(',') {
            let beginning = format!("  {request}");
            let is_named = |line: &str| {
                line.strip_prefix(&beginning).is_some_and(|rest| rest.starts_with(' '))
            };
            assert!(help().into_iter().any(is_named), "{request}");
        }
    }

    #[test]
    fn every_option_frame_and_answer_while_watching_is_named() {
        let options = "family= type= backlog= path= umask= host= port= interface= reuseport= v6only= \
                       uid= gid= dir= bufsize= overflow= stdout= stderr= linger= env. rlimit. listen= \
                       inherit= shell= mode= from= follow= data= window= id= if= old= for=";
        let frames = "data lost closed joined removed end ack stop";
        for word in options.split(' ').chain(frames.split(' ')) {
            let is_named = |line: &str| line.split(' ').any(|said| said.starts_with(word));
            assert!(help().into_iter().any(is_named), "{word}");
        }
    }
}
