//! What a browser can be made to send, as the right user: recorded from Chromium 156, which was shown
//! the page that [`crate::browser`] shows, and other requests by hand.

use papad_tests::{BANNER, Session};

use crate::{House, MISCHIEF};

const RECORDED: [(&str, &[u8]); 6] = [
    ("fetch, GET", include_bytes!("recorded/fetch-get")),
    ("fetch, POST of text", include_bytes!("recorded/fetch-post")),
    ("fetch, OPTIONS before a PUT", include_bytes!("recorded/preflight")),
    ("a form", include_bytes!("recorded/form")),
    ("WebSocket", include_bytes!("recorded/websocket")),
    ("https", include_bytes!("recorded/tls")),
];

/// Sees that papad hangs up and has answered nothing.
#[track_caller]
fn hung_up(mut page: Session, what: &str) {
    let heard = String::from_utf8(page.read_to_end()).unwrap();
    // A reset may overtake the greeting.
    assert!(heard.is_empty() || heard == BANNER, "{what}: {heard}");
}

#[test]
fn what_a_browser_sends_is_hung_up_on() {
    let mut house = House::new();
    for (what, bytes) in RECORDED {
        for mischief in ["", MISCHIEF] {
            let bytes = [bytes, mischief.as_bytes()].concat();
            for mut page in [house.papad.connect(), house.papad.connect_unix()] {
                // The connection may be closed before all is sent.
                let _ = page.try_send(&bytes);
                hung_up(page, what);
            }
        }
    }
    house.is_untouched();
}

#[test]
fn what_a_browser_sends_is_hung_up_on_wherever_packets_end() {
    let mut house = House::new();
    for (what, bytes) in RECORDED {
        for first in [1, 5, 20] {
            let mut page = house.papad.session();
            let _ = page.try_send(&bytes[..first]);
            // Another session's answer says that papad has had the time to read the first part.
            house.inside.ask_expecting("get bystander", "1");
            let _ = page.try_send([&bytes[first..], MISCHIEF.as_bytes()].concat());
            hung_up(page, what);
        }
    }
    house.is_untouched();
}

#[test]
fn every_method_and_version_is_hung_up_on() {
    // Those that are registered (RFC 9110 and 9114, RFC 4918, 3253, 3744, 5323, 4437, 5842), and any.
    const METHODS: &str = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD \
                           LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF \
                           MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND PROPPATCH \
                           PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK \
                           UPDATE UPDATEREDIRECTREF VERSION-CONTROL set list x";
    let mut house = House::new();
    let mut versions = ["1.0", "1.1", "2.0"].into_iter().cycle();
    for method in METHODS.split(' ') {
        for (target, version) in
            ["/", "*", "http://127.0.0.1/", "127.0.0.1:20202", "/set%20bystander"]
                .into_iter()
                .zip(&mut versions)
        {
            let mut page = house.papad.connect();
            let request = format!("{method} {target} HTTP/{version}\r\n\r\n{MISCHIEF}");
            let _ = page.try_send(&request);
            hung_up(page, &request);
        }
    }
    house.is_untouched();
}

#[test]
fn a_request_whose_first_line_does_not_end_is_cut_off() {
    let mut house = House::new();
    // A target may be as long as a line may be, and longer.
    let mut page = house.papad.session();
    let _ = page.try_send(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(3 << 20)));
    let _ = page.try_send(MISCHIEF);
    let heard = String::from_utf8(page.read_to_end()).unwrap();
    assert!(heard.is_empty() || heard.starts_with("Error: A line may have at most "), "{heard}");
    house.is_untouched();
}
