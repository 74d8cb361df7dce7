//! The stable name of a local node, kept in a file of its folder. It knows nothing of what the node does.

use std::io::{Error, ErrorKind};
use std::path::Path;

use super::StartError;
use crate::clock;
use crate::model::NodeId;

/// The name that the folder holds; a new one when it holds none.
///
/// # Errors
/// [`StartError::NodeId`].
pub fn id(folder: &Path) -> Result<NodeId, StartError> {
    let path = folder.join("node_id");
    let failed = |source: Error| StartError::NodeId { path: path.display().to_string(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| failed(ErrorKind::InvalidData.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = clock::new_node_id();
            std::fs::write(&path, format!("{id}\n")).map_err(failed)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}
