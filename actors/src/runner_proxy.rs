//! The coordinator's side of far nodes. A [`RunnerProxy`] answers the very messages that a Runner answers: it turns them
//! into numbered orders and waits for what the node says. Whoever carries orders and answers, the node itself that dials
//! in or a [`dial`] of ours, takes them from [`Reception`] in the same way.

pub mod dial;
pub mod original;
mod reception;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use crate::clock::{self, Moment};
use crate::link::Command;
use crate::model::{JobId, footprint};
use crate::protocol::NodeError;
use crate::protocol::gateway::{NodeRefusal, TakeOrders};
use crate::protocol::jobs::InputAck;
use crate::protocol::orders::{
    Answer, Ask, Blob, MAX_ORDERS_AT_ONCE, MAX_ORDERS_WAITING, Order, Said, Secrets,
};
use crate::protocol::runner::{
    AssignAttempts, CancelAttempt, ForgetOutput, ReadOutput, SpoolChunk, SpoolReadError, WriteInput,
};
use crate::secret::Vault;

pub use reception::{Reception, ReceptionSetup};

/// Longest that a node may take to answer an order. What it does later is found in its inventory.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(20);
/// What the orders of one exchange carry from which on no more are added, in bytes.
const MAX_ORDERED_BYTES: u64 = 4 << 20;
/// How often orders are looked through for those that are too old.
const SWEEP: Duration = Duration::from_secs(1);

/// Whom the answer to an order is for.
enum Reply {
    Command(oneshot::Sender<Result<(), NodeError>>),
    Output(oneshot::Sender<Result<SpoolChunk, SpoolReadError>>),
    Input { offset: u64, sender: oneshot::Sender<InputAck> },
    Nobody,
}

struct Pending {
    order: Order,
    reply: Reply,
    since: Moment,
    handed_out: bool,
}

/// A request for orders that is being held.
struct Held {
    seen: u64,
    number: u64,
    sender: oneshot::Sender<Vec<Order>>,
}

/// The actor: one life of one far node.
pub struct RunnerProxy {
    vault: Arc<Vault>,
    orders: u64,
    pending: BTreeMap<u64, Pending>,
    held: Option<Held>,
    holds: u64,
    retired: bool,
}

impl std::fmt::Debug for RunnerProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerProxy").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl RunnerProxy {
    /// A proxy that opens the secret variables of the jobs that it hands over.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self { vault, orders: 0, pending: BTreeMap::new(), held: None, holds: 0, retired: false }
    }

    fn ask(&mut self, ask: Ask, reply: Reply) {
        if self.retired || self.pending.len() >= MAX_ORDERS_WAITING {
            return fail(reply, false);
        }
        self.orders += 1;
        let no = self.orders;
        let order = Order { no, ask };
        self.pending.insert(no, Pending { order, reply, since: clock::moment(), handed_out: false });
        if let Some(held) = self.held.take() {
            let due = self.due(held.seen);
            // Whoever waited may be gone: then the orders are handed out again to whoever comes next.
            let _ = held.sender.send(due);
        }
    }

    /// Orders that the node has not got, the oldest first.
    fn due(&mut self, seen: u64) -> Vec<Order> {
        let mut bytes = 0;
        let due = self.pending.range_mut(seen.saturating_add(1)..).take(MAX_ORDERS_AT_ONCE);
        due.take_while(|(_, pending)| {
            let fits = bytes < MAX_ORDERED_BYTES;
            bytes += weight(&pending.order.ask);
            fits
        })
        .map(|(_, pending)| {
            pending.handed_out = true;
            pending.order.clone()
        })
        .collect()
    }

    /// The secret variables of what a command assigns. An attempt whose variables cannot be opened goes without: the node
    /// finds that out and says so.
    fn secrets(&self, command: &Command) -> Vec<Secrets> {
        let with_secrets = command.assign.iter().filter(|it| !it.spec.secret_env.is_empty());
        let open = |it: &crate::link::Assignment| {
            let opened = self.vault.open(it.attempt.job, &it.spec.secret_env);
            let opened = opened.inspect_err(|error| {
                log::error!(attempt:% = it.attempt; "secret variables cannot be handed over: {error}");
            });
            let values = opened.ok()?.expose().map(|(name, value)| (name.into(), value.into())).collect();
            Some(Secrets { attempt: it.attempt, values })
        };
        with_secrets.filter_map(open).collect()
    }

    fn command(&mut self, command: Command) -> ResponseFuture<Result<(), NodeError>> {
        let (sender, answer) = oneshot::channel();
        let secrets = self.secrets(&command);
        self.ask(Ask::Command { command, secrets }, Reply::Command(sender));
        let unknown = Err(NodeError::Unavailable { maybe_applied: true });
        Box::pin(async { answer.await.unwrap_or(unknown) })
    }

    fn answered(&mut self, answer: Answer) {
        let Some(pending) = self.pending.remove(&answer.no) else {
            return;
        };
        // Whoever asked may have given up.
        match (pending.reply, answer.said) {
            (Reply::Command(sender), Said::Command(said)) => drop(sender.send(said)),
            (Reply::Output(sender), Said::Output(said)) => drop(sender.send(said.map(Into::into))),
            (Reply::Input { sender, .. }, Said::Input(said)) => drop(sender.send(said)),
            (Reply::Nobody, _) => {}
            (reply, said) => {
                log::warn!("a node answered another question than was asked: {said:?}");
                fail(reply, true);
            }
        }
    }

    fn sweep(&mut self) {
        let old: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.since.elapsed() > ORDER_TIMEOUT)
            .map(|(no, _)| *no)
            .collect();
        for no in old {
            if let Some(pending) = self.pending.remove(&no) {
                fail(pending.reply, pending.handed_out);
            }
        }
    }
}

