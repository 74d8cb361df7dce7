//! Output, artifacts and input of jobs: from the record when it is small, through the node when it is not.

use actix::{ActorFutureExt, Context, Handler, MailboxError, ResponseActFuture, WrapFuture};
use bytes::Bytes;

use super::Coordinator;
use crate::model::{Artifact, AttemptId, Captured, InputMode, JobId, JobState, Kept, Outcome, Stream};
use crate::protocol::jobs::{InputAck, OutputChunk, ReadJobOutput, WriteJobInput};
use crate::protocol::runner::{ReadOutput, SpoolChunk, SpoolReadError, WriteInput};
use crate::protocol::{LookupError, OutputError};

type Answer<T> = ResponseActFuture<Coordinator, Result<T, OutputError>>;

fn ready<T: 'static>(coordinator: &Coordinator, answer: Result<T, OutputError>) -> Answer<T> {
    Box::pin(async move { answer }.into_actor(coordinator))
}

fn stream_of(outcome: &Outcome, stream: Stream) -> &Captured {
    match stream {
        Stream::Stdout => &outcome.stdout,
        Stream::Stderr => &outcome.stderr,
    }
}

/// A piece of a finished job's output whose bytes are in the record.
fn inline_chunk(captured: &Captured, bytes: &[u8], offset: u64, max_bytes: usize) -> OutputChunk {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(max_bytes).min(bytes.len());
    OutputChunk { bytes: Bytes::copy_from_slice(&bytes[start..end]), ..described(captured) }
}

/// What is known of a finished stream, without bytes.
fn described(captured: &Captured) -> OutputChunk {
    let summary = captured.summary;
    OutputChunk {
        bytes: Bytes::new(),
        kept_bytes: summary.kept_bytes(),
        total_bytes: summary.total_bytes,
        gap_at: summary.is_truncated().then_some(summary.head_bytes),
        more: false,
    }
}

/// What is known of an artifact, without bytes.
fn whole(artifact: &Artifact) -> OutputChunk {
    OutputChunk { kept_bytes: artifact.bytes, total_bytes: artifact.bytes, ..OutputChunk::default() }
}

impl Coordinator {
    /// Reads a running job's output from its node.
    fn read_live(
        &self,
        attempt: AttemptId,
        node: crate::model::NodeId,
        request: ReadJobOutput,
    ) -> Answer<OutputChunk> {
        let Some(node) = self.nodes.get(&node) else {
            return ready(self, Ok(OutputChunk { more: true, ..OutputChunk::default() }));
        };
        let ReadJobOutput { kept, offset, max_bytes, .. } = request;
        let read = node.handle.read_output.send(ReadOutput { attempt, kept, offset, max_bytes });
        Box::pin(read.into_actor(self).map(|read, _, _| match flatten(read) {
            Ok(chunk) => Ok(OutputChunk {
                bytes: chunk.bytes,
                kept_bytes: chunk.kept_bytes,
                total_bytes: chunk.kept_bytes,
                gap_at: None,
                more: true,
            }),
            // Nothing was written yet.
            Err(SpoolReadError::Missing) => Ok(OutputChunk { more: true, ..OutputChunk::default() }),
            Err(error) => Err(OutputError::Node(error.to_string())),
        }))
    }

