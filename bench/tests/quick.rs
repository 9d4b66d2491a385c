//! Every case runs, and says something.

use std::fs;
use std::process::{Command, Stdio};

use papad_tests::{ScratchDir, papad_program};
use serde_json::Value;

#[test]
fn each_case_yields_figures_or_says_what_is_missing() {
    let scratch = ScratchDir::new();
    let (json, plot) = (scratch.join("figures.json"), scratch.join("ratios.svg"));
    let bench = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(arguments).env("PAPAD_BIN", papad_program()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    };

    let table = bench(&["--quick", "--json", &json, "--plot", &plot]);

    let figures: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let figures = figures["figures"].as_array().unwrap();
    for case in bench(&["--list"]).lines() {
        assert!(table.lines().any(|line| line.starts_with(&format!("| {case} "))), "{table}");
        let of_case: Vec<&Value> = figures.iter().filter(|it| it["case"] == case).collect();
        assert!(of_case.iter().any(|it| it["subject"] == "papad"), "{case}");
        for figure in of_case {
            let is_papad = figure["subject"] == "papad";
            let is_measured = figure["median"].as_f64().is_some_and(f64::is_finite);
            let is_missing =
                figure["missing"].as_str().is_some_and(|why| why.starts_with("not installed; "));
            // The machine's free memory goes its own ways.
            let is_lost = figure["missing"] == "not measured"
                && figure["what"] == "each quiet process, with the kernel's memory";
            assert!(is_measured || is_missing && !is_papad || is_lost, "{figure}");
        }
    }
    assert!(fs::read_to_string(&plot).unwrap().ends_with("</svg>\n"));
}
