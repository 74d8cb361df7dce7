//! Requests about tokens.

use std::time::Duration;

use awc::http::Method;
use callboard_actors::model::access::TOKEN_ID_DIGITS;

use super::{Client, Failure, json, quoted};
use crate::http::api::{TokenListBody, TokenMade, TokenWanted};

impl Client {
    /// Makes a token.
    pub async fn create_token(&self, wanted: &TokenWanted) -> Result<TokenMade, Failure> {
        let request = self.request(Method::POST, "/v1/tokens", Duration::ZERO);
        let body = self.answer(request, Some(json(wanted)?)).await?;
        self.decode(&body)
    }

    /// Every token.
    pub async fn tokens(&self) -> Result<TokenListBody, Failure> {
        self.get("/v1/tokens", Duration::ZERO).await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, id: &str) -> Result<(), Failure> {
        if id.len() != TOKEN_ID_DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("{} is no token's id: `callboard token list` shows them", quoted(id));
            return Err(Failure::new(3, message));
        }
        self.gone(&format!("/v1/tokens/{id}")).await
    }
}
