//! Whether the platform takes in more jobs. It knows counts and limits, not who asks.

/// Whether `asked` more jobs fit beside `live` ones under `limit`.
pub fn has_room(live: usize, asked: usize, limit: usize) -> bool {
    live.checked_add(asked).is_some_and(|total| total <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_given_and_no_more() {
        assert!(has_room(9, 1, 10));
        assert!(!has_room(10, 1, 10));
        assert!(!has_room(usize::MAX, 1, usize::MAX));
    }
}
