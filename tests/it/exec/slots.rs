//! Slots, their locks and their keepers: what happens when either side of a lifeline dies.

use callboard_actors::exec::{ExecEvent, Executor, ProcessError, ProcessExecutor};
use callboard_actors::model::AttemptEnd;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use super::rig::*;

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn lock_is_free(rig_folder: &std::path::Path, slot: u32) -> bool {
    let lock = std::fs::File::open(rig_folder.join(format!("{slot}.lock"))).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// The keeper of a running job: its process's parent.
pub async fn keeper_of(word: &str) -> i32 {
    let find = || {
        processes().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|it| it == word.as_bytes())
                && stat(*pid).is_some_and(|fields| fields[2] == pid.to_string())
        })
    };
    until("the job runs", || find().is_some()).await;
    stat(find().unwrap()).unwrap()[1].parse().unwrap()
}

#[test]
fn a_dead_keeper_costs_its_slot_and_its_attempt_but_leaves_no_process() {
    with_rig(2, async |mut rig: Rig| {
        let word = marker();
        let line = format!("setsid sleep {word} & sleep {word} & exec sh -c 'sleep {word}; :' {word}");
        let attempt = rig.submit(shell(line));
        rig.started().await;
        let keeper = keeper_of(&word).await;
        for harmless in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::PIPE, Signal::USR1] {
            signal(keeper, harmless);
        }
        until("the tree runs", || alive(&word) >= 4).await;
        signal(keeper, Signal::KILL);
        let ExecEvent::SlotQuarantined { why, .. } = rig.event().await else { panic!("no quarantine") };
        assert!(why.contains("keeper"), "{why}");
        let result = rig.finished().await;
        assert_eq!(result.attempt, attempt);
        assert!(matches!(result.end, AttemptEnd::Lost { .. }), "{:?}", result.end);
        assert_eq!(alive(&word), 0);
        assert_eq!(rig.executor.usable_slots(), 1);
        assert_eq!(rig.run(shell("exit 4")).await.end, exited(4), "the other slot works");
    });
}

#[test]
fn a_keeper_shrugs_off_what_a_terminal_sends() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        let attempt = rig.submit(shell(format!("exec sleep {word}")));
        let keeper = keeper_of(&word).await;
        for harmless in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::TSTP, Signal::ALARM] {
            signal(keeper, harmless);
        }
        rig.executor.kill(attempt, 1000);
        assert!(matches!(rig.finished().await.end, AttemptEnd::Killed { .. }));
        assert_eq!(rig.run(shell("exit 6")).await.end, exited(6));
    });
}

#[test]
fn when_the_node_goes_the_whole_tree_goes_and_then_the_lock() {
    with_rig(1, async |mut rig: Rig| {
        let word = marker();
        rig.submit(shell(format!(
            "trap '' TERM; setsid sleep {word} & setsid sh -c 'setsid sleep {word} &' & sleep {word}"
        )));
        rig.started().await;
        until("the tree runs", || alive(&word) >= 3).await;
        assert!(!lock_is_free(&rig.config.slots_dir, 0));
        let slots_dir = rig.config.slots_dir.clone();
        drop(rig);
        until("the lock is free", || lock_is_free(&slots_dir, 0)).await;
        assert_eq!(alive(&word), 0, "the lock outlives the tree");
    });
}

#[test]
fn a_slot_held_by_a_former_life_is_waited_for_or_quarantined() {
    with_rig(1, async |mut rig: Rig| {
        let mut config = rig.config.clone();
        (config.slots, config.lock_wait_ms) = (2, 100);
        let mut second = Rig::start(config.clone()).await;
        assert_eq!(second.executor.usable_slots(), 1);
        let ExecEvent::SlotQuarantined { slot, why } = second.event().await else { panic!("no quarantine") };
        assert_eq!(slot, 0);
        assert!(why.contains("former life"), "{why}");
        assert_eq!(second.run(shell("true")).await.end, exited(0));
        drop(second);

        let word = marker();
        rig.submit(shell(format!("sleep {word}")));
        rig.started().await;
        drop(rig);
        (config.slots, config.lock_wait_ms) = (1, 30_000);
        let third = Rig::start(config).await;
        assert_eq!(third.executor.usable_slots(), 1, "the former keeper was waited for");
        assert_eq!(alive(&word), 0);
    });
}

#[test]
fn a_program_that_is_no_keeper_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    local(async {
        let mut config = config(folder.path());
        config.keeper_path = Some("/bin/true".into());
        let rig = Rig::start(config.clone()).await;
        assert_eq!(rig.executor.usable_slots(), 0);
        config.keeper_path = Some("/no/such/keeper".into());
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let refused = ProcessExecutor::start(config, events).await;
        assert!(matches!(refused, Err(ProcessError::Keeper { slot: 0, .. })));
    });
}

#[test]
fn a_keeper_started_by_hand_refuses() {
    use std::process::Stdio;
    let mut keeper = std::process::Command::new(crate::server::BINARY);
    keeper.arg("__keeper").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = crate::process::finish(keeper.spawn().unwrap(), None);
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.is_empty(), "it says why");
}
