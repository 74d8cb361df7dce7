//! The commands of the coordinator's half, and what it then expects of its node. It refuses to know how they travel.

use super::{CoordinatorLink, Given};
use crate::link::messages::{Assignment, CancelOrder, Command, DrainOrder, PROTO};
use crate::model::AttemptId;

impl CoordinatorLink {
    /// The command that gives these attempts to the node.
    pub fn assign(&mut self, assign: Vec<Assignment>) -> Command {
        let command = Command { assign, ..self.restate() };
        for assignment in &command.assign {
            let given = Given { cmd_no: command.cmd_no, here: true, finishing: false };
            self.given.insert(assignment.attempt, given);
        }
        command
    }

    /// The command that ends these attempts.
    pub fn cancel(&mut self, cancel: Vec<CancelOrder>) -> Command {
        Command { cancel, ..self.restate() }
    }

    /// The command that asks for these attempts back. What started goes on; the others come back as `Returned`. Until
    /// that is heard, nobody else may be given their jobs. Attempts that are not known to be there are left out: their
    /// absence must not be taken for "never started".
    pub fn retract(&mut self, attempts: impl IntoIterator<Item = AttemptId>) -> Command {
        let here = |attempt: &AttemptId| self.given.get(attempt).is_some_and(|given| given.here);
        let retract = attempts.into_iter().filter(here).collect();
        Command { retract, ..self.restate() }
    }

    /// From now on every command tells the node to drain, or to take work again: send it one.
    pub fn set_drain(&mut self, drain: Option<DrainOrder>) {
        self.drain = drain;
    }

    /// A command that orders nothing but what every command says: whether to drain.
    pub fn restate(&mut self) -> Command {
        self.commands += 1;
        Command {
            proto: PROTO,
            cluster: self.cluster,
            term: self.term,
            incarnation: self.incarnation,
            cmd_no: self.commands,
            assign: Vec::new(),
            cancel: Vec::new(),
            retract: Vec::new(),
            draining: self.drain,
            answered_n: self.answered_n,
        }
    }
}
