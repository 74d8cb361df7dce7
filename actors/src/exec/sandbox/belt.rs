//! Landlock: a second word, of another part of the kernel, on what a job may write to. It knows no mounts.

use std::os::fd::AsFd;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};

/// Every kernel that has Landlock enforces these; what newer ones know is taken along.
const FLOOR: ABI = ABI::V1;
const KNOWN: ABI = ABI::V6;
/// Devices that programs write to or ask for their size.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// From here on this process, and what it starts, reads and executes what it can see and writes to `writable` and to
/// harmless devices only; it reaches no process and no abstract socket outside its room. For ever.
pub(super) fn fasten<'a>(writable: impl Iterator<Item = &'a str>) -> Result<(), i32> {
    let read = AccessFs::from_read(KNOWN);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(FLOOR))
        .map_err(drop)
        .and_then(|rules| {
            let rules = rules.set_compatibility(CompatLevel::BestEffort);
            let rules = rules.handle_access(AccessFs::from_all(KNOWN)).map_err(drop)?;
            rules.scope(Scope::from_all(KNOWN)).map_err(drop)?.create().map_err(drop)
        })
        .and_then(|rules| rules.add_rule(PathBeneath::new(open("/")?, read)).map_err(drop))
        .map_err(|()| libc::EINVAL)?;
    for path in DEVICES.into_iter().chain(writable) {
        let file = open(path).map_err(|()| libc::ENOENT)?;
        let is_folder = rustix::fs::fstat(file.as_fd()).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
        });
        let all: BitFlags<AccessFs> =
            if is_folder { AccessFs::from_all(KNOWN) } else { AccessFs::from_file(KNOWN) };
        rules = rules.add_rule(PathBeneath::new(file, all)).map_err(|_| libc::EINVAL)?;
    }
    match rules.restrict_self() {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
        Ok(_) | Err(_) => Err(libc::EPERM),
    }
}

fn open(path: &str) -> Result<PathFd, ()> {
    PathFd::new(path).map_err(drop)
}
