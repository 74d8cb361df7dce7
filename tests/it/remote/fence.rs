//! Jobs that must not outlive the connection of their runner: they are ended there before they are given to another, also
//! where the runner's process stands still. What ran when is read from a file that the jobs wrote, by the clock of the machine.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{BOTH, Dials, coordinator, runner, submit, until, until_ready, url};
use crate::cli::ask;
use crate::fault::{FaultProxy, Way};
use crate::server::Server;

/// A line that notes its job and epoch every 50 ms.
fn ticking(evidence: &Path) -> String {
    let name = "$CALLBOARD_JOB_ID $CALLBOARD_EPOCH";
    let line = format!("echo {name} $(cut -d' ' -f1 /proc/uptime) >> {}", evidence.display());
    format!("while :; do {line}; sleep 0.05; done")
}

/// When each epoch of the job was first and last seen.
fn epochs(evidence: &Path, id: &str) -> Vec<(u64, f64, f64)> {
    let mut seen: Vec<(u64, f64, f64)> = Vec::new();
    for line in std::fs::read_to_string(evidence).unwrap_or_default().lines() {
        let [job, epoch, at] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        let (epoch, at) = (epoch.parse().unwrap(), at.parse().unwrap());
        if job == id {
            match seen.iter_mut().find(|(known, ..)| *known == epoch) {
                Some((_, _, last)) => *last = at,
                None => seen.push((epoch, at, at)),
            }
        }
    }
    seen
}

/// A coordinator and a runner behind a way that can be cut, on which a job of each kind runs, and another runner.
struct Rig {
    folder: tempfile::TempDir,
    coordinator: Server,
    first: Server,
    _second: Server,
    way: FaultProxy,
    killed: String,
    kept: String,
}

impl Rig {
    fn start(dials: Dials) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (coordinator, first, way) = match dials {
            Dials::Runner => {
                let coordinator = coordinator(folder.path()).unready().start();
                let way = FaultProxy::to(coordinator.port);
                let first = runner(folder.path(), "first").variable("CALLBOARD_JOIN", &url(way.port)).start();
                (coordinator, first, way)
            }
            Dials::Coordinator => {
                let first = runner(folder.path(), "first").start();
                let way = FaultProxy::to(first.port);
                let coordinator = coordinator(folder.path()).variable("RUNNER_URL", &url(way.port));
                (coordinator.unready().start(), first, way)
            }
        };
        until_ready(&coordinator);
        let evidence = folder.path().join("evidence");
        let job = |policy: &str| json!({ "command": ticking(&evidence), "on_disconnect": policy });
        let [killed, kept] = ["kill", "keep"].map(|policy| submit(&coordinator, &job(policy)));
        for id in [&killed, &kept] {
            coordinator.until(id, "running");
            until("it does not run", || !epochs(&evidence, id).is_empty());
        }
        let second = runner(folder.path(), "second").slots(4);
        let second = second.variable("CALLBOARD_JOIN", &url(coordinator.port)).start();
        until("the other runner is not there", || {
            ask(&coordinator, &["nodes", "list", "-o", "json"]).fine().contains("\"second\"")
        });
        Self { folder, coordinator, first, _second: second, way, killed, kept }
    }

    /// The job that must not run twice is on the other runner, and on the first one no more.
    fn was_handed_over(&self) -> Value {
        let evidence = self.folder.path().join("evidence");
        until("it is not given to the other runner", || epochs(&evidence, &self.killed).len() == 2);
        std::thread::sleep(Duration::from_millis(300));
        let [(_, _, last), (_, first, _)] = epochs(&evidence, &self.killed)[..] else { panic!("two epochs") };
        assert!(last < first, "it ran twice at once: until {last}, and from {first} on");
        self.coordinator.job(&self.killed)
    }
}

#[test]
fn a_job_that_must_not_run_twice_ends_before_it_is_given_to_another_runner() {
    for dials in BOTH {
        let rig = Rig::start(dials);
        rig.way.set(Way::HalfOpen);
        let job = rig.was_handed_over();
        let lost = &job["attempts"][0];
        assert_eq!((&lost["fate"], &job["runner"]), (&json!("lost"), &json!("second")), "{dials:?} {job}");
        rig.way.set(Way::Open);
        rig.way.reset();
        // The other one has gone on all the while, and is taken up again.
        let evidence = rig.folder.path().join("evidence");
        rig.coordinator.until(&rig.kept, "running");
        until("it is not taken up", || rig.coordinator.job(&rig.kept)["runner"] == "first");
        assert_eq!(epochs(&evidence, &rig.kept).len(), 1, "{dials:?}");
        std::thread::sleep(Duration::from_millis(500));
        let job = rig.coordinator.job(&rig.killed);
        assert_eq!((&job["epoch"], &job["status"]), (&json!(2), &json!("running")), "{dials:?} {job}");
        let nodes = ask(&rig.coordinator, &["nodes", "list", "-o", "json"]);
        assert!(!nodes.fine().contains("cordoned"), "it is no fault of its runner: {nodes:?}");
    }
}

#[test]
fn a_runner_that_stands_still_cannot_keep_such_a_job_alive() {
    let rig = Rig::start(Dials::Runner);
    rig.first.signal(Signal::STOP);
    rig.was_handed_over();
    rig.first.signal(Signal::CONT);
    until("it is not taken up", || {
        let job = rig.coordinator.job(&rig.kept);
        job["status"] == "running" && job["runner"] == "first"
    });
}

#[test]
fn a_coordinator_that_is_away_for_a_moment_ends_nothing() {
    let rig = Rig::start(Dials::Runner);
    rig.coordinator.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(900));
    rig.coordinator.signal(Signal::CONT);
    std::thread::sleep(Duration::from_millis(1_500));
    let evidence = rig.folder.path().join("evidence");
    for id in [&rig.killed, &rig.kept] {
        assert_eq!(rig.coordinator.job(id)["epoch"], 1);
        assert_eq!(epochs(&evidence, id).len(), 1);
    }
}

#[test]
fn what_is_said_of_losing_each_other_is_shown_and_has_a_default() {
    let folder = tempfile::tempdir().unwrap();
    let launch = coordinator(folder.path()).slots(1).variable("CALLBOARD_DEFAULT_ON_DISCONNECT", "kill");
    let server = launch.variable("CALLBOARD_DEFAULT_ON_LOST", "never").start();
    let shown = |body: Value| {
        let id = submit(&server, &body);
        let job = server.until(&id, "completed");
        [job["on_lost"].clone(), job["on_disconnect"].clone()]
    };
    assert_eq!(shown(json!({ "command": "true" })), ["never", "kill"]);
    let said = json!({ "command": "true", "on_lost": "requeue", "on_disconnect": "keep" });
    assert_eq!(shown(said), ["requeue", "keep"]);
    let wrong = json!({ "command": "true", "on_disconnect": "maybe" });
    let (status, problem) = server.ask("POST", "/v1/jobs", Some(&wrong)).unwrap();
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("#/on_disconnect")), "{problem}");
}
