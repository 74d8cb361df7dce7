//! The original runner's `POST /execute`: a shell line that runs while its client waits. To the platform it is a job like
//! any other; here it is waited for, answered and forgotten, and ended when its client is gone.

use std::time::Duration;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, rt};
use callboard_actors::model::limits::{MAX_BODY_BYTES, MAX_WAIT_MS};
use callboard_actors::model::{CancelWish, EndReason, JobId, JobSpec, JobState, JobView, OnLost, Stream};
use callboard_actors::protocol::jobs::{CancelJob, Submission};
use callboard_actors::protocol::{DeleteError, LookupError, PlatformHandle};
use tokio::sync::oneshot;

use super::access::Visit;
use super::api::{CompatSubmit, ExecuteAnswer};
use super::door::Door;
use super::problem::Problem;
use super::{body, compat, gate, kinds, output, params, spec, submit, wait};

/// Pause before an execution that cannot be forgotten yet is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long one look at an execution lasts while it is being ended, or the node stops, in milliseconds.
const LOOK_MS: u64 = 1000;

type Answer = Result<ExecuteAnswer, Problem>;

/// Runs a shell line and answers once it is over. Without a free slot it waits its turn; a client that hangs up ends it.
#[utoipa::path(
    post, path = "/execute", operation_id = "execute", tag = "original", request_body = CompatSubmit,
    responses((status = 200, body = ExecuteAnswer, description = "It has run; how it ended is in `exit_code`.")),
)]
pub async fn execute(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let read = body::json::<CompatSubmit>(&door, &request, payload, MAX_BODY_BYTES).await;
    let body = read.map_err(Problem::into_validation)?;
    let spec = submit::counted(&door, spec::of_original(body, &door.platform.facts().limits))?;
    let (answer, answered) = oneshot::channel();
    // In a task of its own, which outlives a client that hangs up: someone must end what that client has begun.
    rt::spawn(attend(Door::clone(&door), spec, answer));
    let gone = |_| Err(Problem::new(&kinds::UNAVAILABLE, "the platform has stopped"));
    Ok(HttpResponse::Ok().json(answered.await.unwrap_or_else(gone)?))
}

/// Sees an execution through, from the submit until nothing is left of it. `answer` is closed when the client is gone.
async fn attend(door: Door, spec: JobSpec, mut answer: oneshot::Sender<Answer>) {
    let _under_way = door.executions.begin();
    // A client that waits for one execution must not get two.
    let spec = JobSpec { on_lost: OnLost::Never, ..spec };
    let id = match submit::submit(&door, Submission { judged: false, ..spec.into() }).await {
        Ok(accepted) => accepted.view.record.id,
        // Whoever has gone meanwhile needs no refusal.
        Err(problem) => return drop(answer.send(Err(problem))),
    };
    tokio::select! {
        ended = answer_of(&door, id) => drop(answer.send(ended)),
        // Who is nobody any more has no client that waits.
        stop = door.pass.ended() => drop(answer.send(Err(gate::ended(&door, stop)))),
        () = answer.closed() => {}
    }
    forget(&door.platform, id).await;
}

async fn answer_of(door: &Door, id: JobId) -> Answer {
    let job = until_over(&door.platform, id).await?;
    let JobState::Ended(outcome) = &job.record.state else {
        return Err(Problem::new(&kinds::INTERNAL, "the execution is over and has no outcome"));
    };
    let own = output::text(door, id, Stream::Stderr, &outcome.stderr).await;
    Ok(ExecuteAnswer {
        exit_code: compat::exit_code(outcome),
        stdout: output::text(door, id, Stream::Stdout, &outcome.stdout).await,
        stderr: compat::explained(outcome, job.record.spec.timeout_ms, own),
        runtime_ms: outcome.usage.wall_us / 1000,
        reason: outcome.reason.as_str().into(),
    })
}

/// The execution once it is over. When the node stops, one that has a slot still has its grace, and one that waits for a
/// slot is given up.
async fn until_over(platform: &PlatformHandle, id: JobId) -> Result<JobView, Problem> {
    loop {
        let stopping = platform.is_stopping();
        let job = if stopping {
            platform.wait(id, LOOK_MS).await?
        } else {
            wait::at_most(platform, id, MAX_WAIT_MS).await?
        };
        match job.record.state {
            JobState::Ended(_) => return Ok(job),
            JobState::Queued(_) if stopping => {
                return Err(Problem::new(&kinds::DRAINING, "the node is stopping, and nothing was started"));
            }
            _ => {}
        }
    }
}

/// Ends an execution, if it is not over, and forgets it: its result was for one client only.
async fn forget(platform: &PlatformHandle, id: JobId) {
    loop {
        match platform.delete(id).await {
            Err(DeleteError::Live { .. }) => {
                let grace_ms = platform.facts().limits.default_grace_ms;
                let note = Some("the client of this execution is gone".into());
                let wish = CancelWish { reason: EndReason::User, note, grace_ms };
                // What cannot be cancelled has ended meanwhile, or is looked at again.
                let _ = platform.cancel(CancelJob { id, wish }).await;
                if platform.wait(id, LOOK_MS).await.is_err() {
                    rt::time::sleep(AGAIN).await;
                }
            }
            Err(DeleteError::Lookup(LookupError::Busy)) => rt::time::sleep(AGAIN).await,
            // Forgotten, or gone with the platform.
            Ok(()) | Err(DeleteError::Lookup(_)) => return,
        }
    }
}
