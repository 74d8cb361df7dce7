//! Landlock: a second word, of another part of the kernel, on what a job in a room may write to, and the first one on what
//! a job without a room may see at all. It knows no mounts.

use std::os::fd::{AsFd, BorrowedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::lite::Fence;
use super::root::{PROGRAMS, SETTINGS};

/// Every kernel that has Landlock enforces these; what newer ones know is taken along.
const FLOOR: ABI = ABI::V1;
/// What it takes where it is the only wall: since then files can be kept from being cut, too.
pub(crate) const FLOOR_ALONE: u32 = 3;
const KNOWN: ABI = ABI::V6;
/// Devices that programs write to or ask for their size.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// What looking up names takes, where there is a network.
const OF_NETWORK: [&str; 6] = ["gai.conf", "hosts", "nsswitch.conf", "protocols", "resolv.conf", "services"];

/// From here on this process, and what it starts, reads and executes what it can see and writes to `writable` and to
/// harmless devices only; it reaches no process and no abstract socket outside its room. For ever.
pub(super) fn fasten<'a>(writable: impl Iterator<Item = &'a str>) -> Result<(), i32> {
    let mut rules = Rules::new(FLOOR, false)?;
    rules.let_read(open("/").ok_or(libc::EINVAL)?.as_fd())?;
    for path in DEVICES.into_iter().chain(writable) {
        rules.let_write(open(path).ok_or(libc::ENOENT)?.as_fd())?;
    }
    rules.restrict()
}

/// From here on this process, and what it starts, sees programs, what they need to start, and what it was given, and
/// writes to its own folders, to what it was given to be written to, and to harmless devices. For ever.
pub(super) fn fence(fence: &Fence<'_>) -> Result<(), i32> {
    let with_network = fence.room.host_network;
    let mut rules = Rules::new(ABI::V3, !with_network)?;
    let settings = SETTINGS.iter().chain(OF_NETWORK.iter().filter(|_| with_network));
    let programs = PROGRAMS.iter().map(|name| format!("/{name}"));
    let paths = programs.chain(settings.map(|name| format!("/etc/{name}"))).chain(["/proc".into()]);
    // What is not there need not be allowed.
    for place in paths.filter_map(|path| open(&path)) {
        rules.let_read(place.as_fd())?;
    }
    for path in DEVICES.into_iter().chain([fence.home, fence.scratch]) {
        rules.let_write(open(path).ok_or(libc::ENOENT)?.as_fd())?;
    }
    for (guest, place) in &fence.guests {
        match guest.read_only {
            true => rules.let_read(place.as_fd())?,
            false => rules.let_write(place.as_fd())?,
        }
    }
    rules.restrict()
}

/// Rules on their way to the kernel.
struct Rules(Option<RulesetCreated>);

impl Rules {
    /// Nothing is allowed. `floor` is a must.
    fn new(floor: ABI, without_network: bool) -> Result<Self, i32> {
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(floor))
            .map_err(drop)
            .and_then(|rules| {
                let rules = rules.set_compatibility(CompatLevel::BestEffort);
                let mut rules = rules.handle_access(AccessFs::from_all(KNOWN)).map_err(drop)?;
                if without_network {
                    rules = rules.handle_access(AccessNet::from_all(KNOWN)).map_err(drop)?;
                }
                rules.scope(Scope::from_all(KNOWN)).map_err(drop)?.create().map_err(drop)
            });
        rules.map(|rules| Self(Some(rules))).map_err(|()| libc::EINVAL)
    }

    fn let_read(&mut self, place: BorrowedFd<'_>) -> Result<(), i32> {
        self.allow(place, AccessFs::from_read(KNOWN))
    }

    fn let_write(&mut self, place: BorrowedFd<'_>) -> Result<(), i32> {
        self.allow(place, AccessFs::from_all(KNOWN))
    }

    /// To a file only what can be done to files.
    fn allow(&mut self, place: BorrowedFd<'_>, access: BitFlags<AccessFs>) -> Result<(), i32> {
        let is_folder = rustix::fs::fstat(place).is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
        });
        let access = if is_folder { access } else { access & AccessFs::from_file(KNOWN) };
        let rules = self.0.take().ok_or(libc::EINVAL)?;
        self.0 = Some(rules.add_rule(PathBeneath::new(place, access)).map_err(|_| libc::EINVAL)?);
        Ok(())
    }

    fn restrict(self) -> Result<(), i32> {
        match self.0.ok_or(libc::EINVAL)?.restrict_self() {
            Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
            Ok(_) | Err(_) => Err(libc::EPERM),
        }
    }
}

fn open(path: &str) -> Option<PathFd> {
    PathFd::new(path).ok()
}
