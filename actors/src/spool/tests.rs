use super::*;
use crate::model::{Epoch, JobId, Stream};

fn attempt(n: u8) -> AttemptId {
    AttemptId::new(JobId::from_bytes([n; 16]), Epoch(1))
}

fn spooled(n: u8, files: &[(&str, &[u8])]) -> (tempfile::TempDir, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(attempt(n).to_string());
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let spool = Spool::new(dir.path());
    (dir, spool)
}

#[test]
fn head_and_tail_read_as_one_from_any_offset() {
    let (_dir, spool) = spooled(1, &[("stdout", b"01234"), ("stdout.tail", b"xyz")]);
    let whole = b"01234xyz";
    for offset in 0..=whole.len() {
        for max in 1..10 {
            let end = (offset + max).min(whole.len());
            let chunk = spool.read(attempt(1), Stream::Stdout, offset as u64, max).unwrap();
            assert_eq!(chunk.bytes, whole[offset..end], "{offset} {max}");
            assert_eq!(chunk.next_offset, end as u64);
            assert_eq!(chunk.kept_bytes, whole.len() as u64);
            assert_eq!(chunk.at_end, end == whole.len());
        }
    }
}

#[test]
fn what_is_absent_reads_as_empty() {
    let (_dir, spool) = spooled(1, &[]);
    let empty = Chunk { at_end: true, ..Chunk::default() };
    assert_eq!(spool.read(attempt(1), Stream::Stderr, 0, 10).unwrap(), empty);
    assert_eq!(spool.read(attempt(2), Stream::Stderr, 0, 10).unwrap(), empty);
    spool.remove(attempt(2)).unwrap();
}

#[test]
fn artifacts_are_read_by_their_place_and_removed_with_the_rest() {
    let (dir, spool) = spooled(1, &[("stdout", b"out"), ("artifact.0", b"zero"), ("artifact.12", b"twelve")]);
    let read = |number| spool.read(attempt(1), Kept::Artifact(number), 2, 100).unwrap().bytes;
    assert_eq!((read(0), read(12), read(1)), (b"ro".into(), b"elve".into(), b"".into()));
    spool.remove(attempt(1)).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn symbolic_links_are_not_followed() {
    let (dir, spool) = spooled(1, &[("secret", b"s")]);
    let folder = dir.path().join(attempt(1).to_string());
    std::os::unix::fs::symlink(folder.join("secret"), folder.join("stdout")).unwrap();
    assert!(spool.read(attempt(1), Stream::Stdout, 0, 10).is_err());
    std::os::unix::fs::symlink(&folder, dir.path().join(attempt(2).to_string())).unwrap();
    assert!(spool.read(attempt(2), Stream::Stdout, 0, 10).is_err());
    assert!(spool.remove(attempt(2)).is_err());
    assert!(folder.join("secret").exists());
}

#[test]
fn a_sweep_removes_only_what_is_not_kept() {
    let (dir, spool) = spooled(1, &[("stdout", b"x"), ("stderr.tail", b"y")]);
    std::fs::create_dir(dir.path().join(attempt(2).to_string())).unwrap();
    std::fs::create_dir(dir.path().join("something else")).unwrap();
    assert_eq!(spool.sweep(|it| it == attempt(2)).unwrap(), 1);
    assert_eq!(spool.list().unwrap(), [attempt(2)]);
    assert!(dir.path().join("something else").exists());
}
