//! Jobs that leave things behind, hide, or fork faster than one looks.

use std::time::{Duration, Instant};

use callboard_actors::exec::Executor;
use callboard_actors::model::AttemptEnd;

use super::rig::*;

#[test]
fn a_daemon_left_behind_is_killed_and_counted() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        let line = format!(
            "setsid sh -c 'trap \"\" TERM HUP; setsid env -i sleep {word} & ' & sleep 0.2; echo done"
        );
        let result = rig.run(shell(line)).await;
        assert_eq!((result.end, text(&result.stdout).as_str()), (exited(0), "done\n"));
        assert_eq!(result.usage.orphans_killed, 1);
        assert_eq!(alive(&word), 0);
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hold_the_job() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        let began = Instant::now();
        let result = rig.run(shell(format!("sleep {word} & echo hi"))).await;
        assert_eq!((result.end, text(&result.stdout).as_str()), (exited(0), "hi\n"));
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(alive(&word), 0);
    });
}

#[test]
fn what_is_in_the_pipe_at_the_end_is_not_lost() {
    with_rig(1, async |mut rig: Rig| {
        for _ in 0..30 {
            let result = rig.run(shell("head -c 60000 /dev/zero")).await;
            assert_eq!(result.stdout.summary.total_bytes, 60_000);
            rig.spool().remove(result.attempt).unwrap();
        }
    });
}

#[test]
fn a_deep_and_wide_tree_is_killed_to_the_last() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        let line = format!(
            "deep() {{ [ $1 -gt 0 ] && {{ (deep $(($1 - 1))) & sleep {word}; }}; }}
             deep 20 & for n in $(seq 40); do setsid sh -c 'trap \"\" TERM; sleep {word}; :' & done
             while [ $(grep -c . /proc/self/status) -lt 1 ]; do :; done; sleep 0.5"
        );
        let result = rig.run(shell(line)).await;
        assert_eq!(result.end, exited(0));
        assert!(result.usage.orphans_killed >= 60, "{:?}", result.usage);
        assert_eq!(alive(&word), 0);
    });
}

#[test]
fn a_chain_that_forks_and_moves_on_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let word = marker();
    // Each link starts the next one in a new session and ends. The file `stop` ends it should we fail.
    let body = "#!/bin/sh\n[ -e \"$2/stop\" ] && exit\nsetsid \"$0\" \"$1\" \"$2\" &\n";
    let chain = script(folder.path(), "chain", body);
    with_rig(1, async |mut rig: Rig| {
        let (chain, place) = (chain.display(), folder.path().display());
        let job = shell(format!("{chain} {word} {place}; {chain} {word} {place}; sleep 0.3"));
        let began = Instant::now();
        let result = rig.run(job).await;
        let left = alive(&word);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let later = alive(&word);
        std::fs::write(folder.path().join("stop"), "").unwrap();
        assert_eq!(result.end, exited(0));
        assert_eq!((left, later), (0, 0), "after {:?}", began.elapsed());
        assert_eq!(rig.executor.usable_slots(), 1);
    });
}

#[test]
fn a_job_whose_orphans_die_by_the_hundred_leaves_no_zombies() {
    with_rig(1, async |mut rig: Rig| {
        let attempt = rig.submit(shell("for n in $(seq 200); do (true &) ; done; echo made; sleep 60"));
        rig.started().await;
        let spool = rig.spool();
        let seen = || spool.read(attempt, callboard_actors::model::Stream::Stdout, 0, 100).unwrap().bytes;
        until("the orphans were made", || seen() == b"made\n").await;
        let keepers = if is_root("counting zombies") { rig.keepers() } else { Vec::new() };
        let zombies = || {
            let is_ours = |fields: &Vec<String>| {
                fields[0] == "Z" && keepers.iter().any(|keeper| fields[1] == keeper.to_string())
            };
            processes().filter_map(stat).filter(is_ours).count()
        };
        until("zombies are reaped while the job runs", || zombies() == 0).await;
        rig.executor.kill(attempt, 0);
        assert!(matches!(rig.finished().await.end, AttemptEnd::Killed { .. }));
    });
}
