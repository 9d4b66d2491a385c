//! A real browser, headless Chromium, and a page that would have papad run commands.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use papad_tests::skip;

use crate::House;

/// Asks for papad in every way that a page has, and then for `/done`.
const PAGE: &str = include_str!("page.html");

/// A browser takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser that is ended with the test.
struct Browser(Child);

impl Browser {
    /// `None` where Chromium is not installed.
    fn open(url: &str, profile: &Path) -> Option<Self> {
        let mut command = Command::new("chromium");
        // Root is given no sandbox.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
        command.arg(format!("--user-data-dir={}", profile.display())).arg(url);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(profile.with_extension("log")).unwrap()).process_group(0);
        match command.spawn() {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                skip("chromium", &error.to_string());
                None
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Answers every request with the page, and says what was asked for.
fn serve(page: &str, mut client: TcpStream, asked: &Sender<String>) {
    let mut request = [0; 4096];
    let Ok(length) = client.read(&mut request) else { return };
    let request = String::from_utf8_lossy(&request[..length]);
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
    let _ = write!(client, "{head}Content-Length: {}\r\n\r\n{page}", page.len());
    // Nobody may be left to hear it.
    let _ = asked.send(target);
}

#[test]
fn a_page_in_a_browser_gets_nothing_done() {
    let mut house = House::new();
    let site = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", site.local_addr().unwrap());
    let page = PAGE.replace("@PORT@", &house.papad.port().to_string());
    let (asked, targets) = channel();
    thread::spawn(move || {
        for client in site.incoming().map_while(Result::ok) {
            serve(&page, client, &asked);
        }
    });
    let profile = house.scratch.join("profile");
    let Some(_browser) = Browser::open(&url, profile.as_ref()) else { return };
    while targets.recv_timeout(PATIENCE).expect("the page is done in time") != "/done" {}

    // GET, POST twice, OPTIONS, WebSocket, https, beacon, form; some of them twice.
    house.papad.wait_for_logs(8, "hung up on 127.0.0.1:");
    house.is_untouched();
}
