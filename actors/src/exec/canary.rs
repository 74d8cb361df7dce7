//! The canary: a job through the real launcher that tries to get out of its room, and what its failure says about each
//! layer. It blocks, takes no slot, and is no job of anybody's.

mod lite;

use std::path::Path;

use super::facts::HostFacts;
use super::frame::{Plan, RawPath, Report, SecretPairs, Setup};
use super::sealed::KeeperProgram;
use super::talk::Talk;
use crate::clock;
use crate::model::isolation::{OF_FULL, OF_ROOMS, layer_names};
use crate::model::{
    AttemptEnd, AttemptId, CommandLine, Confinement, Epoch, InputMode, Layer, LayerState, ResourceLimits,
    RoomFacts, Tier,
};

/// Longest that a canary may take, in milliseconds: its room is to be made, and a few dozen processes to be started.
const PATIENCE_MS: u64 = 15_000;
const MEMORY_BYTES: u64 = 16 << 20;
const PROCESSES: u32 = 8;
const CPU_MILLIS: u32 = 1_000;
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
(n=0; while [ $n -lt 12 ]; do sleep 1 & n=$((n+1)); done)
echo "told: all"
exec dd if=/dev/zero of=/dev/null bs=64M count=1
"#;

/// Sends the canary, and says what rooms of this node are worth. `setup` is that of a slot which nobody else has.
pub(super) fn look(keeper: Option<&KeeperProgram>, setup: Setup, why_no_groups: &[String]) -> RoomFacts {
    let host = HostFacts::read();
    let outcome = match keeper {
        Some(keeper) => send(keeper, setup.clone(), plan),
        None => Err("this application has no keepers, so jobs are held by their process group".into()),
    };
    let mut facts = judge(outcome, &host);
    if let Some(keeper) = keeper.filter(|_| facts.tier < Tier::Partial) {
        lite::look(keeper, setup, &mut facts);
    }
    facts.layers.extend(keeper.map(layer_of));
    if facts
        .layers
        .iter()
        .any(|layer| OF_FULL.contains(&layer.name) && layer.state == LayerState::Unavailable)
    {
        facts.degraded_because.extend(why_no_groups.iter().map(|why| format!("no control groups: {why}")));
        facts.fixes.push(fix_for_groups(&host));
    }
    facts.verified_at_ms = Some(clock::now_ms());
    facts
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
    }
}

