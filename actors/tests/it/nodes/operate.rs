//! Cordon, drain, resume, remove; and the breaker.

use callboard_actors::model::{AttemptEnd, JobSpec, NodeId, RunnerKind, Status};
use callboard_actors::protocol::operate::{ChangeRunnerError, RunnerChange};
use callboard_actors::protocol::runner::RegisterError;

use super::rig::{Site, ends_at_once, until};

fn cordon(why: &str) -> RunnerChange {
    RunnerChange::Cordon { why: why.into() }
}

fn drain(deadline_ms: Option<u64>) -> RunnerChange {
    RunnerChange::Drain { why: String::new(), deadline_ms }
}

#[actix::test]
async fn a_cordoned_node_is_given_nothing_until_it_is_resumed() {
    let mut site = Site::start();
    let (first, second) = (site.add(1, None, ends_at_once).await, site.add(1, None, ends_at_once).await);
    let told = site.change(first, cordon("its disk is slow")).await.expect("it is known");
    assert_eq!(
        told.cordon().map(|cordon| (&*cordon.by, &*cordon.why)),
        Some(("operator", "its disk is slow"))
    );
    for _ in 0..4 {
        assert_eq!(site.run(JobSpec::shell("true")).await.node(), Some(second));
    }
    site.change(first, RunnerChange::Resume).await.expect("it is known");
    site.change(second, cordon("")).await.expect("it is known");
    assert_eq!(site.run(JobSpec::shell("true")).await.node(), Some(first));
    assert_eq!(site.change(first, cordon("two\nlines")).await, Err(ChangeRunnerError::Why));
}

#[actix::test]
async fn a_cordon_outlives_the_node_and_the_coordinator() {
    let mut site = Site::start();
    let node = site.add(1, None, ends_at_once).await;
    site.change(node, cordon("")).await.expect("it is known");
    site.come_back(0, ends_at_once).await;
    assert_eq!(site.eligibility(node).await, "cordoned");
    let mut site = site.restart().await;
    site.come_back(0, ends_at_once).await;
    assert_eq!(site.eligibility(node).await, "cordoned");
    let job = site.submit(JobSpec::shell("true")).await;
    assert_eq!(site.look(job).await.status(), Status::Pending);
    site.change(node, RunnerChange::Resume).await.expect("it is known");
    assert_eq!(site.ended(job).await.node(), Some(node));
}

#[actix::test]
async fn a_drain_waits_for_what_runs_until_its_deadline_and_then_moves_it_without_counting() {
    let mut site = Site::with_max_lost(1);
    let first = site.add(1, None, |_| None).await;
    let job = site.submit(JobSpec { grace_ms: 0, ..JobSpec::shell("sleep inf") }).await;
    site.until_running(job).await;
    let second = site.add(1, None, ends_at_once).await;
    site.change(first, drain(None)).await.expect("it is known");
    assert_eq!(site.eligibility(first).await, "draining");
    assert_eq!(site.run(JobSpec::shell("true")).await.node(), Some(second));
    assert_eq!(site.look(job).await.status(), Status::Running, "it goes on for as long as it likes");
    site.change(first, drain(Some(0))).await.expect("it is known");
    let ended = site.ended(job).await;
    assert_eq!((ended.status(), ended.node()), (Status::Completed, Some(second)), "{ended:?}");
    let fates: Vec<_> = ended.record.attempts.iter().map(|attempt| (&*attempt.fate, attempt.node)).collect();
    assert_eq!(fates, [("drained", first)], "and not one lost, of which there may be none");
    assert_eq!(site.runner(first).await.map(|runner| runner.taken), Some(0));
}

#[actix::test]
async fn a_node_is_removed_when_it_holds_nothing_and_is_not_ours() {
    let mut site = Site::start();
    let node = site.add(2, None, |_| None).await;
    let job = site.submit(JobSpec { grace_ms: 0, ..JobSpec::shell("sleep inf") }).await;
    site.until_running(job).await;
    let busy = site.change(node, RunnerChange::Remove).await;
    assert_eq!(busy, Err(ChangeRunnerError::Busy { attempts: 1 }));
    site.change(node, drain(Some(0))).await.expect("it is known");
    until(|| async { site.look(job).await.status() == Status::Pending }).await;
    site.change(node, RunnerChange::Remove).await.expect("it holds nothing");
    assert!(site.runner(node).await.is_none());
    assert_eq!(site.change(node, cordon("")).await, Err(ChangeRunnerError::Unknown));
    let mut site = site.restart().await;
    assert!(matches!(site.register(node).await, Err(RegisterError::Removed { by, .. }) if by == "operator"));
    site.change(node, RunnerChange::Resume).await.expect("its removal is remembered");
    let never_seen = site.change(NodeId::from_bytes([9; 16]), RunnerChange::Resume).await;
    assert_eq!(never_seen, Err(ChangeRunnerError::Unknown));

    // It comes back as one that nothing is held against, under the name of a node of the coordinator's own.
    site.come_back(0, ends_at_once).await;
    assert_eq!(site.runner(node).await.map(|runner| runner.spec.kind), Some(RunnerKind::Local));
    assert_eq!(site.eligibility(node).await, "eligible");
    assert_eq!(site.ended(job).await.status(), Status::Completed);
    assert_eq!(site.change(node, RunnerChange::Remove).await, Err(ChangeRunnerError::Local));
}

#[actix::test]
async fn a_node_that_fails_where_others_do_not_is_cordoned_and_never_the_last_one() {
    let mut site = Site::with_max_lost(100);
    let lost = || |_: &_| Some(AttemptEnd::Lost { why: "the keeper's folder is gone".into(), fenced: false });
    let (bad, good) = (site.add(1, None, lost()).await, site.add(1, None, ends_at_once).await);
    for _ in 0..12 {
        let ended = site.run(JobSpec::shell("true")).await;
        assert_eq!((ended.status(), ended.node()), (Status::Completed, Some(good)));
    }
    let eligibility = site.runner(bad).await.expect("it is known").eligibility;
    let cordon = eligibility.cordon().expect("the breaker has tripped");
    assert_eq!(cordon.by, "breaker");
    assert!(cordon.why.contains("the keeper's folder is gone"), "{cordon:?}");

    site.change(bad, RunnerChange::Resume).await.expect("it is known");
    site.change(good, RunnerChange::Cordon { why: String::new() }).await.expect("it is known");
    let job = site.submit(JobSpec::shell("true")).await;
    until(|| async { site.look(job).await.record.attempts.len() > 10 }).await;
    assert_eq!(site.eligibility(bad).await, "eligible", "it is the last one");
}
