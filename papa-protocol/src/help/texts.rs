//! The words of the help texts.
//!
//! Clients take a newline and `> ` for the end of a reply: no line may begin with `> `.

pub(super) const OVERVIEW: &str = "\
papad keeps sockets, processes and values for programs that come and go.

  make socket NAME [OPTION...]               bind a socket
  list sockets [NAME...]                     show sockets
  remove sockets [NAME...]                   close sockets

  make process NAME [OPTION...] COMMAND...   start a program
  list processes [NAME...]                   show processes
  watch processes [NAME...]                  read what they write
  remove processes [NAME...]                 stop recording what they write

  set NAME [WORD...]                         store a value, or clear it
  get NAME                                   show a value
  list values [NAME...]                      show names and values
  remove values NAME...                      clear values

  quit                                       end this session
  upgrade [PATH]                             have a new version take over
  exit-if-idle                               end papad if it holds nothing
  help [COMMAND]                             more about a command

Every word of a command may be cut short: \"l p\" is \"list processes\". Only
upgrade and exit-if-idle must be written out.

A name that ends in * stands for every name that begins so. No name, or *
alone, is everything. Processes may also be given by pid, and sockets by file
number.

Words are separated by spaces. To put a space into a word, write a backslash
before it: set greeting hello\\ world
";

pub(super) const HELP: &str = "\
help [COMMAND]

Explains a command. Without one, lists them all.

  help make process
  help l p
";

pub(super) const LIST: &str = "\
list processes [NAME...]
list sockets [NAME...]
list values [NAME...]

Shows one line for each, sorted by name. A name may end in *, which matches
any rest. Without a name, or with *, all are shown. Names that match nothing
are left out. Processes may be given by pid, and sockets by file number.

  list sockets
  l p web.* 4242

\"help list processes\" and so on explain the lines.
";

pub(super) const LIST_PROCESSES: &str = "\
list processes [NAME or PID...]

Shows one line for each process, sorted by name:

  web pid=4242 running=True started=1795287660.296030 args=/bin/cat -u /log

  running  False once the process has ended. It stays in the list until a
           watcher has acknowledged its end, or until it is removed.
  started  when it was started, in seconds since 1970
  uid gid  shown if the process was given a user or a group
  shell    shown as shell=True if a shell runs the words
  args     the command as it was given. This field is always the last.

A name may end in *, which matches any rest. Without a name, or with *, all
are shown. Names that match nothing are left out.
";

pub(super) const LIST_SOCKETS: &str = "\
list sockets [NAME or FILENO...]

Shows one line for each socket, sorted by name:

  web family=inet type=stream backlog=5 host=127.0.0.1 port=8080 fileno=5
  db family=unix type=stream backlog=5 path=/run/db.sock fileno=6

The fields are the options of \"make socket\", and fileno: the socket's file
number in papad. What does not apply is left out. A name may end in *, which
matches any rest. Without a name, or with *, all are shown. Names that match
nothing are left out.
";

pub(super) const LIST_VALUES: &str = "\
list values [NAME...]

Shows each name and its value on a line, sorted by name. A name may end in *,
which matches any rest. Without a name, or with *, all are shown. Names that
match nothing are left out.

  list values
  list values web.*
";

pub(super) const MAKE: &str = "\
make process NAME [OPTION...] COMMAND [ARGUMENT...]
make socket NAME [OPTION...]

Starts a process, or binds a socket for processes to use. If it is there
already and was made with the same options, nothing happens, and the answer is
its line as \"list\" shows it. With other options it is an error.

\"help make process\" and \"help make socket\" list the options.
";

pub(super) const MAKE_PROCESS: &str = "\
make process NAME [OPTION...] COMMAND [ARGUMENT...]

Starts a program and records what it writes. Options are words with a \"=\". The
first word without one is the command, and the rest are its arguments.

  uid=USER          run as this user, by number or name
  gid=GROUP         run as this group, by number or name (default: the group
                    of the uid, if there is one)
  working_dir=DIR   start in this directory
  bufsize=SIZE      how much unread output to keep: bytes, or a number with
                    k, m or g (default: 2m). When it is full the oldest goes.
                    0 records nothing.
  stdout=1          record what it writes to stdout (default)
  stdout=0          send it to /dev/null
  stderr=1          record what it writes to stderr (default)
  stderr=0          send it to /dev/null
  stderr=stdout     treat it as stdout
  env.NAME=VALUE    set an environment variable. It gets no others.
  rlimit.NAME=N     set a resource limit, soft and hard: see setrlimit(2).
                    NAME is nofile, core, as, ...; N is -1 for no limit.
  shell=1           let /bin/sh -c run the command
  watch=1           go on with \"watch processes\" for this process

In each word of the command, $(socket.NAME.port) is replaced by the port of a
socket, and $(socket.NAME.fileno) by the number under which the process finds
it open. A process gets only the sockets it names by fileno.

stdin is /dev/null. The process leads a session of its own. A name must not
contain a space, a control character or a colon.

