//! What a job requires of its node, as `/v1` says it.

use std::collections::BTreeMap;

use callboard_actors::model::Requires;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a job requires of the node that runs it. Until there is such a node the job waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequiresBody {
    /// Labels that it must have, each with this very value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The one node that may run it, by its name or its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
}

impl RequiresBody {
    /// The body for what is required, when anything is.
    pub fn of(requires: &Requires) -> Option<Self> {
        let Requires { labels, runner } = requires;
        (!requires.is_empty()).then(|| Self { labels: labels.clone(), runner: runner.clone() })
    }
}

impl From<RequiresBody> for Requires {
    fn from(body: RequiresBody) -> Self {
        Self { labels: body.labels, runner: body.runner }
    }
}
