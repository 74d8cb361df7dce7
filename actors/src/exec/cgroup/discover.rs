//! Finds the hierarchies in which this process may make groups, and makes room in them.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use super::delegation::Unit;
use super::{BASE, Controls, GroupError, Hierarchy, Layout, Obstacle, Version, put};

/// The group of a node that has to leave its own, because a group whose members are limited may have no process itself.
const NODE: &str = "node";

/// What was found, and why there is not more.
pub(crate) fn discover() -> (Layout, Vec<Obstacle>) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut obstacles = Vec::new();
    let (mut hierarchies, mut unit) = (Vec::new(), None);
    for place in places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")) {
        match usable(&place) {
            Ok(hierarchy) => hierarchies.push(hierarchy),
            Err(obstacle) => obstacles.push(obstacle),
        }
        unit = unit.or(place.unit);
    }
    let layout = Layout { hierarchies };
    if obstacles.is_empty() {
        obstacles.extend(lacking(&layout, unit.as_ref()));
    }
    (layout, obstacles)
}

/// What no group here controls, though nothing stood in our way.
fn lacking(layout: &Layout, unit: Option<&Unit>) -> Option<Obstacle> {
    let Some(any) =
        layout.hierarchies.iter().find(|it| it.version == Version::V2).or(layout.hierarchies.first())
    else {
        return Some(Obstacle { why: "no control groups are mounted".into(), fix: None });
    };
    let has = layout.controls();
    let names = [("memory", has.memory), ("pids", has.pids), ("cpu", has.cpu)];
    let gone: Vec<_> = names.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect();
    let list = gone.join(", ");
    let root = any.root.to_path();
    (!gone.is_empty()).then(|| Obstacle {
        why: match any.version {
            Version::V1 => format!("not mounted with version 1: {list}"),
            Version::V2 => format!("{}/cgroup.controllers lacks {list}", root.display()),
        },
        fix: Some(match unit {
            Some(unit) => unit.fix_for_controllers(),
            None if root.parent().is_some_and(|above| above.join("cgroup.controllers").exists()) => {
                let above = root.parent().unwrap_or(&root).display();
                format!("echo +{} > {above}/cgroup.subtree_control", gone.join(" +"))
            }
            // The root of what there is: of a container, which is given no more, or of the kernel.
            None => "boot Linux without cgroup_disable=, on some machines with cgroup_enable=memory".into(),
        }),
    })
}

/// What systemd has not given us is left alone before anything is made in it.
fn usable(place: &Place) -> Result<Hierarchy, Obstacle> {
    let unit = place.unit.as_ref();
    if let Some((why, unit)) = unit.and_then(|unit| unit.why_not(&place.own).zip(Some(unit))) {
        return Err(Obstacle { why, fix: unit.fix() });
    }
    prepare(place).map_err(|error| Obstacle { why: error.to_string(), fix: None })
}

/// A hierarchy and the group that we are in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    version: Version,
    /// Of version 1; version 2 says it in each group.
    controls: Controls,
    own: PathBuf,
    /// The unit of systemd's around it, of version 2: with version 1 nothing is done to a unit whose process was killed.
    unit: Option<Unit>,
}

/// Every mounted hierarchy that could hold a job to something, or kill it.
fn places(mountinfo: &str, memberships: &str) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for place in mountinfo.lines().filter_map(|line| place(line, memberships)) {
        if !found.iter().any(|it| (it.version, it.controls) == (place.version, place.controls)) {
            found.push(place);
        }
    }
    found
}

/// The hierarchy that a line of mountinfo shows, if it is one.
fn place(line: &str, memberships: &str) -> Option<Place> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, at) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let has = |name: &str| options.split(',').any(|option| option == name);
    let (version, controls) = match kind {
        "cgroup2" => (Version::V2, Controls::default()),
        "cgroup" => (Version::V1, Controls { memory: has("memory"), pids: has("pids"), cpu: has("cpu") }),
        _ => return None,
    };
    if version == Version::V1 && !controls.any() {
        return None;
    }
    let is_it = |controllers: &str| match version {
        Version::V2 => controllers.is_empty(),
        Version::V1 => !controllers.is_empty() && controllers.split(',').all(has),
    };
    let group = memberships.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        is_it(controllers).then_some(group)
    })?;
    let below = Path::new(group).strip_prefix(unescaped(root)).ok()?;
    let at = unescaped(at);
    let own = at.join(below);
    let unit = (version == Version::V2).then(|| Unit::around(Path::new(group), &own, &at)).flatten();
    Some(Place { version, controls, own, unit })
}