Examples:
  make process clock /bin/sh -c while\\ sleep\\ 1;\\ do\\ date;\\ done
  make process web uid=www env.PATH=/usr/bin:/bin rlimit.nofile=4096
       /usr/bin/server --fd $(socket.web.fileno)        (all on one line)
  make process job bufsize=64k stderr=stdout /usr/bin/env A=1 /opt/job

Answers with the line that \"list processes\" shows.
";

pub(super) const MAKE_SOCKET: &str = "\
make socket NAME [OPTION...]

Binds a socket and listens on it. papad keeps it open until it is removed.

  family=FAMILY     unix, inet or inet6 (default: unix with a path, or else
                    inet)
  type=TYPE         stream, dgram, raw, rdm or seqpacket (default: stream)
  backlog=N         how many connections may wait (default: 5)

For family=unix:
  path=PATH         an absolute path. A stale socket there is replaced.
  umask=N           the umask under which the file is made, in decimal:
                    18 is octal 022

For family=inet and inet6:
  host=HOST         an address or a host name (default: 127.0.0.1 or ::1;
                    with an interface 0.0.0.0 or ::)
  port=N            the port (default: 0, and the system chooses one)
  interface=DEVICE  bind to this network device only
  reuseport=1       give each process a socket of its own on the same port

Examples:
  make socket web port=8080
  make socket any
  make socket db path=/run/db.sock umask=63

Answers with the line that \"list sockets\" shows, the port included. How a
process gets the socket: \"help make process\".
";

pub(super) const REMOVE: &str = "\
remove processes [NAME or PID...]
remove sockets [NAME or FILENO...]
remove values NAME...

Removes what is named. A name may end in *, which matches any rest. Without a
name, or with *, all processes or sockets are removed; values never. A process
or socket that is not there is an error.

  remove sockets web
  r p worker.* 4242
  r v web.*

\"help remove processes\" and so on say what becomes of them.
";

pub(super) const REMOVE_PROCESSES: &str = "\
remove processes [NAME or PID...]

Stops recording what processes write and drops what was recorded. A process
goes on running, and leaves the list when it ends, or at once if it has ended.
papad sends it no signal.

A name may end in *, which matches any rest. Without a name, or with *, all
are removed. A name that is not there is an error.

  remove processes web
  r p 4242
";

pub(super) const REMOVE_SOCKETS: &str = "\
remove sockets [NAME or FILENO...]

Closes sockets, and deletes the file of a Unix socket. Processes that were
given a socket keep it.

A name may end in *, which matches any rest. Without a name, or with *, all
are removed. A name that is not there is an error.

  remove sockets web
  r s 5
";

pub(super) const REMOVE_VALUES: &str = "\
remove values NAME...

Clears values. A name may end in *, which matches any rest; * alone is not
taken. A name that is not there is no error.

  remove values greeting
  r v web.*
";

pub(super) const WATCH: &str = "\
watch processes [NAME or PID...]

Reads what processes write, and learns how they end. A name may end in *,
which matches any rest. Without a name, or with *, all are watched. A name that
is not there is an error.

The answer is \"Watching N\", N being how many processes, and then one batch
after another, as there is something to read:

  out:NAME:TIME:LENGTH     LENGTH bytes of stdout follow, then a newline
  err:NAME:TIME:LENGTH     the same for stderr
  closed:NAME:TIME:CODE    the process has ended, after its last output. CODE
                           is its exit status, or minus a signal's number, or
                           511 if nobody knows.

A batch ends with \"] \". Then papad waits for a line from you:

  q                        acknowledges the batch and stops watching
  any other line           acknowledges the batch; the next one follows (just
                           press return)

What was acknowledged is not kept for you any more, and a process whose end
was acknowledged leaves the list. What was not acknowledged is sent again to
the next watcher, even if you hang up. Several may watch the same process:
each reads all of it.

When every process watched has ended, the answer is \"Nothing left to watch\".

  watch processes
  w p web.* 4242
";

pub(super) const SET: &str = "\
set NAME WORD...
set NAME

Stores the words, joined by single spaces, under the name. Without a word,
clears the value. A name must not contain a space or a control character.

  set greeting hello world
  set greeting
";

pub(super) const GET: &str = "\
get NAME

Shows a value. The answer is empty if there is none.

  get greeting
";

pub(super) const QUIT: &str = "\
quit

Ends this session. papad, and all that it holds, stays.
";

pub(super) const UPGRADE: &str = "\
upgrade [PATH]

Has another version of papad take over while everything goes on: processes,
sockets, values and sessions, this one too. PATH is the program; without it, it
is what is found now where papad was started from. What cannot take over
changes nothing, and you are told why. This command cannot be abbreviated.
";

pub(super) const EXIT_IF_IDLE: &str = "\
exit-if-idle

Ends papad, once its last session has gone, if it holds no process, no socket
and no value. Otherwise the answer is \"not idle\". This command cannot be
abbreviated.
";
