use super::*;
use crate::model::{AttemptId, Epoch, JobId};

fn caps(head: u64, tail: u64, inline: u64) -> Caps {
    Caps { head, tail, hard: 1 << 30, inline, artifacts: 0 }
}

fn folder(dir: Option<&std::path::Path>) -> SpoolFolder {
    let root = dir.map(|dir| super::super::spooling::open_root(dir).unwrap());
    let attempt = AttemptId::new(JobId::from_bytes([7; 16]), Epoch(1));
    SpoolFolder::new(root, attempt)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// Feeds `bytes` in pieces and returns what was captured, and what the files hold.
fn run(bytes: &[u8], step: usize, caps: Caps) -> (Captured, Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = folder(Some(dir.path()));
    let mut capture = Capture::new(Stream::Stdout, caps);
    for piece in bytes.chunks(step) {
        capture.take(piece, &mut spool);
    }
    let captured = capture.finish(&mut spool);
    let read = |name: &str| {
        let attempt = AttemptId::new(JobId::from_bytes([7; 16]), Epoch(1));
        std::fs::read(dir.path().join(attempt.to_string()).join(name)).unwrap_or_default()
    };
    (captured, read("stdout"), read("stdout.tail"))
}

#[test]
fn small_output_needs_no_file() {
    let (captured, file, tail) = run(b"hello\n", 2, caps(1000, 100, 100));
    assert_eq!(captured.inline.as_deref(), Some(&b"hello\n"[..]));
    assert_eq!(captured.summary.total_bytes, 6);
    assert!(file.is_empty() && tail.is_empty());
}

#[test]
fn head_and_tail_are_kept_however_the_stream_is_cut() {
    for len in [0, 1, 99, 100, 101, 1099, 1100, 1101, 5000, 200_000] {
        for step in [1, 7, 1000, 65536] {
            let bytes = pattern(len);
            let (captured, head, tail) = run(&bytes, step, caps(1000, 100, 50));
            let head_len = len.min(1000);
            let tail_len = (len - head_len).min(100);
            let summary = captured.summary;
            let got = (summary.total_bytes, summary.head_bytes, summary.tail_bytes);
            assert_eq!(got, (len as u64, head_len as u64, tail_len as u64), "{len} {step}");
            match captured.inline {
                Some(all) => assert_eq!(all, bytes),
                None => {
                    assert_eq!(head, bytes[..head_len]);
                    assert_eq!(tail, bytes[len - tail_len..]);
                }
            }
            assert_eq!(summary.is_truncated(), len > 1100);
        }
    }
}

#[test]
fn a_head_smaller_than_the_inline_limit_still_goes_inline_with_its_tail() {
    let bytes = pattern(500);
    let (captured, file, _) = run(&bytes, 64, caps(10, 20, 100));
    let wanted: Vec<u8> = [&bytes[..10], &bytes[480..]].concat();
    assert_eq!(captured.inline, Some(wanted));
    assert!(file.is_empty());
}

#[test]
fn without_a_spool_the_job_goes_on_and_the_sizes_tell_what_was_lost() {
    let bytes = pattern(300_000);
    let mut spool = folder(None);
    let mut capture = Capture::new(Stream::Stdout, caps(1 << 20, 1000, 100));
    for piece in bytes.chunks(4096) {
        capture.take(piece, &mut spool);
    }
    let captured = capture.finish(&mut spool);
    assert_eq!(captured.summary.total_bytes, 300_000);
    assert_eq!(captured.summary.head_bytes, 100);
    assert_eq!(captured.inline.as_deref(), Some(&bytes[..100]));
    assert!(captured.summary.is_truncated());
}
