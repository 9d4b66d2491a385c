//! Talking in papa 1.0: a line, a reply, and so on.

use papa_protocol::exact::{Code, Failure};
use papa_protocol::frame::PROMPT;
use papa_protocol::{command, exact, words};

use super::admission::Admission;
use super::client::Client;
use super::command::{Reply, on_one_line};
use super::guard;
use super::session::{Activity, Dialect, Ended, GATHERED};
use super::watch::Watch;
use crate::bounds::Bound;

/// Takes commands until the session is to do something else.
pub(super) fn talk(
    admission: &Admission,
    client: &mut Client,
    is_first: &mut bool,
) -> Result<Activity, Ended> {
    client.send()?;
    loop {
        client.pass()?;
        let Some(line) = client.next_line()? else {
            // All complete lines are answered: now is the time to send.
            client.send_and_rest()?;
            client.listen()?;
            if *is_first && guard::is_tls(client.lines.waiting()) {
                return Err(Ended::NotPapa);
            }
            continue;
        };
        if *is_first {
            if guard::is_http(&line) || guard::is_tls(&line) {
                return Err(Ended::NotPapa);
            }
            *is_first = !guard::is_command(&line);
        }
        if let Err(failure) = admission.server.bounds.check(Bound::Words, words::count(&line)) {
            say_failure(&mut client.out.bytes, &failure);
        } else if words::split(&line).join(&b' ') == exact::PROTOCOL {
            return Ok(super::exact::begin(admission, client));
        } else if let Some(activity) = answer(admission, client, &line) {
            return Ok(activity);
        }
        // Somebody at a keyboard has sent nothing else yet, and may try again.
        if *is_first && client.has_said_more()? {
            return Err(Ended::NoCommand);
        }
        if client.out.is_much(GATHERED) {
            client.send()?;
        }
    }
}

/// Watches until the client stops or nothing is left.
pub(super) fn watch(watch: &mut Watch, client: &mut Client) -> Result<Activity, Ended> {
    let over = watch.run(client)?;
    say(&mut client.out.bytes, over);
    Ok(Activity::Commanding { is_first: false })
}

/// Answers one line; returns what the session does next if that is something else.
fn answer(admission: &Admission, client: &mut Client, line: &[u8]) -> Option<Activity> {
    let server = &admission.server;
    let (out, unread) = (&mut client.out.bytes, &mut client.unread);
    let words = words::split(line);
    if let [first, version] = &words[..]
        && first == b"protocol"
    {
        // This is protocol 1, and 2 does not get here.
        if version == b"1" {
            say(out, b"");
        } else {
            let version = papa_protocol::text::shown(version);
            say(out, format!("Error: papad speaks protocol 1 and 2, not {version}").as_bytes());
        }
        return None;
    }
    if words.is_empty() {
        out.extend_from_slice(PROMPT);
        return None;
    }
    let reply = match command::parse(words) {
        Ok(command) => super::command::run(admission, unread, command),
        Err(error) => {
            say(out, format!("Error: {error}").as_bytes());
            return None;
        }
    };
    server.compact();
    match reply {
        Reply::Text(text) => say(out, &text),
        Reply::Failed(failure) => say_failure(out, &failure),
        Reply::Watch(text, watch) => {
            out.extend(text);
            return Some(Activity::Watching(watch));
        }
        Reply::Upgrade(awaited) => {
            return Some(Activity::Upgrading(Dialect::Papa, awaited));
        }
        Reply::Close(text) => {
            out.extend_from_slice(text);
            return Some(Activity::Leaving { while_it_speaks: false });
        }
    }
    None
}

/// What is said when lines are not obeyed, since the first one was no command.
pub(super) fn say_no_command(out: &mut Vec<u8>) {
    say(out, b"Error: The first line is no command, so what came with it is not obeyed");
}

/// An error's line and the prompt.
pub(super) fn say_failure(out: &mut Vec<u8>, failure: &Failure) {
    let mut what = failure.what.clone();
    // Limits are told as in protocol 2, but for this. papad is papad everywhere.
    if failure.code == Code::Limit && !what.starts_with("papad") {
        what.get_mut(..1).map(str::make_ascii_uppercase);
    }
    say(out, &on_one_line(format!("Error: {what}").into_bytes()));
}

/// A reply's text, a newline if it does not end in one, and the prompt.
pub(super) fn say(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    if text.last() != Some(&b'\n') {
        out.push(b'\n');
    }
    out.extend_from_slice(PROMPT);
}
