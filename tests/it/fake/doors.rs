//! Doors to other machines behind which nobody is.

use callboard_actors::link::{ReportRefusal, ReportReply};
use callboard_actors::model::Pulses;
use callboard_actors::protocol::gateway::{
    AdmitNode, AnswerOrders, LeaveNode, NodeDoors, NodeGateway, NodeRefusal, NodeTokens, NoteRooms,
    TakeOrders,
};
use callboard_actors::protocol::orders::Order;
use callboard_actors::protocol::runner::{RegisterError, Registration, RunnerReport};

use super::*;

answer!(AdmitNode, Result<Registration, RegisterError>, |_stage, _request| Err(RegisterError::Stopping));
answer!(TakeOrders, Result<Vec<Order>, NodeRefusal>, |_stage, _request| Err(NodeRefusal::NotRegistered));
answer!(NoteRooms, Result<(), NodeRefusal>, |_stage, _request| Err(NodeRefusal::NotRegistered));
answer!(AnswerOrders, Result<(), NodeRefusal>, |_stage, _request| Err(NodeRefusal::NotRegistered));
answer!(LeaveNode, Result<(), NodeRefusal>, |_stage, _request| Err(NodeRefusal::NotRegistered));
answer!(RunnerReport, Result<ReportReply, ReportRefusal>, |_stage, _request| Err(ReportRefusal::NotRegistered));

/// No node has a token.
#[derive(Debug)]
struct NoTokens;

impl NodeTokens for NoTokens {
    fn token_of(&self, _: NodeId) -> Option<String> {
        None
    }

    fn node_of(&self, _: &str) -> Option<NodeId> {
        None
    }
}

pub fn doors(player: &Addr<Player>) -> NodeDoors {
    let gateway = NodeGateway {
        admit: player.clone().recipient(),
        orders: player.clone().recipient(),
        rooms: player.clone().recipient(),
        answers: player.clone().recipient(),
        leave: player.clone().recipient(),
        report: player.clone().recipient(),
        pulses: Arc::new(Pulses::default()),
        heartbeat_ms: 5_000,
        fence: None,
        tokens: Arc::new(NoTokens),
    };
    NodeDoors { gateway, port: None }
}
