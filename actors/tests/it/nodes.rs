//! Several nodes under one Coordinator: where jobs go, and what operators and the breaker do to nodes.

mod operate;
mod refusals;
mod rig;

use callboard_actors::model::{AttemptEnd, JobSpec, Status, WaitReason};
use callboard_actors::protocol::operate::RunnerChange;
use rig::{Site, ends_at_once, requiring};

#[actix::test]
async fn a_job_runs_where_its_labels_say_and_waits_where_there_is_no_such_node() {
    let mut site = Site::start();
    let (gpu, other) = (site.add(1, Some("gpu"), ends_at_once).await, site.add(8, None, ends_at_once).await);
    let ended = site.run(requiring(&[("kind", "gpu")], None)).await;
    assert_eq!((ended.status(), ended.node()), (Status::Completed, Some(gpu)));
    let by_name = site.run(requiring(&[], Some("node-1"))).await;
    assert_eq!(by_name.node(), Some(other));

    let nobody = site.submit(requiring(&[("kind", "quantum")], None)).await;
    assert_eq!(site.run(JobSpec::shell("true")).await.status(), Status::Completed, "it holds up no other");
    let waits = site.look(nobody).await;
    assert_eq!((waits.status(), waits.waiting), (Status::Pending, Some(WaitReason::NoCapableRunner)));
    let quantum = site.add(1, Some("quantum"), ends_at_once).await;
    assert_eq!(site.ended(nobody).await.node(), Some(quantum));
}

#[actix::test]
async fn what_a_waiting_job_requires_is_known_after_a_restart_too() {
    let site = Site::start();
    let spec = requiring(&[("kind", "gpu")], None);
    let waiting = site.submit(spec).await;
    let plain = site.submit(JobSpec::shell("true")).await;
    let mut site = site.restart().await;
    site.add(1, None, ends_at_once).await;
    assert_eq!(site.ended(plain).await.status(), Status::Completed);
    assert_eq!(site.look(waiting).await.status(), Status::Pending);
    let gpu = site.add(1, Some("gpu"), ends_at_once).await;
    assert_eq!(site.ended(waiting).await.node(), Some(gpu));
}

#[actix::test]
async fn a_job_that_is_lost_on_three_nodes_is_given_to_no_fourth() {
    let mut site = Site::with_max_lost(100);
    for _ in 0..4 {
        site.add(1, None, |_| Some(AttemptEnd::Lost { why: "its keeper died".into(), fenced: false })).await;
    }
    let ended = site.run(JobSpec::shell("rm -rf /dev/keeper")).await;
    assert_eq!(ended.reason(), Some("poison"), "{ended:?}");
    let mut nodes: Vec<_> = ended.record.attempts.iter().map(|attempt| attempt.node).collect();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), 3, "{ended:?}");
}

#[actix::test]
async fn where_attempts_were_lost_is_known_after_a_restart_too() {
    let mut site = Site::with_max_lost(100);
    let first_lost = || {
        let mut first = true;
        let lost = AttemptEnd::Lost { why: "gone".into(), fenced: false };
        move |_: &_| std::mem::replace(&mut first, false).then(|| lost.clone())
    };
    let two = [site.add(1, None, first_lost()).await, site.add(1, None, first_lost()).await];
    let job = site.submit(JobSpec { grace_ms: 0, ..JobSpec::shell("sleep inf") }).await;
    site.until_running(job).await;
    let holder = site.look(job).await.node().expect("it runs");
    let mut site = site.restart().await;
    site.come_back(usize::from(holder == two[1]), |_| None).await;
    site.until_running(job).await;
    let third = site.add(1, None, first_lost()).await;
    site.change(holder, RunnerChange::Drain { why: String::new(), deadline_ms: Some(0) })
        .await
        .expect("it is known");
    let ended = site.ended(job).await;
    assert_eq!(ended.reason(), Some("poison"), "{ended:?}");
    assert_eq!(ended.record.attempts.last().map(|attempt| attempt.node), Some(third));
}
