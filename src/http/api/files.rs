//! Small files that come with a job, and files that it leaves.

use callboard_actors::model::{Artifact, InputFile, Unkept};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A file below `/job`, the job's home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileBody {
    /// Where, below `/job`: `data/input.csv`.
    pub path: String,
    /// What is in it.
    pub content: FileContentBody,
    /// Whether it may be executed (default: no).
    #[serde(default)]
    pub executable: bool,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FileContentBody {
    /// This text.
    Text(String),
    /// These bytes (standard base64).
    Base64(String),
}

/// A file that came with a job, or that was kept of it, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileInfoBody {
    /// Where, below `/job`.
    pub path: String,
    /// How large it is.
    pub bytes: u64,
    /// Whether it may be executed.
    pub executable: bool,
}

impl From<&InputFile> for FileInfoBody {
    fn from(file: &InputFile) -> Self {
        Self { path: file.path.clone(), bytes: file.bytes.len() as u64, executable: file.executable }
    }
}

impl From<&Artifact> for FileInfoBody {
    fn from(kept: &Artifact) -> Self {
        Self { path: kept.path.clone(), bytes: kept.bytes, executable: kept.executable }
    }
}

/// Something that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnkeptBody {
    /// Where it was to be, below `/job`.
    pub path: String,
    /// Why not.
    pub detail: String,
}

impl From<&Unkept> for UnkeptBody {
    fn from(unkept: &Unkept) -> Self {
        Self { path: unkept.path.clone(), detail: unkept.why.clone() }
    }
}
