//! Turns an order into the message that it stands for, and the Runner's answer into an answer. It refuses to know who
//! carries the two.

use std::sync::Arc;

use crate::link::Command;
use crate::model::{SealedEnv, SecretEnv};
use crate::protocol::jobs::InputAck;
use crate::protocol::orders::{Answer, Ask, Order, Said, Secrets};
use crate::protocol::runner::{
    AssignAttempts, CancelAttempt, ForgetOutput, ReadOutput, SpoolReadError, WriteInput,
};
use crate::protocol::{NodeError, RunnerHandle};
use crate::secret::Vault;

/// Carries out one order.
pub(super) async fn perform(runner: &RunnerHandle, vault: &Vault, order: Order) -> Answer {
    let said = match order.ask {
        Ask::Command { command, secrets } => {
            Said::Command(obey(runner, sealed_anew(vault, command, &secrets)).await)
        }
        Ask::ReadOutput { attempt, kept, offset, max_bytes } => {
            let read = runner.read_output.send(ReadOutput { attempt, kept, offset, max_bytes }).await;
            Said::Output(read.unwrap_or(Err(SpoolReadError::Unavailable)).map(Into::into))
        }
        Ask::WriteInput { attempt, offset, bytes, end } => {
            let write = WriteInput { attempt, offset, bytes: bytes.0, end };
            let written = runner.write_input.send(write).await;
            Said::Input(written.unwrap_or(InputAck { accepted: offset, open: false }))
        }
        Ask::Forget { jobs } => {
            // A Runner that is gone has nothing to forget it with.
            let _ = runner.forget.send(ForgetOutput { jobs }).await;
            Said::Forgetting
        }
    };
    Answer { no: order.no, said }
}

async fn obey(runner: &RunnerHandle, command: Command) -> Result<(), NodeError> {
    let obeyed = if command.assign.is_empty() {
        runner.cancel.send(CancelAttempt { command }).await
    } else {
        runner.assign.send(AssignAttempts { command }).await
    };
    obeyed.unwrap_or(Err(NodeError::Unavailable { maybe_applied: false }))
}

/// The node's own key takes the place of the coordinator's. What did not come over, or cannot be sealed, stays as it is:
/// it cannot be opened here, and the attempt ends before it starts, with the reason.
fn sealed_anew(vault: &Vault, mut command: Command, secrets: &[Secrets]) -> Command {
    for assignment in &mut command.assign {
        let Some(found) = secrets.iter().find(|it| it.attempt == assignment.attempt) else {
            continue;
        };
        let clear: SecretEnv = found.values.iter().cloned().collect();
        match vault.seal(assignment.attempt.job, &clear) {
            Ok(sealed) => put(assignment, sealed),
            Err(error) => {
                log::error!(attempt:% = assignment.attempt; "secret variables cannot be kept: {error}")
            }
        }
    }
    command
}

fn put(assignment: &mut crate::link::Assignment, sealed: SealedEnv) {
    Arc::make_mut(&mut assignment.spec).secret_env = sealed;
}
