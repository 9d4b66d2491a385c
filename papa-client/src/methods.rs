//! The calls of [`Papa`](crate::Papa), written once: for those that block and, with the feature
//! `tokio`, for those that are awaited.

/// Writes all calls into the module that uses it, where `Papa` and `Process` are. Its arguments are
/// `async` and `.await`, or neither.
macro_rules! papa_methods {
    ($($async:ident)?, $($await:tt)*) => {
        /// Sockets.
        impl Papa {
            /// Begins to describe a TCP or UDP socket that papad is to hold.
            pub fn socket(&self, name: impl AsRef<[u8]>) -> SocketBuilder<Self> {
                SocketBuilder::new(self.clone(), name.as_ref())
            }

            /// Begins to describe a Unix socket that papad is to hold, at this absolute path.
            pub fn unix_socket(
                &self,
                name: impl AsRef<[u8]>,
                path: impl AsRef<Path>,
            ) -> UnixSocketBuilder<Self> {
                UnixSocketBuilder::new(self.clone(), name.as_ref(), path.as_ref())
            }

            /// The sockets of this name, or of all names that begin with what stands before a `*`.
            pub $($async)? fn sockets(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<SocketInfo>> {
                self.call(calls::sockets(pattern.as_ref())?) $($await)*
            }

            /// Hands papad a socket that is bound already. If it has this very socket by this name,
            /// that is as good.
            ///
            /// # Errors
            /// [`NeedsUnix`](crate::ErrorKind::NeedsUnix) over TCP.
            pub $($async)? fn adopt(
                &self,
                name: impl AsRef<[u8]>,
                socket: impl AsFd,
            ) -> Result<SocketInfo> {
                let socket = own(socket)?;
                calls::need_unix(self.endpoint())?;
                self.call(calls::adopt(name.as_ref(), socket)?) $($await)*
            }

            /// A duplicate of a socket, whatever it is.
            ///
            /// # Errors
            /// [`NeedsUnix`](crate::ErrorKind::NeedsUnix) over TCP.
            pub $($async)? fn fetch_socket(&self, name: impl AsRef<[u8]>) -> Result<OwnedFd> {
                calls::need_unix(self.endpoint())?;
                self.call(calls::fetch_socket(name.as_ref())?) $($await)*
            }

            /// A duplicate of a TCP socket.
            ///
            /// # Errors
            /// As [`Papa::fetch_socket`], and [`Usage`](crate::ErrorKind::Usage) if it is another
            /// kind of socket.
            pub $($async)? fn tcp_listener(&self, name: impl AsRef<[u8]>) -> Result<TcpListener> {
                socket::tcp_listener(self.fetch_socket(name) $($await)* ?)
            }

            /// A duplicate of a UDP socket.
            ///
            /// # Errors
            /// As [`Papa::tcp_listener`].
            pub $($async)? fn udp_socket(&self, name: impl AsRef<[u8]>) -> Result<UdpSocket> {
                socket::udp_socket(self.fetch_socket(name) $($await)* ?)
            }

            /// A duplicate of a Unix stream socket.
            ///
            /// # Errors
            /// As [`Papa::tcp_listener`].
            pub $($async)? fn unix_listener(&self, name: impl AsRef<[u8]>) -> Result<UnixListener> {
                socket::unix_listener(self.fetch_socket(name) $($await)* ?)
            }

            /// A duplicate of a Unix datagram socket.
            ///
            /// # Errors
            /// As [`Papa::tcp_listener`].
            pub $($async)? fn unix_datagram(&self, name: impl AsRef<[u8]>) -> Result<UnixDatagram> {
                socket::unix_datagram(self.fetch_socket(name) $($await)* ?)
            }

            /// Makes papad close a socket and forget it. False if there was none.
            pub $($async)? fn remove_socket(&self, name: impl AsRef<[u8]>) -> Result<bool> {
                self.call(calls::remove_one(Noun::Socket, name.as_ref())?) $($await)*
            }

            /// Removes the sockets of all names that match, and returns the names.
            ///
            /// # Errors
            /// [`NotFound`](crate::ErrorKind::NotFound) if it is one name, and there is none.
            pub $($async)? fn remove_sockets(
                &self,
                pattern: impl AsRef<[u8]>,
            ) -> Result<Vec<Name>> {
                self.call(calls::remove(Noun::Socket, pattern.as_ref())?) $($await)*
            }
        }

        /// Processes.
        impl Papa {
            /// Begins to describe a process that papad is to host.
            pub fn process(
                &self,
                name: impl AsRef<[u8]>,
                program: impl AsRef<OsStr>,
            ) -> ProcessBuilder<Self> {
                ProcessBuilder::new(self.clone(), name.as_ref(), program.as_ref())
            }

            /// The processes of this name, or of all names that begin with what stands before a
            /// `*`.
            pub $($async)? fn processes(
                &self,
                pattern: impl AsRef<[u8]>,
            ) -> Result<Vec<ProcessInfo>> {
                self.call(calls::processes(pattern.as_ref())?) $($await)*
            }

            /// Processes of these names that others have replaced, the oldest of each name first.
            ///
            /// What they wrote and how they ended stays until it is taken: see
            /// [`WatchBuilder::only`].
            pub $($async)? fn previous(
                &self,
                pattern: impl AsRef<[u8]>,
            ) -> Result<Vec<ProcessInfo>> {
                self.call(calls::previous(pattern.as_ref())?) $($await)*
            }

            /// Makes papad forget what is left of processes that others have replaced. False if
            /// nothing is.
            pub $($async)? fn remove_previous(&self, pattern: impl AsRef<[u8]>) -> Result<bool> {
                self.call(calls::remove_previous(pattern.as_ref())?) $($await)*
            }

            /// The process of this name; `None` if there is none.
            pub $($async)? fn process_named(
                &self,
                name: impl AsRef<[u8]>,
            ) -> Result<Option<Process>> {
                let name = Name::of_existing(name.as_ref())?;
                let info = self.call(calls::process(&name)) $($await)* ?;
                Ok(info.map(|info| Process::new(self.clone(), info)))
            }

            /// The process that this was told of, to signal and to wait for. papad is not asked:
            /// whether it has ended since shows when something is done to it.
            pub fn process_listed(&self, info: ProcessInfo) -> Process {
                Process::new(self.clone(), info)
            }

            /// The request of protocol 2 that makes this process again, in words.
            ///
            /// # Errors
            /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
            pub $($async)? fn show_process(&self, name: impl AsRef<[u8]>) -> Result<Vec<OsString>> {
                self.call(calls::show_process(name.as_ref())?) $($await)*
            }

            /// Begins to describe a process like the one of this name, with all that makes that what
            /// it is: to make it again, once it has ended. Which of its sockets were made anew since
            /// it was started is among its [`differences`](ProcessBuilder::differences) from any
            /// other.
            ///
            /// # Errors
            /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
            pub $($async)? fn process_again(
                &self,
                name: impl AsRef<[u8]>,
            ) -> Result<ProcessBuilder<Self>> {
                let call = calls::process_again(name.as_ref())?;
                let (request, given) = self.call(call) $($await)* ?;
                let builder = ProcessBuilder::of(self.clone(), request);
                if given.is_empty() {
                    return Ok(builder);
                }
                let now = self.call(calls::sockets_named(&given)) $($await)* ?;
                Ok(builder.with_sockets(&given, &now))
            }

            /// The same from a request, as [`ProcessBuilder::to_request`] writes it.
            ///
            /// # Errors
            /// [`Usage`](crate::ErrorKind::Usage) if it is no such request.
            pub fn process_of_request(
                &self,
                request: impl AsRef<[u8]>,
            ) -> Result<ProcessBuilder<Self>> {
                let request = calls::parse_make_process(request.as_ref())?;
                Ok(ProcessBuilder::of(self.clone(), request))
            }

            /// Makes papad forget a process: its output is kept no more, and it leaves the list
            /// when it ends, or at once if it has. It is not signaled. False if there was none.
            pub $($async)? fn remove_process(&self, name: impl AsRef<[u8]>) -> Result<bool> {
                self.call(calls::remove_one(Noun::Process, name.as_ref())?) $($await)*
            }

            /// Removes the processes of all names that match, and returns the names.
            ///
            /// # Errors
            /// [`NotFound`](crate::ErrorKind::NotFound) if it is one name, and there is none.
            pub $($async)? fn remove_processes(
                &self,
                pattern: impl AsRef<[u8]>,
            ) -> Result<Vec<Name>> {
                self.call(calls::remove(Noun::Process, pattern.as_ref())?) $($await)*
            }

            /// Begins to describe a watch: which processes' output and ends are to be read.
            pub fn watch<N: AsRef<[u8]>>(
                &self,
                patterns: impl IntoIterator<Item = N>,
            ) -> WatchBuilder<Self> {
                WatchBuilder::new(self.clone(), patterns)
            }
        }

        /// Values.
        impl Papa {
            /// A value; `None` if there is none.
            pub $($async)? fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
                self.call(calls::get(name.as_ref())?) $($await)*
            }

            /// The values of this name, or of all names that begin with what stands before a `*`.
            pub $($async)? fn values(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<Value>> {
                self.call(calls::values(pattern.as_ref())?) $($await)*
            }

            /// Sets a value.
            pub $($async)? fn set(
                &self,
                name: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
            ) -> Result<()> {
                self.call(calls::set(name.as_ref(), value.as_ref(), false)?) $($await)*
            }

            /// Sets a value if the one that is there is `old`, or if there is none for `None`.
            /// False if that does not hold.
            pub $($async)? fn compare_and_set(
                &self,
                name: impl AsRef<[u8]>,
                old: Option<&[u8]>,
                value: impl AsRef<[u8]>,
            ) -> Result<bool> {
                let call = calls::compare_and_set(name.as_ref(), old, value.as_ref(), false)?;
                self.call(call) $($await)*
            }

            /// Sets a value that vanishes when this session ends, however it ends.
            ///
            /// From now on all calls of this session fail once it has ended: it does not connect
            /// again by itself, so that nobody goes on as if the value were still there.
            pub $($async)? fn set_for_session(
                &self,
                name: impl AsRef<[u8]>,
                value: impl AsRef<[u8]>,
            ) -> Result<()> {
                self.call(calls::set(name.as_ref(), value.as_ref(), true)?) $($await)*
            }

            /// [`Papa::compare_and_set`] and [`Papa::set_for_session`] in one: who may hold
            /// something is decided like this. See [`Lock`](crate::Lock).
            pub $($async)? fn compare_and_set_for_session(
                &self,
                name: impl AsRef<[u8]>,
                old: Option<&[u8]>,
                value: impl AsRef<[u8]>,
            ) -> Result<bool> {
                let call = calls::compare_and_set(name.as_ref(), old, value.as_ref(), true)?;
                self.call(call) $($await)*
            }

            /// Removes a value. False if there was none.
            pub $($async)? fn unset(&self, name: impl AsRef<[u8]>) -> Result<bool> {
                self.call(calls::unset(name.as_ref(), None)?) $($await)*
            }

            /// Removes a value if it is `old`. False if it is another, or there is none.
            pub $($async)? fn compare_and_unset(
                &self,
                name: impl AsRef<[u8]>,
                old: impl AsRef<[u8]>,
            ) -> Result<bool> {
                self.call(calls::unset(name.as_ref(), Some(old.as_ref()))?) $($await)*
            }

            /// Removes the values of all names that match, and returns the names.
            ///
            /// # Errors
            /// [`NotFound`](crate::ErrorKind::NotFound) if it is one name, and there is none.
            pub $($async)? fn remove_values(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<Name>> {
                self.call(calls::remove(Noun::Value, pattern.as_ref())?) $($await)*
            }
        }

        /// papad itself.
        impl Papa {
            /// How it is doing.
            pub $($async)? fn status(&self) -> Result<Status> {
                self.call(calls::status()) $($await)*
            }

            /// Whose it is: the user who listens at the endpoint. Where systemd does so for papad,
            /// that is systemd's.
            pub $($async)? fn owner(&self) -> Result<u32> {
                self.call(calls::owner()) $($await)*
            }

            /// What it says about its requests, for people.
            pub $($async)? fn help(&self) -> Result<String> {
                self.call(calls::help()) $($await)*
            }

            /// Has another version take over while everything goes on, sessions and watches
            /// included: this program, by an absolute path, or else what is found now where papad
            /// was started from. Tells the version that has taken over.
            ///
            /// # Errors
            /// [`Conflict`](crate::ErrorKind::Conflict) and why if it cannot take over, or another
            /// upgrade is under way; nothing has changed then.
            pub $($async)? fn upgrade(&self, program: Option<&Path>) -> Result<String> {
                self.call(calls::upgrade(program)) $($await)*
            }

            /// Makes it end when its last session ends, if it holds no sockets, processes and
            /// values. False if it does.
            pub $($async)? fn exit_if_idle(&self) -> Result<bool> {
                self.call(calls::exit_if_idle()) $($await)*
            }
        }

        impl SocketBuilder<Papa> {
            /// Makes the socket, or finds the one of this name if it was made the same way.
            ///
            /// # Errors
            /// [`Exists`](crate::ErrorKind::Exists) if that was made otherwise, unless it is to be
            /// [replaced](SocketBuilder::replace).
            pub $($async)? fn make(&self) -> Result<SocketInfo> {
                match self.papa.call(self.call()?) $($await)* {
                    Err(error) if self.replaces && error.kind() == crate::ErrorKind::Exists => {}
                    result => return result,
                }
                self.papa.call(self.removal()?) $($await)* ?;
                self.papa.call(self.call()?) $($await)*
            }
        }

        impl UnixSocketBuilder<Papa> {
            /// Makes the socket, or finds the one of this name if it was made the same way.
            ///
            /// # Errors
            /// [`Exists`](crate::ErrorKind::Exists) if that was made otherwise, unless it is to be
            /// [replaced](UnixSocketBuilder::replace), and if a socket of another name has the path.
            pub $($async)? fn make(&self) -> Result<SocketInfo> {
                match self.papa.call(self.call()?) $($await)* {
                    Err(error) if self.replaces && error.kind() == crate::ErrorKind::Exists => {}
                    result => return result,
                }
                self.papa.call(self.removal()?) $($await)* ?;
                self.papa.call(self.call()?) $($await)*
            }
        }

        impl ProcessBuilder<Papa> {
            /// Starts the process, or finds the one of this name if it was made the same way. **That
            /// one may have ended** long ago and wait on papad's list for somebody to take its end:
            /// see [`ProcessInfo::state`], and [`ProcessBuilder::replace_ended`] for a process that
            /// is to run.
            ///
            /// # Errors
            /// [`Exists`](crate::ErrorKind::Exists) if that was made otherwise,
            /// [`Spawn`](crate::ErrorKind::Spawn) if the program cannot be run.
            pub $($async)? fn make(&self) -> Result<Process> {
                let info = self.papa.call(self.call()?) $($await)* ?;
                Ok(Process::new(self.papa.clone(), info))
            }
        }
    };
}

pub(crate) use papa_methods;
