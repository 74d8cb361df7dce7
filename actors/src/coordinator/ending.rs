//! Ending and repeating jobs: cancel, delete, retry.

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use tokio::sync::oneshot;

use super::Coordinator;
use super::commit::Then;
use super::nodes::Applied;
use crate::model::{InputMode, JobEvent, JobId, JobSpec, JobState, JobView, SealedEnv, Status};
use crate::protocol::jobs::{CancelJob, DeleteJob, RetryJob, Submission};
use crate::protocol::{CancelError, DeleteError, LookupError, RetryError, SubmitError};
use crate::store::StoreOp;

type Answer<T> = ResponseActFuture<Coordinator, T>;

impl Coordinator {
    /// Puts the wish on record. Resolves when it is durable, or when nothing was left to wish for.
    fn wish(&mut self, request: CancelJob, ctx: &mut Context<Self>) -> oneshot::Receiver<()> {
        let (reply, answer) = oneshot::channel();
        let job = request.id;
        let was_queued = matches!(self.state_of(job), Some(JobState::Queued(_)));
        match self.apply(job, JobEvent::CancelRequested(request.wish)) {
            Applied::Changed => {
                if let Some(state) = self.state_of(job) {
                    let epoch = state.epoch();
                    self.push(
                        StoreOp::Update { job, epoch, state, attempt: None },
                        Then::Wished { job, reply },
                    );
                }
            }
            Applied::Ending | Applied::Nothing => {
                if was_queued {
                    self.withdraw_live(job);
                }
                self.push_after(Then::Barrier { reply });
            }
        }
        self.flush(ctx);
        answer
    }

    /// The job once more. Its secret variables are opened to be sealed for the new job.
    fn repetition(&self, job: JobId, spec: &JobSpec) -> Result<Submission, SubmitError> {
        let secret_env = self.setup.vault.open(job, &spec.secret_env)?;
        let spec = JobSpec { secret_env: SealedEnv::default(), ..spec.clone() };
        Ok(Submission { secret_env, ..spec.into() })
    }

    pub(super) fn forget_output(&self, jobs: Vec<JobId>) {
        for node in self.nodes.values() {
            // Bounded: one per delete or prune, and what is missed is swept at the node's next start, or by age.
            node.handle.forget.do_send(crate::protocol::runner::ForgetOutput { jobs: jobs.clone() });
        }
    }
}

fn judge_cancel(view: JobView) -> Result<JobView, CancelError> {
    match view.status() {
        status @ (Status::Completed | Status::Failed) => {
            Err(CancelError::Ended { job: view.record.id, status })
        }
        _ => Ok(view),
    }
}

impl Handler<CancelJob> for Coordinator {
    type Result = Answer<Result<JobView, CancelError>>;

    fn handle(&mut self, message: CancelJob, ctx: &mut Context<Self>) -> Self::Result {
        let id = message.id;
        let wished = self.wish(message, ctx);
        Box::pin(wished.into_actor(self).then(move |wished, coordinator, _| {
            match wished {
                Ok(()) => Box::pin(
                    coordinator
                        .look_up(id)
                        .map(|found, _, _| found.map_err(CancelError::from).and_then(judge_cancel)),
                ) as Answer<_>,
                Err(_) => Box::pin(async { Err(LookupError::Gone.into()) }.into_actor(coordinator)),
            }
        }))
    }
}

impl Handler<DeleteJob> for Coordinator {
    type Result = Answer<Result<(), DeleteError>>;

    fn handle(&mut self, message: DeleteJob, _: &mut Context<Self>) -> Self::Result {
        let job = message.id;
        Box::pin(self.look_up(job).then(move |found, coordinator, ctx| {
            let refused = match found {
                Err(error) => Some(DeleteError::Lookup(error)),
                Ok(view) if !view.status().is_terminal() => {
                    Some(DeleteError::Live { job, status: view.status() })
                }
                Ok(_) => None,
            };
            let (reply, answer) = oneshot::channel();
            match refused {
                Some(error) => drop(reply.send(Err(error))),
                None => {
                    coordinator.push(StoreOp::Delete { job }, Then::Deleted { job, reply });
                    coordinator.flush(ctx);
                }
            }
            async move { answer.await.unwrap_or(Err(DeleteError::Lookup(LookupError::Gone))) }
                .into_actor(coordinator)
        }))
    }
}

impl Handler<RetryJob> for Coordinator {
    type Result = Answer<Result<JobView, RetryError>>;

    fn handle(&mut self, message: RetryJob, _: &mut Context<Self>) -> Self::Result {
        let job = message.id;
        Box::pin(self.look_up(job).then(move |found, coordinator, ctx| {
            let checked = match found {
                Err(error) => Err(RetryError::Lookup(error)),
                Ok(view) if !view.status().is_terminal() => {
                    Err(RetryError::Live { job, status: view.status() })
                }
                Ok(view) if view.record.spec.input == InputMode::Streamed => {
                    Err(RetryError::StreamedInput(job))
                }
                Ok(view) => Ok((view.record.spec, view.record.tenant)),
            };
            let submitted = checked.and_then(|(spec, tenant)| {
                let submission = Submission { tenant, ..coordinator.repetition(job, &spec)? };
                Ok(coordinator.submit(vec![(submission, Some(job))], false, ctx))
            });
            let accepted = async move {
                let lines = submitted?.await.map_err(|_| SubmitError::Gone)?;
                let line = lines.into_iter().next().unwrap_or(Err(SubmitError::Gone));
                Ok(line.map(|accepted| accepted.view)?)
            };
            accepted.into_actor(coordinator).map(move |answer, _, _| {
                answer.map(|mut view: JobView| {
                    view.record.retry_of = Some(job);
                    view
                })
            })
        }))
    }
}