/// A path of mountinfo: blanks, tabs, ends of lines and backslashes are octal there.
fn unescaped(text: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

fn prepare(place: &Place) -> Result<Hierarchy, GroupError> {
    let own = place.own.as_path();
    let mut hierarchy =
        Hierarchy { version: place.version, controls: place.controls, home: own.into(), root: own.into() };
    if place.version == Version::V2 {
        // A node that was here before us has made this; it is the one above that may have others.
        let is_node = own.file_name().is_some_and(|name| name == NODE);
        if let Some(above) = own.parent().filter(|above| is_node && above.join(BASE).is_dir()) {
            hierarchy.root = above.into();
        }
    }
    let made = make(&mut hierarchy);
    if made.is_err() {
        // It goes only if it is empty, and another node of this group makes it anew when it needs it.
        let _ = std::fs::remove_dir(hierarchy.base());
    }
    made.map(|()| hierarchy)
}

fn make(hierarchy: &mut Hierarchy) -> Result<(), GroupError> {
    hierarchy.make_base()?;
    if hierarchy.version == Version::V2 {
        hierarchy.controls = delegate(hierarchy)?;
        hierarchy.make_base()?;
    }
    probe(hierarchy)
}

/// That somebody else has made our folder does not say that we may use it.
fn probe(hierarchy: &Hierarchy) -> Result<(), GroupError> {
    let group = hierarchy.of_job(&format!("probe-{}", std::process::id()));
    std::fs::create_dir(&group).map_err(GroupError::at(&group))?;
    std::fs::remove_dir(&group).map_err(GroupError::at(&group))?;
    if hierarchy.version == Version::V2 {
        // Whoever moves a process must be allowed to where both groups have their common one.
        let members = hierarchy.root.to_path().join("cgroup.procs");
        rustix::fs::access(&members, Access::WRITE_OK)
            .map_err(|errno| GroupError::at(&members)(errno.into()))?;
    }
    Ok(())
}

/// Hands down to the jobs' groups what there is to control. Without anything a group is still a grip.
fn delegate(hierarchy: &mut Hierarchy) -> Result<Controls, GroupError> {
    let root = hierarchy.root.to_path();
    let has = controllers(&root.join("cgroup.controllers"));
    if let Err(error) = hand_down(&root, has) {
        if error.source.raw_os_error() != Some(Errno::BUSY.raw_os_error()) {
            return Err(error);
        }
        let node = root.join(NODE);
        match std::fs::create_dir(&node) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(GroupError::at(&node)(error));
            }
            Ok(()) | Err(_) => {}
        }
        put(&node.join("cgroup.procs"), "0")?;
        if let Err(error) = hand_down(&root, has) {
            // Others live in it, who are not ours to move.
            put(&root.join("cgroup.procs"), "0")?;
            let _ = std::fs::remove_dir(&node);
            return Err(error);
        }
        hierarchy.home = node.as_path().into();
    }
    Ok(has)
}

pub(super) fn hand_down(group: &Path, what: Controls) -> Result<(), GroupError> {
    let file = group.join("cgroup.subtree_control");
    let has = controllers(&file);
    for (wanted, there, word) in
        [(what.memory, has.memory, "+memory"), (what.pids, has.pids, "+pids"), (what.cpu, has.cpu, "+cpu")]
    {
        if wanted && !there {
            put(&file, word)?;
        }
    }
    Ok(())
}