    /// Reads a finished job's output from its record, or from the node that keeps it.
    fn read_ended(&self, job: JobId, outcome: &Outcome, request: ReadJobOutput) -> Answer<OutputChunk> {
        let description = match request.kept {
            Kept::Stream(stream) => {
                let captured = stream_of(outcome, stream);
                if let Some(bytes) = &captured.inline {
                    return ready(self, Ok(inline_chunk(captured, bytes, request.offset, request.max_bytes)));
                }
                described(captured)
            }
            Kept::Artifact(number) => match outcome.artifacts.kept.get(number as usize) {
                Some(artifact) => whole(artifact),
                None => return ready(self, Err(OutputError::Gone(job))),
            },
        };
        if description.kept_bytes <= request.offset {
            return ready(self, Ok(description));
        }
        let keeper = outcome.node.and_then(|node| self.nodes.get(&node));
        let Some(node) = keeper else {
            return ready(self, Err(OutputError::Node("it is not connected".into())));
        };
        let ReadJobOutput { kept, offset, max_bytes, .. } = request;
        let attempt = AttemptId::new(job, outcome.epoch);
        let read = node.handle.read_output.send(ReadOutput { attempt, kept, offset, max_bytes });
        Box::pin(read.into_actor(self).map(move |read, _, _| match flatten(read) {
            // The record promises bytes here: without any, the file was cut short since.
            Ok(chunk) if chunk.bytes.is_empty() && max_bytes > 0 => Err(OutputError::Gone(job)),
            Ok(chunk) => Ok(OutputChunk { bytes: chunk.bytes, ..description }),
            Err(SpoolReadError::Missing) => Err(OutputError::Gone(job)),
            Err(error) => Err(OutputError::Node(error.to_string())),
        }))
    }
}

fn flatten(
    read: Result<Result<SpoolChunk, SpoolReadError>, MailboxError>,
) -> Result<SpoolChunk, SpoolReadError> {
    read.unwrap_or(Err(SpoolReadError::Unavailable))
}

impl Handler<ReadJobOutput> for Coordinator {
    type Result = Answer<OutputChunk>;

    fn handle(&mut self, message: ReadJobOutput, _: &mut Context<Self>) -> Self::Result {
        let id = message.id;
        match self.live.get(&id).map(|live| &live.state) {
            Some(JobState::Queued(_)) => {
                return ready(self, Ok(OutputChunk { more: true, ..OutputChunk::default() }));
            }
            Some(JobState::Leased(lease) | JobState::Running(lease) | JobState::Unknown(lease)) => {
                return self.read_live(AttemptId::new(id, lease.tally.epoch), lease.node, message);
            }
            Some(JobState::Ended(_)) | None => {}
        }
        Box::pin(self.look_up(id).then(move |found, coordinator, _| match found {
            Err(error) => ready(coordinator, Err(error.into())),
            Ok(view) => match &view.record.state {
                JobState::Ended(outcome) => coordinator.read_ended(id, outcome, message),
                _ => ready(coordinator, Ok(OutputChunk { more: true, ..OutputChunk::default() })),
            },
        }))
    }
}

impl Handler<WriteJobInput> for Coordinator {
    type Result = Answer<InputAck>;

    fn handle(&mut self, message: WriteJobInput, _: &mut Context<Self>) -> Self::Result {
        let id = message.id;
        let Some(live) = self.live.get(&id) else {
            return Box::pin(self.look_up(id).map(move |found, _, _| match found {
                Err(error) => Err(OutputError::Lookup(error)),
                Ok(_) => Err(OutputError::InputClosed(id)),
            }));
        };
        if self.specs.get(id).is_some_and(|spec| spec.input != InputMode::Streamed) {
            return ready(self, Err(OutputError::NoInput(id)));
        }
        // Before its process is known to run nothing reads: the client asks again.
        let held = match &live.state {
            JobState::Running(lease) | JobState::Unknown(lease) => Some(lease),
            JobState::Queued(_) | JobState::Leased(_) | JobState::Ended(_) => None,
        };
        let held = held.map(|lease| (lease.node, AttemptId::new(id, lease.tally.epoch)));
        let node = held.and_then(|(node, attempt)| Some((self.nodes.get(&node)?, attempt)));
        let Some((node, attempt)) = node else {
            return ready(self, Err(OutputError::Node("the job has not started yet".into())));
        };
        let WriteJobInput { offset, bytes, end, .. } = message;
        let written = node.handle.write_input.send(WriteInput { attempt, offset, bytes, end });
        Box::pin(written.into_actor(self).map(move |written, _, _| match written {
            Ok(ack) if ack.accepted < offset => {
                Err(OutputError::InputGap { expected: ack.accepted, got: offset })
            }
            Ok(ack) => Ok(ack),
            Err(_) => Err(OutputError::Lookup(LookupError::Gone)),
        }))
    }
}
