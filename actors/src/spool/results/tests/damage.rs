//! Logs that a crash, a disk or somebody else has spoiled.

use super::*;

/// Three results in a log, and where each begins; the last number is where the log ends.
fn three(dir: &Path) -> Vec<usize> {
    let (log, _) = open(dir);
    let mut ends = vec![frame::HEADER_LEN];
    for n in 0..3 {
        append(&log, vec![result(n, 20)]).unwrap();
        ends.push(log_len(dir) as usize);
    }
    ends
}

fn numbers(results: &[AttemptResult]) -> Vec<AttemptId> {
    results.iter().map(|result| result.attempt).collect()
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_was_torn() {
    let dir = tempfile::tempdir().unwrap();
    let ends = three(dir.path());
    let path = dir.path().join("results.log");
    let whole = std::fs::read(&path).unwrap();
    for len in ends[2]..ends[3] {
        for garbage in [&b""[..], &[0x55; 40], b"\xf7rs\x1a\xff\xff\xff\xff"] {
            std::fs::write(&path, [&whole[..len], garbage].concat()).unwrap();
            let (file, results) = LogFile::open(dir.path()).unwrap();
            assert_eq!(numbers(&results), [attempt(0), attempt(1)], "{len}");
            assert_eq!((log_len(dir.path()), file.len()), (ends[2] as u64, ends[2] as u64));
        }
    }
    // What comes next is read back with the rest.
    let (log, _) = open(dir.path());
    append(&log, vec![result(9, 5)]).unwrap();
    drop(log);
    assert_eq!(numbers(&found(dir.path())), [attempt(0), attempt(1), attempt(9)]);
}

#[test]
fn a_log_that_was_only_begun_is_begun_again() {
    for len in 0..frame::HEADER_LEN {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("results.log"), &frame::header()[..len]).unwrap();
        let (log, _) = open(dir.path());
        append(&log, vec![result(1, 5)]).unwrap();
        drop(log);
        assert_eq!(found(dir.path()), [result(1, 5)]);
    }
}

#[test]
fn a_flipped_bit_costs_the_result_that_it_is_in_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ends = three(dir.path());
    let whole = std::fs::read(dir.path().join("results.log")).unwrap();
    for at in frame::HEADER_LEN..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let found: Vec<usize> = frame::frames(&bytes).map(|frame| frame.at).collect();
            let wanted = (0..3).filter(|n| !(ends[*n]..ends[n + 1]).contains(&at)).map(|n| ends[n]);
            assert_eq!(found, wanted.collect::<Vec<_>>(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_damaged_log_is_written_anew_with_the_next_result() {
    let dir = tempfile::tempdir().unwrap();
    let ends = three(dir.path());
    let path = dir.path().join("results.log");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xee; 8], ends[1] as u64 + 30).unwrap();
    let (log, results) = open(dir.path());
    assert_eq!(numbers(&results), [attempt(0), attempt(2)]);
    append(&log, vec![result(5, 0)]).unwrap();
    drop(log);
    let bytes = std::fs::read(&path).unwrap();
    let mut frames = frame::frames(&bytes);
    assert_eq!((frames.by_ref().count(), frames.passed_over, frames.end), (3, 0, bytes.len()));
    assert_eq!(numbers(&found(dir.path())), [attempt(0), attempt(2), attempt(5)]);
}

