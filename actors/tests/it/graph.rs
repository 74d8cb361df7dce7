//! The whole graph, with an executor that runs nothing: two platforms in one process, and one path for every attempt.

use callboard_actors::exec::ExecJob;
use callboard_actors::graph::{Builder, ExecutorChoice, Platform};
use callboard_actors::model::rules::{Action, Rule};
use callboard_actors::model::{
    AdmissionRules, AttemptEnd, CommandLine, Exit, IdempotencyKey, JobSpec, JobView, SetupStage, Status,
};
use callboard_actors::protocol::jobs::{Submission, SubmitJobs};
use callboard_actors::protocol::{RetryError, SubmitError};
use callboard_actors::testing::scripted_executor;

async fn platform(slots: u32) -> Platform {
    platform_with(slots, |_| Some(AttemptEnd::Exited(Exit::Code(0)))).await
}

async fn platform_with(slots: u32, script: fn(&ExecJob) -> Option<AttemptEnd>) -> Platform {
    let builder = Builder::new(ExecutorChoice::Custom(scripted_executor(slots, script)));
    builder.start().await.expect("nothing is in the way")
}

async fn run(platform: &Platform, line: &str) -> JobView {
    let accepted = platform.handle().submit_one(JobSpec::shell(line)).await.expect("it is accepted");
    platform.handle().wait(accepted.view.record.id, 10_000).await.expect("it is known")
}

fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect("the metric exists");
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[actix::test]
async fn two_platforms_in_one_process_know_nothing_of_each_other() {
    let (one, other) = (platform(1).await, platform(3).await);
    let ended = run(&one, "true").await;
    assert_eq!(ended.status(), Status::Completed);
    assert!(other.handle().get(ended.record.id).await.is_err());
    assert!(one.handle().health().await.is_ready() && other.handle().health().await.is_ready());
    one.stop(0).await;
    assert_eq!(run(&other, "true").await.status(), Status::Completed);
    other.stop(0).await;
}

#[actix::test]
async fn every_attempt_is_started_by_an_assignment_and_every_job_is_accounted_for() {
    let platform = platform(4).await;
    let jobs = (0..500).map(|_| JobSpec::shell("true").into()).collect();
    let lines = platform.handle().submit(SubmitJobs { jobs, all_or_nothing: false }).await;
    for line in &lines {
        let id = line.as_ref().expect("it is accepted").view.record.id;
        let ended = platform.handle().wait(id, 10_000).await.expect("it is known");
        assert_eq!(ended.status(), Status::Completed);
    }
    let text = platform.handle().metrics().await.expect("the platform runs");
    assert_eq!(metric(&text, "callboard_attempts_assigned_total"), 500);
    assert_eq!(metric(&text, "callboard_attempts_started_total"), 500);
    assert_eq!(metric(&text, "jobs_total"), 500);
    assert_eq!(metric(&text, "jobs_completed_total"), 500);
    assert_eq!(metric(&text, "jobs_pending_total") + metric(&text, "jobs_running_total"), 0);
    platform.stop(0).await;
}

