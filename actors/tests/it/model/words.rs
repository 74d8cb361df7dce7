//! The closed vocabularies, word for word, and durations as people write them.

use callboard_actors::model::time::{parse_duration_ms, short_duration};
use callboard_actors::model::{EndReason, Status, WaitReason};
use proptest::prelude::*;

const COMPLETED: &str = "exited";
const FAILED: &str = "exit_code signal timeout oom output_limit disk_limit spawn_error sandbox_error \
    isolation_unavailable runner_lost poison dependency_failed deadline";
const CANCELLED: &str = "user fail_fast preempted shutdown";
const WAITING: &str = "resources priority dependency held not_before retry_backoff quota concurrency_limit \
    array_limit queue_paused no_capable_runner reserved";

fn words(of: Status) -> Vec<&'static str> {
    let all = EndReason::ALL.iter().copied();
    all.filter(|reason| reason.status() == of).map(EndReason::as_str).collect()
}

#[test]
fn jobs_end_for_exactly_the_settled_reasons() {
    for (status, expected) in [
        (Status::Completed, COMPLETED),
        (Status::Failed, FAILED),
        (Status::Cancelled, CANCELLED),
        (Status::Pending, ""),
        (Status::Running, ""),
    ] {
        assert_eq!(words(status), expected.split_whitespace().collect::<Vec<_>>(), "{status}");
    }
}

#[test]
fn jobs_wait_for_exactly_the_settled_reasons() {
    let words: Vec<&str> = WaitReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words, WAITING.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn every_word_is_read_as_it_is_written_and_written_alike_everywhere() {
    for reason in EndReason::ALL {
        assert_eq!(EndReason::parse(reason.as_str()), Some(*reason));
        assert_eq!(serde_json::to_value(reason).expect("a word"), reason.as_str());
    }
    for reason in WaitReason::ALL {
        assert_eq!(WaitReason::parse(reason.as_str()), Some(*reason));
        assert_eq!(serde_json::to_value(reason).expect("a word"), reason.as_str());
    }
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
        assert_eq!(serde_json::to_value(status).expect("a word"), status.as_str());
    }
}

/// What `short_duration` leaves out of such a duration, at most.
fn precision_ms(ms: u64) -> u64 {
    match ms {
        0..1_000 => 1,
        1_000..60_000 => 10,
        60_000..3_600_000 => 1_000,
        3_600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    }
}

proptest! {
    #[test]
    fn other_words_are_no_reasons(word in "[a-z_]{0,12}") {
        prop_assert_eq!(EndReason::parse(&word).map(EndReason::as_str).unwrap_or(&word), word.as_str());
        prop_assert_eq!(WaitReason::parse(&word).map(WaitReason::as_str).unwrap_or(&word), word.as_str());
    }

    #[test]
    fn any_text_is_read_calmly_as_a_duration(text in ".*") {
        let _ = parse_duration_ms(&text);
    }

    #[test]
    fn text_that_looks_like_a_duration_is_read_calmly(text in "[0-9.eE+-]{0,8}(ms|s|m|h|d)?[0-9.]{0,4}(ms|s|m|h|d)?") {
        if let Ok(ms) = parse_duration_ms(&text) {
            prop_assert!(ms <= 3_200_000_000_000);
        }
    }

    #[test]
    fn short_durations_are_read_back_as_they_were_shown(digits in 0u32..13, part in 0u64..10_000) {
        let ms = (10u64.pow(digits) / 10_000).max(1) * part;
        let read = parse_duration_ms(&short_duration(ms)).expect("it can be read");
        prop_assert!(read <= ms && ms - read < precision_ms(ms), "{} is {} and not {}", short_duration(ms), read, ms);
        prop_assert_eq!(short_duration(read), short_duration(ms));
    }

    #[test]
    fn bare_numbers_are_seconds(seconds in 0u64..1_000_000_000) {
        prop_assert_eq!(parse_duration_ms(&seconds.to_string()), Ok(seconds * 1_000));
    }
}