#[test]
fn what_is_of_a_newer_version_or_no_log_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let path = dir.path().join("results.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[6] = 2;
    std::fs::write(&path, &bytes).unwrap();
    let refused = ResultLog::open(dir.path()).unwrap_err();
    assert!(matches!(refused, ResultLogError::Newer { found: 2, known: 1, .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    bytes[0] = b'x';
    std::fs::write(&path, &bytes).unwrap();
    let refused = ResultLog::open(dir.path()).unwrap_err();
    assert!(matches!(refused, ResultLogError::Foreign { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_crash_during_a_rewrite_leaves_the_old_log_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let (log, draft) = (dir.path().join("results.log"), dir.path().join("results.new"));
    let old = std::fs::read(&log).unwrap();
    let (mut file, _) = LogFile::open(dir.path()).unwrap();
    file.index.remove(attempt(1));
    file.rewrite(Bodies::Kept).unwrap();
    drop(file);
    let new = std::fs::read(&log).unwrap();
    assert!(new.len() < old.len());
    // Anywhere while the draft is written, and before it has the name.
    for len in 0..=new.len() {
        std::fs::write(&log, &old).unwrap();
        std::fs::write(&draft, &new[..len]).unwrap();
        let (_, results) = LogFile::open(dir.path()).unwrap();
        assert_eq!(numbers(&results), [attempt(0), attempt(1), attempt(2)]);
        assert!(!draft.exists());
    }
    // After that.
    std::fs::write(&log, &new).unwrap();
    assert_eq!(numbers(&found(dir.path())), [attempt(0), attempt(2)]);
}

#[test]
fn a_sync_that_failed_is_not_believed_when_it_succeeds_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _) = LogFile::open(dir.path()).unwrap();
    let frame = |n| frame::of_result(&result(n, 3), Bodies::Kept, 0).unwrap();
    let store = |file: &mut LogFile, n| {
        let at = file.append(&frame(n), true)?;
        file.index.insert(attempt(n), file::Place { at, len: frame(n).len() as u64, inline: 3 });
        Ok::<(), ResultLogError>(())
    };
    store(&mut file, 1).unwrap();
    let inode = |dir: &Path| {
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(dir.join("results.log")).unwrap())
    };
    let before = inode(dir.path());
    file.syncs_to_fail = 1;
    assert!(matches!(store(&mut file, 2), Err(ResultLogError::Io { .. })));
    store(&mut file, 3).unwrap();
    assert_ne!(inode(dir.path()), before, "the file was written anew");
    drop(file);
    let (_, results) = LogFile::open(dir.path()).unwrap();
    assert_eq!(numbers(&results), [attempt(1), attempt(3)]);
}

#[test]
fn a_log_that_was_set_aside_when_no_new_one_could_be_made_is_made_by_the_next_result() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let log = ResultLog::open(dir.path()).unwrap();
    let in_the_way = dir.path().join("results.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let other = ClusterId::from_bytes([8; 16]);
    let failed = log.join(other, Term(1)).blocking_recv().unwrap().unwrap_err();
    assert!(matches!(failed, ResultLogError::Io { .. }), "{failed}");
    assert!(append(&log, vec![result(7, 0)]).is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    append(&log, vec![result(8, 0)]).unwrap();
    drop(log);
    let log = ResultLog::open(dir.path()).unwrap();
    assert_eq!((log.held(), log.state().unwrap().cluster), (&[attempt(8)][..], other));
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let prefix = format!("results.{CLUSTER}.");
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with(&prefix)).count(), 1);
}

/// Where the next test works when it has started itself again, in a process that may not write long files.
const FOLDER: &str = "CALLBOARD_TEST_FOLDER";

fn fill(dir: &Path) {
    let (log, _) = open(dir);
    append(&log, vec![result(1, 1000)]).unwrap();
    let refused = append(&log, vec![result(2, 100_000)]).unwrap_err();
    assert!(matches!(refused, ResultLogError::Io { .. }), "{refused}");
    append(&log, vec![result(3, 1000)]).unwrap();
    println!("all three were tried");
}

#[test]
fn a_full_disk_refuses_what_finds_no_room_and_spoils_nothing() {
    #[allow(clippy::disallowed_methods, reason = "the same test of another process says where")]
    if let Ok(folder) = std::env::var(FOLDER) {
        return fill(Path::new(&folder));
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "spool::results::tests::damage::a_full_disk_refuses_what_finds_no_room_and_spoils_nothing";
    // 16 KiB where a unit is 512 bytes, 32 where it is 1024. Who ignores the signal is told by an error.
    let script = r#"trap '' XFSZ; ulimit -f 32; exec "$0" --exact "$1" --nocapture"#;
    let ran = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(ran.status.success() && said.contains("all three were tried"), "{said}");
    assert_eq!(found(dir.path()), [result(1, 1000), result(3, 1000)]);
}

/// Bytes that begin like a log and go on like one, now and then.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let mark = Just(b"\xf7rs\x1a".to_vec());
    let small = Just(b"\xf7rs\x1a\x02\0\0\0".to_vec());
    let whole = (0..9_u16).prop_map(|n| frame::of_result(&result(n, 9), Bodies::Kept, 0).unwrap());
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    let pieces = prop::collection::vec(prop_oneof![mark, small, whole, noise], 0..12);
    (any::<bool>(), pieces).prop_map(|(begins, pieces)| {
        let header = if begins { frame::header().to_vec() } else { Vec::new() };
        [header].into_iter().chain(pieces).flatten().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic_and_nothing_is_read_that_is_not_there(bytes in bytes()) {
        let mut frames = frame::frames(&bytes);
        let mut last = frame::HEADER_LEN.min(bytes.len());
        for frame in frames.by_ref() {
            prop_assert!(frame.at >= last);
            last = frame.at + frame.len;
            prop_assert!(last <= bytes.len());
            if let Some(frame::Entry::Result(stored)) = frame.entry {
                let result = stored.result(0).unwrap();
                let held = [&result.stdout, &result.stderr].iter().filter_map(|it| it.inline.as_ref()).map(Vec::len).sum::<usize>();
                prop_assert!(held <= bytes.len());
            }
        }
        prop_assert_eq!(frames.end, last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_opened_or_refused(bytes in bytes()) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("results.log"), &bytes).unwrap();
        match LogFile::open(dir.path()) {
            Ok((file, results)) => {
                prop_assert!(frame::header().starts_with(&bytes[..bytes.len().min(frame::HEADER_LEN)]));
                prop_assert_eq!(file.len(), log_len(dir.path()));
                prop_assert!(file.index.bytes <= file.len() && results.len() <= 12);
            }
            Err(error) => {
                let is_refusal = matches!(error, ResultLogError::Foreign { .. } | ResultLogError::Newer { .. });
                prop_assert!(is_refusal, "{error}");
            }
        }
    }
}

#[test]
fn a_log_full_of_marks_is_given_up() {
    let bytes = [frame::header().as_slice(), &b"\xf7rs\x1a\xff\xff\0\0".repeat(100_000)].concat();
    let mut frames = frame::frames(&bytes);
    assert!(frames.next().is_none());
    assert_eq!(frames.end, frame::HEADER_LEN);
}
