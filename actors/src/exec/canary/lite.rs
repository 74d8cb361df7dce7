//! The canary of a node that can make no rooms: a job that is confined without one tries to read and to change what it
//! should not, and its failure says what the tier `lite` is worth. It knows nothing of why there are no rooms.

use super::{
    HostFacts, KeeperProgram, NoLandlock, OF_FULL, Plan, Report, ResourceLimits, RoomFacts, SCRIPT, Setup,
    layers, plan, send, text_of, told, tried,
};
use crate::exec::sandbox::{FLOOR_ALONE, HOME};
use crate::model::isolation::OF_LITE;
use crate::model::{CommandLine, Confinement, LayerState};

/// What it tries beside what a canary in a room does. Landlock hides what is in a folder, and not that it is there.
const FIRST: &str = r#"exec 2>/dev/null
(ls /etc >/dev/null) && echo "etc: seen" || echo "etc: hidden"
(ls "$SECRET" >/dev/null) && echo "inside: seen" || echo "inside: hidden"
(: > "$HOME/own" && : > "$TMPDIR/own") && echo "own: written" || echo "own: closed"
"#;

/// Sends it, and writes down what it found where nothing better is known.
pub(super) fn look(keeper: &KeeperProgram, setup: Setup, host: &HostFacts, facts: &mut RoomFacts) {
    let version = host.landlock_version;
    if version < FLOOR_ALONE {
        let why = host.no_landlock.as_ref().map(NoLandlock::why).unwrap_or_else(|| {
            format!("the kernel's Landlock is version {version}, and {FLOOR_ALONE} (Linux 6.2) is needed")
        });
        facts.degraded_because.push(format!("jobs cannot be confined without a room either: {why}"));
        return;
    }
    // Without groups a limit would count what is not this job's.
    let has = setup.groups.controls();
    let limits = |of_room: ResourceLimits| ResourceLimits {
        memory_bytes: of_room.memory_bytes.filter(|_| has.memory),
        cpu_millis: of_room.cpu_millis.filter(|_| has.cpu),
        processes: of_room.processes.filter(|_| has.pids),
        ..of_room
    };
    let order = |secret: &str| {
        let mut of_room = plan(secret);
        of_room.env.push(("HOME".into(), HOME.into()));
        Plan {
            command: CommandLine::Shell(format!("{FIRST}{SCRIPT}")),
            confinement: Confinement::Lite,
            limits: limits(of_room.limits),
            ..of_room
        }
    };
    match send(keeper, setup, order).and_then(told) {
        Ok(report) => judge(&report, host, facts),
        Err(why) => {
            facts.degraded_because.push(format!("jobs cannot be confined without a room either: {why}"));
        }
    }
}

fn judge(report: &Report, host: &HostFacts, facts: &mut RoomFacts) {
    let text = text_of(report);
    let said = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let none = |set: &str| set.chars().all(|digit| digit == '0');
    let rights = said("CapEff").zip(said("CapPrm")).map(|(now, had)| none(now) && none(had));
    let walls = [said("etc"), said("inside"), said("usr"), said("comm"), said("own")];
    let stands = [Some("hidden"), Some("hidden"), Some("closed"), Some("closed"), Some("written")];
    let own = [
        tried("rights", rights, "it has no capability, and no program gives it any"),
        tried(
            "landlock",
            walls.iter().all(Option::is_some).then(|| walls == stands),
            "it reads programs and its own folders only, and writes to those",
        ),
    ];
    let of_room = layers(&text, report, host).into_iter().filter(|layer| {
        layer.name == "no_new_privs" || layer.name == "seccomp" || OF_FULL.contains(&layer.name)
    });
    for found in of_room.chain(own) {
        facts.layers.retain(|layer| layer.name != found.name);
        facts.layers.push(found);
    }
    facts.tier = RoomFacts::tier_without_room(&facts.layers);
    let amiss = facts
        .layers
        .iter()
        .filter(|layer| OF_LITE.contains(&layer.name) && layer.state != LayerState::Enforced);
    facts
        .degraded_because
        .extend(amiss.map(|layer| format!("{}: {}", layer.name, layer.why)).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layer, Tier};

    const ALL: &str = "etc: hidden\ninside: hidden\nown: written\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n\
        CapBnd: 000001ffffffffff\nNoNewPrivs: 1\nSeccomp: 2\nSeccomp_filters: 99\nprocesses: 80\nfirst: hidden\n\
        sys: seen\nsecret: seen\nusr: closed\ncomm: closed\ntold: all\n";

    fn judged(text: &str) -> RoomFacts {
        let gone = |name| Layer { name, state: LayerState::Unavailable, why: "no room".into() };
        let mut facts = RoomFacts { layers: ["userns", "seccomp"].map(gone).into(), ..RoomFacts::default() };
        judge(&super::super::tests::report(text, 0, 0), &HostFacts::default(), &mut facts);
        facts
    }

    #[test]
    fn a_job_without_a_room_is_worth_what_its_walls_are() {
        let facts = judged(ALL);
        assert_eq!(facts.tier, Tier::Lite, "{facts:?}");
        assert!(facts.lacks("userns") && !facts.lacks("seccomp") && facts.degraded_because.is_empty());
        for (right, wrong, layer) in [
            ("etc: hidden", "etc: seen", "landlock"),
            ("inside: hidden", "inside: seen", "landlock"),
            ("usr: closed", "usr: written", "landlock"),
            ("own: written", "own: closed", "landlock"),
            ("etc: hidden\n", "", "landlock"),
            ("CapPrm: 0000000000000000", "CapPrm: 0000000000000001", "rights"),
            ("NoNewPrivs: 1", "NoNewPrivs: 0", "no_new_privs"),
            ("Seccomp: 2", "Seccomp: 0", "seccomp"),
        ] {
            let facts = judged(&ALL.replace(right, wrong));
            assert_eq!(facts.tier, Tier::None, "{wrong}");
            let [why] = &facts.degraded_because[..] else { panic!("{wrong}: {facts:?}") };
            assert!(why.starts_with(layer), "{wrong}: {why}");
        }
    }
}
