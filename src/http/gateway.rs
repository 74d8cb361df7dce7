//! The node protocol as a coordinator serves it, for runners that dial in: they register, ask for orders, answer them and
//! report. What is said is the platform's business; here it is read, and judged who says it.

use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use callboard_actors::clock;
use callboard_actors::model::{NodeId, RunnerKind, RunnerSpec};
use callboard_actors::protocol::gateway::{
    AdmitNode, AnswerOrders, Introduction, LeaveNode, NodeGateway, NodeRefusal, NoteRooms, TakeOrders,
};
use callboard_actors::protocol::runner::{RegisterError, RunnerReport};
use callboard_actors::wire::{
    AnswersBody, ByeBody, HelloBody, MAX_NODE_BODY_BYTES, NoCommonProto, OrdersAnswer, OrdersBody,
    RegisteredBody, Report, ReportRefusal,
};

use super::access::{Caller, Visit};
use super::door::Door;
use super::problem::Problem;
use super::{body, kinds};

impl From<NoCommonProto> for Problem {
    fn from(error: NoCommonProto) -> Self {
        Self::new(&kinds::NODE_PROTOCOL, error.to_string())
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        let kind = match error {
            RegisterError::Store(_) => &kinds::STORE_FAILED,
            RegisterError::Stopping => &kinds::DRAINING,
            RegisterError::Removed { .. } => &kinds::NODE_REMOVED,
            RegisterError::TooMany(_) => &kinds::QUEUE_FULL,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<NodeRefusal> for Problem {
    fn from(refusal: NodeRefusal) -> Self {
        let kind = match refusal {
            NodeRefusal::NotRegistered => &kinds::NODE_NOT_REGISTERED,
            NodeRefusal::Superseded => &kinds::NODE_SUPERSEDED,
            NodeRefusal::Stopping => &kinds::DRAINING,
        };
        Self::new(kind, refusal.to_string())
    }
}

impl From<ReportRefusal> for Problem {
    fn from(refusal: ReportRefusal) -> Self {
        let kind = match refusal {
            ReportRefusal::OtherCluster => &kinds::OTHER_CLUSTER,
            ReportRefusal::Superseded => &kinds::NODE_SUPERSEDED,
            ReportRefusal::NotRegistered => &kinds::NODE_NOT_REGISTERED,
            ReportRefusal::NotNow => &kinds::UNAVAILABLE,
        };
        Self::new(kind, refusal.to_string())
    }
}

/// What is answered when the actors are gone.
pub(super) fn gone() -> Problem {
    Problem::new(&kinds::UNAVAILABLE, "the platform has stopped")
}

/// Lets a runner in.
pub async fn register(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let hello: HelloBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let proto = hello.protos.common()?;
    let said = hello.into_introduction();
    let node = said.node;
    if !caller(&request).is_none_or(|caller| caller.introduces(node)) {
        return Err(foreign(node));
    }
    let address = request.peer_addr().map(|peer| peer.ip().to_string());
    let spec = RunnerSpec { kind: RunnerKind::Joined, address, ..said.spec };
    let gateway = gateway(&door);
    let admit = AdmitNode { introduction: Introduction { spec, ..said } };
    let registration = gateway.admit.send(admit).await.map_err(|_| gone())??;
    // Where nobody is asked for a token, none is given.
    let token = door.access.is_demanded().then(|| gateway.tokens.token_of(node)).flatten();
    let (heartbeat_ms, fence) = (gateway.heartbeat_ms, gateway.fence);
    Ok(HttpResponse::Ok().json(RegisteredBody { proto, registration, token, heartbeat_ms, fence }))
}

/// Hands out orders; held for a while when there are none.
pub async fn orders(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let asked: OrdersBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let OrdersBody { node, incarnation, seen, hold_ms, rooms, answers } = asked;
    let gateway = heard(&door, &request, node)?;
    if !answers.is_empty() {
        gateway.answers.send(AnswerOrders { node, incarnation, answers }).await.map_err(|_| gone())??;
    }
    if let Some(rooms) = rooms {
        let note = NoteRooms { node, incarnation, rooms: rooms.into() };
        gateway.rooms.send(note).await.map_err(|_| gone())??;
    }
    let take = TakeOrders { node, incarnation, seen, hold_ms };
    let taken = tokio::select! {
        taken = gateway.orders.send(take) => taken.map_err(|_| gone())?,
        () = door.platform.stopping() => Err(NodeRefusal::Stopping),
    };
    // It was there all the while that it waited.
    beat(gateway, node);
    Ok(HttpResponse::Ok().json(OrdersAnswer { orders: taken? }))
}

/// Takes answers to orders.
pub async fn answers(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let said: AnswersBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let AnswersBody { node, incarnation, answers } = said;
    let gateway = heard(&door, &request, node)?;
    gateway.answers.send(AnswerOrders { node, incarnation, answers }).await.map_err(|_| gone())??;
    Ok(HttpResponse::Ok().json(()))
}

/// Takes a report.
pub async fn report(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let report: Report = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let gateway = heard(&door, &request, report.node)?;
    let reply = gateway.report.send(RunnerReport { report }).await.map_err(|_| gone())??;
    Ok(HttpResponse::Ok().json(reply))
}

/// Takes a goodbye.
pub async fn bye(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let said: ByeBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let ByeBody { node, incarnation } = said;
    let gateway = heard(&door, &request, node)?;
    gateway.leave.send(LeaveNode { node, incarnation }).await.map_err(|_| gone())??;
    Ok(HttpResponse::Ok().json(()))
}

/// The gateway, for a request of the node itself; that it was heard is noted before any mailbox.
fn heard<'a>(door: &'a Door, request: &HttpRequest, node: NodeId) -> Result<&'a NodeGateway, Problem> {
    if !caller(request).is_none_or(|caller| caller.speaks_for(node)) {
        return Err(foreign(node));
    }
    let gateway = gateway(door);
    beat(gateway, node);
    Ok(gateway)
}

fn beat(gateway: &NodeGateway, node: NodeId) {
    gateway.pulses.beat(node, clock::uptime_ms());
}

fn gateway(door: &Door) -> &NodeGateway {
    &door.platform.doors().gateway
}

fn caller(request: &HttpRequest) -> Option<Caller> {
    request.extensions().get::<Caller>().cloned()
}

fn foreign(node: NodeId) -> Problem {
    Problem::new(&kinds::MISSING_SCOPE, format!("the token is not that of runner {node}"))
}
