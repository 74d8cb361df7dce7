//! Requests about nodes.

use std::time::Duration;

use awc::http::Method;
use serde::Serialize;

use super::{Client, Failure, encode, json};
use crate::http::api::{RunnerBody, RunnerListBody};

impl Client {
    /// Every node.
    pub async fn runners(&self) -> Result<RunnerListBody, Failure> {
        self.get("/v1/runners", Duration::ZERO).await
    }

    /// One node, by its name, its id or a beginning of that.
    pub async fn runner(&self, name: &str) -> Result<RunnerBody, Failure> {
        self.get(&path(name)?, Duration::ZERO).await
    }

    /// Cordons, drains or resumes a node.
    pub async fn change_runner(
        &self,
        name: &str,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<RunnerBody, Failure> {
        let request = self.request(Method::POST, &format!("{}/{verb}", path(name)?), Duration::ZERO);
        let body = self.answer(request, Some(json(body)?)).await?;
        self.decode(&body)
    }

    /// Forgets a node.
    pub async fn remove_runner(&self, name: &str) -> Result<(), Failure> {
        self.gone(&path(name)?).await
    }
}

fn path(name: &str) -> Result<String, Failure> {
    match name {
        "" | "." | ".." => {
            Err(Failure::new(3, format!("`{name}` is no node: `callboard nodes list` shows them")))
        }
        name => Ok(format!("/v1/runners/{}", encode(name))),
    }
}
