//! Finds the hierarchies in which this process may make groups, and makes room in them.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use super::{BASE, Controls, GroupError, Hierarchy, Layout, Version, put};

/// The group of a node that has to leave its own, because a group whose members are limited may have no process itself.
const NODE: &str = "node";

/// What was found, and why there is not more: a line for each hierarchy that cannot be used.
pub(crate) fn discover() -> (Layout, Vec<String>) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut why = Vec::new();
    let mut hierarchies = Vec::new();
    for place in places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")) {
        match prepare(&place) {
            Ok(hierarchy) => hierarchies.push(hierarchy),
            Err(error) => why.push(error.to_string()),
        }
    }
    if hierarchies.is_empty() && why.is_empty() {
        why.push("no control groups are mounted".into());
    }
    (Layout { hierarchies }, why)
}

/// A hierarchy and the group that we are in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    version: Version,
    /// Of version 1; version 2 says it in each group.
    controls: Controls,
    own: PathBuf,
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
    Some(Place { version, controls, own: unescaped(at).join(below) })
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
    hierarchy.make_base()?;
    if place.version == Version::V2 {
        hierarchy.controls = delegate(&mut hierarchy)?;
        hierarchy.make_base()?;
    }
    probe(&hierarchy)?;
    Ok(hierarchy)
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
        Place { version, controls, own: own.into() }
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
        assert_eq!(
            places(mounts, "0::/system.slice/callboard.service\n"),
            [place(Version::V2, NOTHING, "/sys/fs/cgroup/system.slice/callboard.service")]
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
    fn a_mount_point_with_a_blank_in_its_name_is_read_right() {
        assert_eq!(unescaped(r"/a\040b\134c"), PathBuf::from(r"/a b\c"));
        assert_eq!(unescaped(r"/a\04"), PathBuf::from(r"/a\04"));
    }
}
