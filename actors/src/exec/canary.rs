//! The canary: a job through the real launcher that tries to get out of its room, and what its failure says about each
//! layer. It blocks, takes no slot, and is no job of anybody's.

mod lite;

use std::path::Path;

use super::cgroup::{Controls, Obstacle};
use super::facts::{HostFacts, NoLandlock};
use super::frame::{Plan, RawPath, Report, SecretPairs, Setup};
use super::sealed::KeeperProgram;
use super::talk::Talk;
use crate::clock;
use crate::model::isolation::{OF_FULL, OF_ROOMS, layer_names};
use crate::model::{
    AttemptEnd, AttemptId, CommandLine, Confinement, Epoch, InputMode, Layer, LayerState, ResourceLimits,
    RoomFacts, Tier,
};

/// Longest that a canary may take, in milliseconds: its room is to be made, and a few dozen processes to be started, on a
/// slow machine and with less than half of a processor.
const PATIENCE_MS: u64 = 30_000;
const MEMORY_BYTES: u64 = 16 << 20;
const PROCESSES: u32 = 8;
/// So little that a moment's work uses it up.
const CPU_MILLIS: u32 = 400;
/// The periods in which the kernel counts CPU time out.
const CPU_PERIOD_US: u64 = 100_000;
/// The layer that is the keeper's, and not the room's.
const SEALED: &str = "sealed_keeper";
/// Output that is looked at, in bytes.
const OUTPUT_BYTES: u64 = 16 << 10;

/// What the job does. `SECRET` is a folder of the node's. The last thing may cost it its life.
const SCRIPT: &str = r#"exec 2>/dev/null
while read -r name value; do
  case $name in CapEff:|CapPrm:|CapBnd:|NoNewPrivs:|Seccomp:|Seccomp_filters:) echo "$name $value";; esac
done < /proc/self/status
readlink /proc/self/ns/user /proc/self/ns/pid /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/ipc \
  /proc/self/ns/uts /proc/self/ns/cgroup
set -- /proc/[0-9]*
echo "processes: $#"
[ -e /proc/1/environ ] && echo "first: seen" || echo "first: hidden"
[ -e /sys/kernel ] && echo "sys: seen" || echo "sys: hidden"
[ -e "$SECRET" ] && echo "secret: seen" || echo "secret: hidden"
(: > /usr/.callboard) && echo "usr: written" || echo "usr: closed"
(echo x > /proc/self/comm) && echo "comm: written" || echo "comm: closed"
spin() { while :; do :; done; }
spin & a=$!; spin & b=$!; spin & sleep 0.07; kill $a $b $!; wait
(n=0; while [ $n -lt 12 ]; do sleep 1 & n=$((n+1)); done)
echo "told: all"
exec dd if=/dev/zero of=/dev/null bs=64M count=1
"#;

/// Sends the canary, and says what rooms of this node are worth. `setup` is that of a slot which nobody else has.
pub(super) fn look(keeper: Option<&KeeperProgram>, setup: Setup, obstacles: &[Obstacle]) -> RoomFacts {
    let host = HostFacts::read();
    let controls = setup.groups.controls();
    let outcome = match keeper {
        Some(keeper) => send(keeper, setup.clone(), plan),
        None => Err("this application has no keepers, so jobs are held by their process group".into()),
    };
    let mut facts = judge(outcome, &host, controls);
    if let Some(keeper) = keeper.filter(|_| facts.tier < Tier::Partial) {
        lite::look(keeper, setup, &host, &mut facts);
    }
    facts.layers.extend(keeper.map(layer_of));
    if OF_FULL.into_iter().any(|name| facts.lacks(name)) {
        let why = obstacles.iter().map(|it| format!("control groups: {}", it.why));
        facts.degraded_because.extend(why);
    }
    // Whoever is refused a room is told the first line: it must be one that brings rooms.
    if facts.tier >= Tier::Partial || !facts.fixes.is_empty() {
        add_fixes(&mut facts, obstacles, &host);
    }
    facts.verified_at_ms = Some(clock::now_ms());
    facts
}

