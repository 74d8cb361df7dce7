//! Whose a job is, and the tokens. It judges nobody: it tells what the store knows.

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};

use super::Coordinator;
use crate::model::access::TokenRecord;
use crate::model::tenant::Tenant;
use crate::protocol::LookupError;
use crate::protocol::access::{ChangeTokens, GetTenant, ListTokens};
use crate::store::StoreError;

type Answer<T> = ResponseActFuture<Coordinator, Result<T, LookupError>>;

fn failed(error: StoreError) -> LookupError {
    LookupError::Store(error.to_string())
}

impl Handler<GetTenant> for Coordinator {
    type Result = Answer<Tenant>;

    fn handle(&mut self, message: GetTenant, _: &mut Context<Self>) -> Self::Result {
        let found = self.setup.store.tenant_of(message.id);
        Box::pin(
            found.into_actor(self).map(|found, _, _| found.map_err(failed)?.ok_or(LookupError::NotFound)),
        )
    }
}

impl Handler<ListTokens> for Coordinator {
    type Result = Answer<Vec<TokenRecord>>;

    fn handle(&mut self, _: ListTokens, _: &mut Context<Self>) -> Self::Result {
        Box::pin(self.setup.store.tokens().into_actor(self).map(|found, _, _| found.map_err(failed)))
    }
}

impl Handler<ChangeTokens> for Coordinator {
    type Result = Answer<()>;

    fn handle(&mut self, message: ChangeTokens, _: &mut Context<Self>) -> Self::Result {
        let changed = self.setup.store.change_tokens(message.ops);
        Box::pin(changed.into_actor(self).map(|changed, _, _| changed.map_err(failed)))
    }
}
