//! The node protocol as a runner serves it, for coordinators that dial it: they ask who it is, tell it that it is
//! registered, give it orders and wait for its reports. Who may is judged by the token; the rest is the platform's business.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::protocol::NodePort;
use callboard_actors::protocol::gateway::{BeginLife, GiveOrders, WatchReports, Watched};
use callboard_actors::protocol::runner::Occupied;
use callboard_actors::wire::{
    GiveAnswer, GiveBody, HelloBody, MAX_NODE_BODY_BYTES, Protos, RegisteredBody, WatchAnswer, WatchBody,
};

use super::access::Visit;
use super::door::Door;
use super::gateway::gone;
use super::problem::Problem;
use super::{body, kinds};

impl From<Occupied> for Problem {
    fn from(occupied: Occupied) -> Self {
        Self::new(&kinds::OTHER_CLUSTER, occupied.to_string())
    }
}

/// Says who this is.
pub async fn hello(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let protos: Protos = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    protos.common()?;
    Ok(HttpResponse::Ok().json(HelloBody::from(port(&door)?.portrait.introduction())))
}

/// Takes what registering brought.
pub async fn begin(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let begun: RegisteredBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let RegisteredBody { registration, heartbeat_ms, fence, .. } = begun;
    port(&door)?.begin.send(BeginLife { registration, heartbeat_ms, fence }).await.map_err(|_| gone())??;
    Ok(HttpResponse::Ok().json(()))
}

/// Takes orders, and answers them.
pub async fn give(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let given: GiveBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let GiveBody { registration, orders } = given;
    let answers =
        port(&door)?.orders.send(GiveOrders { registration, orders }).await.map_err(|_| gone())??;
    Ok(HttpResponse::Ok().json(GiveAnswer { answers }))
}

/// Hands out a report; held for a while when there is none. A runner that stops goes on reporting until everything is
/// told.
pub async fn watch(door: Visit, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let watched: WatchBody = body::json(&door, &request, payload, MAX_NODE_BODY_BYTES).await?;
    let WatchBody { registration, answer, hold_ms } = watched;
    let port = port(&door)?;
    let Watched { report, rooms, bye } =
        port.watch.send(WatchReports { registration, answer, hold_ms }).await.map_err(|_| gone())??;
    Ok(HttpResponse::Ok().json(WatchAnswer { report, rooms: rooms.map(Into::into), bye }))
}

fn port(door: &Door) -> Result<&NodePort, Problem> {
    let port = door.platform.doors().port.as_ref();
    port.ok_or_else(|| {
        Problem::new(
            &kinds::OTHER_CLUSTER,
            "this runner joins its coordinator by itself and is dialled by none",
        )
    })
}