#[actix::test]
async fn a_replayed_key_gives_back_its_slot_once() {
    let holds: fn(&ExecJob) -> Option<AttemptEnd> = |job| match &job.spec.command {
        CommandLine::Shell(line) if line == "hold" => None,
        _ => Some(AttemptEnd::Exited(Exit::Code(0))),
    };
    let platform = platform_with(3, holds).await;
    for _ in 0..2 {
        assert!(platform.handle().submit_one(JobSpec::shell("hold")).await.is_ok());
    }
    for replayed in [false, true, true] {
        let key = IdempotencyKey { key: "key".into(), request_hash: [7; 32] };
        let job = Submission { idempotency: Some(key), ..JobSpec::shell("true").into() };
        let accepted = platform.handle().submit_one(job).await.expect("it is accepted");
        assert_eq!(accepted.replayed, replayed);
        platform.handle().wait(accepted.view.record.id, 5_000).await.expect("it is known");
    }
    // The release of a slot follows the answer: it may take a moment, and only two may stay taken.
    let taken = async || platform.handle().health().await.runners[0].taken;
    for _ in 0..200 {
        if taken().await == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(taken().await, 2, "two jobs run");
    platform.stop(0).await;
}

#[actix::test]
async fn admission_rules_hold_for_a_batch_for_one_job_and_for_its_repetition() {
    let rule =
        |action, line: &str| Rule { commands: Some(vec![line.into()]), ..Rule::new(action, "so it is") };
    let rules = [rule(Action::Deny, "^rm "), rule(Action::Allow, "^echo ")];
    let ends: fn(&ExecJob) -> Option<AttemptEnd> = |_| Some(AttemptEnd::Exited(Exit::Code(0)));
    let builder = Builder::new(ExecutorChoice::Custom(scripted_executor(2, ends)));
    let rules = AdmissionRules::new(Action::Deny, rules).expect("they are rules");
    let platform = Builder { rules, ..builder }.start().await.expect("nothing is in the way");
    let handle = platform.handle();
    let submit = |all_or_nothing, lines: &[&str]| {
        let jobs = lines.iter().map(|line| JobSpec::shell(*line).into()).collect();
        handle.submit(SubmitJobs { jobs, all_or_nothing })
    };
    let denied = |line: &Result<_, SubmitError>| match line {
        Err(SubmitError::Denied { index, .. }) => Some(*index),
        _ => None,
    };
    let lines = submit(false, &["echo a", "rm a", "", "ls", "echo b"]).await;
    assert_eq!(lines.iter().map(denied).collect::<Vec<_>>(), [None, Some(1), Some(2), Some(3), None]);
    assert!(lines[0].is_ok() && lines[4].is_ok(), "{lines:?}");
    let views: Vec<_> = lines.into_iter().flatten().map(|accepted| accepted.view).collect();
    assert_eq!(
        views.iter().map(|view| view.record.spec.command.display()).collect::<Vec<_>>(),
        ["echo a", "echo b"]
    );
    let lines = submit(true, &["echo a", "rm a", "ls"]).await;
    assert_eq!(lines.iter().map(denied).collect::<Vec<_>>(), [Some(1), Some(1), Some(2)]);
    assert!(submit(true, &["echo a", "echo b"]).await.iter().all(Result::is_ok));
    assert!(submit(false, &[]).await.is_empty());
    let ended = run(&platform, "echo again").await;
    assert!(handle.retry(ended.record.id).await.is_ok());
    let text = handle.metrics().await.expect("the platform runs");
    assert_eq!(metric(&text, "callboard_jobs_rejected_total{reason=\"denied\"}"), 5);
    assert_eq!(metric(&text, "jobs_total"), 6);
    platform.stop(0).await;
}

#[actix::test]
async fn a_job_from_before_a_rule_is_not_repeated_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = || {
        let meter = std::sync::Arc::default();
        let store =
            callboard_actors::store::sqlite::SqliteStore::open(folder.path(), Default::default(), meter);
        std::sync::Arc::new(store.expect("it opens"))
    };
    let ends: fn(&ExecJob) -> Option<AttemptEnd> = |_| Some(AttemptEnd::Exited(Exit::Code(0)));
    let builder = || Builder::new(ExecutorChoice::Custom(scripted_executor(2, ends)));
    let before = Builder { store: store(), ..builder() }.start().await.expect("nothing is in the way");
    let ended = run(&before, "rm a").await;
    before.stop(0).await;
    let rule = Rule { commands: Some(vec!["^rm".into()]), ..Rule::new(Action::Deny, "so it is") };
    let rules = AdmissionRules::new(Action::Allow, [rule]).expect("it is a rule");
    let after = Builder { store: store(), rules, ..builder() }.start().await.expect("nothing is in the way");
    let refused = after.handle().retry(ended.record.id).await;
    assert!(matches!(refused, Err(RetryError::Submit(SubmitError::Denied { index: 0, .. }))), "{refused:?}");
    let text = after.handle().metrics().await.expect("the platform runs");
    assert_eq!(metric(&text, "callboard_jobs_rejected_total{reason=\"denied\"}"), 1);
    after.stop(0).await;
}

#[actix::test]
async fn of_a_batch_that_is_taken_whole_or_not_nothing_is_kept_when_a_later_job_is_refused() {
    let platform = platform(1).await;
    let jobs = ["true", "", "true"].map(|line| JobSpec::shell(line).into()).to_vec();
    let lines = platform.handle().submit(SubmitJobs { jobs, all_or_nothing: true }).await;
    assert!(lines.iter().all(|line| matches!(line, Err(SubmitError::Invalid(_)))), "{lines:?}");
    let text = platform.handle().metrics().await.expect("the platform runs");
    assert_eq!(metric(&text, "jobs_total"), 0);
    platform.stop(0).await;
}

#[actix::test]
async fn what_kept_a_job_from_its_room_is_counted_by_step_and_by_layer() {
    let platform = platform_with(1, |job| {
        let message = String::new();
        Some(match &*job.spec.command.display() {
            "room" => AttemptEnd::SandboxError { message, stage: SetupStage::Ids },
            "layer" => AttemptEnd::Unavailable { message, missing: vec!["cgroup.memory".into()] },
            _ => AttemptEnd::Unavailable { message, missing: Vec::new() },
        })
    })
    .await;
    for line in ["room", "layer", "mount"] {
        assert_eq!(run(&platform, line).await.status(), Status::Failed);
    }
    let text = platform.handle().metrics().await.expect("the platform runs");
    for (series, count) in [
        ("callboard_sandbox_setup_failures_total{stage=\"ids\"}", 1),
        ("callboard_sandbox_setup_failures_total{stage=\"namespaces\"}", 0),
        ("callboard_jobs_isolation_refused_total{missing=\"cgroup.memory\"}", 1),
        ("callboard_jobs_isolation_refused_total{missing=\"netns\"}", 0),
        ("callboard_jobs_isolation_refused_total{missing=\"policy\"}", 1),
    ] {
        assert_eq!(metric(&text, series), count, "{series}");
    }
    platform.stop(0).await;
}
