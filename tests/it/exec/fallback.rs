//! Jobs held by their process group only, where no keeper can be started.

use callboard_actors::exec::{Executor, ProcessConfig};
use callboard_actors::model::{AttemptEnd, InputMode, Stream};

use super::rig::*;

fn no_keeper(config: &mut ProcessConfig) {
    config.keeper_path = None;
}

#[test]
fn without_a_keeper_jobs_run_and_the_report_says_what_is_missing() {
    with_config(no_keeper, async |mut rig: Rig| {
        let result = rig.run(shell("echo hi; exit 3")).await;
        assert_eq!((result.end, text(&result.stdout).as_str()), (exited(3), "hi\n"));
        assert_eq!(result.isolation.kill, "process_group");
        assert!(result.isolation.missing.iter().any(|it| it == "keeper"));
        assert!(result.usage.peak_memory_bytes > 0);
        let mut job = argv(&["cat"]);
        job.input = InputMode::Inline(b"in".to_vec());
        assert_eq!(text(&rig.run(job).await.stdout), "in");
        let loud = rig.run(shell("seq 1 300000")).await;
        assert_eq!(loud.stdout.summary.total_bytes, 1_988_895);
        assert_eq!(rig.kept(&loud, Stream::Stdout).len() as u64, loud.stdout.summary.kept_bytes());
    });
}

#[test]
fn without_a_keeper_the_process_group_still_goes() {
    with_config(no_keeper, async |mut rig: Rig| {
        let word = marker();
        assert_eq!(rig.run(shell(format!("sleep {word} & true"))).await.end, exited(0));
        until("the left-over is gone", || alive(&word) == 0).await;
        let mut job = shell(format!("trap '' TERM; sleep {word} & while :; do sleep 0.1; done"));
        (job.timeout_ms, job.grace_ms) = (Some(100), 100);
        let end = rig.run(job).await.end;
        assert_eq!(end, AttemptEnd::Timeout { limit_ms: 100, exit: signalled(9) });
        until("the group is gone", || alive(&word) == 0).await;
        let attempt = rig.submit(shell(format!("sleep {word}")));
        rig.started().await;
        rig.executor.kill(attempt, 1000);
        assert!(matches!(rig.finished().await.end, AttemptEnd::Killed { .. }));
        rig.submit(shell(format!("sleep {word}")));
        rig.started().await;
        drop(rig);
        until("the lifeline ended it", || alive(&word) == 0).await;
    });
}
