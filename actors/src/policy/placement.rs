//! Which node the next job goes to. It sees free slots and who may have them, not machines.

use crate::model::{Incarnation, NodeId};

/// By which rule a node is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacementRule {
    /// The one with the least share of its slots taken; among equals the one that was not chosen for longest.
    #[default]
    LeastLoaded,
    /// The one that was not chosen for longest.
    RoundRobin,
}

impl PlacementRule {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::LeastLoaded, Self::RoundRobin];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeastLoaded => "least_loaded",
            Self::RoundRobin => "round_robin",
        }
    }
}

impl std::str::FromStr for PlacementRule {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == word);
        found.ok_or_else(|| format!("`{word}` is no placement: write least_loaded or round_robin"))
    }
}

/// A node's slots.
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
    /// The choice that was last made for it: 0 before the first, and then the number of that choice.
    pub chosen: u64,
}

impl Room {
    /// Slots that a job can have now.
    pub fn free(&self) -> u32 {
        self.usable.saturating_sub(self.taken)
    }
}

/// Chooses one of these rooms that are free, by its place among them. None when there is none, or all are full.
pub fn choose<'a>(rule: PlacementRule, rooms: impl Iterator<Item = (usize, &'a Room)>) -> Option<usize> {
    let load = |room: &Room, other: &Room| u64::from(room.taken) * u64::from(other.usable);
    let least = rooms.filter(|(_, room)| room.free() > 0).min_by(|(_, a), (_, b)| {
        let by_turn = (a.chosen, a.node).cmp(&(b.chosen, b.node));
        match rule {
            PlacementRule::LeastLoaded => load(a, b).cmp(&load(b, a)).then(by_turn),
            PlacementRule::RoundRobin => by_turn,
        }
    });
    least.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: u8, usable: u32, taken: u32) -> Room {
        Room { node: NodeId::from_bytes([id; 16]), incarnation: Incarnation(1), usable, taken, chosen: 0 }
    }

    /// Chooses so often, and tells which were chosen.
    fn chosen(rule: PlacementRule, rooms: &mut [Room], times: u64) -> Vec<usize> {
        let mut all = Vec::new();
        for turn in 1..=times {
            if let Some(at) = choose(rule, rooms.iter().enumerate()) {
                rooms[at].taken += 1;
                rooms[at].chosen = turn;
                all.push(at);
            }
        }
        all
    }

    #[test]
    fn the_least_loaded_node_is_chosen_and_full_ones_never() {
        let rule = PlacementRule::LeastLoaded;
        let rooms = [room(1, 4, 2), room(2, 8, 2), room(3, 1, 1), room(4, 0, 0)];
        assert_eq!(choose(rule, rooms.iter().enumerate()), Some(1));
        let full = [room(1, 1, 1), room(2, 0, 0), room(3, 1, 2)];
        assert_eq!(choose(rule, full.iter().enumerate()), None);
    }

    #[test]
    fn equally_loaded_nodes_take_turns_however_soon_their_jobs_end() {
        let mut rooms = [room(1, 2, 0), room(2, 2, 0), room(3, 2, 0)];
        let mut all = Vec::new();
        for turn in 1..=6 {
            let at = choose(PlacementRule::LeastLoaded, rooms.iter().enumerate()).expect("all are free");
            rooms[at].chosen = turn;
            all.push(at);
        }
        assert_eq!(all, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_larger_node_gets_its_share_by_load_and_its_turn_by_turns() {
        let rooms = || [room(1, 2, 0), room(2, 6, 0)];
        let by_load = chosen(PlacementRule::LeastLoaded, &mut rooms(), 8);
        assert_eq!(by_load.iter().filter(|at| **at == 1).count(), 6);
        assert_eq!(by_load[..4].iter().filter(|at| **at == 1).count(), 3);
        assert_eq!(chosen(PlacementRule::RoundRobin, &mut rooms(), 6), [0, 1, 0, 1, 1, 1]);
    }

    #[test]
    fn a_rule_is_known_by_its_word() {
        for rule in PlacementRule::ALL {
            assert_eq!(rule.as_str().parse(), Ok(rule));
        }
        assert!("random".parse::<PlacementRule>().is_err());
    }
}