fn controllers(file: &Path) -> Controls {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let has = |name| text.split_whitespace().any(|word| word == name);
    Controls { memory: has("memory"), pids: has("pids"), cpu: has("cpu") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Controls = Controls { memory: false, pids: false, cpu: false };

    fn place(version: Version, controls: Controls, own: &str) -> Place {
        Place { version, controls, own: own.into(), unit: None }
    }

    #[test]
    fn both_versions_at_once_are_found_each_at_its_own_group() {
        let mounts = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let own = "9:name=systemd:/\n8:pids:/\n6:freezer:/\n4:memory:/api/5e\n1:cpu,cpuacct:/\n0::/\n";
        assert_eq!(
            places(mounts, own),
            [
                place(Version::V1, Controls { cpu: true, ..NOTHING }, "/sys/fs/cgroup/cpu,cpuacct"),
                place(Version::V1, Controls { memory: true, ..NOTHING }, "/sys/fs/cgroup/memory/api/5e"),
                place(Version::V1, Controls { pids: true, ..NOTHING }, "/sys/fs/cgroup/pids"),
                place(Version::V2, NOTHING, "/sys/fs/cgroup/unified"),
            ]
        );
    }

    #[test]
    fn a_unit_of_systemd_and_a_container_find_their_own_group() {
        let mounts = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = Path::new("/sys/fs/cgroup/system.slice/callboard.service");
        let unit =
            Unit::around(Path::new("/system.slice/callboard.service"), own, Path::new("/sys/fs/cgroup"));
        assert!(unit.is_some());
        assert_eq!(
            places(mounts, "0::/system.slice/callboard.service\n"),
            [Place { unit, ..place(Version::V2, NOTHING, own.to_str().unwrap()) }]
        );
        // Without a namespace of its own a container sees its group from outside, and mounts only that.
        let mounts = "733 732 0:26 /docker/ab12 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        assert_eq!(places(mounts, "0::/docker/ab12\n"), [place(Version::V2, NOTHING, "/sys/fs/cgroup")]);
    }

    #[test]
    fn what_is_no_mount_of_ours_is_passed_over() {
        for mounts in
            ["", "nonsense", "1 2 3 - cgroup2", "29 23 0:26 /other /mnt rw - cgroup2 c rw", "a - b - c"]
        {
            assert!(places(mounts, "0::/mine\n").is_empty(), "{mounts}");
        }
        assert!(places("29 23 0:26 / /mnt rw - cgroup2 c rw\n", "nonsense").is_empty());
    }

    #[test]
    fn a_group_that_cannot_be_used_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        // It has no `cgroup.procs`, so nobody could be moved.
        let error = prepare(&place(Version::V2, NOTHING, folder.path().to_str().unwrap())).unwrap_err();
        assert!(error.to_string().contains("cgroup.procs"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing of ours stays");
    }

    #[test]
    fn a_controller_that_is_missing_is_named_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("mine");
        let layout = |version, controls| {
            let (home, root) = (root.as_path().into(), root.as_path().into());
            Layout { hierarchies: vec![Hierarchy { version, controls, home, root }] }
        };
        let all = Controls { memory: true, pids: true, cpu: true };
        assert_eq!(lacking(&layout(Version::V2, all), None), None);
        assert!(lacking(&Layout::default(), None).unwrap().why.contains("no control groups are mounted"));
        let no_cpu = layout(Version::V2, Controls { cpu: false, ..all });
        let found = lacking(&no_cpu, None).unwrap();
        assert!(found.why.ends_with("mine/cgroup.controllers lacks cpu"), "{found:?}");
        assert!(found.fix.unwrap().contains("cgroup_enable"), "nobody is above it");
        std::fs::write(folder.path().join("cgroup.controllers"), "").unwrap();
        assert!(lacking(&no_cpu, None).unwrap().fix.unwrap().starts_with("echo +cpu > /"));
        let name = "/user.slice/user-1.slice/user@1.service/app.slice/x.scope";
        let unit = Unit::around(Path::new(name), Path::new(&format!("/g{name}")), Path::new("/g"));
        let fix = lacking(&no_cpu, unit.as_ref()).unwrap().fix.unwrap();
        assert!(fix.contains("systemctl edit user@.service") && fix.contains("cpu"), "{fix}");
        assert!(lacking(&layout(Version::V1, NOTHING), None).unwrap().why.contains("memory, pids, cpu"));
    }

    #[test]
    fn a_mount_point_with_a_blank_in_its_name_is_read_right() {
        assert_eq!(unescaped(r"/a\040b\134c"), PathBuf::from(r"/a b\c"));
        assert_eq!(unescaped(r"/a\04"), PathBuf::from(r"/a\04"));
    }
}
