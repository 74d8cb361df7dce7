//! What this machine says about itself that explains why rooms can be made here, or not. It decides nothing: a job that
//! tries to get out of a room does.

use std::fs;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Version of Linux.
    pub kernel: String,
    /// Who the node is.
    pub uid: u32,
    /// Most user namespaces that may be made; none where the kernel does not say.
    pub max_user_namespaces: Option<u64>,
    /// Whether Debian's switch forbids them to ordinary users.
    pub userns_switched_off: bool,
    /// Whether AppArmor forbids them to programs without a profile (Ubuntu).
    pub apparmor_restricts_userns: bool,
    /// Our own AppArmor profile.
    pub apparmor_profile: Option<String>,
    /// Whether a filter of system calls is on already, as in a container.
    pub is_filtered: bool,
    /// Whether rights of root were taken away.
    pub lacks_rights: bool,
    /// Whether no program that is started can gain rights.
    pub no_new_privs: bool,
    /// Whether somebody has covered parts of `/proc`, as in a container.
    pub proc_is_covered: bool,
    /// What looks like a container, if anything does.
    pub container: Option<String>,
    /// Version of Landlock; 0 for none.
    pub landlock_version: u32,
    /// Why there is none, as far as the kernel says it.
    pub no_landlock: Option<NoLandlock>,
}

/// Why a kernel has no Landlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoLandlock {
    /// It was built without, or somebody's filter of system calls hides it.
    Unknown,
    /// It was built with it, and booted without; the security modules that it was booted with.
    SwitchedOff(String),
    /// It does not say more than this error.
    Untold(String),
}

impl NoLandlock {
    fn of(error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Self::Unknown,
            Some(libc::EOPNOTSUPP) => {
                let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
                Self::SwitchedOff(modules.trim().to_owned())
            }
            _ => Self::Untold(error.to_string()),
        }
    }

    /// One line.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Unknown => "this kernel has no Landlock".into(),
            Self::SwitchedOff(_) => "this kernel has Landlock, and was booted without it".into(),
            Self::Untold(error) => format!("this kernel does not say whether it has Landlock: {error}"),
        }
    }

    /// The exact line that helps, if one does.
    pub(crate) fn fix(&self) -> Option<String> {
        let Self::SwitchedOff(modules) = self else { return None };
        let others = match modules.as_str() {
            "" => "... (those of /sys/kernel/security/lsm)",
            modules => modules,
        };
        Some(format!("lsm=landlock,{others} on the kernel's command line"))
    }
}

