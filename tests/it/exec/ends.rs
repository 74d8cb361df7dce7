//! How attempts end: by themselves, by a signal, by a limit, by a wish.

use std::time::{Duration, Instant};

use callboard_actors::exec::{ExecRefusal, Executor};
use callboard_actors::model::{AttemptEnd, Exit};

use super::rig::*;

#[test]
fn a_job_ends_with_its_code_its_output_and_what_it_used() {
    with_rig(1, async |mut rig: Rig| {
        let result = rig.run(shell("echo out; echo err >&2; exit 3")).await;
        assert_eq!(result.end, exited(3));
        assert_eq!((text(&result.stdout).as_str(), text(&result.stderr).as_str()), ("out\n", "err\n"));
        assert!(result.usage.wall_us > 0 && result.usage.peak_memory_bytes > 0);
        assert!(result.started_ms_ago.is_some());
        assert_eq!(result.isolation.kill, "subreaper");
        assert_eq!(rig.spool().list().unwrap(), [], "small output leaves no folder");
    });
}

#[test]
fn a_start_is_told_before_the_end_also_when_both_come_at_once() {
    with_rig(1, async |mut rig: Rig| {
        for line in ["true", "sleep 0.05"] {
            let attempt = rig.submit(shell(line));
            assert_eq!(rig.started().await, attempt);
            assert_eq!(rig.finished().await.end, exited(0));
        }
    });
}

#[test]
fn a_foreign_signal_is_not_an_exit_code() {
    with_rig(1, async |mut rig: Rig| {
        assert_eq!(rig.run(shell("kill -9 $$")).await.end, AttemptEnd::Exited(signalled(9)));
        assert_eq!(rig.run(shell("sh -c 'kill -9 $$'")).await.end, exited(137));
    });
}

#[test]
fn a_core_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    with_rig(1, async |mut rig: Rig| {
        let mut job = shell("ulimit -c unlimited || exit 99; kill -QUIT $$");
        job.cwd = Some(folder.path().to_str().unwrap().to_owned());
        let end = rig.run(job).await.end;
        if end == exited(99) || pattern.starts_with(['|', '/']) {
            return crate::skip::skipped("a_core_file_is_told", "core files are not written here");
        }
        let written = std::fs::read_dir(folder.path()).unwrap().count() > 0;
        assert_eq!(end, AttemptEnd::Exited(Exit::Signal { number: 3, core_dumped: written }));
    });
}

#[test]
fn a_time_limit_asks_first_and_a_polite_job_may_answer() {
    with_rig(1, async |mut rig: Rig| {
        let mut job = shell("trap 'echo bye; exit 7' TERM; sleep 60 & wait");
        job.timeout_ms = Some(200);
        let result = rig.run(job).await;
        assert_eq!(result.end, AttemptEnd::Timeout { limit_ms: 200, exit: Exit::Code(7) });
        assert_eq!(text(&result.stdout), "bye\n");
    });
}

#[test]
fn a_job_that_ignores_term_is_killed_after_its_grace() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        let mut job = shell(format!("trap '' TERM; setsid sleep {word} & while :; do sleep 0.1; done"));
        (job.timeout_ms, job.grace_ms) = (Some(100), 300);
        let began = Instant::now();
        let result = rig.run(job).await;
        assert_eq!(result.end, AttemptEnd::Timeout { limit_ms: 100, exit: signalled(9) });
        assert!(began.elapsed() >= Duration::from_millis(400));
        assert!(result.usage.wall_us >= 400_000);
        assert_eq!(alive(&word), 0);
    });
}

#[test]
fn a_wish_to_end_reaches_the_whole_tree() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        let attempt = rig.submit(shell(format!("setsid sleep {word} & sleep {word}")));
        rig.started().await;
        until("the tree runs", || alive(&word) >= 2).await;
        rig.executor.kill(attempt, 10_000);
        assert_eq!(rig.finished().await.end, AttemptEnd::Killed { exit: Some(signalled(15)) });
        assert_eq!(alive(&word), 0);
    });
}

