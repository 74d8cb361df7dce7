//! The door for strangers on a network: routes, limits, problem mapping. It knows the platform only by its handle.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceRequest;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};

use self::access::Pass;

pub mod access;
pub mod api;
mod artifacts;
mod audit;
mod body;
mod cancel;
mod compat;
pub mod door;
mod ending;
mod events;
mod execute;
mod executions;
mod follow;
mod gate;
mod gateway;
mod inlet;
mod jobs;
pub mod kinds;
mod logs;
mod mapping;
mod meter;
mod metrics;
mod mount;
mod object;
mod openapi;
mod ops;
mod output;
mod pages;
mod params;
#[doc(hidden)]
pub mod parsers;
mod port;
mod problem;
mod prune;
mod range;
pub mod routes;
mod runners;
mod secrets;
pub mod served;
mod server;
mod signals;
mod socket;
mod spec;
mod stats;
mod stdin;
mod submit;
mod tokens;
mod view;
mod wait;
mod whole;

pub use audit::Quota;
pub use door::{Door, HostRule, TokenHash};
pub use executions::Executions;
pub use openapi::document as openapi_document;
pub use output::gap_marker;
pub use server::{HttpConfig, Running, ServeError, listen, serve};
pub use signals::number as signal_number;

use problem::Problem;

/// Mounts every route of the door's role, for example in `web::scope("/jobs-api")` of an application that has routes of its own; every
/// link, address and type of problem then begins with that. It answers every path below where it is mounted, so
/// mount it last.
pub fn configure(door: Door) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let role = door.role;
        // Nobody is asked, or everybody: so it is until a caller shows a token of its own.
        let door = Data::new(Door { pass: Pass::plain(&door.access), ..door });
        let shared = door.clone();
        let gate = from_fn(move |request: ServiceRequest, next: Next<BoxBody>| {
            let door = shared.clone();
            async move { gate::pass(&door, request, next).await }
        });
        let all = web::scope("")
            .app_data(door)
            .configure(|config| routes::register(role, config))
            .default_service(web::to(no_route))
            .wrap(gate);
        config.service(all);
    }
}

async fn no_route() -> Result<HttpResponse, Problem> {
    Err(Problem::no_route())
}
