//! What a job wants beside its confinement: things of its own, places of the host, limits. Whether its node can give
//! them, and may.

use super::{DOCTOR, IsolationRefusal, OF_ROOMS, RefusalCause, RoomFacts, RoomPolicy};
use crate::model::isolation::{Confinement, Tier};
use crate::model::mounts::{Barred, Mount, permit};
use crate::model::spec::JobSpec;

/// Why a job that is confined so does not get what it wants.
///
/// # Errors
/// The first thing that it does not get.
pub(super) fn meet(
    spec: &JobSpec,
    confinement: Confinement,
    policy: &RoomPolicy,
    facts: &RoomFacts,
) -> Result<(), IsolationRefusal> {
    let limits = &spec.limits;
    let (is_plain, has_room) = (confinement == Confinement::Plain, confinement == Confinement::Room);
    for (pointer, what, is_wanted, is_there) in [
        ("/mounts", "mounts", !spec.mounts.is_empty(), !is_plain),
        ("/files", "files", !spec.files.is_empty(), !is_plain),
        ("/artifacts", "artifacts", !spec.artifacts.is_empty(), !is_plain),
        ("/limits/open_files", "a limit of open files", limits.open_files.is_some(), !is_plain),
        ("/limits/disk_bytes", "a limit of disk", limits.disk_bytes.is_some(), has_room),
    ] {
        if is_wanted && !is_there {
            return Err(unconfined(pointer, what, confinement, facts));
        }
    }
    for (pointer, what, is_wanted, layer) in [
        ("/limits/memory_bytes", "memory", limits.memory_bytes.is_some(), "cgroup.memory"),
        ("/limits/cpus", "CPU time", limits.cpu_millis.is_some(), "cgroup.cpu"),
        ("/limits/processes", "processes", limits.processes.is_some(), "cgroup.pids"),
    ] {
        if is_plain && is_wanted && facts.lacks(layer) {
            return Err(ungrouped(pointer, what, layer, facts));
        }
    }
    spec.mounts.iter().try_for_each(|mount| permitted(mount, policy))
}

/// It would be there for a job that is confined otherwise.
fn unconfined(
    pointer: &'static str,
    what: &str,
    confinement: Confinement,
    facts: &RoomFacts,
) -> IsolationRefusal {
    let whose = match confinement {
        Confinement::Plain => "a plain process",
        Confinement::Lite | Confinement::Room => "a job without a room",
    };
    let (missing, fix) = match facts.tier >= Tier::Partial {
        true => (vec!["root".to_owned()], "ask for isolation `sandbox`".to_owned()),
        false => {
            let missing = OF_ROOMS.into_iter().filter(|name| facts.lacks(name)).map(str::to_owned).collect();
            (missing, facts.fixes.first().map_or(DOCTOR, String::as_str).to_owned())
        }
    };
    let detail = format!("{whose} has no {what} on this node: {fix}, or leave it out (docs/ISOLATION.md)");
    IsolationRefusal { pointer, detail, cause: RefusalCause::Lacking { missing, fix } }
}

/// No control group holds a plain process to it.
fn ungrouped(pointer: &'static str, what: &str, layer: &'static str, facts: &RoomFacts) -> IsolationRefusal {
    let fix = match facts.tier >= Tier::Partial {
        true => "ask for isolation `sandbox`".to_owned(),
        false => facts.fixes.first().map_or(DOCTOR, String::as_str).to_owned(),
    };
    let detail = format!(
        "the {what} of a plain process cannot be limited on this node: {fix}, or leave the limit out (docs/ISOLATION.md)"
    );
    IsolationRefusal { pointer, detail, cause: RefusalCause::Lacking { missing: vec![layer.into()], fix } }
}

