//! Which scopes each route asks for. The one place: a new route does not compile without its line.

use actix_web::http::Method;
use callboard_actors::model::access::{Scope, Scopes};

use crate::http::routes::Route;

/// Scopes of which a caller needs one; none where any valid token does. Admin does everywhere.
pub(super) fn of(route: Route, method: &Method) -> Scopes {
    const ADMIN: Scopes = Scopes::of(&[Scope::Admin]);
    const SUBMIT: Scopes = Scopes::of(&[Scope::Submit]);
    const READ: Scopes = Scopes::of(&[Scope::Read]);
    const CANCEL: Scopes = Scopes::of(&[Scope::Cancel]);
    const EXECUTE: Scopes = Scopes::of(&[Scope::Submit, Scope::Runner]);
    const RUNNER: Scopes = Scopes::of(&[Scope::Runner]);
    const METRICS: Scopes = Scopes::of(&[Scope::Metrics]);
    match route {
        Route::V1Jobs if method == Method::POST => SUBMIT,
        Route::Jobs | Route::V1Batch | Route::V1Retry | Route::V1Stdin => SUBMIT,
        Route::Execute => EXECUTE,
        Route::V1Job if method == Method::DELETE => CANCEL,
        Route::V1Cancel => CANCEL,
        Route::Job | Route::V1Jobs | Route::V1Job | Route::V1Logs | Route::V1Artifacts => READ,
        Route::Metrics => METRICS,
        // These three tell of, or forget, every tenant's jobs.
        Route::V1Stats | Route::V1Events | Route::V1Prune => ADMIN,
        Route::V1Runners | Route::V1Runner => ADMIN,
        Route::V1RunnerCordon | Route::V1RunnerDrain | Route::V1RunnerResume => ADMIN,
        Route::V1Pause | Route::V1Resume | Route::V1Tokens | Route::V1Token => ADMIN,
        Route::NodeRegister
        | Route::NodeOrders
        | Route::NodeAnswers
        | Route::NodeReport
        | Route::NodeBye
        | Route::NodeHello
        | Route::NodeBegin
        | Route::NodeGive
        | Route::NodeWatch => RUNNER,
        Route::Health
        | Route::V1Version
        | Route::Livez
        | Route::Readyz
        | Route::OpenApi
        | Route::ProblemPage => Scopes::NONE,
    }
}
