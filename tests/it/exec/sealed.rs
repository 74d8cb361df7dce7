//! What keepers are started from: a copy in memory that nobody can change.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use callboard_actors::exec::Executor;
use callboard_actors::model::{Layer, LayerState};
use rustix::fs::{SealFlags, fcntl_get_seals};

use super::rig::*;
use super::slots::keeper_of;
use crate::server::BINARY;

fn layer(rig: &Rig) -> Layer {
    let facts = rig.executor.rooms().read();
    let mut found = facts.layers.into_iter().filter(|layer| layer.name == "sealed_keeper");
    let layer = found.next().expect("the layer is told of");
    assert!(found.next().is_none(), "and once");
    layer
}

#[test]
fn a_keeper_is_a_copy_that_nobody_can_change() {
    with_rig(1, async |mut rig: Rig| {
        assert_eq!(layer(&rig).state, LayerState::Enforced, "{}", layer(&rig).why);
        let word = marker();
        let attempt = rig.submit(shell(format!("exec sleep {word}")));
        let keeper = keeper_of(&word).await;
        let of = |name: &str| format!("/proc/{keeper}/{name}");
        assert_eq!(fs::read_to_string(of("comm")).unwrap(), "callboard-slot\n");
        let line = fs::read_to_string(of("cmdline")).unwrap();
        assert_eq!(line, format!("{BINARY}\0__keeper\0"), "lists of processes show what it is");
        if rustix::process::geteuid().is_root() {
            let copy = fs::File::open(of("exe")).unwrap();
            let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            assert_eq!(fcntl_get_seals(&copy).unwrap() & all, all);
            assert_eq!(copy.metadata().unwrap().len(), fs::metadata(BINARY).unwrap().len());
        } else {
            let refused = fs::File::open(of("exe")).expect_err("nobody but root opens a keeper's program");
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        }
        rig.executor.kill(attempt, 0);
        rig.finished().await;
    });
}

#[test]
fn a_keeper_that_starts_later_is_the_one_that_the_node_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callboard");
    fs::copy(BINARY, &path).unwrap();
    let change = |config: &mut callboard_actors::exec::ProcessConfig| {
        config.keeper_path = Some(path.clone());
        config.isolation_check_ms = 100;
    };
    with_config(change, async |rig: Rig| {
        let board = rig.executor.rooms();
        let before = board.read();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
        let since = before.verified_at_ms;
        // The second look from here on has begun after the change.
        until("rooms are tried again", || board.read().verified_at_ms > since).await;
        let since = board.read().verified_at_ms;
        until("and again", || board.read().verified_at_ms > since).await;
        let after = board.read();
        assert_eq!(after.tier, before.tier, "{:?}", after.degraded_because);
        assert_eq!(layer(&rig).state, LayerState::Enforced);
    });
}

#[test]
fn what_cannot_be_started_from_memory_is_started_from_its_file_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("keeper");
    fs::write(&script, format!("#!/bin/sh\nexec '{BINARY}' \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // A program that is no keeper: its copy does not say what a keeper says.
    let stranger = folder.path().join("stranger");
    fs::copy("/bin/true", &stranger).unwrap();
    with_config(
        |config| config.keeper_path = Some(script.clone()),
        async |mut rig: Rig| {
            let layer = layer(&rig);
            assert_eq!(layer.state, LayerState::Unavailable);
            assert!(layer.why.contains("script"), "{}", layer.why);
            assert_eq!(rig.run(shell("exit 4")).await.end, exited(4));
        },
    );
    with_config(
        |config| {
            config.keeper_path = Some(stranger.clone());
            config.lock_wait_ms = 0;
        },
        async |rig: Rig| {
            assert_eq!(layer(&rig).state, LayerState::Unavailable);
            assert_eq!(rig.executor.usable_slots(), 0);
        },
    );
}
