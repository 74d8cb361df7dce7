//! Output and input: small, large, binary, streamed, and nobody there.

use std::time::Duration;

use callboard_actors::exec::{ExecEvent, Executor};
use callboard_actors::model::{AttemptEnd, InputMode, Stream};

use super::rig::*;

#[test]
fn of_a_hundred_megabytes_head_and_tail_are_kept_and_the_sizes_are_right() {
    with_rig(1, async |mut rig: Rig| {
        let result = rig.run(shell("seq 1 12500000; echo end >&2")).await;
        let whole: Vec<u8> = (1..=12_500_000).flat_map(|n: u32| format!("{n}\n").into_bytes()).collect();
        assert!(whole.len() > 100_000_000);
        let summary = result.stdout.summary;
        let sizes = (summary.total_bytes, summary.head_bytes, summary.tail_bytes);
        assert_eq!(sizes, (whole.len() as u64, 1 << 20, 64 << 10));
        assert!(summary.is_truncated());
        let kept = rig.kept(&result, Stream::Stdout);
        assert!(kept[..1 << 20] == whole[..1 << 20], "the head differs");
        assert!(kept[1 << 20..] == whole[whole.len() - (64 << 10)..], "the tail differs");
        assert_eq!(text(&result.stderr), "end\n");
        rig.spool().remove(result.attempt).unwrap();
        assert_eq!(rig.spool().list().unwrap(), []);
    });
}

#[test]
fn a_flood_is_stopped_at_the_hard_limit() {
    let flood = |config: &mut callboard_actors::exec::ProcessConfig| config.output_hard_bytes = 3 << 20;
    with_config(flood, async |mut rig: Rig| {
        let mut job = shell("trap '' TERM; yes");
        job.grace_ms = 600_000;
        let result = rig.run(job).await;
        assert_eq!(result.end, AttemptEnd::OutputLimit { limit_bytes: 3 << 20, exit: signalled(9) });
        assert!(result.stdout.summary.total_bytes >= 3 << 20);
    });
}

#[test]
fn bytes_are_bytes() {
    with_rig(1, async |mut rig: Rig| {
        let result = rig.run(shell(r"printf '\000\377\200\n\001'")).await;
        assert_eq!(result.stdout.inline.as_deref(), Some(&b"\0\xff\x80\n\x01"[..]));
    });
}

#[test]
fn output_can_be_followed_while_the_job_runs() {
    with_rig(1, async |mut rig: Rig| {
        let attempt = rig.submit(shell("echo first; sleep 60"));
        let spool = rig.spool();
        let seen = || spool.read(attempt, Stream::Stdout, 0, 100).unwrap().bytes;
        until("the first line is in the spool", || seen() == b"first\n").await;
        rig.executor.kill(attempt, 0);
        let result = rig.finished().await;
        assert_eq!(text(&result.stdout), "first\n");
        assert_eq!(rig.spool().list().unwrap(), [], "handed over in full, so the file is gone");
    });
}

#[test]
fn without_a_spool_a_job_runs_on_and_its_sizes_tell_the_loss() {
    with_rig(1, async |mut rig: Rig| {
        let attempt = callboard_actors::model::AttemptId::new(
            callboard_actors::clock::new_job_id(),
            callboard_actors::model::Epoch(1),
        );
        std::fs::write(rig.config.spool_dir.join(attempt.to_string()), "in the way").unwrap();
        rig.submit_as(attempt, shell("seq 1 200000"));
        let result = rig.finished().await;
        assert_eq!(result.end, exited(0));
        assert_eq!(result.stdout.summary.total_bytes, 1_288_895);
        assert!(result.stdout.summary.is_truncated());
        let kept = rig.kept(&result, Stream::Stdout);
        assert!(kept.starts_with(b"1\n2\n3\n"));
        assert_eq!(kept.len() as u64, result.stdout.summary.kept_bytes());
    });
}

#[test]
fn input_in_the_spec_arrives_whole() {
    with_rig(1, async |mut rig: Rig| {
        let input = pattern(256 * 1024);
        let mut job = argv(&["cat"]);
        job.input = InputMode::Inline(input.clone());
        let result = rig.run(job).await;
        assert_eq!(result.end, exited(0));
        assert!(rig.kept(&result, Stream::Stdout) == input);
    });
}

#[test]
fn a_job_without_input_reads_nothing() {
    with_rig(1, async |mut rig: Rig| {
        assert_eq!(rig.run(argv(&["wc", "-c"])).await.stdout.inline.as_deref(), Some(&b"0\n"[..]));
    });
}

#[test]
fn streamed_input_arrives_whole_and_bounded() {
    with_rig(1, async |mut rig: Rig| {
        let input = pattern(900_000);
        let mut job = shell("sleep 0.2; cat");
        job.input = InputMode::Streamed;
        let attempt = rig.submit(job);
        let (mut accepted, open) = rig.executor.write_input(attempt, 0, &input, true);
        assert!(open && accepted <= 256 * 1024, "{accepted}");
        assert_eq!(rig.executor.write_input(attempt, accepted + 1, b"gap", false), (accepted, true));
        let result = loop {
            match rig.event().await {
                ExecEvent::InputRoom { accepted: then, open, .. } => {
                    // A snapshot, and we may have sent more since.
                    assert!(then <= accepted && (open || then == input.len() as u64));
                    let rest = &input[accepted as usize..];
                    // When all is sent the job may be over, and unknown here, though its end is not told yet.
                    if !rest.is_empty() {
                        (accepted, _) = rig.executor.write_input(attempt, accepted, rest, true);
                    }
                }
                ExecEvent::Finished(result) => break result,
                _ => {}
            }
        };
        assert_eq!(result.end, exited(0));
        assert!(rig.kept(&result, Stream::Stdout) == input);
        assert_eq!(rig.executor.write_input(attempt, 0, b"late", false), (0, false));
    });
}

#[test]
fn the_end_of_input_alone_is_heard() {
    with_rig(1, async |mut rig: Rig| {
        let mut job = argv(&["wc", "-c"]);
        job.input = InputMode::Streamed;
        let attempt = rig.submit(job);
        tokio::time::sleep(Duration::from_millis(50)).await;
        rig.executor.write_input(attempt, 0, b"abc", false);
        rig.executor.write_input(attempt, 3, b"", true);
        assert_eq!(text(&rig.finished().await.stdout), "3\n");
    });
}

#[test]
fn input_without_a_reader_is_told_and_does_no_harm() {
    with_rig(1, async |mut rig: Rig| {
        let mut job = shell("exec 0<&-; while ! [ -e stop ]; do sleep 0.05; done; echo well");
        let folder = tempfile::tempdir().unwrap();
        job.cwd = Some(folder.path().to_str().unwrap().to_owned());
        job.input = InputMode::Streamed;
        let attempt = rig.submit(job);
        loop {
            if let ExecEvent::InputRoom { open, .. } = rig.event().await {
                assert!(!open);
                break;
            }
        }
        assert!(!rig.executor.write_input(attempt, 0, &[b'x'; 100_000], false).1);
        std::fs::write(folder.path().join("stop"), "").unwrap();
        assert_eq!(text(&rig.finished().await.stdout), "well\n");
    });
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}
