//! Whether a unit of systemd's was handed to us: below any other systemd alone makes groups, and it ends the whole unit
//! when the kernel kills a process in it for want of memory. It makes no group and changes nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exec::alarm::{Alarm, nap};

/// How the system's manager marks a group that it has delegated. The first is readable by everybody, and there since
/// systemd 251; the second only by whoever has CAP_SYS_ADMIN.
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// Where systemctl is: not where somebody's PATH says.
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// Longest that a user's manager may take to answer, in milliseconds.
const ANSWER_MS: u64 = 2_000;

/// The unit that a process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    name: String,
    folder: PathBuf,
    /// Whether the manager of a user has made it, and not that of the system.
    is_of_user: bool,
}

/// What the file system says of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Signs {
    is_marked: bool,
    /// Whether it belongs to who we are.
    is_ours: bool,
}

impl Unit {
    /// The nearest unit around the group `name`, whose folder is `own`. None where systemd has no say: in the root of
    /// the hierarchy, in a container that sees its own group as that, or below what of the hierarchy is mounted.
    pub(super) fn around(name: &Path, own: &Path, mounted_at: &Path) -> Option<Self> {
        let mut names = name.iter().rev().map(|name| name.to_str().unwrap_or_default());
        let mut folders = own.ancestors().take_while(|folder| folder.starts_with(mounted_at));
        let is_unit = |name: &str| name.ends_with(".service") || name.ends_with(".scope");
        let (name, folder) = names.by_ref().zip(folders.by_ref()).find(|(name, _)| is_unit(name))?;
        let is_of_user = names.any(|name| name.starts_with("user@") && name.ends_with(".service"));
        Some(Self { name: name.to_owned(), folder: folder.to_owned(), is_of_user })
    }

    /// Why no group may be made in `own`, which is this unit or is in it.
    pub(super) fn why_not(&self, own: &Path) -> Option<String> {
        let is_root = rustix::process::geteuid().is_root();
        (!self.is_delegated(own, is_root, signs, answers_yes)).then(|| {
            let Self { name, folder, .. } = self;
            format!(
                "systemd did not delegate {name} to this node: it lacks Delegate=yes ({})",
                folder.display()
            )
        })
    }

    /// What helps, where the unit has a file to be changed.
    pub(super) fn fix(&self) -> Option<String> {
        let Self { name, .. } = self;
        let of_user = if self.is_of_user { " --user" } else { "" };
        name.ends_with(".service").then(|| {
            format!("systemctl{of_user} edit {name}, and in [Service]: Delegate=yes and OOMPolicy=continue")
        })
    }

    /// What helps where it has fewer controllers than jobs are limited with.
    pub(super) fn fix_for_controllers(&self) -> String {
        match self.is_of_user {
            // What a user's manager has not it cannot pass on: some distributions give it no `cpu`.
            true => {
                "systemctl edit user@.service, and in [Service]: Delegate=cpu memory pids; then log in anew"
                    .into()
            }
            false => format!("systemctl edit {}, and there: Delegate=cpu memory pids", self.name),
        }
    }

    fn is_delegated(
        &self,
        own: &Path,
        is_root: bool,
        signs: impl Fn(&Path) -> Signs,
        answers_yes: impl FnOnce(&str) -> bool,
    ) -> bool {
        let mut inside = own.ancestors().take_while(|folder| folder.starts_with(&self.folder));
        let is_ours = signs(&self.folder).is_ours;
        match self.is_of_user {
            _ if inside.any(|folder| signs(folder).is_marked) => true,
            // The manager of a user leaves no marks, and its user owns everything below it, so only it can tell.
            true => is_ours && answers_yes(&self.name),
            // That of the system gives to another user what it delegates, and nothing else: before version 251 that is
            // all that such a user can see. To root everything belongs anyhow.
            false => is_ours && !is_root,
        }
    }
}

fn signs(group: &Path) -> Signs {
    let is_marked = MARKS.into_iter().any(|mark| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(group, mark, &mut value[..]).is_ok_and(|length| value[..length] == *b"1")
    });
    let user = rustix::process::geteuid().as_raw();
    Signs { is_marked, is_ours: std::fs::metadata(group).is_ok_and(|it| it.uid() == user) }
}

