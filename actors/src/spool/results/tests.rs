use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::frame::Bodies;
use super::*;
use crate::model::{AttemptEnd, Captured, Epoch, Exit, IsolationReport, JobId, OutputSummary, Usage};

mod damage;

fn attempt(n: u16) -> AttemptId {
    let mut job = [0; 16];
    job[..2].copy_from_slice(&n.to_be_bytes());
    AttemptId::new(JobId::from_bytes(job), Epoch(1))
}

fn result(n: u16, inline: usize) -> AttemptResult {
    let total_bytes = inline as u64;
    let summary = OutputSummary { total_bytes, head_bytes: total_bytes, tail_bytes: 0 };
    AttemptResult {
        attempt: attempt(n),
        end: AttemptEnd::Exited(Exit::Code(i32::from(n % 256))),
        usage: Usage { wall_us: 5, ..Usage::default() },
        stdout: Captured { summary, inline: Some((0..inline).map(|at| at as u8).collect()) },
        // What has no inline output is elsewhere: that must stay told apart from nothing.
        stderr: Captured { summary, inline: None },
        started_ms_ago: None,
        isolation: IsolationReport::default(),
        artifacts: Default::default(),
    }
}

const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_bytes([7; 16]));

fn open(dir: &Path) -> (ResultLog, Vec<AttemptResult>) {
    let log = ResultLog::open(dir).unwrap();
    let joined = log.join(CLUSTER, Term(3)).blocking_recv().unwrap().unwrap();
    (log, joined.results)
}

fn append(log: &ResultLog, results: Vec<AttemptResult>) -> Result<(), ResultLogError> {
    log.append(Arc::new(results)).blocking_recv().unwrap()
}

/// What stands in the folder's log.
fn found(dir: &Path) -> Vec<AttemptResult> {
    open(dir).1
}

fn log_len(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("results.log")).unwrap().len()
}

#[test]
fn what_has_no_verdict_is_found_again_in_order_and_given_out_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, before) = open(dir.path());
    assert!(before.is_empty());
    append(&log, vec![result(3, 10), result(1, 0)]).unwrap();
    append(&log, vec![result(2, 5000)]).unwrap();
    log.judged(vec![attempt(1), attempt(77)]);
    drop(log);
    let log = ResultLog::open(dir.path()).unwrap();
    assert_eq!(log.held(), [attempt(3), attempt(2)]);
    assert_eq!(log.state(), Some(NodeState { cluster: CLUSTER, term: Term(3) }));
    let joined = log.join(CLUSTER, Term(2)).blocking_recv().unwrap().unwrap();
    assert_eq!(joined, Joined { results: vec![result(3, 10), result(2, 5000)], term: Term(3) });
    let again = log.join(CLUSTER, Term(3)).blocking_recv().unwrap().unwrap();
    assert!(again.results.is_empty());
    log.judged(vec![attempt(3), attempt(2)]);
    drop(log);
    assert_eq!(log_len(dir.path()), frame::HEADER_LEN as u64, "a log in which all is judged is emptied");
    assert!(found(dir.path()).is_empty());
}

#[test]
fn a_result_grows_older_while_it_lies_there() {
    let aged = AttemptResult { started_ms_ago: Some(500), ..result(1, 0) };
    let bytes = frame::of_result(&aged, Bodies::Kept, 10_000).unwrap();
    let Some(frame::Entry::Result(stored)) = frame::frame_at(&bytes, 0).unwrap().entry else {
        panic!("it is a result");
    };
    assert_eq!(stored.result(13_000).unwrap().started_ms_ago, Some(3500));
    assert_eq!(stored.result(9_000).unwrap().started_ms_ago, Some(500), "the clock was set back");
}

#[test]
fn nothing_is_stored_before_it_is_known_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = ResultLog::open(dir.path()).unwrap();
    assert_eq!(append(&log, vec![result(1, 0)]), Err(ResultLogError::NotJoined));
    assert!(matches!(ResultLog::open(dir.path()), Err(ResultLogError::Locked { .. })));
}

#[test]
fn results_of_another_cluster_are_set_aside_and_nothing_of_them_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    append(&log, vec![result(1, 0)]).unwrap();
    drop(log);
    let former = std::fs::read(dir.path().join("results.log")).unwrap();
    let log = ResultLog::open(dir.path()).unwrap();
    let other = ClusterId::from_bytes([8; 16]);
    let joined = log.join(other, Term(1)).blocking_recv().unwrap().unwrap();
    assert_eq!(joined, Joined { results: Vec::new(), term: Term(1) }, "terms are the cluster's own");
    append(&log, vec![result(2, 0)]).unwrap();
    drop(log);
    let log = ResultLog::open(dir.path()).unwrap();
    assert_eq!((log.held(), log.state().unwrap().cluster), (&[attempt(2)][..], other));
    let prefix = format!("results.{CLUSTER}.");
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&prefix);
    let aside: Vec<_> = names.filter(is_aside).collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(std::fs::read(&aside[0]).unwrap(), former);
}

