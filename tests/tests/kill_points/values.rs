//! Kills while a value is stored where room for it was made.

use crate::armed::Armed;

#[test]
fn killed_while_a_value_is_stored() {
    let armed = Armed::start();
    for point in ["unreadable", "unsaid"] {
        // The first makes room, so that the next ones are stored without a system call.
        armed.papad.session().ask_expecting("set old 1", "");
        armed.papad.session().ask_expecting("set kept 1", "");
        for change in ["set new 1", "set old 2", "set old"] {
            let mut session = armed.papad.session();
            session.ask_expecting("set kept 1", "");
            drop(session);
            let mut session = armed.ask_and_kill_at(point, change);
            session.ask_expecting("list values", "kept 1\nold 1");
        }
        // The next server is not misled by what was begun, and stores after it.
        let mut session = armed.papad.session();
        session.ask_expecting("set new 2", "");
        session.ask_expecting("set kept 2", "");
        session.ask_expecting("set old", "");
        drop(session);
        armed.papad.kill_server();
        let mut session = armed.papad.session();
        session.ask_expecting("list values", "kept 2\nnew 2");
        session.ask_expecting("set new", "");
    }
}