impl HostFacts {
    /// Reads them.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = text("/proc/self/status");
        let in_docker = fs::exists("/.dockerenv").unwrap_or(false);
        let landlock = super::sys::landlock_version();
        let in_podman = fs::exists("/run/.containerenv").unwrap_or(false);
        Self {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            uid: rustix::process::geteuid().as_raw(),
            max_user_namespaces: text("/proc/sys/user/max_user_namespaces").trim().parse().ok(),
            userns_switched_off: text("/proc/sys/kernel/unprivileged_userns_clone").trim() == "0",
            apparmor_restricts_userns: text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").trim()
                == "1",
            apparmor_profile: Some(text("/proc/self/attr/current").trim().to_owned())
                .filter(|it| !it.is_empty()),
            is_filtered: field(&status, "Seccomp") == Some("2"),
            lacks_rights: field(&status, "CapEff").is_some_and(lacks_setfcap),
            no_new_privs: field(&status, "NoNewPrivs") == Some("1"),
            proc_is_covered: covers_proc(&text("/proc/self/mountinfo")),
            container: match (in_docker, in_podman) {
                (true, _) => Some("docker".into()),
                (_, true) => Some("podman".into()),
                _ => None,
            },
            no_landlock: landlock.as_ref().err().map(NoLandlock::of),
            landlock_version: landlock.unwrap_or(0),
        }
    }

    /// Why a room could not be made, as far as that is known, and the exact line that helps.
    pub(crate) fn explain(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |is_so: bool, why: &str, fix: &str| {
            if is_so {
                found.push((why.to_owned(), fix.to_owned()));
            }
        };
        let is_root = self.uid == 0;
        add(
            self.max_user_namespaces == Some(0),
            "user.max_user_namespaces is 0: no user namespace may be made",
            "sysctl -w user.max_user_namespaces=15000",
        );
        add(
            self.userns_switched_off && !is_root,
            "kernel.unprivileged_userns_clone is 0: ordinary users may make no user namespaces",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        );
        let is_unconfined = self.apparmor_profile.as_deref().is_none_or(|it| it.starts_with("unconfined"));
        add(
            self.apparmor_restricts_userns && is_unconfined && !is_root,
            "kernel.apparmor_restrict_unprivileged_userns is 1: AppArmor takes the rights of user namespaces away",
            "install -m 644 docker/apparmor/callboard /etc/apparmor.d/callboard && apparmor_parser -r /etc/apparmor.d/callboard",
        );
        add(
            self.is_filtered,
            "a filter of system calls is on that may forbid namespaces and mounts",
            "docker run --security-opt seccomp=docker/seccomp/callboard.json --security-opt systempaths=unconfined --user 10001 --cap-drop ALL",
        );
        add(
            self.proc_is_covered,
            "parts of /proc are covered, so the kernel gives no fresh one",
            "docker run --security-opt systempaths=unconfined (Kubernetes: procMount: Unmasked with hostUsers: false)",
        );
        add(
            is_root && self.lacks_rights,
            "root without the right to map root (CAP_SETFCAP) makes no user namespaces",
            "run the node as another user: docker run --user 10001",
        );
        found
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// Whether a set of rights, as the kernel writes it, lacks CAP_SETFCAP.
fn lacks_setfcap(set: &str) -> bool {
    const SETFCAP: u32 = 31;
    u64::from_str_radix(set, 16).is_ok_and(|rights| rights >> SETFCAP & 1 == 0)
}

/// Whether anything is mounted below `/proc`, but for what takes formats of programs.
fn covers_proc(mountinfo: &str) -> bool {
    let places = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    places
        .filter_map(|place| place.strip_prefix("/proc/"))
        .any(|below| !below.starts_with("sys/fs/binfmt_misc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_of_docker_are_seen_and_formats_of_programs_are_none() {
        let plain =
            "22 1 0:20 / /proc rw - proc proc rw\n30 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs a rw\n";
        assert!(!covers_proc(plain));
        let docker = "522 521 0:50 / /proc rw - proc proc rw\n523 522 0:50 /bus /proc/bus ro - proc proc rw\n\
                      530 522 0:54 / /proc/acpi ro - tmpfs tmpfs ro\n";
        assert!(covers_proc(docker));
    }

    #[test]
    fn each_obstacle_has_a_line_that_removes_it() {
        assert!(
            HostFacts { uid: 1000, max_user_namespaces: Some(9), ..HostFacts::default() }
                .explain()
                .is_empty()
        );
        let ubuntu = HostFacts {
            uid: 1000,
            apparmor_restricts_userns: true,
            apparmor_profile: Some("unconfined".into()),
            ..HostFacts::default()
        };
        let [(why, fix)] = &ubuntu.explain()[..] else { panic!("{:?}", ubuntu.explain()) };
        assert!(why.contains("AppArmor") && fix.contains("apparmor_parser"));
        assert!(HostFacts { uid: 0, ..ubuntu }.explain().is_empty(), "root is not restricted");
        let docker = HostFacts {
            uid: 10001,
            is_filtered: true,
            proc_is_covered: true,
            container: Some("docker".into()),
            ..HostFacts::default()
        };
        let fixes: Vec<_> = docker.explain().into_iter().map(|(_, fix)| fix).collect();
        assert!(
            fixes[0].contains("callboard.json") && fixes[1].contains("systempaths=unconfined"),
            "{fixes:?}"
        );
    }

    #[test]
    fn landlock_that_was_switched_off_is_not_one_that_is_missing() {
        let of = |number| NoLandlock::of(&std::io::Error::from_raw_os_error(number));
        assert_eq!(of(libc::ENOSYS), NoLandlock::Unknown);
        assert_eq!((of(libc::ENOSYS).fix(), of(libc::EPERM).fix()), (None, None));
        assert!(of(libc::EOPNOTSUPP).why().contains("booted without"));
        assert!(of(libc::EOPNOTSUPP).fix().unwrap().starts_with("lsm=landlock,"));
        assert!(of(libc::EPERM).why().contains("does not say"));
        let fix = NoLandlock::SwitchedOff("capability,yama".into()).fix();
        assert_eq!(fix.as_deref(), Some("lsm=landlock,capability,yama on the kernel's command line"));
    }

    #[test]
    fn rights_of_root_are_missed() {
        assert!(lacks_setfcap("0000000000000000") && !lacks_setfcap("000001ffffffffff"));
    }

    #[test]
    fn a_field_is_read_by_its_whole_name() {
        assert_eq!(field("Seccomp:\t2\nSeccomp_filters:\t3\n", "Seccomp"), Some("2"));
        assert_eq!(field("Seccomp_filters:\t3\n", "Seccomp"), None);
    }
}
