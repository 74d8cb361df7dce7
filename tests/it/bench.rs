//! The bench, as small as it can be: it measures, it counts nothing that is not on the disk, and it says under which
//! conditions. How fast anything is, no test judges.

use std::process::{Command, Stdio};

use crate::process::finish;
use crate::server::BINARY;
use crate::skip::missing;

const SMALL: [&str; 7] = ["bench", "--span", "100ms", "--rounds", "1", "--queued", "1500"];

fn bench(more: &[&str]) -> (Option<i32>, String, String) {
    let child = Command::new(BINARY)
        .args(SMALL)
        .args(more)
        .env_remove("CALLBOARD_SERVER")
        .env("XDG_CONFIG_HOME", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let done = finish(child, None);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn every_figure_is_there_with_its_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().to_str().unwrap();
    let (code, json, said) = bench(&["--json", "--slots", "3", "--connections", "5", "--data-dir", kept]);
    assert_eq!(code, Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let at =
        |pointer: &str| report.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing in {json}"));
    for figure in [
        "/machine/fdatasync/p50_ms",
        "/throughput/limit_per_s",
        "/throughput/platform_per_s",
        "/throughput/ratio",
        "/latency/spawn/p99_ms",
        "/latency/platform/p50_ms",
        "/submits/single/ratio",
        "/submits/batch/jobs_per_s",
        "/queued/resident_bytes",
        "/restart/ready_ms",
        "/scheduler/jobs_per_s",
    ] {
        assert!(at(figure).as_f64().is_some_and(|value| value > 0.0), "{figure} in {json}");
    }
    let setting = at("/setting");
    assert_eq!((&setting["isolation"], &setting["durability"]), (&"none".into(), &"full".into()), "{json}");
    assert_eq!((&setting["slots"], &setting["connections"]), (&3.into(), &5.into()), "{json}");
    assert_eq!(at("/queued/jobs"), &serde_json::json!(1500));
    // What was verified is at least the latency jobs and those with output.
    assert!(at("/verified").as_u64().is_some_and(|count| count > 200), "{json}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "the bench leaves the folder as it was");
}

#[test]
fn what_rooms_cost_is_told_step_by_step() {
    let (code, json, said) = bench(&["--json", "--isolation", "sandbox", "--slots", "2"]);
    if code != Some(0) && said.contains("room") {
        return missing("bench::rooms", "rooms", said.trim());
    }
    assert_eq!(code, Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let at =
        |pointer: &str| report.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing in {json}"));
    for figure in [
        "/latency/plain/p50_ms",
        "/latency/room/p90_ms",
        "/latency/added_p50_ms",
        "/throughput/limit_per_s",
        "/throughput/ratio",
        "/steps/whole/p50_ms",
    ] {
        assert!(at(figure).as_f64().is_some_and(|value| value > 0.0), "{figure} in {json}");
    }
    assert_eq!(at("/setting/isolation"), "sandbox");
    let steps = at("/steps/steps").as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(
        (names.first(), names.last(), names.len()),
        (Some(&"control groups"), Some(&"output, counts, end of its groups"), 17),
        "{json}"
    );
    let sum: f64 = steps.iter().map(|step| step["p50_us"].as_f64().unwrap()).sum();
    let whole = at("/steps/whole/p50_ms").as_f64().unwrap() * 1000.0;
    assert!(sum > 0.0 && sum < whole * 1.5, "the steps are parts of the whole: {json}");
}

#[test]
fn people_read_the_conditions_beside_each_ratio() {
    let (code, text, said) = bench(&["-q"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{text}");
    let ratios = text.lines().filter(|line| line.contains("ratio ")).count();
    let conditions = text.lines().filter(|line| line.contains("(isolation none, durability full")).count();
    assert_eq!((ratios, conditions), (2, 2), "{text}");
}