/// What would help beside rooms.
fn add_fixes(facts: &mut RoomFacts, obstacles: &[Obstacle], host: &HostFacts) {
    if OF_FULL.into_iter().any(|name| facts.lacks(name)) {
        for obstacle in obstacles {
            let fix = obstacle.fix.clone().unwrap_or_else(|| fix_for_groups(host));
            if !facts.fixes.contains(&fix) {
                facts.fixes.push(fix);
            }
        }
    }
    facts.fixes.extend(host.no_landlock.as_ref().and_then(NoLandlock::fix));
}

/// Whether a keeper's program can be changed.
fn layer_of(keeper: &KeeperProgram) -> Layer {
    let (state, why) = match keeper.why_not_sealed() {
        None => {
            (LayerState::Enforced, "keepers are started from a copy in memory that nobody can change".into())
        }
        Some(why) => (LayerState::Unavailable, format!("keepers are started from the file: {why}")),
    };
    Layer { name: SEALED, state, why }
}

fn fix_for_groups(host: &HostFacts) -> String {
    match (&host.container, host.uid) {
        (Some(_), _) => {
            "docker run --security-opt writable-cgroups=true (Docker 28, control groups of version 2)"
        }
        (None, 0) => "systemd-run --scope -p Delegate=yes callboard serve",
        (None, _) => "systemd-run --user --scope -p Delegate=yes callboard serve",
    }
    .into()
}

/// Runs it in a keeper of its own.
fn send(keeper: &KeeperProgram, setup: Setup, plan: impl FnOnce(&str) -> Plan) -> Result<Report, String> {
    let lock = setup.lock_path.to_path();
    let secret = setup.spool_dir.to_path().display().to_string();
    let talk = Talk::open(keeper, setup, PATIENCE_MS);
    let report = talk.and_then(|mut talk| talk.run(plan(&secret)));
    let _ = std::fs::remove_file(lock);
    report.map_err(|error| format!("its keeper cannot be spoken to: {error}"))
}

