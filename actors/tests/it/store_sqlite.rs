//! What only a store on a disk can get wrong: locks, foreign files, full disks, killed processes, growing logs.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use callboard_actors::model::meter::Meter;
use callboard_actors::model::{EndReason, InputMode, JobId, JobSpec};
use callboard_actors::store::conformance::{finish_op, lease_op, load_all, new_job, spec};
use callboard_actors::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use callboard_actors::store::{JobStore, ListQuery, NewJob, OpResult, StoreError, StoreOp};

/// Names the folder in which the re-executed test binary writes until it is killed.
const CHILD_DIR: &str = "CALLBOARD_TEST_STORE_DIR";

fn open(dir: &Path, options: SqliteOptions) -> Result<Arc<SqliteStore>, StoreError> {
    SqliteStore::open(dir, options, Arc::new(Meter::default())).map(Arc::new)
}

fn open_default(dir: &Path) -> Arc<SqliteStore> {
    open(dir, SqliteOptions::default()).expect("the store opens")
}

fn database(dir: &Path) -> PathBuf {
    dir.join("callboard.db")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A job whose record fills some pages.
fn big_job() -> NewJob {
    NewJob {
        spec: Arc::new(JobSpec { input: InputMode::Inline(vec![7; 16 << 10]), ..spec(None) }),
        ..new_job(None)
    }
}

/// Opens what is free, as soon as it is: a child of another test holds a copy of the lock from its fork to its exec.
async fn open_soon(dir: &Path) {
    for _ in 0..500 {
        match open(dir, SqliteOptions::default()) {
            Err(StoreError::Locked { .. }) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            other => return drop(other.expect("it is free")),
        }
    }
    panic!("it stays locked");
}

#[tokio::test]
async fn a_second_opening_is_locked_out_until_the_first_is_gone() {
    let dir = temporary();
    let first = open_default(dir.path());
    let second = open(dir.path(), SqliteOptions::default());
    assert!(matches!(&second, Err(StoreError::Locked { path }) if path.ends_with("store.lock")));
    first.close().await.expect("it closes");
    open_soon(dir.path()).await;
    // Free after a drop, too.
    open_soon(dir.path()).await;
}

#[tokio::test]
async fn files_are_the_owners_only() {
    let parent = temporary();
    let dir = parent.path().join("deep/data");
    let store = open_default(&dir);
    let job = StoreOp::Submit(new_job(None));
    store.commit(vec![job]).await.expect("a commit");
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("it exists");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&dir), 0o700);
    let entries = std::fs::read_dir(&dir).expect("the folder");
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    let expected = ["callboard.db", "callboard.db-shm", "callboard.db-wal", "store.lock"];
    assert_eq!(names, expected);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for text in ["short", &"my precious notes\n".repeat(1000)] {
        let dir = temporary();
        std::fs::write(database(dir.path()), text).expect("a file");
        let opened = open(dir.path(), SqliteOptions::default());
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
        let after = std::fs::read_to_string(database(dir.path())).expect("a file");
        assert_eq!(after, *text);
    }
}

#[test]
fn a_database_of_another_program_is_refused() {
    let dir = temporary();
    let other = rusqlite::Connection::open(database(dir.path())).expect("a database");
    other.execute_batch("CREATE TABLE cake (flour)").expect("a table");
    drop(other);
    let opened = open(dir.path(), SqliteOptions::default());
    assert!(matches!(opened, Err(StoreError::Corrupt { detail }) if detail.contains("another program")));
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let dir = temporary();
    drop(open_default(dir.path()));
    let future = rusqlite::Connection::open(database(dir.path())).expect("a database");
    future.pragma_update(None, "user_version", 99).expect("a pragma");
    drop(future);
    let opened = open(dir.path(), SqliteOptions::default());
    assert!(matches!(opened, Err(StoreError::Newer { found: 99, known: 2 })));
}

#[tokio::test]
async fn a_database_whose_tables_are_others_is_refused_and_left_alone() {
    let dir = temporary();
    drop(open_default(dir.path()));
    let unreleased = rusqlite::Connection::open(database(dir.path())).expect("a database");
    unreleased.execute_batch("ALTER TABLE job_result RENAME COLUMN bytes TO size").expect("a change");
    drop(unreleased);
    let opened = open(dir.path(), SqliteOptions::default());
    assert!(
        matches!(&opened, Err(StoreError::Corrupt { detail }) if detail.contains("not those of version 2")),
        "{opened:?}"
    );
}

