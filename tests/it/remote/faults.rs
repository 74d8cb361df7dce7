//! The way between a coordinator and its runner made bad, and either side stopped for a while, while jobs run. Nothing that
//! was accepted is lost, nothing is recorded twice, and what was not given up runs once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::{coordinator, history, noted, runner, until, until_ready, url};
use crate::fault::{FaultProxy, Way};
use crate::server::{Server, exchange};

/// A coordinator, two runners behind ways of their own, and a file of what ran.
struct Rig {
    folder: tempfile::TempDir,
    coordinator: Server,
    runners: Vec<Server>,
    ways: Vec<FaultProxy>,
}

impl Rig {
    /// The first runner dials, the second is dialled.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dialled = runner(folder.path(), "b").start();
        let to_dialled = FaultProxy::to(dialled.port);
        let coordinator =
            coordinator(folder.path()).variable("RUNNER_URL", &url(to_dialled.port)).unready().start();
        let to_coordinator = FaultProxy::to(coordinator.port);
        let dialling =
            runner(folder.path(), "a").variable("CALLBOARD_JOIN", &url(to_coordinator.port)).start();
        until_ready(&coordinator);
        let both = |coordinator: &Server| {
            let metrics = exchange(coordinator.port, "GET", "/metrics", None).unwrap().body;
            metrics.contains("callboard_runners{state=\"ready\"} 2")
        };
        until("not both runners are ready", || both(&coordinator));
        Self { folder, coordinator, runners: vec![dialling, dialled], ways: vec![to_coordinator, to_dialled] }
    }

    fn evidence(&self) -> std::path::PathBuf {
        self.folder.path().join("evidence")
    }

    fn submit(&self, count: usize, seconds: f64) -> Vec<String> {
        (0..count).map(|_| self.coordinator.submit(&noted(&self.evidence(), seconds))).collect()
    }
}

/// Every job has completed, and each ran once.
fn each_ran_once(server: &Server, evidence: &Path, ids: &[String]) {
    for id in ids {
        server.until(id, "completed");
    }
    let history = history(evidence);
    for id in ids {
        assert_eq!(history[id], (1, 1), "{id}");
    }
    assert_eq!(history.keys().collect::<BTreeSet<_>>(), ids.iter().collect::<BTreeSet<_>>());
}

#[test]
fn a_way_that_is_late_slow_cut_half_open_or_deaf_for_a_while_loses_nothing_and_repeats_nothing() {
    let rig = Rig::start();
    let mut ids = Vec::new();
    let bad = [Way::Late(Duration::from_millis(60)), Way::Slow(20_000), Way::Cut, Way::HalfOpen, Way::Deaf];
    for way in bad {
        ids.extend(rig.submit(6, 0.2));
        std::thread::sleep(Duration::from_millis(150));
        rig.ways.iter().for_each(|it| it.set(way));
        ids.extend(rig.submit(2, 0.1));
        // What was on its way already may still come over.
        std::thread::sleep(Duration::from_millis(100));
        let carried = || rig.ways.iter().map(FaultProxy::carried).collect::<Vec<_>>();
        let before = carried();
        std::thread::sleep(Duration::from_millis(600));
        if matches!(way, Way::Cut | Way::HalfOpen) {
            assert_eq!(carried(), before, "nothing comes over: {way:?}");
        }
        rig.ways.iter().for_each(|it| it.set(Way::Open));
        rig.ways.iter().for_each(FaultProxy::reset);
        ids.extend(rig.submit(2, 0.05));
    }
    each_ran_once(&rig.coordinator, &rig.evidence(), &ids);
    assert!(rig.ways.iter().all(|way| way.carried() > 0), "both ways were used");
}

#[test]
fn a_side_that_stands_still_for_a_while_loses_nothing_and_repeats_nothing() {
    let rig = Rig::start();
    let mut ids = Vec::new();
    for _ in 0..2 {
        for server in rig.runners.iter().chain([&rig.coordinator]) {
            ids.extend(rig.submit(4, 0.2));
            std::thread::sleep(Duration::from_millis(100));
            server.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(600));
            server.signal(Signal::CONT);
        }
    }
    each_ran_once(&rig.coordinator, &rig.evidence(), &ids);
}