fn plan(secret: &str) -> Plan {
    Plan {
        attempt: AttemptId::new(clock::new_job_id(), Epoch(0)),
        command: CommandLine::Shell(SCRIPT.into()),
        env: [("PATH", super::env::DEFAULT_PATH), ("SECRET", secret)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        secret_env: SecretPairs::none(),
        cwd: None,
        confinement: Confinement::Room,
        limits: ResourceLimits {
            memory_bytes: Some(MEMORY_BYTES),
            cpu_millis: Some(CPU_MILLIS),
            processes: Some(PROCESSES),
            ..ResourceLimits::default()
        },
        mounts: Vec::new(),
        files: Vec::new(),
        artifacts: Vec::new(),
        host_network: false,
        input: InputMode::Null,
        timeout_ms: Some(PATIENCE_MS / 2),
        grace_ms: 0,
        fence_grace_ms: None,
        hold: None,
    }
}

fn judge(outcome: Result<Report, String>, host: &HostFacts, controls: Controls) -> RoomFacts {
    let report = match outcome.and_then(told) {
        Ok(report) => report,
        Err(why) => return roomless(&why, host, controls),
    };
    let layers = layers(&text_of(&report), &report, host);
    let because = |layer: &Layer| {
        let is_gone = match layer.state {
            LayerState::Enforced => false,
            LayerState::Unverified => OF_ROOMS.contains(&layer.name),
            // Why there is no group for it, whoever looked for groups says.
            LayerState::Unavailable => {
                OF_ROOMS.contains(&layer.name) || OF_FULL.contains(&layer.name) && layer.why != NO_GROUP
            }
        };
        is_gone.then(|| format!("{}: {}", layer.name, layer.why))
    };
    RoomFacts {
        tier: RoomFacts::tier_of(&layers),
        degraded_because: layers.iter().filter_map(because).collect(),
        layers,
        ..RoomFacts::default()
    }
}

/// A report of a canary that has tried everything.
fn told(report: Report) -> Result<Report, String> {
    match &report.end {
        AttemptEnd::SandboxError { message, .. }
        | AttemptEnd::SpawnError { message, .. }
        | AttemptEnd::Unavailable { message, .. }
        | AttemptEnd::Lost { why: message, .. } => Err(message.clone()),
        _ if text_of(&report).lines().any(|line| line == "told: all") => Ok(report),
        _ => Err("the canary ended before it had tried everything, so nothing is claimed".into()),
    }
}

/// What is known where no room can be made, and why that is so.
fn roomless(why: &str, host: &HostFacts, controls: Controls) -> RoomFacts {
    let gone = |name| match name {
        "cgroup.memory" if controls.memory => untried(name),
        "cgroup.pids" if controls.pids => untried(name),
        "cgroup.cpu" if controls.cpu => untried(name),
        name if OF_FULL.contains(&name) => ungrouped(name),
        name => Layer { name, state: LayerState::Unavailable, why: why.to_owned() },
    };
    let of_room = |name: &&str| *name != SEALED;
    let layers = layer_names().filter(of_room).map(gone).collect();
    let (mut because, mut fixes) = (vec![why.to_owned()], Vec::new());
    for (why, fix) in host.explain() {
        because.push(why);
        fixes.push(fix);
    }
    RoomFacts { layers, degraded_because: because, fixes, ..RoomFacts::default() }
}

/// A layer that the canary was held by, got past, or could not try.
fn tried(name: &'static str, held: Option<bool>, way: &str) -> Layer {
    let (state, why) = match held {
        Some(true) => (LayerState::Enforced, way.to_owned()),
        Some(false) => (LayerState::Unavailable, format!("the canary got past it: {way}")),
        None => (LayerState::Unverified, format!("the canary could not try: {way}")),
    };
    Layer { name, state, why }
}

const NO_GROUP: &str = "this node can make no control group for it";

fn ungrouped(name: &'static str) -> Layer {
    Layer { name, state: LayerState::Unavailable, why: NO_GROUP.into() }
}

/// What plain processes are held to where there are no rooms.
fn untried(name: &'static str) -> Layer {
    let why = "this node can make control groups for it, and no room to try them from".into();
    Layer { name, state: LayerState::Unverified, why }
}

fn text_of(report: &Report) -> String {
    report.stdout.inline.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
}

/// How many filters of system calls are on here already, as in a container; none where the kernel does not say.
fn own_filters() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"))?.trim().parse().ok()
}

/// Our own namespaces, which a job's must not be.
fn own_namespace(kind: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    Some(link.display().to_string())
}

fn layers(text: &str, report: &Report, host: &HostFacts) -> Vec<Layer> {
    let said =
        |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()));
    let mut layers = Vec::new();
    let mut add = |name, held, way: &str| layers.push(tried(name, held, way));
    for (name, kind, prefix) in [
        ("userns", "user", "user:["),
        ("pidns", "pid", "pid:["),
        ("mountns", "mnt", "mnt:["),
        ("netns", "net", "net:["),
        ("ipcns", "ipc", "ipc:["),
        ("utsns", "uts", "uts:["),
        ("cgroupns", "cgroup", "cgroup:["),
    ] {
        let inside = text.lines().find(|line| line.starts_with(prefix));
        let held = inside.zip(own_namespace(kind)).map(|(inside, own)| inside != own);
        add(name, held, "its namespace is another one than the node's");
    }
    add(
        "root",
        said("secret").zip(said("usr")).zip(said("sys")).map(|all| all == (("hidden", "closed"), "hidden")),
        "it sees no folder of the node nor the host's /sys, and writes to no program",
    );
    let count = said("processes").and_then(|count| count.parse::<u32>().ok());
    let is_alone = count.zip(said("first")).map(|(count, first)| count <= 3 && first == "hidden");
    add("proc", is_alone, "it sees its own processes only");
    let none = |set: &str| set.chars().all(|digit| digit == '0');
    add(
        "rights",
        said("CapEff").zip(said("CapBnd")).map(|(now, ever)| none(now) && none(ever)),
        "it has no capability and can gain none",
    );
    add("no_new_privs", said("NoNewPrivs").map(|it| it == "1"), "no program gives it rights");
    // A container's own filter is not ours.
    let filters = said("Seccomp_filters").and_then(|count| count.parse::<u32>().ok());
    let is_more = filters.zip(own_filters()).is_none_or(|(there, here)| there > here);
    add("seccomp", said("Seccomp").map(|it| it == "2" && is_more), "its system calls are filtered");
    match &host.no_landlock {
        None => {
            let way = format!("it writes to its own folders only (Landlock {})", host.landlock_version);
            add("landlock", said("comm").map(|it| it == "closed"), &way);
        }
        Some(no) => layers.push(Layer { name: "landlock", state: LayerState::Unavailable, why: no.why() }),
    }
    groups(report, &mut layers);
    layers
}