#[tokio::test]
async fn readers_see_what_was_committed_before_they_asked() {
    let dir = temporary();
    let store = open_default(dir.path());
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                let job = new_job(None);
                let id = job.id;
                let submit = vec![StoreOp::Submit(job), lease_op(id, 0)];
                store.commit(submit).await.expect("a commit");
                assert!(store.get(id).await.expect("a read").is_some());
                let finish = finish_op(id, 1, EndReason::Exited, 1);
                store.commit(vec![finish]).await.expect("a commit");
                let seen = store.get(id).await.expect("a read").expect("the job");
                assert!(seen.state.is_ended());
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let totals = store.totals().await.expect("totals");
    assert_eq!((totals.live, totals.finished), (0, 400));
    assert!(totals.size_bytes > 0);
}

#[tokio::test]
async fn what_is_done_is_counted() {
    let dir = temporary();
    let meter = Arc::new(Meter::default());
    let store = SqliteStore::open(dir.path(), SqliteOptions::default(), Arc::clone(&meter));
    let store = store.expect("the store opens");
    let job = new_job(None);
    let twice = vec![StoreOp::Submit(job.clone()), StoreOp::Submit(job)];
    store.commit(twice).await.expect_err("a clash");
    let ops = [new_job(None), new_job(None)].map(StoreOp::Submit);
    store.commit(ops.into()).await.expect("a commit");
    store.list(ListQuery::default()).await.expect("a list");
    store.close().await.expect("it closes");
    assert_eq!(meter.store_operations.read(), 2);
    assert_eq!(meter.store_errors.read(), 1);
    assert_eq!(meter.store_commit.read().1, 1);
    assert_eq!(meter.store_read.read().1, 1);
}

/// Submits until the store says that it is full, then one small commit more; gives the jobs that were accepted.
async fn fill(store: &SqliteStore) -> Vec<JobId> {
    let mut accepted = Vec::new();
    loop {
        let job = big_job();
        let id = job.id;
        match store.commit(vec![StoreOp::Submit(job)]).await {
            Ok(_) => accepted.push(id),
            Err(error) => {
                assert!(matches!(error, StoreError::Full), "{error}");
                assert!(store.get(id).await.expect("reads go on").is_none());
                break;
            }
        }
    }
    assert!(accepted.len() > 3, "only {} fitted", accepted.len());
    let totals = store.totals().await.expect("totals");
    assert_eq!(totals.live, accepted.len() as u64);
    accepted
}

#[tokio::test]
async fn nothing_is_accepted_into_a_database_that_was_taken_away() {
    let dir = temporary();
    let store = open_default(dir.path());
    let kept = dir.path().join("kept");
    std::fs::rename(database(dir.path()), &kept).unwrap();
    let refused = store.commit(vec![StoreOp::Submit(new_job(None))]).await;
    assert!(
        matches!(&refused, Err(StoreError::Failed { detail }) if detail.contains("removed or replaced")),
        "{refused:?}"
    );
    std::fs::copy(&kept, database(dir.path())).unwrap();
    assert!(store.commit(vec![StoreOp::Submit(new_job(None))]).await.is_err(), "another file of that name");
    std::fs::rename(&kept, database(dir.path())).unwrap();
    store.commit(vec![StoreOp::Submit(new_job(None))]).await.expect("it is back");
}

#[tokio::test]
async fn a_full_database_fails_typed_and_works_again_once_there_is_room() {
    let dir = temporary();
    let options = SqliteOptions { max_bytes: Some(1 << 20), ..SqliteOptions::default() };
    let store = open(dir.path(), options).expect("the store opens");
    let accepted = fill(&store).await;
    // Several batches that share one transaction are all refused, each of them typed.
    let refused: Vec<_> = (0..5).map(|_| store.commit(vec![StoreOp::Submit(big_job())])).collect();
    for answer in refused {
        assert!(matches!(answer.await, Err(StoreError::Full)));
    }
    let first = accepted[0];
    let room = vec![finish_op(first, 0, EndReason::User, 1), StoreOp::Delete { job: first }];
    let made = store.commit(room).await.expect("room is made");
    assert_eq!(made, [OpResult::Done, OpResult::Done]);
    let again = store.commit(vec![StoreOp::Submit(big_job())]).await;
    assert_eq!(again.expect("it works again"), [OpResult::Done]);
}

