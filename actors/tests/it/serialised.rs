//! A local runner tied like a far one: everything that it is told, and tells, is written down and read again, and nothing
//! in a job is another for it.

use callboard_actors::exec::ExecJob;
use callboard_actors::graph::{Builder, ExecutorChoice, Platform};
use callboard_actors::model::{
    AttemptEnd, CancelWish, CommandLine, EndReason, Exit, JobSpec, JobState, RunnerKind, Status,
};
use callboard_actors::protocol::jobs::{CancelJob, Submission, SubmitJobs};
use callboard_actors::testing::scripted_executor;

async fn platform(script: fn(&ExecJob) -> Option<AttemptEnd>) -> Platform {
    let builder = Builder::new(ExecutorChoice::Custom(scripted_executor(4, script)));
    Builder { serialise_messages: true, ..builder }.start().await.expect("nothing is in the way")
}

/// Ends as the secret variable says, so that nothing but the variable can have said it.
fn told_by_secret(job: &ExecJob) -> Option<AttemptEnd> {
    let code = job.secret_env.expose().find(|(name, _)| *name == "CODE").and_then(|(_, it)| it.parse().ok());
    Some(AttemptEnd::Exited(Exit::Code(code.unwrap_or(0))))
}

#[actix::test]
async fn batches_and_secret_variables_come_over_and_results_come_back() {
    let platform = platform(told_by_secret).await;
    let jobs = (0..200).map(|_| JobSpec::shell("true").into()).collect();
    for line in platform.handle().submit(SubmitJobs { jobs, all_or_nothing: false }).await {
        let id = line.expect("it is accepted").view.record.id;
        let ended = platform.handle().wait(id, 10_000).await.expect("it is known");
        assert_eq!(ended.status(), Status::Completed);
    }
    let secret_env = [("CODE".to_owned(), "7".to_owned())].into_iter().collect();
    let job = Submission { secret_env, ..JobSpec::shell("true").into() };
    let accepted = platform.handle().submit_one(job).await.expect("it is accepted");
    let ended = platform.handle().wait(accepted.view.record.id, 10_000).await.expect("it is known");
    let JobState::Ended(outcome) = &ended.record.state else { panic!("it has ended: {ended:?}") };
    assert_eq!((ended.status(), outcome.exit), (Status::Failed, Some(Exit::Code(7))));
    let runners = platform.handle().health().await.runners;
    assert_eq!(runners.iter().map(|it| it.spec.kind).collect::<Vec<_>>(), [RunnerKind::Local]);
    platform.stop(0).await;
}

#[actix::test]
async fn a_running_job_is_cancelled_and_a_stop_leaves_nothing() {
    let holds: fn(&ExecJob) -> Option<AttemptEnd> = |job| match &job.spec.command {
        CommandLine::Shell(line) if line == "hold" => None,
        _ => Some(AttemptEnd::Exited(Exit::Code(0))),
    };
    let mut platform = platform(holds).await;
    let accepted = platform.handle().submit_one(JobSpec::shell("hold")).await.expect("it is accepted");
    let id = accepted.view.record.id;
    while platform.handle().get(id).await.expect("it is known").status() != Status::Running {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let wish = CancelWish { reason: EndReason::User, note: None, grace_ms: 0 };
    platform.handle().cancel(CancelJob { id, wish }).await.expect("it runs");
    let ended = platform.handle().wait(id, 10_000).await.expect("it is known");
    assert_eq!(ended.status(), Status::Cancelled);
    let died = tokio::time::timeout(std::time::Duration::from_millis(100), platform.died()).await;
    assert!(died.is_err(), "no actor has died: {died:?}");
    platform.stop(0).await;
}
