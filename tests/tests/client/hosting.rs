//! A socket handed to a real server, the way systemd does.

use std::io::{Read, Write};
use std::net::TcpStream;

use papa_client::{Event, Papa};

use crate::Hosted;

/// A server that knows of nothing but `sd_listen_fds(3)`: it answers each connection with what it
/// was told, until it has answered two.
const SERVER: &str = "\
import os, socket
assert os.environ['LISTEN_PID'] == str(os.getpid())
names = os.environ['LISTEN_FDNAMES'].split(':')
sockets = [socket.socket(fileno=3 + i) for i in range(int(os.environ['LISTEN_FDS']))]
for name, listener in zip(names, sockets):
    connection, _ = listener.accept()
    connection.sendall(name.encode())
    connection.close()
";

fn ask(port: u16) -> String {
    let mut answer = String::new();
    TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_finds_its_sockets_where_systemd_would_have_put_them() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let port = |papa: &Papa, name| papa.socket(name).make().unwrap().port().unwrap();
    let (web, admin) = (port(papa, "web"), port(papa, "admin"));
    let server = papa
        .process("server", "/usr/bin/env")
        .args(["python3", "-c", SERVER])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .listen(["web", "admin"])
        .make()
        .unwrap();
    assert_eq!(ask(web), "web");
    assert_eq!(ask(admin), "admin");
    let end = server.wait().unwrap();
    assert!(end.success(), "{end}: {}", output_of(papa, "server"));
}

#[test]
fn a_process_inherits_a_socket_at_its_own_number() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let web = papa.socket("web").make().unwrap();
    papa.process("server", "/usr/bin/env")
        .args(["python3", "-c"])
        .arg(
            "import os, socket; n = int(os.environ['NUMBER']); \
              socket.socket(fileno=n).accept()[0].sendall(os.environ['PORT'].encode())",
        )
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("NUMBER", web.fileno.unwrap().to_string())
        .env("PORT", "$(socket.web.port)")
        .inherit(["web"])
        .make()
        .unwrap();
    let port = web.port().unwrap();
    assert_eq!(ask(port), port.to_string());
}

/// What a process has written.
fn output_of(papa: &Papa, name: &str) -> String {
    let mut written = Vec::new();
    for batch in papa.watch([name]).follow(false).start().unwrap() {
        let batch = batch.unwrap();
        for event in &batch {
            if let Event::Output { bytes, .. } = event {
                written.write_all(bytes).unwrap();
            }
        }
        batch.acknowledge();
    }
    String::from_utf8_lossy(&written).into_owned()
}
