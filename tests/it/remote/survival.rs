//! A runner that is killed while its jobs run, and started again: they go on, their results are told, and nothing is left of
//! those that were not to.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::{BOTH, Dials, coordinator, history, noted, runner, submit, until, until_ready, url};
use crate::server::{Launch, Server, free_port};

/// A coordinator, and a runner that can be started again at its port.
struct Pair {
    coordinator: Server,
    launch: Launch,
}

impl Pair {
    /// Silence has its usual consequences, late: what is decided at once is decided by what the runner says.
    fn new(folder: &Path, dials: Dials) -> Self {
        let port = free_port();
        let coordinator = coordinator(folder).variable("CALLBOARD_LOST", "60s").unready();
        let node = runner(folder, "a").on_port(port).slots(3);
        match dials {
            Dials::Runner => {
                let coordinator = coordinator.start();
                let launch = node.variable("CALLBOARD_JOIN", &url(coordinator.port));
                Self { coordinator, launch }
            }
            Dials::Coordinator => {
                let coordinator = coordinator.variable("RUNNER_URL", &url(port)).start();
                Self { coordinator, launch: node }
            }
        }
    }

    fn start(&self) -> Server {
        let node = self.launch.clone().start();
        until_ready(&self.coordinator);
        node
    }
}

/// How many doors of waiting keepers there are.
fn doors(node: &Server) -> usize {
    let entries = std::fs::read_dir(node.data_dir.join("slots")).unwrap().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|it| it == "door")).count()
}

#[test]
fn jobs_go_on_while_their_runner_is_killed_and_started_again() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair::new(folder.path(), dials);
        let mut node = pair.start();
        let evidence = folder.path().join("evidence");
        let long = pair.coordinator.submit(&format!("{}; seq 1 200000; exit 3", noted(&evidence, 2.5)));
        let ends_meanwhile = pair.coordinator.submit(&format!("{}; echo meanwhile", noted(&evidence, 0.6)));
        for id in [&long, &ends_meanwhile] {
            pair.coordinator.until(id, "running");
        }
        node.kill();
        until("the other job did not end", || history(&evidence)[&ends_meanwhile].1 == 1);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(doors(&node), 2, "{dials:?}");
        let node = pair.start();
        let job = pair.coordinator.until(&ends_meanwhile, "completed");
        assert_eq!(pair.coordinator.output(&ends_meanwhile), "meanwhile\n", "{job}");
        let job = pair.coordinator.until(&long, "failed");
        assert_eq!(
            (&job["exit_code"], &job["epoch"], &job["attempts"]),
            (&json!(3), &json!(1), &json!([])),
            "{job}"
        );
        assert!(pair.coordinator.output(&long).ends_with("\n200000\n"), "{dials:?}");
        for id in [&long, &ends_meanwhile] {
            assert_eq!(history(&evidence)[id], (1, 1), "{dials:?}: it ran once");
        }
        assert!(job["runtime_ms"].as_f64().is_some_and(|ms| ms >= 2_400.0), "{job}");
        // The keepers that waited serve on, as the new life's own.
        for _ in 0..6 {
            let id = pair.coordinator.submit("echo again");
            pair.coordinator.until(&id, "completed");
        }
        assert_eq!(doors(&node), 0);
    }
}

#[test]
fn a_room_outlives_the_runner_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path(), Dials::Runner);
    pair.launch = pair.launch.clone().with_rooms();
    let mut node = pair.start();
    let body = json!({ "command": "echo before; sleep 2; echo after; cat /proc/self/status | grep -c ^Pid" });
    let id = submit(&pair.coordinator, &body);
    until("no output", || pair.coordinator.output(&id) == "before\n");
    node.kill();
    std::thread::sleep(Duration::from_millis(300));
    let _node = pair.start();
    let job = pair.coordinator.until(&id, "completed");
    assert_eq!(pair.coordinator.output(&id), "before\nafter\n1\n", "{job}");
    assert_eq!((&job["epoch"], &job["attempts"]), (&json!(1), &json!([])), "{job}");
    // Its slot makes rooms as before.
    for _ in 0..4 {
        let id = pair.coordinator.submit("echo again");
        assert_eq!(
            pair.coordinator.until(&id, "completed")["isolation_effective"]["tier"],
            job["isolation_effective"]["tier"]
        );
    }
}

#[test]
fn a_job_that_is_taken_up_again_is_cancelled_and_held_to_its_time_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path(), Dials::Runner);
    let mut node = pair.start();
    let endless =
        pair.coordinator.submit("trap 'echo told; exit 5' TERM; echo begun; while :; do sleep 0.1; done");
    let late = submit(&pair.coordinator, &json!({ "command": "sleep 100", "timeout_ms": 1500 }));
    let later = submit(&pair.coordinator, &json!({ "command": "sleep 100", "timeout_ms": 4000 }));
    for id in [&endless, &late, &later] {
        pair.coordinator.until(id, "running");
    }
    node.kill();
    std::thread::sleep(Duration::from_millis(2_000));
    let _node = pair.start();
    // Its time was over while nobody was there to see it.
    assert_eq!(pair.coordinator.until(&late, "failed")["reason"], "timeout");
    assert_eq!(pair.coordinator.until(&later, "failed")["reason"], "timeout");
    pair.coordinator.ask("POST", &format!("/v1/jobs/{endless}/cancel"), None).unwrap();
    pair.coordinator.until(&endless, "cancelled");
    assert_eq!(pair.coordinator.output(&endless), "begun\ntold\n");
}

