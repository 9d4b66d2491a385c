//! The clock of the wall is set, back and forth, while papad runs.

use papad_tests::exact::{Seen, number_of, script};
use papad_tests::{Fault, Fifo, eventually};

use crate::faulty::Faulty;

/// A day, and what is beyond every time that papad waits for.
const STEPS: [i64; 4] = [-86_400, 86_400, -3, 1_000_000_000];

#[test]
fn output_and_ends_come_in_order_whatever_time_it_is_said_to_be() {
    let faulty = Faulty::start();
    let fifo = Fifo::new(&faulty.scratch, "fifo");
    let mut exact = faulty.exact();
    let line = format!(
        "exec 3<>{}; while read line <&3; do [ $line = end ] && exit 3; echo $line; done",
        fifo.path()
    );
    exact.ask(format!("make process p {}", script(&line)));
    let mut expected = String::new();
    for (number, step) in STEPS.into_iter().enumerate() {
        // One line at the time that it is, and one at another.
        for (part, shift) in [("before", 0), ("then", step)] {
            let shifted = faulty.put(Fault::shift_clock(shift));
            let text = format!("{number}.{part}");
            fifo.send(&text);
            expected.extend([&text, "\n"]);
            let next = format!(" next={} ", expected.len());
            eventually("it has written", || exact.ask_line("list processes p").contains(&next));
            assert!(shifted.met() > 0);
        }
        // Places and waits do not go by that clock.
        let _shifted = faulty.put(Fault::shift_clock(step));
        faulty.papad.kill_server();
        exact = faulty.exact();
    }
    let _shifted = faulty.put(Fault::shift_clock(-86_400));
    fifo.send("end");
    exact.ask("watch p");
    let (mut output, mut last, mut closed) = (Vec::new(), 0, 0);
    loop {
        match exact.next_seen() {
            Seen::Data { position, time, data, .. } => {
                assert_eq!(position as usize, output.len());
                assert!(time > 0);
                output.extend(data);
                last = time;
                exact.send(format!("ack p {}\n", output.len()));
            }
            Seen::Closed { end, time, .. } => {
                assert_eq!(end, "exit 3");
                closed = time;
                exact.send("ack p closed\n");
            }
            Seen::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(output.escape_ascii().to_string(), expected.escape_default().to_string());
    // The end of a process does not look older than its last output.
    assert!(closed >= last, "{closed} and {last}");
}

#[test]
fn a_descendant_that_holds_the_pipes_is_waited_for_by_another_clock() {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    for step in STEPS {
        exact.ask(format!("make process p {}", script("sleep 1000 & exit 3")));
        let _shifted = faulty.put(Fault::shift_clock(step));
        exact.ask("watch p");
        match exact.next_seen() {
            Seen::Closed { end, .. } => assert_eq!(end, "exit 3"),
            other => panic!("{other:?}"),
        }
        exact.ask_expecting("ack p closed", "end finished\n");
    }
    let status = exact.ask("status").remove(0);
    assert_eq!(number_of(&status, "starts"), 1);
}

/// How long papad has run is never less than nothing.
#[test]
fn a_papad_from_the_future_says_how_it_is() {
    let faulty = Faulty::start();
    let _shifted = faulty.put(Fault::shift_clock(-1_000_000_000));
    let status = faulty.exact().ask("status").remove(0);
    assert_eq!(number_of(&status, "uptime"), 0);
    faulty.papad.kill_server();
    faulty.exact().ask("set v 1");
}