/// A small file system of its own, taken away again at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None, and a loud line, where that is not permitted; a failure where it was demanded.
    fn mount() -> Option<Self> {
        let dir = temporary();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        let required = std::env::var("CALLBOARD_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|word| word == "root"),
            "CALLBOARD_REQUIRE names root, but a small tmpfs cannot be mounted"
        );
        // Past the harness, which would swallow what is printed.
        let line = "SKIPPED a_full_disk_fails_typed_and_loses_nothing: it needs root, to mount a small tmpfs";
        let _ = writeln!(std::io::stderr(), "{line}");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_fails_typed_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let dir = disk.0.path().join("data");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).expect("ballast");
    let store = open_default(&dir);
    let mut accepted = fill(&store).await;
    std::fs::remove_file(&ballast).expect("space is back");
    let job = big_job();
    accepted.push(job.id);
    let again = store.commit(vec![StoreOp::Submit(job)]).await;
    assert_eq!(again.expect("it works again"), [OpResult::Done]);
    store.close().await.expect("it closes");
    drop(store);
    let store: Arc<dyn JobStore> = open_default(&dir);
    let live = load_all(&store, 100).await;
    let live: Vec<JobId> = live.into_iter().map(|row| row.id).collect();
    assert_eq!(live, accepted);
    store.close().await.expect("it closes");
    drop(store);
}

#[tokio::test]
async fn the_log_stays_small_while_many_read() {
    let dir = temporary();
    let options = SqliteOptions {
        durability: Durability::Normal,
        checkpoint_bytes: 256 << 10,
        truncate_bytes: 2 << 20,
        ..SqliteOptions::default()
    };
    let store = open(dir.path(), options).expect("the store opens");
    let reading = Arc::clone(&store);
    let reader = tokio::spawn(async move {
        loop {
            let query = ListQuery { limit: 50, ..ListQuery::default() };
            if reading.list(query).await.is_err() {
                return;
            }
        }
    });
    let wal = dir.path().join("callboard.db-wal");
    let mut largest = 0;
    for _ in 0..300 {
        let batch: Vec<_> = (0..8).map(|_| StoreOp::Submit(big_job())).collect();
        store.commit(batch).await.expect("a commit");
        largest = largest.max(std::fs::metadata(&wal).expect("the log").len());
    }
    assert!(largest < 4 << 20, "the log grew to {largest} bytes");
    store.close().await.expect("it closes");
    reader.await.expect("the reader ends");
    assert!(!wal.exists(), "the log is gone after closing");
}

/// Not a test by itself: what the killed process of the next test does. Prints the ids that were acknowledged.
#[tokio::test]
#[allow(clippy::print_stdout, reason = "the parent reads it")]
async fn child_writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let store = open_default(Path::new(&dir));
    loop {
        let jobs: Vec<NewJob> = (0..20).map(|_| big_job()).collect();
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let submits = jobs.into_iter().map(StoreOp::Submit).collect();
        store.commit(submits).await.expect("a commit");
        let lines: String = ids.iter().map(|id| format!("acknowledged {id}\n")).collect();
        let mut out = std::io::stdout().lock();
        out.write_all(lines.as_bytes()).expect("the parent listens");
    }
}

#[tokio::test]
async fn a_killed_process_keeps_all_that_was_acknowledged() {
    let dir = temporary();
    let mut acknowledged = HashSet::new();
    for round in 1..=3_usize {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "store_sqlite::child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            if let Some((_, id)) = line.split_once("acknowledged ") {
                // The last line of a killed process may be cut short.
                acknowledged.extend(id.parse::<JobId>());
                seen += 1;
            }
            if seen == round * 130 {
                child.kill().expect("it dies");
            }
        }
        child.wait().expect("it is reaped");
        let store: Arc<dyn JobStore> = open_default(dir.path());
        assert_eq!(store.identity().term.0 as usize, 2 * round);
        let kept: HashSet<JobId> = load_all(&store, 1000).await.iter().map(|row| row.id).collect();
        assert!(acknowledged.is_subset(&kept));
        assert_eq!(kept.len() % 20, 0, "a batch is kept whole or not at all");
        assert_eq!(store.totals().await.expect("totals").live, kept.len() as u64);
    }
    assert!(acknowledged.len() >= 700);
}