#[test]
fn the_highest_term_is_remembered_and_a_lower_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    log.see_term(Term(9));
    log.see_term(Term(8));
    drop(log);
    assert_eq!(NodeState::read(dir.path()).unwrap().unwrap().term, Term(9));
}

#[test]
fn the_file_stays_small_under_load_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    append(&log, vec![result(0, 100)]).unwrap();
    let mut longest = 0;
    for round in 0..40_u16 {
        let numbers: Vec<u16> = (1..=50).map(|n| round * 50 + n).collect();
        append(&log, numbers.iter().map(|n| result(*n, 8000)).collect()).unwrap();
        longest = longest.max(log_len(dir.path()));
        log.judged(numbers.iter().map(|n| attempt(*n)).filter(|it| *it != attempt(777)).collect());
    }
    assert!(longest < 6 << 20, "{longest} bytes of 16 MiB that were written in all");
    drop(log);
    assert_eq!(found(dir.path()), [result(0, 100), result(777, 8000)]);
}

#[test]
fn without_room_output_goes_first_and_results_are_refused_last() {
    let dir = tempfile::tempdir().unwrap();
    let log = ResultLog::open_with(dir.path(), 64 << 10).unwrap();
    log.join(CLUSTER, Term(1)).blocking_recv().unwrap().unwrap();
    let mut stored = 0;
    let refused = loop {
        match append(&log, vec![result(stored, 6000)]) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ResultLogError::Full { limit_bytes: 64 << 10 });
    assert!(log.is_full());
    assert!(stored > 40, "{stored}: with output it would have been ten");
    // One verdict makes room, and not enough to say that there is some.
    log.judged(vec![attempt(0)]);
    append(&log, vec![result(stored, 6000)]).unwrap();
    assert!(log.is_full());
    log.judged((1..20).map(attempt).collect());
    append(&log, vec![result(stored + 1, 6000)]).unwrap();
    drop(log);
    let found = found(dir.path());
    assert_eq!(
        found.iter().map(|it| it.attempt).collect::<Vec<_>>(),
        (20..=stored + 1).map(attempt).collect::<Vec<_>>()
    );
    let bare = &found[0].stdout;
    assert_eq!((bare.inline.as_ref(), bare.summary.total_bytes), (None, 6000));
    assert!(bare.summary.is_truncated(), "the sizes say that the output is lost");
}

#[test]
fn all_of_a_call_is_stored_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = ResultLog::open_with(dir.path(), 2 << 10).unwrap();
    log.join(CLUSTER, Term(1)).blocking_recv().unwrap().unwrap();
    let many = (0..10).map(|n| result(n, 0)).collect();
    assert!(matches!(append(&log, many), Err(ResultLogError::Full { .. })));
    append(&log, vec![result(10, 0)]).unwrap();
    drop(log);
    assert_eq!(found(dir.path()), [result(10, 0)]);
}

#[test]
fn what_waits_is_stored_before_the_log_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let pending: Vec<_> = (0..200).map(|n| log.append(Arc::new(vec![result(n, 10)]))).collect();
    drop(log);
    assert!(pending.into_iter().all(|pending| pending.blocking_recv().unwrap().is_ok()));
    assert_eq!(found(dir.path()).len(), 200);
}

/// What a caller does.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u16, usize)>),
    Judge(Vec<u16>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0..12_u16;
    let append = prop::collection::vec((number.clone(), 0..300_usize), 1..4).prop_map(Step::Append);
    let judge = prop::collection::vec(number, 1..6).prop_map(Step::Judge);
    prop::collection::vec(prop_oneof![4 => append, 3 => judge, 1 => Just(Step::Reopen)], 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_holds_what_was_stored_and_not_judged(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut wanted = BTreeMap::new();
        let (mut log, _) = open(dir.path());
        for step in steps.into_iter().chain([Step::Reopen]) {
            match step {
                Step::Append(parts) => {
                    let results: Vec<_> = parts.iter().map(|(n, inline)| result(*n, *inline)).collect();
                    wanted.extend(results.iter().map(|it| (it.attempt, it.clone())));
                    append(&log, results).unwrap();
                }
                Step::Judge(numbers) => {
                    numbers.iter().for_each(|n| _ = wanted.remove(&attempt(*n)));
                    log.judged(numbers.into_iter().map(attempt).collect());
                }
                Step::Reopen => {
                    drop(log);
                    let (again, found) = open(dir.path());
                    log = again;
                    let found: BTreeMap<_, _> = found.into_iter().map(|it| (it.attempt, it)).collect();
                    prop_assert_eq!(&found, &wanted);
                }
            }
        }
    }
}
