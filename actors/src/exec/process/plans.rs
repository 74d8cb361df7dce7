//! What a slot's keeper is told: once about its slot, and about each attempt.

use std::path::{Path, PathBuf};

use super::MOST_INLINE_BYTES;
use crate::exec::cgroup::{self, Layout, Obstacle};
use crate::exec::fence;
use crate::exec::frame::{Caps, Plan, RawPath, SecretPairs, Setup};
use crate::exec::sandbox::{HOME, Room, USER};
use crate::exec::{ExecJob, ProcessConfig, RunAs, Slot};
use crate::model::Confinement;
use crate::model::grant::Grant;

pub(super) fn setup_of(slot: Slot, config: &ProcessConfig, groups: &Layout) -> Setup {
    let raw = |path: &Path| {
        let absolute = std::path::absolute(path);
        RawPath::from(absolute.as_deref().unwrap_or(path))
    };
    Setup {
        lock_path: raw(&lock_of(slot, config)),
        lock_wait_ms: config.lock_wait_ms,
        open_files: config.open_files,
        spool_dir: raw(&config.spool_dir),
        default_cwd: raw(&config.default_cwd),
        run_as: config.run_as.map(|RunAs { uid, gid }| (uid, gid)),
        homes_dir: raw(&homes_dir(config)),
        room: Room::of_slot(slot),
        allow_mounts: config.allow_mounts.clone(),
        default_limits: config.default_limits,
        groups: groups.clone(),
        group_name: group_name(config, slot),
        caps: Caps {
            head: config.output_head_bytes,
            tail: config.output_tail_bytes,
            hard: config.output_hard_bytes,
            inline: config.output_inline_bytes.min(MOST_INLINE_BYTES),
            artifacts: config.artifacts_bytes,
        },
        fence_path: raw(&config.slots_dir.join(fence::FILE)),
        door_path: raw(&door_of(slot, config)),
    }
}

/// What the keeper of a slot holds for as long as anything of its job lives.
pub(super) fn lock_of(slot: Slot, config: &ProcessConfig) -> PathBuf {
    config.slots_dir.join(format!("{slot}.lock"))
}

/// Where the keeper of a slot waits for the node's next life.
pub(super) fn door_of(slot: Slot, config: &ProcessConfig) -> PathBuf {
    config.slots_dir.join(format!("{slot}.{DOOR}"))
}

/// What such a place is called after its slot.
pub(super) const DOOR: &str = "door";

/// The control groups that keepers may make, and why there are not more. A thread is no keeper: it cannot enter one
/// without the whole node.
pub(super) fn groups(config: &ProcessConfig) -> (Layout, Vec<Obstacle>) {
    match config.keeper_path {
        Some(_) => cgroup::discover(),
        None => (Layout::default(), Vec::new()),
    }
}

/// Where folders of jobs are that are confined without a room: among the node's own, unless jobs are other users, who may
/// not pass through those.
fn homes_dir(config: &ProcessConfig) -> PathBuf {
    let is_other = config.run_as.is_some_and(|RunAs { uid, .. }| uid != rustix::process::geteuid().as_raw());
    if is_other { std::env::temp_dir() } else { config.slots_dir.clone() }
}

/// The name of a slot's groups, and of its folder: nodes of other folders have others.
fn group_name(config: &ProcessConfig, slot: Slot) -> String {
    use sha2::{Digest, Sha256};
    use std::os::unix::ffi::OsStrExt;
    let folder = std::path::absolute(&config.slots_dir).unwrap_or_else(|_| config.slots_dir.clone());
    let digest = Sha256::digest(folder.as_os_str().as_bytes());
    let node: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{node}.{slot}")
}

pub(super) fn plan_of(job: ExecJob, decision: Grant) -> Plan {
    Plan {
        attempt: job.attempt,
        command: job.spec.command.clone(),
        env: env_of(&job, decision.confinement),
        secret_env: SecretPairs::of(&job.secret_env),
        cwd: job.spec.cwd.clone(),
        confinement: decision.confinement,
        host_network: decision.host_network,
        limits: job.spec.limits,
        mounts: job.spec.mounts.clone(),
        files: job.spec.files.clone(),
        artifacts: job.spec.artifacts.clone(),
        input: job.spec.input.clone(),
        timeout_ms: job.spec.timeout_ms,
        grace_ms: job.spec.grace_ms,
        fence_grace_ms: job.fence_grace_ms,
        hold: job.hold,
    }
}

/// A confined job has a home of its own, in a room a user, too; what the job itself says stands.
fn env_of(job: &ExecJob, confinement: Confinement) -> Vec<(String, String)> {
    let mut env = job.env.clone();
    let inside: &[(&str, &str)] = match confinement {
        Confinement::Plain => &[],
        // Its keeper knows what stands for it.
        Confinement::Lite => &[("HOME", HOME)],
        Confinement::Room => &[("HOME", HOME), ("USER", USER)],
    };
    let inside = inside.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    env.extend(inside.filter(|(name, _)| !job.spec.env.contains_key(name)));
    env.into_iter().collect()
}