fn judge(outcome: Result<Report, String>, host: &HostFacts) -> RoomFacts {
    let failure = match &outcome {
        Err(why) => Some(why.clone()),
        Ok(report) => match &report.end {
            AttemptEnd::SandboxError { message, .. }
            | AttemptEnd::SpawnError { message, .. }
            | AttemptEnd::Unavailable { message, .. }
            | AttemptEnd::Lost { why: message } => Some(message.clone()),
            _ if !text_of(report).lines().any(|line| line == "told: all") => {
                Some("the canary ended before it had tried everything, so nothing is claimed".into())
            }
            _ => None,
        },
    };
    let (Ok(report), None) = (&outcome, &failure) else {
        let why = failure.unwrap_or_default();
        let gone = |name| Layer { name, state: LayerState::Unavailable, why: why.clone() };
        let of_room = |name: &&str| *name != SEALED;
        let layers = layer_names().filter(of_room).map(gone).collect();
        let (mut because, mut fixes) = (vec![why.clone()], Vec::new());
        for (why, fix) in host.explain() {
            because.push(why);
            fixes.push(fix);
        }
        return RoomFacts { layers, degraded_because: because, fixes, ..RoomFacts::default() };
    };
    let layers = layers(&text_of(report), report);
    let because = |layer: &Layer| {
        (layer.state != LayerState::Enforced && OF_ROOMS.contains(&layer.name))
            .then(|| format!("{}: {}", layer.name, layer.why))
    };
    RoomFacts {
        tier: RoomFacts::tier_of(&layers),
        degraded_because: layers.iter().filter_map(because).collect(),
        layers,
        ..RoomFacts::default()
    }
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

fn layers(text: &str, report: &Report) -> Vec<Layer> {
    let said =
        |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim()));
    let mut layers = Vec::new();
    let mut add = |name, held: Option<bool>, way: &str| {
        let (state, why) = match held {
            Some(true) => (LayerState::Enforced, way.to_owned()),
            Some(false) => (LayerState::Unavailable, format!("the canary got past it: {way}")),
            None => (LayerState::Unverified, format!("the canary could not try: {way}")),
        };
        layers.push(Layer { name, state, why });
    };
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
    let landlock = super::sys::landlock_version();
    let way = format!("it writes to its own folders only (Landlock {landlock})");
    add("landlock", said("comm").map(|it| it == "closed"), &way);
    if landlock == 0 {
        layers.retain(|layer| layer.name != "landlock");
        let why = "this kernel has no Landlock".to_owned();
        layers.push(Layer { name: "landlock", state: LayerState::Unavailable, why });
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
    for (name, resource, held, way) in [
        (
            "cgroup.memory",
            Resource::Memory,
            Some(report.usage.oom_kills > 0),
            "it ran out of memory at its limit",
        ),
        (
            "cgroup.pids",
            Resource::Processes,
            Some(report.usage.process_denials > 0),
            "it could start no more processes",
        ),
        ("cgroup.cpu", Resource::Cpu, None, "its limit of CPU time was set, and is not measured"),
    ] {
        let (state, why) = match (is_of_group(resource), held) {
            (false, _) => (LayerState::Unavailable, "this node can make no control group for it".to_owned()),
            (true, Some(true)) => (LayerState::Enforced, way.to_owned()),
            (true, Some(false)) => {
                (LayerState::Unavailable, format!("the canary got past it, where it should be that {way}"))
            }
            (true, None) => (LayerState::Unverified, way.to_owned()),
        };
        layers.push(Layer { name, state, why });
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
mod tests {
    use super::*;
    use crate::model::{Captured, Enforcer, Exit, LimitReport, Resource, Tier, Usage};

    const ALL: &str = "CapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n\
        Seccomp_filters: 99\nuser:[1]\npid:[2]\nmnt:[3]\nnet:[4]\nipc:[5]\nuts:[6]\ncgroup:[7]\nprocesses: 2\n\
        first: hidden\nsys: hidden\nsecret: hidden\nusr: closed\ncomm: closed\ntold: all\n";

    pub(super) fn report(text: &str, oom_kills: u32, process_denials: u32) -> Report {
        let limit = |resource| LimitReport { resource, limit: 1, enforced_by: Some(Enforcer::CgroupV2) };
        Report {
            attempt: AttemptId::new(clock::new_job_id(), Epoch(0)),
            end: AttemptEnd::Exited(Exit::Code(0)),
            usage: Usage { oom_kills, process_denials, ..Usage::default() },
            stdout: Captured { inline: Some(text.into()), ..Captured::default() },
            stderr: Captured::default(),
            started_ms_ago: Some(1),
            confinement: Confinement::Room,
            host_network: false,
            steps: Default::default(),
            artifacts: Default::default(),
            limits: [Resource::Memory, Resource::Cpu, Resource::Processes].map(limit).into(),
        }
    }

    fn judged(text: &str) -> RoomFacts {
        judge(Ok(report(text, 1, 1)), &HostFacts::default())
    }

    #[test]
    fn a_room_that_holds_is_a_full_one() {
        let facts = judged(ALL);
        assert_eq!(facts.tier, Tier::Full, "{facts:?}");
        let weak = judge(Ok(report(ALL, 0, 1)), &HostFacts::default());
        assert_eq!((weak.tier, weak.missing()), (Tier::Partial, vec!["cgroup.memory".to_owned()]));
    }

    #[test]
    fn each_answer_that_is_wrong_costs_its_layer_and_no_other() {
        let own = |kind: &str| own_namespace(kind).unwrap();
        for (right, wrong, layer) in [
            ("CapEff: 0000000000000000", "CapEff: 0000000000000001".to_owned(), "rights"),
            ("CapBnd: 0000000000000000", "CapBnd: 000001ffffffffff".to_owned(), "rights"),
            ("NoNewPrivs: 1", "NoNewPrivs: 0".to_owned(), "no_new_privs"),
            ("Seccomp: 2", "Seccomp: 0".to_owned(), "seccomp"),
            ("Seccomp_filters: 99", "Seccomp_filters: 0".to_owned(), "seccomp"),
            ("user:[1]", own("user"), "userns"),
            ("pid:[2]", own("pid"), "pidns"),
            ("mnt:[3]", own("mnt"), "mountns"),
            ("net:[4]", own("net"), "netns"),
            ("ipc:[5]", own("ipc"), "ipcns"),
            ("uts:[6]", own("uts"), "utsns"),
            ("cgroup:[7]", own("cgroup"), "cgroupns"),
            ("processes: 2", "processes: 80".to_owned(), "proc"),
            ("first: hidden", "first: seen".to_owned(), "proc"),
            ("sys: hidden", "sys: seen".to_owned(), "root"),
            ("secret: hidden", "secret: seen".to_owned(), "root"),
            ("usr: closed", "usr: written".to_owned(), "root"),
        ] {
            let facts = judged(&ALL.replace(right, &wrong));
            assert_eq!((facts.tier, facts.missing()), (Tier::None, vec![layer.to_owned()]), "{wrong}");
        }
    }

    #[test]
    fn a_canary_that_did_not_finish_proves_nothing() {
        for text in ["", "told: al", &ALL.replace("told: all\n", "")] {
            assert_eq!(judged(text).tier, Tier::None, "{text}");
        }
        let stuck = judge(Err("its keeper cannot be spoken to".into()), &HostFacts::default());
        assert_eq!(stuck.tier, Tier::None);
        assert!(stuck.degraded_because[0].contains("keeper"));
    }
}
