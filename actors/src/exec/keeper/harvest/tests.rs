use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, mknodat};

use super::*;
use crate::clock;
use crate::exec::spooling::open_root;
use crate::model::{AttemptId, Epoch};

struct Rig {
    room: tempfile::TempDir,
    spool: tempfile::TempDir,
    attempt: AttemptId,
}

impl Rig {
    fn new() -> Self {
        let folder = || tempfile::tempdir().unwrap();
        let attempt = AttemptId::new(clock::new_job_id(), Epoch(1));
        Self { room: folder(), spool: folder(), attempt }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.room.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn bring_in(&self, wanted: &[&str], most_bytes: u64) -> Artifacts {
        let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
        let wanted = wanted.iter().map(|path| (*path).to_owned()).collect();
        let harvest = Harvest::of(Some(open(self.room.path())), wanted, most_bytes).unwrap();
        let root = open_root(self.spool.path()).unwrap();
        harvest.bring_in(&mut SpoolFolder::new(Some(root), self.attempt))
    }

    fn spooled(&self, number: usize) -> Vec<u8> {
        let folder = self.spool.path().join(self.attempt.to_string());
        fs::read(folder.join(format!("artifact.{number}"))).unwrap()
    }

    fn spooled_files(&self) -> usize {
        let folder = self.spool.path().join(self.attempt.to_string());
        fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

fn kept(artifacts: &Artifacts) -> Vec<&str> {
    artifacts.kept.iter().map(|kept| kept.path.as_str()).collect()
}

fn unkept(artifacts: &Artifacts) -> Vec<(&str, &str)> {
    artifacts.unkept.iter().map(|unkept| (unkept.path.as_str(), unkept.why.as_str())).collect()
}

#[test]
fn files_and_folders_are_kept_once_and_in_order() {
    let rig = Rig::new();
    rig.write("result", b"one");
    rig.write("out/b", b"two");
    rig.write("out/a/deep", b"three");
    rig.write("other", b"no");
    fs::set_permissions(rig.path("out/b"), fs::Permissions::from_mode(0o700)).unwrap();
    let artifacts = rig.bring_in(&["out/b", "out", "result", "absent", "result/x"], 100);
    assert_eq!(kept(&artifacts), ["out/b", "out/a/deep", "result"]);
    let executable: Vec<_> = artifacts.kept.iter().map(|it| (it.bytes, it.executable)).collect();
    assert_eq!(executable, [(3, true), (5, false), (3, false)]);
    assert_eq!(
        (rig.spooled(0), rig.spooled(1), rig.spooled(2)),
        (b"two".into(), b"three".into(), b"one".into())
    );
    assert_eq!(unkept(&artifacts), [("absent", "it is not there"), ("result/x", "it is not there")]);
}

#[test]
fn nothing_leads_out_and_nothing_but_files_is_read() {
    let rig = Rig::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::create_dir(rig.path("out")).unwrap();
    symlink(outside.path().join("secret"), rig.path("link")).unwrap();
    symlink(outside.path(), rig.path("away")).unwrap();
    symlink("../../../../../../etc/passwd", rig.path("out/up")).unwrap();
    symlink("/proc/self/environ", rig.path("out/proc")).unwrap();
    mknodat(CWD, rig.path("out/pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listening = UnixListener::bind(rig.path("out/socket")).unwrap();
    let artifacts = rig.bring_in(&["link", "away/secret", "away", "out"], 1 << 20);
    assert_eq!(kept(&artifacts), [""; 0], "{artifacts:?}");
    let link = "a symbolic link is not followed";
    let strange = "it is neither a file nor a folder";
    assert_eq!(
        unkept(&artifacts),
        [
            ("link", link),
            ("away/secret", link),
            ("away", link),
            ("out/pipe", strange),
            ("out/proc", link),
            ("out/socket", strange),
            ("out/up", link),
        ]
    );
    assert_eq!(rig.spooled_files(), 0);
}

#[test]
fn there_is_a_bound_to_bytes_files_and_words() {
    let rig = Rig::new();
    rig.write("a", &[1; 60]);
    rig.write("b", &[2; 60]);
    rig.write("c", &[3; 40]);
    // A file of this length has no bytes at all on the disk.
    File::create(rig.path("sparse")).unwrap().set_len(1 << 40).unwrap();
    let artifacts = rig.bring_in(&["a", "sparse", "b", "c"], 100);
    assert_eq!(kept(&artifacts), ["a", "c"]);
    let [(_, sparse), (_, b)] = unkept(&artifacts)[..] else { panic!("{artifacts:?}") };
    assert!(sparse.contains("1099511627776 bytes") && sparse.contains("max_artifacts"), "{sparse}");
    assert!(b.contains("60 bytes, and of what is kept of a job 40 are left"), "{b}");

    let rig = Rig::new();
    for number in 0..MAX_ARTIFACT_FILES + 5 {
        rig.write(&format!("many/{number:04}"), b"x");
    }
    for number in 0..MAX_ARTIFACT_PROBLEMS + 5 {
        symlink("x", rig.path(&format!("many/0000.{number}"))).unwrap();
    }
    let artifacts = rig.bring_in(&["many", "more"], 1 << 20);
    assert_eq!(artifacts.kept.len(), MAX_ARTIFACT_FILES);
    assert_eq!(rig.spooled_files(), MAX_ARTIFACT_FILES);
    assert_eq!(artifacts.unkept.len(), MAX_ARTIFACT_PROBLEMS);
}

#[test]
fn no_more_names_are_read_than_are_of_use() {
    let rig = Rig::new();
    for number in 0..MAX_ARTIFACT_NAMES + 1 {
        fs::create_dir_all(rig.path(&format!("many/{number}"))).unwrap();
    }
    rig.write("one", b"1");
    let artifacts = rig.bring_in(&["many", "one"], 9);
    assert_eq!(kept(&artifacts), ["one"]);
    assert!(unkept(&artifacts)[0].1.contains("16384 names"), "{artifacts:?}");
}

#[test]
fn a_spool_that_cannot_be_written_costs_the_artifact_and_nothing_else() {
    let rig = Rig::new();
    rig.write("a", b"one");
    let harvest =
        Harvest::of(Some(File::open(rig.room.path()).unwrap().into()), vec!["a".into()], 9).unwrap();
    let artifacts = harvest.bring_in(&mut SpoolFolder::new(None, rig.attempt));
    let [("a", why)] = unkept(&artifacts)[..] else { panic!("{artifacts:?}") };
    assert!(why.starts_with("it could not be kept: "), "{why}");
}