/// Whether the node lets jobs have this place, and so.
fn permitted(mount: &Mount, policy: &RoomPolicy) -> Result<(), IsolationRefusal> {
    let forbidden =
        |barred: Barred| IsolationRefusal::forbidden("/mounts", "runner.allow_mounts", barred.to_string());
    permit(mount, &policy.allow_mounts).map(drop).map_err(forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AllowedMount, InputFile, Layer, LayerState, ResourceLimits};

    fn facts(tier: Tier, gone: &[&'static str]) -> RoomFacts {
        let layer = |name: &&'static str| Layer { name, state: LayerState::Unavailable, why: String::new() };
        let fixes = vec!["mend it".to_owned()];
        RoomFacts { tier, layers: gone.iter().map(layer).collect(), fixes, ..RoomFacts::default() }
    }

    fn met(
        spec: &JobSpec,
        confinement: Confinement,
        facts: &RoomFacts,
    ) -> Result<(), (&'static str, Vec<String>)> {
        let allow_mounts = ["/data", "/data/in:ro"].map(|it| it.parse::<AllowedMount>().unwrap()).into();
        let policy = RoomPolicy { allow_mounts, ..RoomPolicy::default() };
        let refused = meet(spec, confinement, &policy, facts);
        refused.map_err(|refusal| (refusal.pointer, refusal.missing().to_vec()))
    }

    #[test]
    fn what_only_the_confined_have_is_refused_to_others_with_what_helps() {
        let file = InputFile { path: "a".into(), bytes: Vec::new(), executable: false };
        let with = |limits| JobSpec { limits, ..JobSpec::shell("true") };
        let disk = with(ResourceLimits { disk_bytes: Some(1), ..ResourceLimits::default() });
        let files = JobSpec { files: vec![file], ..JobSpec::shell("true") };
        let kept = JobSpec { artifacts: vec!["a".into()], ..JobSpec::shell("true") };
        let rooms = facts(Tier::Full, &[]);
        let lite = facts(Tier::Lite, &["userns", "root"]);
        for (spec, pointer) in [(&files, "/files"), (&kept, "/artifacts"), (&disk, "/limits/disk_bytes")] {
            assert_eq!(met(spec, Confinement::Room, &rooms), Ok(()));
            assert_eq!(met(spec, Confinement::Plain, &rooms), Err((pointer, vec!["root".into()])));
        }
        assert_eq!(met(&files, Confinement::Lite, &lite), Ok(()));
        let gone = vec!["userns".to_owned(), "root".into()];
        assert_eq!(met(&disk, Confinement::Lite, &lite), Err(("/limits/disk_bytes", gone)));
    }

    #[test]
    fn a_limit_that_no_group_holds_a_plain_process_to_is_refused() {
        let limits =
            ResourceLimits { memory_bytes: Some(1), cpu_millis: Some(1), ..ResourceLimits::default() };
        let spec = JobSpec { limits, ..JobSpec::shell("true") };
        let no_cpu = facts(Tier::Partial, &["cgroup.cpu"]);
        assert_eq!(met(&spec, Confinement::Plain, &no_cpu), Err(("/limits/cpus", vec!["cgroup.cpu".into()])));
        assert_eq!(met(&spec, Confinement::Room, &no_cpu), Ok(()));
        assert_eq!(met(&spec, Confinement::Plain, &facts(Tier::Full, &[])), Ok(()));
    }

    #[test]
    fn a_place_that_a_setting_keeps_from_jobs_is_refused_by_its_name() {
        let mounted = |path: &str, read_only| JobSpec {
            mounts: vec![Mount { path: path.into(), read_only }],
            ..JobSpec::shell("true")
        };
        let rooms = facts(Tier::Full, &[]);
        for (path, read_only, fine) in [
            ("/data", false, true),
            ("/data/in/x", true, true),
            ("/data/in/x", false, false),
            ("/other", true, false),
        ] {
            let met = met(&mounted(path, read_only), Confinement::Room, &rooms);
            assert_eq!(met, if fine { Ok(()) } else { Err(("/mounts", Vec::new())) }, "{path}");
        }
    }
}
