//! A coordinator whose database was restored from a backup, and runners that know a later term of it.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use super::{BOTH, Dials, coordinator, history, noted, pair, submit, until, url};
use crate::server::Server;

fn copied(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp -a {} {}", from.display(), to.display());
}

fn again(folder: &Path, dials: Dials, port: u16, node_port: u16) -> Server {
    let launch = coordinator(folder).on_port(port).unready();
    match dials {
        Dials::Runner => launch.start(),
        Dials::Coordinator => launch.variable("RUNNER_URL", &url(node_port)).start(),
    }
}

#[test]
fn a_restored_older_database_takes_its_runners_back_and_runs_again_what_it_does_not_know_the_end_of() {
    for dials in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, runner) = pair(folder.path(), dials);
        let evidence = folder.path().join("evidence");
        let done = first.submit(&noted(&evidence, 0.0));
        first.until(&done, "completed");
        let under_way = first.submit(&noted(&evidence, 1.0));
        first.until(&under_way, "running");
        let never = submit(&first, &json!({ "command": "sleep 1", "on_lost": "never" }));
        first.until(&never, "running");
        let port = first.port;
        first.kill();
        let (data, backup) = (folder.path().join("coordinator"), folder.path().join("backup"));
        copied(&data, &backup);

        // It goes on for two terms more.
        for _ in 0..2 {
            let mut later = again(folder.path(), dials, port, runner.port);
            later.until(&under_way, "completed");
            later.until(&never, "completed");
            let id = later.submit("true");
            later.until(&id, "completed");
            later.kill();
        }
        let mut last = again(folder.path(), dials, port, runner.port);
        let after = last.submit(&noted(&evidence, 600.0));
        last.until(&after, "running");
        last.kill();
        std::fs::remove_dir_all(&data).unwrap();
        copied(&backup, &data);

        let mut restored = again(folder.path(), dials, port, runner.port);
        let job = restored.until(&under_way, "completed");
        assert_eq!(job["attempts"][0]["fate"], "lost", "{dials:?}: that it ran twice is on record: {job}");
        assert_eq!(history(&evidence)[&under_way], (2, 2), "{dials:?}");
        let lost = restored.until(&never, "failed");
        assert_eq!(lost["reason"], "runner_lost", "{dials:?} {lost}");
        assert_eq!(restored.job(&done)["status"], "completed");
        assert_eq!(history(&evidence)[&done], (1, 1), "{dials:?}");
        // What was accepted after the backup is not known, and what runs of it is ended.
        assert_eq!(restored.ask("GET", &format!("/v1/jobs/{after}"), None).unwrap().0, 404);
        let used = || restored.ask("GET", "/v1/runners", None).unwrap().1["items"][0]["slots_used"].clone();
        until("a job that nobody knows goes on", || used() == 0);
        // The raised term outlives the next start.
        assert_eq!(restored.terminate(), Some(0), "{dials:?}");
        let next = again(folder.path(), dials, port, runner.port);
        let id = next.submit("true");
        next.until(&id, "completed");
        runner.signal(Signal::TERM);
    }
}
