//! The tokens of nodes: a node's id and a tag that only whoever has the key can make, so that none needs to be kept and all
//! outlive a restart. It refuses to know what a node may do with one.

use std::fmt::Write;

use subtle::ConstantTimeEq;

use super::Vault;
use crate::model::NodeId;

/// How every token of a node begins.
const PREFIX: &str = "cbn_";
/// Hexadecimal digits of a node's id.
const ID_DIGITS: usize = 32;

impl Vault {
    /// The token of a node; none when there is no key.
    pub fn node_token(&self, node: NodeId) -> Option<String> {
        let tag = self.node_tag(node).ok()?;
        let mut token = format!("{PREFIX}{}_", node.0.simple());
        tag.iter().for_each(|byte| _ = write!(token, "{byte:02x}"));
        Some(token)
    }

    /// Whose token this is, if it is one. The time that it takes does not tell how much of it fits.
    pub fn node_of_token(&self, token: &str) -> Option<NodeId> {
        let rest = token.strip_prefix(PREFIX)?;
        let id = rest.get(..ID_DIGITS)?.parse().ok()?;
        let right = self.node_token(id)?;
        bool::from(right.as_bytes().ct_eq(token.as_bytes())).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::HealthBoard;
    use crate::secret::KeySource;

    #[test]
    fn a_token_is_known_again_and_nothing_else_is() {
        let vault = Vault::new(KeySource::Ephemeral, Arc::new(HealthBoard::default()));
        let node = NodeId::from_bytes([7; 16]);
        let token = vault.node_token(node).expect("there is a key");
        assert_eq!(vault.node_of_token(&token), Some(node));
        let other = Vault::new(KeySource::Ephemeral, Arc::new(HealthBoard::default()));
        assert_eq!(other.node_of_token(&token), None, "another key");
        let of_another = token.replacen("07", "08", 1);
        assert_eq!(vault.node_of_token(&of_another), None, "another node's id");
        for wrong in ["", "cbn_", "cbn_é", &token[..token.len() - 1], &format!("{token}0")] {
            assert_eq!(vault.node_of_token(wrong), None, "{wrong}");
        }
    }
}
