//! Kills while output is taken: every byte comes, once, and in its stream.

use papad_tests::exact::{Exact, number_of};
use papad_tests::kills::{Client, Expected, Patient, Random, watch_to_end};
use papad_tests::{Fifo, Frame, Stream, Watched, eventually, shell};

use crate::armed::Armed;

const POINTS: [&str; 2] = ["index-written", "spliced"];

/// Makes the process `p` that runs each of `steps` after a line from `gate`, and ends with 0 after
/// one more.
fn make_stepwise(armed: &Armed, options: &str, gate: &Fifo, steps: &[String]) {
    let script: Vec<String> =
        steps.iter().map(|step| format!("read go < {}; {step}", gate.path())).collect();
    let script = format!("{}; read go < {}", script.join("; "), gate.path());
    let command = format!("make process p {options} {}", shell(&script));
    assert!(armed.papad.session().ask(command).starts_with("p pid="));
}

/// Waits until papad has taken all output before this position, without reading any of it.
fn wait_until_captured(armed: &Armed, position: u64) {
    let mut exact = Exact::tcp(&armed.papad);
    eventually("the output is taken", || {
        number_of(&exact.ask_line("list processes p"), "next") == position
    });
}

/// Waits until as many bytes as this are kept, and acknowledges nothing.
fn wait_for_output(armed: &Armed, bytes: usize) {
    let is_there = || {
        let mut client = Client::connect(&armed.papad).unwrap();
        assert!(client.watch("p").unwrap());
        let Watched::Batch(frames) = client.next_watched().unwrap() else {
            panic!("the watch has ended");
        };
        client.leave();
        let lengths = frames.iter().map(|frame| match frame {
            Frame::Output { data, .. } => data.len(),
            Frame::Closed { .. } => 0,
        });
        lengths.sum::<usize>() >= bytes
    };
    eventually("the output has come", is_there);
}

/// Reads and acknowledges exactly this output, then stops watching.
fn take_output(armed: &Armed, out: &str, err: &str) {
    let mut client = Client::connect(&armed.papad).unwrap();
    assert!(client.watch("p").unwrap());
    let (mut seen_out, mut seen_err) = (Vec::new(), Vec::new());
    while seen_out.len() + seen_err.len() < out.len() + err.len() {
        let Watched::Batch(frames) = client.next_watched().unwrap() else {
            panic!("the watch has ended");
        };
        for frame in frames {
            let Frame::Output { stream, data, .. } = frame else {
                panic!("{frame:?}");
            };
            match stream {
                Stream::Out => seen_out.extend(data),
                Stream::Err => seen_err.extend(data),
            }
        }
        client.send("").unwrap();
    }
    assert_eq!(seen_out.escape_ascii().to_string(), out.escape_default().to_string());
    assert_eq!(seen_err.escape_ascii().to_string(), err.escape_default().to_string());
    client.send("q").unwrap();
    assert_eq!(client.next_watched(), Ok(Watched::Ended("Stopped watching".to_owned())));
}

/// Lets the process end, and reads what is left.
fn watch_rest(armed: &Armed, gate: &Fifo, out: &str, err: &str) {
    gate.send_line();
    let expected = Expected { out: out.as_bytes(), err: err.as_bytes(), code: 0 };
    let mut patient = Patient::new(&armed.papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "p", expected);
}

#[test]
fn killed_at_every_write_while_nobody_reads() {
    for point in POINTS {
        let armed = Armed::start();
        let gate = Fifo::new(&armed.scratch, "gate");
        let steps = ["echo a", "echo b >&2", "echo c >&2", "echo d", "echo e", "echo f >&2"];
        make_stepwise(&armed, "", &gate, &steps.map(str::to_owned));
        for next in (0..).step_by("a\n".len()).skip(1).take(steps.len()) {
            drop(armed.kill_at(point, || gate.send_line()));
            // A server that has just passed the point for one write would take the next with it.
            wait_until_captured(&armed, next);
        }
        watch_rest(&armed, &gate, "a\nd\ne\n", "b\nc\nf\n");
    }
}

#[test]
fn killed_at_every_write_and_everything_before_it_is_acknowledged() {
    for point in POINTS {
        let armed = Armed::start();
        let gate = Fifo::new(&armed.scratch, "gate");
        let steps = ["echo a", "echo b >&2", "echo c >&2", "echo d"].map(str::to_owned);
        make_stepwise(&armed, "", &gate, &steps);
        for (out, err) in [("a\n", ""), ("", "b\n"), ("", "c\n"), ("d\n", "")] {
            drop(armed.kill_at(point, || gate.send_line()));
            take_output(&armed, out, err);
        }
        watch_rest(&armed, &gate, "", "");
    }
}

#[test]
fn killed_twice_while_the_first_write_of_each_stream_is_taken() {
    for first in POINTS {
        for second in POINTS {
            let armed = Armed::start();
            let gate = Fifo::new(&armed.scratch, "gate");
            let steps = ["echo acknowledged", "echo out", "echo err >&2", "echo more"];
            make_stepwise(&armed, "", &gate, &steps.map(str::to_owned));
            gate.send_line();
            take_output(&armed, "acknowledged\n", "");

            drop(armed.kill_at(first, || gate.send_line()));
            wait_for_output(&armed, "out\n".len());
            drop(armed.kill_at(second, || gate.send_line()));
            wait_for_output(&armed, "out\nerr\n".len());
            gate.send_line();
            watch_rest(&armed, &gate, "out\nmore\n", "err\n");
        }
    }
}

#[test]
fn killed_again_and_again_while_a_ring_goes_round() {
    // Together more than twice the room for data that there is, of which the ring keeps one half.
    const STEPS: u64 = 12;
    let numbers = |step: u64| 1000 * (step + 1)..1000 * (step + 1) + 600;
    for point in POINTS {
        let armed = Armed::start();
        let gate = Fifo::new(&armed.scratch, "gate");
        let step = |step| format!("/usr/bin/seq {} {}", numbers(step).start, numbers(step).end - 1);
        let steps: Vec<String> = (0..STEPS).map(step).collect();
        make_stepwise(&armed, "bufsize=8k", &gate, &steps);
        for step in 0..STEPS {
            drop(armed.kill_at(point, || gate.send_line()));
            let lines: Vec<String> = numbers(step).map(|number| format!("{number}\n")).collect();
            take_output(&armed, &lines.concat(), "");
        }
        watch_rest(&armed, &gate, "", "");
    }
}

#[test]
fn a_kill_changes_nothing_in_what_a_small_buffer_keeps() {
    for point in POINTS {
        let armed = Armed::start();
        let gate = Fifo::new(&armed.scratch, "gate");
        let steps = ["/usr/bin/seq -s , 1 100", "echo second"].map(str::to_owned);
        make_stepwise(&armed, "bufsize=14", &gate, &steps);
        drop(armed.kill_at(point, || gate.send_line()));
        wait_for_output(&armed, ",97,98,99,100\n".len());
        // What is left of the first write fits no more, and goes as a whole.
        drop(armed.kill_at(point, || gate.send_line()));
        watch_rest(&armed, &gate, "second\n", "");
    }
}
