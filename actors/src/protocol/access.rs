//! Clients and the Coordinator: whose a job is, and which tokens there are. No secret passes here, only hashes.

use actix::Message;

use super::errors::LookupError;
use crate::model::JobId;
use crate::model::access::{TokenOp, TokenRecord};
use crate::model::tenant::Tenant;

/// Client → Coordinator. Answered with the tenant that the job belongs to, at the same price for every job.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Tenant, LookupError>")]
pub struct GetTenant {
    /// Which job.
    pub id: JobId,
}

/// Client → Coordinator. Answered with every token that is remembered, the void ones included.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Result<Vec<TokenRecord>, LookupError>")]
pub struct ListTokens;

/// Client → Coordinator. Answered when the changes are durable, all or none.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), LookupError>")]
pub struct ChangeTokens {
    /// The changes, in order.
    pub ops: Vec<TokenOp>,
}
