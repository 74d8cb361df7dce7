//! Every path that the door answers and the methods it knows, in one table: routing, `Allow`, metric labels and the
//! check of the OpenAPI document all read it. It knows no handler's business.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource};

use super::problem::Problem;
use super::{
    artifacts, cancel, compat, events, execute, gateway, jobs, logs, metrics, ops, pages, port, prune,
    runners, stats, stdin, submit, tokens,
};
use crate::config::Role;

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $path:literal, $allow:literal, [$($role:ident),+];)+) => {
        /// One path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Route { $($(#[$doc])* $name),+ }

        impl Route {
            /// Every path.
            pub const ALL: [Self; [$($path),+].len()] = [$(Self::$name),+];

            /// The path, with its parameters in braces.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$name => $path),+ }
            }

            /// Whether only our own nodes ask for it: it stands in PROTOCOL.md and not in the OpenAPI document.
            pub fn is_of_nodes(self) -> bool {
                self.path().starts_with("/v1/node/")
            }

            /// The methods it knows, as the `Allow` header lists them.
            pub const fn allow(self) -> &'static str {
                match self { $(Self::$name => $allow),+ }
            }

            /// The paths of a node of this role.
            pub fn of(role: Role) -> impl Iterator<Item = Self> {
                let served = move |route: &Self| match route {
                    $(Self::$name => [$(Role::$role),+].contains(&role)),+
                };
                Self::ALL.into_iter().filter(served)
            }
        }
    };
}

routes! {
    /// The original's submit.
    Jobs = "/jobs", "POST", [Coordinator];
    /// The original's look at a job.
    Job = "/jobs/{id}", "GET, HEAD", [Coordinator];
    /// The original runner's way to run a command.
    Execute = "/execute", "POST", [Runner];
    /// Prometheus text.
    Metrics = "/metrics", "GET, HEAD", [Coordinator, Runner];
    /// The original's health check.
    Health = "/health", "GET, HEAD", [Coordinator, Runner];
    /// Submit and list.
    V1Jobs = "/v1/jobs", "GET, HEAD, POST", [Coordinator];
    /// Submit many.
    V1Batch = "/v1/jobs/batch", "POST", [Coordinator];
    /// Forget many.
    V1Prune = "/v1/jobs/prune", "POST", [Coordinator];
    /// Look at and forget a job.
    V1Job = "/v1/jobs/{id}", "GET, HEAD, DELETE", [Coordinator];
    /// Cancel a job.
    V1Cancel = "/v1/jobs/{id}/cancel", "POST", [Coordinator];
    /// Repeat a job.
    V1Retry = "/v1/jobs/{id}/retry", "POST", [Coordinator];
    /// Read a job's output.
    V1Logs = "/v1/jobs/{id}/logs", "GET", [Coordinator];
    /// Read what a job left.
    V1Artifacts = "/v1/jobs/{id}/artifacts", "GET", [Coordinator];
    /// Write a job's input.
    V1Stdin = "/v1/jobs/{id}/stdin", "PUT", [Coordinator];
    /// What happens.
    V1Events = "/v1/events", "GET", [Coordinator];
    /// How it goes.
    V1Stats = "/v1/stats", "GET, HEAD", [Coordinator];
    /// Start no jobs.
    V1Pause = "/v1/queue/pause", "POST", [Coordinator];
    /// Start jobs again.
    V1Resume = "/v1/queue/resume", "POST", [Coordinator];
    /// The nodes.
    V1Runners = "/v1/runners", "GET, HEAD", [Coordinator];
    /// One node; forget it.
    V1Runner = "/v1/runners/{id}", "GET, HEAD, DELETE", [Coordinator];
    /// Give a node no more jobs.
    V1RunnerCordon = "/v1/runners/{id}/cordon", "POST", [Coordinator];
    /// The same, and end those that it has in the end.
    V1RunnerDrain = "/v1/runners/{id}/drain", "POST", [Coordinator];
    /// Give a node jobs again.
    V1RunnerResume = "/v1/runners/{id}/resume", "POST", [Coordinator];
    /// Make and list tokens.
    V1Tokens = "/v1/tokens", "GET, HEAD, POST", [Coordinator];
    /// Revoke a token.
    V1Token = "/v1/tokens/{id}", "DELETE", [Coordinator];
    /// A runner asks to be let in.
    NodeRegister = "/v1/node/register", "POST", [Coordinator];
    /// A runner asks for orders.
    NodeOrders = "/v1/node/orders", "POST", [Coordinator];
    /// A runner answers to orders.
    NodeAnswers = "/v1/node/answers", "POST", [Coordinator];
    /// A runner reports.
    NodeReport = "/v1/node/report", "POST", [Coordinator];
    /// A runner goes.
    NodeBye = "/v1/node/bye", "POST", [Coordinator];
    /// A coordinator asks who this is.
    NodeHello = "/v1/node/hello", "POST", [Runner];
    /// A coordinator has registered this runner.
    NodeBegin = "/v1/node/begin", "POST", [Runner];
    /// A coordinator gives orders.
    NodeGive = "/v1/node/give", "POST", [Runner];
    /// A coordinator asks for reports.
    NodeWatch = "/v1/node/watch", "POST", [Runner];
    /// Who answers.
    V1Version = "/v1/version", "GET, HEAD", [Coordinator, Runner];
    /// Whether the actors live.
    Livez = "/livez", "GET, HEAD", [Coordinator, Runner];
    /// Whether new jobs would start.
    Readyz = "/readyz", "GET, HEAD", [Coordinator, Runner];
    /// This API, described.
    OpenApi = "/openapi.json", "GET, HEAD", [Coordinator, Runner];
    /// One type of problem, explained.
    ProblemPage = "/problems/{name}", "GET, HEAD", [Coordinator, Runner];
}