/// What its control groups held it to, as the kernel counted.
fn groups(report: &Report, layers: &mut Vec<Layer>) {
    use crate::model::{Enforcer, Resource};
    let is_of_group = |resource| {
        let by = report.limits.iter().find(|limit| limit.resource == resource).and_then(|it| it.enforced_by);
        matches!(by, Some(Enforcer::CgroupV1 | Enforcer::CgroupV2))
    };
    // What it tries last it may have had no time for.
    let was_in_time = !matches!(report.end, AttemptEnd::Timeout { .. });
    let out_of_memory = (was_in_time || report.usage.oom_kills > 0).then_some(report.usage.oom_kills > 0);
    let too_many = Some(report.usage.process_denials > 0);
    for (name, resource, held, way) in [
        ("cgroup.memory", Resource::Memory, out_of_memory, "it ran out of memory at its limit"),
        ("cgroup.pids", Resource::Processes, too_many, "it could start no more processes"),
        ("cgroup.cpu", Resource::Cpu, was_held_back(report), "it was held back at its limit of CPU time"),
    ] {
        let (state, why) = match (is_of_group(resource), held) {
            (false, _) => {
                layers.push(ungrouped(name));
                continue;
            }
            (true, Some(true)) => (LayerState::Enforced, way.to_owned()),
            (true, Some(false)) => {
                (LayerState::Unavailable, format!("the canary got past it, where it should be that {way}"))
            }
            (true, None) => {
                (LayerState::Unverified, "the canary could not try: it had too little of a processor".into())
            }
        };
        layers.push(Layer { name, state, why });
    }
}

/// Whether its limit of CPU time held; none where it never had as much as that.
fn was_held_back(report: &Report) -> Option<bool> {
    let usage = report.usage;
    let permitted = (usage.wall_us + CPU_PERIOD_US) * u64::from(CPU_MILLIS) / 1000;
    match report.throttles {
        0 => (usage.cpu_user_us + usage.cpu_system_us > permitted).then_some(false),
        _ => Some(true),
    }
}

/// What the setup of a canary's slot differs in from that of a job's.
pub(super) fn prepare(setup: Setup, slots_dir: &Path) -> Setup {
    let caps = super::frame::Caps {
        head: OUTPUT_BYTES,
        tail: 0,
        hard: OUTPUT_BYTES * 4,
        inline: OUTPUT_BYTES,
        artifacts: 0,
    };
    // Two nodes of one user, or a doctor beside a node, may each have one: no lock is shared but by name.
    let lock = slots_dir.join(format!("canary-{}.lock", std::process::id()));
    Setup {
        lock_path: RawPath::from(lock.as_path()),
        caps,
        default_limits: ResourceLimits::default(),
        ..setup
    }
}

#[cfg(test)]
mod tests;
