//! What rooms cost on this machine: rooms made one after the other by a keeper of our own, step by step, and a bare loop
//! that makes the same namespaces and nothing else. It blocks, and judges nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ProcessConfig;
use super::canary::prepare;
use super::entry::BARE_ARGUMENT;
use super::frame::{Plan, SecretPairs, Setup};
use super::process::setup_for;
use super::sandbox::{Room, Step};
use super::sealed::KeeperProgram;
use super::talk::Talk;
use crate::clock::{self, Moment, moment};
use crate::model::{AttemptEnd, AttemptId, CommandLine, Confinement, Epoch, Exit, InputMode, ResourceLimits};

/// Longest that one room may take, in milliseconds.
const PATIENCE_MS: u64 = 15_000;

/// What one room cost.
#[derive(Clone, Debug)]
pub struct RoomCost {
    /// Each step and how long it took, in the order in which they are done.
    pub steps: Vec<(&'static str, Duration)>,
    /// From the order to the report, the job's own life included.
    pub whole: Duration,
}

/// Runs `sh -c true` in `count` rooms, one after the other, and tells what each cost. With the host's network none makes
/// a namespace for its own.
///
/// # Errors
/// Why there are none, for people.
pub fn room_costs(config: &ProcessConfig, count: usize, host_network: bool) -> Result<Vec<RoomCost>, String> {
    let keeper = config.keeper_path.as_deref().map(KeeperProgram::seal);
    let keeper = keeper.ok_or("this application has no keepers, so it makes no rooms")?;
    let setup = prepare(setup_for(config).map_err(|error| error.to_string())?, &config.slots_dir);
    let lock = setup.lock_path.to_path();
    let setup = Setup { room: Room { timed: true, ..setup.room }, ..setup };
    let failed = |error: std::io::Error| format!("a keeper cannot be spoken to: {error}");
    let run = || {
        let mut talk = Talk::open(&keeper, setup, PATIENCE_MS).map_err(failed)?;
        (0..count)
            .map(|_| {
                let began = moment();
                let report = talk.run(plan(host_network)).map_err(failed)?;
                match report.end {
                    AttemptEnd::Exited(Exit::Code(0)) => Ok(cost(&report.steps, began)),
                    other => Err(format!("a room could not be made: {other:?}")),
                }
            })
            .collect()
    };
    let costs = run();
    let _ = std::fs::remove_file(lock);
    costs
}

fn cost(stamps: &[(Step, u32)], began: Moment) -> RoomCost {
    let mut last = 0;
    let mut since = |at: u32| Duration::from_micros(u64::from(at - std::mem::replace(&mut last, at).min(at)));
    let steps = stamps.iter().map(|(step, at)| (step.as_str(), since(*at))).collect();
    RoomCost { steps, whole: began.elapsed() }
}

fn plan(host_network: bool) -> Plan {
    Plan {
        attempt: AttemptId::new(clock::new_job_id(), Epoch(0)),
        command: CommandLine::Shell("true".into()),
        env: Vec::new(),
        secret_env: SecretPairs::none(),
        cwd: None,
        confinement: Confinement::Room,
        limits: ResourceLimits::default(),
        mounts: Vec::new(),
        files: Vec::new(),
        artifacts: Vec::new(),
        host_network,
        input: InputMode::Null,
        timeout_ms: Some(PATIENCE_MS),
        grace_ms: 0,
        fence_grace_ms: None,
        hold: None,
    }
}

/// How often `loops` processes, which do nothing else, make every namespace of a room and run `sh -c true` in it, within
/// `span`: no users are mapped, nothing is mounted, nothing is counted. `program` is one that calls
/// [`sandbox_entry`](super::sandbox_entry).
///
/// # Errors
/// What the system says, `EPERM` where namespaces are forbidden.
pub fn bare_rooms(program: &Path, loops: usize, span: Duration) -> std::io::Result<u64> {
    let start = |_| {
        let mut command = Command::new(program);
        command.arg(BARE_ARGUMENT).arg(span.as_millis().to_string()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
    };
    let started = (0..loops).map(start).collect::<std::io::Result<Vec<_>>>()?;
    // Every one is waited for, whatever the first says.
    let ended: Vec<_> = started.into_iter().map(std::process::Child::wait_with_output).collect();
    ended.into_iter().try_fold(0, |sum, output| {
        let said = String::from_utf8_lossy(&output?.stdout).into_owned();
        let count = said.trim().parse::<u64>();
        count.map(|count| sum + count).map_err(|_| std::io::Error::other("no bare namespace can be made"))
    })
}