/// What an order carries, in bytes.
fn weight(ask: &Ask) -> u64 {
    match ask {
        Ask::Command { command, .. } => command.assign.iter().map(|it| footprint::of_spec(&it.spec)).sum(),
        Ask::WriteInput { bytes, .. } => bytes.0.len() as u64,
        Ask::ReadOutput { .. } | Ask::Forget { .. } => 0,
    }
}

fn fail(reply: Reply, maybe_applied: bool) {
    // Whoever asked may have given up.
    match reply {
        Reply::Command(sender) => drop(sender.send(Err(NodeError::Unavailable { maybe_applied }))),
        Reply::Output(sender) => drop(sender.send(Err(SpoolReadError::Unavailable))),
        // Nothing was taken that is known of: the client sends it again.
        Reply::Input { offset, sender } => drop(sender.send(InputAck { accepted: offset, open: true })),
        Reply::Nobody => {}
    }
}

impl Actor for RunnerProxy {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP, |proxy, _| proxy.sweep());
    }
}

impl Handler<AssignAttempts> for RunnerProxy {
    type Result = ResponseFuture<Result<(), NodeError>>;

    fn handle(&mut self, message: AssignAttempts, _: &mut Context<Self>) -> Self::Result {
        self.command(message.command)
    }
}

impl Handler<CancelAttempt> for RunnerProxy {
    type Result = ResponseFuture<Result<(), NodeError>>;

    fn handle(&mut self, message: CancelAttempt, _: &mut Context<Self>) -> Self::Result {
        self.command(message.command)
    }
}

impl Handler<ReadOutput> for RunnerProxy {
    type Result = ResponseFuture<Result<SpoolChunk, SpoolReadError>>;

    fn handle(&mut self, message: ReadOutput, _: &mut Context<Self>) -> Self::Result {
        let ReadOutput { attempt, kept, offset, max_bytes } = message;
        let (sender, answer) = oneshot::channel();
        self.ask(Ask::ReadOutput { attempt, kept, offset, max_bytes }, Reply::Output(sender));
        Box::pin(async { answer.await.unwrap_or(Err(SpoolReadError::Unavailable)) })
    }
}

impl Handler<WriteInput> for RunnerProxy {
    type Result = ResponseFuture<InputAck>;

    fn handle(&mut self, message: WriteInput, _: &mut Context<Self>) -> Self::Result {
        let WriteInput { attempt, offset, bytes, end } = message;
        let (sender, answer) = oneshot::channel();
        let reply = Reply::Input { offset, sender };
        self.ask(Ask::WriteInput { attempt, offset, bytes: Blob(bytes), end }, reply);
        Box::pin(async move { answer.await.unwrap_or(InputAck { accepted: offset, open: true }) })
    }
}

impl Handler<ForgetOutput> for RunnerProxy {
    type Result = ();

    fn handle(&mut self, message: ForgetOutput, _: &mut Context<Self>) {
        let jobs: Vec<JobId> = message.jobs;
        self.ask(Ask::Forget { jobs }, Reply::Nobody);
    }
}

impl Handler<TakeOrders> for RunnerProxy {
    type Result = ResponseFuture<Result<Vec<Order>, NodeRefusal>>;

    fn handle(&mut self, message: TakeOrders, ctx: &mut Context<Self>) -> Self::Result {
        if self.retired {
            return Box::pin(async { Err(NodeRefusal::Superseded) });
        }
        // A node asks once at a time: whoever waited before is gone.
        if let Some(earlier) = self.held.take() {
            let _ = earlier.sender.send(Vec::new());
        }
        let due = self.due(message.seen);
        if !due.is_empty() || message.hold_ms == 0 {
            return Box::pin(async { Ok(due) });
        }
        self.holds += 1;
        let number = self.holds;
        let (sender, orders) = oneshot::channel();
        self.held = Some(Held { seen: message.seen, number, sender });
        ctx.run_later(Duration::from_millis(message.hold_ms), move |proxy, _| {
            if let Some(held) = proxy.held.take_if(|held| held.number == number) {
                let _ = held.sender.send(Vec::new());
            }
        });
        Box::pin(async { orders.await.map_err(|_| NodeRefusal::Superseded) })
    }
}

/// Reception → RunnerProxy. What the node says.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct TakeAnswers(pub Vec<Answer>);

impl Handler<TakeAnswers> for RunnerProxy {
    type Result = ();

    fn handle(&mut self, message: TakeAnswers, _: &mut Context<Self>) {
        message.0.into_iter().for_each(|answer| self.answered(answer));
    }
}

/// Reception → RunnerProxy. This life of the node is over: nothing will be answered any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

impl Handler<Retire> for RunnerProxy {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        self.retired = true;
        if let Some(held) = self.held.take() {
            // There is nothing to do in this life; the next question is told why.
            let _ = held.sender.send(Vec::new());
        }
        for (_, pending) in std::mem::take(&mut self.pending) {
            fail(pending.reply, pending.handed_out);
        }
        ctx.stop();
    }
}
