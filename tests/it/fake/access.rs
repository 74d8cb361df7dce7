//! What the stage says of tenants and tokens.

use callboard_actors::model::access::TokenOp;

use super::*;

answer!(GetTenant, Result<Tenant, LookupError>, |stage, request| {
    Ok(stage.look(request.id)?.record.tenant)
});

answer!(ListTokens, Result<Vec<TokenRecord>, LookupError>, |stage, _request| Ok(stage.tokens.clone()));

answer!(ChangeTokens, Result<(), LookupError>, |stage, request| {
    for op in request.ops {
        match op {
            TokenOp::Add(token) => stage.tokens.push(*token),
            TokenOp::Revoke { id, at_ms } => {
                stage.tokens.iter_mut().filter(|token| token.id == id).for_each(|token| {
                    token.revoked_at_ms = Some(at_ms);
                });
            }
            TokenOp::Touch { .. } => {}
            TokenOp::Forget { id } => stage.tokens.retain(|token| token.id != id),
        }
    }
    Ok(())
});