#[test]
fn term_is_heard_outside_the_process_group_too() {
    with_rig(1, async |mut rig: Rig| {
        let away = "trap \"echo heard; exit\" TERM; echo ready; while :; do sleep 0.05; done";
        let line = format!("trap 'wait; exit 0' TERM; setsid sh -c '{away}' & wait");
        let attempt = rig.submit(shell(line));
        let spool = rig.spool();
        let seen = || spool.read(attempt, callboard_actors::model::Stream::Stdout, 0, 100).unwrap().bytes;
        until("it is ready", || seen() == b"ready\n").await;
        rig.executor.kill(attempt, 20_000);
        let result = rig.finished().await;
        assert_eq!(result.end, AttemptEnd::Killed { exit: Some(Exit::Code(0)) });
        assert_eq!(text(&result.stdout), "ready\nheard\n");
    });
}

#[test]
fn a_shorter_grace_wins_and_unknown_attempts_are_ignored() {
    with_rig(1, async |mut rig: Rig| {
        let attempt = rig.submit(shell("trap '' TERM; while :; do sleep 0.1; done"));
        rig.started().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.executor.kill(attempt, 600_000);
        rig.executor.kill(attempt, 900_000);
        let began = Instant::now();
        rig.executor.kill(attempt, 50);
        assert_eq!(rig.finished().await.end, AttemptEnd::Killed { exit: Some(signalled(9)) });
        assert!(began.elapsed() < Duration::from_secs(20));
        rig.executor.kill(attempt, 0);
        assert_eq!(rig.run(shell("true")).await.end, exited(0));
    });
}

#[test]
fn a_stopped_job_is_woken_to_hear_term() {
    with_rig(1, async |mut rig: Rig| {
        let attempt = rig.submit(shell("kill -STOP $$"));
        rig.started().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        rig.executor.kill(attempt, 60_000);
        assert_eq!(rig.finished().await.end, AttemptEnd::Killed { exit: Some(signalled(15)) });
    });
}

#[test]
fn processor_time_of_a_killed_tree_is_counted() {
    with_rig(1, async |mut rig: Rig| {
        let mut job = shell("(trap '' TERM; while :; do :; done) & while :; do :; done");
        (job.timeout_ms, job.grace_ms) = (Some(600), 0);
        let usage = rig.run(job).await.usage;
        let spent = usage.cpu_user_us + usage.cpu_system_us;
        assert!(spent >= 100_000, "only {spent} µs");
    });
}

#[test]
fn slots_are_bounded_and_come_back() {
    with_rig(2, async |mut rig: Rig| {
        let (first, second) = (rig.submit(shell("sleep 60")), rig.submit(shell("sleep 60")));
        let (third, job) = refused_job();
        assert_eq!(rig.executor.start(job), Err(ExecRefusal::NoFreeSlot));
        rig.executor.kill(first, 0);
        assert_eq!(rig.finished().await.attempt, first);
        rig.submit_as(third, shell("exit 5"));
        assert_eq!(rig.finished().await.end, exited(5));
        rig.executor.stop();
        assert_eq!(rig.executor.start(refused_job().1), Err(ExecRefusal::Stopping));
        rig.executor.kill(second, 0);
        assert_eq!(rig.finished().await.attempt, second, "what runs goes on after a stop");
    });
}

fn refused_job() -> (callboard_actors::model::AttemptId, callboard_actors::exec::ExecJob) {
    let attempt = callboard_actors::model::AttemptId::new(
        callboard_actors::clock::new_job_id(),
        callboard_actors::model::Epoch(1),
    );
    let spec = std::sync::Arc::new(shell("true"));
    (
        attempt,
        callboard_actors::exec::ExecJob {
            hold: None,
            fence_grace_ms: None,
            attempt,
            spec,
            env: Default::default(),
            secret_env: Default::default(),
        },
    )
}

#[test]
fn two_hundred_jobs_in_a_row_leak_nothing() {
    with_rig(4, async |mut rig: Rig| {
        for _ in 0..4 {
            rig.submit(shell("true"));
        }
        let before = keeper_fds(&rig);
        for _ in 0..200 {
            assert_eq!(rig.finished().await.end, exited(0));
            rig.submit(shell("true"));
        }
        for _ in 0..4 {
            rig.finished().await;
        }
        if is_root("counting a keeper's descriptors") {
            let idle = keeper_fds(&rig);
            assert_eq!(idle.len(), 4);
            // Standard three, lifeline, lock, spool folder.
            assert!(idle.iter().all(|fds| *fds == 6), "{idle:?}, while running {before:?}");
        }
    });
}

fn keeper_fds(rig: &Rig) -> Vec<usize> {
    let count = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    rig.keepers().into_iter().map(count).collect()
}
