//! What of its node a job wants in its room.

use callboard_actors::model::Mount;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A folder or file of the node that runs the job, at the same place in its room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MountBody {
    /// Where it is, absolute.
    pub path: String,
    /// Whether the job must not change it (default: it may).
    #[serde(default)]
    pub read_only: bool,
}

impl From<MountBody> for Mount {
    fn from(body: MountBody) -> Self {
        Self { path: body.path, read_only: body.read_only }
    }
}

impl From<&Mount> for MountBody {
    fn from(mount: &Mount) -> Self {
        Self { path: mount.path.clone(), read_only: mount.read_only }
    }
}
