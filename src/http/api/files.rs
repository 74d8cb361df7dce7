//! Small files that come with a job.

use callboard_actors::model::InputFile;
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

/// A file that came with a job, without what is in it.
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