#[test]
fn what_may_not_wait_or_has_waited_for_too_long_ends_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path(), Dials::Runner);
    pair.launch = pair.launch.clone().variable("CALLBOARD_HOLD_JOBS", "1s");
    let mut node = pair.start();
    let alive = folder.path().join("alive");
    let touches = format!("while :; do date +%s%N > {}; sleep 0.05; done", alive.display());
    let id = pair.coordinator.submit(&touches);
    // What its client has sent of its input and is not with it yet would be missing.
    let fed = submit(&pair.coordinator, &json!({ "command": "cat", "stdin": { "stream": true } }));
    for id in [&id, &fed] {
        pair.coordinator.until(id, "running");
    }
    node.kill();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(doors(&node), 1, "one of them waits");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!((node.keepers(), doors(&node)), (0, 0), "a keeper is left");
    let last = std::fs::read(&alive).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(std::fs::read(&alive).unwrap(), last, "the job goes on");
    let _node = pair.start();
    for id in [&id, &fed] {
        until("it was not lost", || pair.coordinator.job(id)["attempts"][0]["fate"] == "lost");
    }
}

#[test]
fn a_runner_that_is_told_to_end_leaves_nothing_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path(), Dials::Runner);
    for (signals, code) in [(1, 0), (2, 1)] {
        let mut node = pair.launch.clone().grace("1s").start();
        until_ready(&pair.coordinator);
        let id = pair.coordinator.submit("trap '' TERM; while :; do sleep 1; done");
        pair.coordinator.until(&id, "running");
        for _ in 0..signals {
            node.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(400));
        }
        assert_eq!(node.exit_code(), Some(code));
        assert_eq!((node.keepers(), doors(&node)), (0, 0), "{signals} signals");
        pair.coordinator.ask("POST", &format!("/v1/jobs/{id}/cancel"), None).unwrap();
    }
}

#[test]
fn a_keeper_that_is_slow_to_answer_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path(), Dials::Runner);
    let mut node = pair.start();
    let evidence = folder.path().join("evidence");
    let id = pair.coordinator.submit(&noted(&evidence, 5.0));
    pair.coordinator.until(&id, "running");
    let keepers = node.keeper_pids();
    let tell = |signal| keepers.iter().for_each(|keeper| _ = rustix::process::kill_process(*keeper, signal));
    tell(Signal::STOP);
    node.kill();
    let _node = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(2_500));
            tell(Signal::CONT);
        });
        pair.start()
    });
    let job = pair.coordinator.until(&id, "completed");
    assert_eq!((&job["attempts"], history(&evidence)[&id]), (&json!([]), (1, 1)), "{job}");
}

#[test]
fn strangers_at_the_door_are_in_nobodys_way_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path(), Dials::Runner);
    let mut node = pair.start();
    let evidence = folder.path().join("evidence");
    let id = pair.coordinator.submit(&noted(&evidence, 4.0));
    pair.coordinator.until(&id, "running");
    node.kill();
    until("it does not wait", || doors(&node) == 1);
    let entries = std::fs::read_dir(node.data_dir.join("slots")).unwrap().flatten();
    let door = entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|it| it == "door"));
    let door = door.unwrap();
    let silent: Vec<_> = (0..8).map(|_| std::os::unix::net::UnixStream::connect(&door).unwrap()).collect();
    let mut talker = std::os::unix::net::UnixStream::connect(&door).unwrap();
    std::io::Write::write_all(&mut talker, b"xyz").unwrap();
    let _node = pair.start();
    drop(silent);
    let job = pair.coordinator.until(&id, "completed");
    assert_eq!((&job["attempts"], history(&evidence)[&id]), (&json!([]), (1, 1)), "{job}");
}

#[test]
fn with_fewer_slots_the_jobs_beyond_them_end_and_that_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path(), Dials::Runner);
    let mut node = pair.start();
    let evidence = folder.path().join("evidence");
    let ids: Vec<_> = (0..3).map(|_| pair.coordinator.submit(&noted(&evidence, 2.0))).collect();
    ids.iter().for_each(|id| drop(pair.coordinator.until(id, "running")));
    node.kill();
    until("not all of them wait", || doors(&node) == 3);
    pair.launch = pair.launch.clone().slots(1);
    let _node = pair.start();
    let mut repeated = 0;
    for id in &ids {
        let job = pair.coordinator.until(id, "completed");
        let lost = crate::evidence::lost_epochs(&job).len();
        assert_eq!(history(&evidence)[id], (1 + lost as u32, 1), "{job}");
        repeated += lost;
    }
    assert_eq!(repeated, 2);
}

#[test]
fn a_runner_that_is_killed_over_and_over_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path(), Dials::Runner);
    let mut node = pair.start();
    let evidence = folder.path().join("evidence");
    let mut ids = Vec::new();
    for round in 0..12_u64 {
        for n in 0..3 {
            let seconds = [0.05, 0.4, 1.5][n];
            let body = json!({ "command": noted(&evidence, seconds), "on_lost": "requeue" });
            ids.push(submit(&pair.coordinator, &body));
        }
        std::thread::sleep(Duration::from_millis(100 + round * 137 % 500));
        node.kill();
        std::thread::sleep(Duration::from_millis(round * 61 % 300));
        node = pair.launch.clone().start();
    }
    let mut repeated = 0;
    for id in &ids {
        let job = pair.coordinator.until(id, "completed");
        let lost = crate::evidence::lost_epochs(&job).len();
        let (began, _) = history(&evidence).get(id).copied().unwrap_or_default();
        assert!(began >= 1 && began as usize <= 1 + lost, "it ran more often than anybody knows: {job}");
        repeated += lost;
    }
    // Between its lease and its start an attempt may be lost with its runner; what ran goes on.
    println!("{repeated} attempts of {} jobs were lost", ids.len());
    assert!(repeated < ids.len() / 2, "{repeated} attempts were lost");
}