/// Whether our user's manager says that it has delegated this unit. It is found by the user's number where nobody has told
/// us its place.
fn answers_yes(unit: &str) -> bool {
    let folder = format!("/run/user/{}", rustix::process::geteuid().as_raw());
    let mut systemctl = Command::new(SYSTEMCTL);
    systemctl.args(["--user", "show", "--property=Delegate", "--value", "--", unit]);
    systemctl.env_clear().env("XDG_RUNTIME_DIR", folder);
    let started = systemctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut asked) = started else { return false };
    let patience = Alarm::after_ms(ANSWER_MS);
    while let Ok(None) = asked.try_wait() {
        if patience.is_due() {
            let _ = asked.kill();
        }
        nap(5);
    }
    // What it says is shorter than what a pipe holds, so it never waited for us to read.
    asked.wait_with_output().is_ok_and(|answer| answer.stdout.trim_ascii() == b"yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "/sys/fs/cgroup";
    const SERVICE: &str = "/system.slice/callboard.service";
    const USERS: &str = "/user.slice/user-1000.slice/user@1000.service";

    fn around(name: &str) -> Option<Unit> {
        Unit::around(Path::new(name), Path::new(&format!("{AT}{name}")), Path::new(AT))
    }

    /// Whether a user who is not root may use the group `name`, where these are marked, these are theirs, and their
    /// manager says this.
    fn is_delegated(name: &str, marked: &[&str], ours: &[&str], answer: bool) -> bool {
        let is_in =
            |list: &[&str], folder: &Path| list.iter().any(|it| folder == Path::new(&format!("{AT}{it}")));
        let signs = |folder: &Path| Signs { is_marked: is_in(marked, folder), is_ours: is_in(ours, folder) };
        around(name).unwrap().is_delegated(Path::new(&format!("{AT}{name}")), false, signs, |_| answer)
    }

    #[test]
    fn the_nearest_unit_is_found_and_who_made_it() {
        let unit = around(&format!("{SERVICE}/node")).unwrap();
        assert_eq!((unit.name.as_str(), unit.is_of_user), ("callboard.service", false));
        assert_eq!(unit.folder, Path::new(&format!("{AT}{SERVICE}")));
        let scope = around(&format!("{USERS}/app.slice/run-r1.scope")).unwrap();
        assert_eq!((scope.name.as_str(), scope.is_of_user), ("run-r1.scope", true));
        assert!(!around(USERS).unwrap().is_of_user, "a user's manager is itself a unit of the system's");
        assert!(!around("/user.slice/user-0.slice/session-3.scope").unwrap().is_of_user);
    }

    #[test]
    fn where_systemd_has_no_say_there_is_no_unit() {
        for name in ["/", "/mine", "/mine/node", "/system.slice", "/kubepods/pod1/abc", "/docker/ab12"] {
            assert_eq!(around(name), None, "{name}");
        }
        // Docker without a namespace of control groups: the mount shows the container's group, and its name is a unit.
        let name = Path::new("/system.slice/docker-ab12.scope");
        let unit = Unit::around(name, Path::new(AT), Path::new(AT)).unwrap();
        assert_eq!(unit.folder, Path::new(AT));
        // What is above the mount is not to be seen, and was for whoever mounted this to judge.
        assert_eq!(Unit::around(&name.join("inner"), Path::new(AT), Path::new(AT)), None);
    }

    #[test]
    fn a_mark_on_the_unit_or_between_it_and_us_is_enough() {
        for name in [SERVICE.to_owned(), format!("{SERVICE}/node"), format!("{USERS}/app.slice/run-r1.scope")]
        {
            assert!(is_delegated(&name, &[&name], &[], false), "{name}");
            assert!(!is_delegated(&name, &[], &[], true), "{name}");
        }
        assert!(is_delegated(&format!("{SERVICE}/node"), &[SERVICE], &[], false));
        assert!(
            !is_delegated(SERVICE, &["/system.slice", ""], &[], false),
            "what is above a unit is not ours"
        );
    }

    #[test]
    fn a_user_s_manager_is_asked_because_what_it_makes_has_no_marks() {
        for name in ["app.slice/x.service", "app.slice/x.scope"] {
            let unit = format!("{USERS}/{name}");
            for answer in [true, false] {
                assert_eq!(is_delegated(&unit, &[USERS], &[&unit, USERS], answer), answer, "{name}");
            }
            assert!(!is_delegated(&unit, &[USERS], &[USERS], true), "it is somebody else's");
        }
    }

    #[test]
    fn without_readable_marks_the_owner_decides_but_for_root() {
        assert!(is_delegated(SERVICE, &[], &[SERVICE], false), "systemd gave it to the service's user");
        assert!(!is_delegated("/user.slice/user-1000.slice/session-3.scope", &[], &[], false));
        let all_ours = |_: &Path| Signs { is_marked: false, is_ours: true };
        let own = format!("{AT}{SERVICE}");
        assert!(!around(SERVICE).unwrap().is_delegated(Path::new(&own), true, all_ours, |_| true));
    }

    #[test]
    fn what_helps_names_the_unit() {
        assert!(around(SERVICE).unwrap().fix().unwrap().contains("systemctl edit callboard.service"));
        let of_user = around(&format!("{USERS}/app.slice/x.service")).unwrap();
        assert!(of_user.fix().unwrap().contains("systemctl --user edit x.service"));
        assert_eq!(around("/user.slice/user-0.slice/session-3.scope").unwrap().fix(), None);
    }
}