/// Registers the paths of this role. A path's own methods stand in [`Route::allow`]; any other is answered with 405.
pub fn register(role: Role, config: &mut ServiceConfig) {
    match role {
        Role::Coordinator => {
            register_jobs(config);
            register_runners(config);
        }
        Role::Runner => register_runner(config),
    }
    register_shared(config);
}

fn register_runner(config: &mut ServiceConfig) {
    let post = web::post;
    config
        .service(at(Route::Execute).route(post().to(execute::execute)))
        .service(at(Route::NodeHello).route(post().to(port::hello)))
        .service(at(Route::NodeBegin).route(post().to(port::begin)))
        .service(at(Route::NodeGive).route(post().to(port::give)))
        .service(at(Route::NodeWatch).route(post().to(port::watch)));
}

/// What every node answers.
fn register_shared(config: &mut ServiceConfig) {
    let (get, head) = (web::get, web::head);
    config
        .service(at(Route::Metrics).route(get().to(metrics::show)).route(head().to(metrics::show)))
        .service(at(Route::Health).route(get().to(compat::health)).route(head().to(compat::health)))
        .service(at(Route::V1Version).route(get().to(ops::version)).route(head().to(ops::version)))
        .service(at(Route::Livez).route(get().to(ops::livez)).route(head().to(ops::livez)))
        .service(at(Route::Readyz).route(get().to(ops::readyz)).route(head().to(ops::readyz)))
        .service(at(Route::OpenApi).route(get().to(pages::openapi)).route(head().to(pages::openapi)))
        .service(at(Route::ProblemPage).route(get().to(pages::problem)).route(head().to(pages::problem)));
}

fn register_jobs(config: &mut ServiceConfig) {
    let (get, head, post) = (web::get, web::head, web::post);
    config
        .service(at(Route::Jobs).route(post().to(compat::submit)))
        .service(at(Route::Job).route(get().to(compat::show)).route(head().to(compat::show)))
        .service(
            at(Route::V1Jobs)
                .route(post().to(submit::one))
                .route(get().to(jobs::list))
                .route(head().to(jobs::list)),
        )
        .service(at(Route::V1Batch).route(post().to(submit::batch)))
        .service(at(Route::V1Prune).route(post().to(prune::prune)))
        .service(at(Route::V1Events).route(get().to(events::show)))
        .service(at(Route::V1Stats).route(get().to(stats::show)).route(head().to(stats::show)))
        .service(
            at(Route::V1Job)
                .route(get().to(jobs::show))
                .route(head().to(jobs::show))
                .route(web::delete().to(jobs::forget)),
        )
        .service(at(Route::V1Cancel).route(post().to(cancel::cancel)))
        .service(at(Route::V1Retry).route(post().to(cancel::retry)))
        .service(at(Route::V1Logs).route(get().to(logs::show)))
        .service(at(Route::V1Artifacts).route(get().to(artifacts::show)))
        .service(at(Route::V1Stdin).route(web::put().to(stdin::write)))
        .service(at(Route::V1Pause).route(post().to(ops::pause)))
        .service(at(Route::V1Resume).route(post().to(ops::resume)))
        .service(
            at(Route::V1Tokens)
                .route(get().to(tokens::list))
                .route(head().to(tokens::list))
                .route(post().to(tokens::create)),
        )
        .service(at(Route::V1Token).route(web::delete().to(tokens::revoke)))
        .service(at(Route::NodeRegister).route(post().to(gateway::register)))
        .service(at(Route::NodeOrders).route(post().to(gateway::orders)))
        .service(at(Route::NodeAnswers).route(post().to(gateway::answers)))
        .service(at(Route::NodeReport).route(post().to(gateway::report)))
        .service(at(Route::NodeBye).route(post().to(gateway::bye)));
}

fn register_runners(config: &mut ServiceConfig) {
    let (get, head, post) = (web::get, web::head, web::post);
    config
        .service(at(Route::V1Runners).route(get().to(runners::list)).route(head().to(runners::list)))
        .service(
            at(Route::V1Runner)
                .route(get().to(runners::show))
                .route(head().to(runners::show))
                .route(web::delete().to(runners::remove)),
        )
        .service(at(Route::V1RunnerCordon).route(post().to(runners::cordon)))
        .service(at(Route::V1RunnerDrain).route(post().to(runners::drain)))
        .service(at(Route::V1RunnerResume).route(post().to(runners::resume)));
}

fn at(route: Route) -> Resource {
    web::resource(route.path()).app_data(route).default_service(web::to(refuse_method))
}

async fn refuse_method(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(match request.app_data::<Route>() {
        Some(route) => Problem::method_not_allowed(route.allow()),
        None => Problem::no_route(),
    })
}
