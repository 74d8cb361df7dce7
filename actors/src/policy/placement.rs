//! Which node the next job goes to. It sees free slots, not machines.

use crate::model::{Incarnation, NodeId};

/// A node with room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which node.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Usable slots.
    pub usable: u32,
    /// Slots taken.
    pub taken: u32,
}

impl Room {
    /// Slots that a job can have now.
    pub fn free(&self) -> u32 {
        self.usable.saturating_sub(self.taken)
    }
}

/// Chooses the least loaded node, by the share of slots taken; among equals the first. None when all are full.
pub fn least_loaded(rooms: &mut [Room]) -> Option<&mut Room> {
    rooms.iter_mut().filter(|room| room.free() > 0).min_by(|a, b| {
        let load = |room: &Room, other: &Room| u64::from(room.taken) * u64::from(other.usable);
        load(a, b).cmp(&load(b, a))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;

    fn room(id: u8, usable: u32, taken: u32) -> Room {
        Room { node: NodeId::from_bytes([id; 16]), incarnation: Incarnation(1), usable, taken }
    }

    #[test]
    fn the_least_loaded_node_is_chosen_and_full_ones_never() {
        let mut rooms = [room(1, 4, 2), room(2, 8, 2), room(3, 1, 1), room(4, 0, 0)];
        assert_eq!(least_loaded(&mut rooms).map(|room| room.usable), Some(8));
        let mut full = [room(1, 1, 1), room(2, 0, 0), room(3, 1, 2)];
        assert!(least_loaded(&mut full).is_none());
    }
}
