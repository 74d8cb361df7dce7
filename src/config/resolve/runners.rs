//! What is told of runners: their names and labels, and what their silence means.

use std::collections::BTreeMap;

use callboard_actors::link::LivenessTimers;
use callboard_actors::model::runner_spec::MAX_NODE_NAME_BYTES;

use super::refuse_unless;
use crate::config::sections::LivenessSection;
use crate::config::{ConfigError, Label, List, LivenessProfile};

/// Most labels of a runner.
const MAX_LABELS: usize = 64;

pub(super) fn name(told: Option<String>) -> Result<Option<String>, ConfigError> {
    let fits = |name: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=MAX_NODE_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain)
    };
    refuse_unless(told.as_ref().is_none_or(fits), || {
        format!(
            "runner.name must be 1 to {MAX_NODE_NAME_BYTES} letters, digits, dots, dashes and underscores"
        )
    })?;
    Ok(told)
}

pub(super) fn labels(told: Option<List<Label>>) -> Result<BTreeMap<String, String>, ConfigError> {
    let labels: BTreeMap<_, _> =
        told.into_iter().flat_map(|labels| labels.0).map(|Label(key, value)| (key, value)).collect();
    let count = labels.len();
    refuse_unless(count <= MAX_LABELS, || format!("labels has {count}: at most {MAX_LABELS} are possible"))?;
    Ok(labels)
}

pub(super) fn timers(told: LivenessSection) -> Result<LivenessTimers, ConfigError> {
    let base = match told.profile {
        None | Some(LivenessProfile::Default) => LivenessTimers::default(),
        Some(LivenessProfile::Wan) => LivenessTimers::wan(),
        Some(LivenessProfile::Test) => LivenessTimers::test(),
    };
    let timers = LivenessTimers {
        heartbeat_ms: told.heartbeat.map_or(base.heartbeat_ms, |time| time.0),
        suspect_ms: told.suspect.map_or(base.suspect_ms, |time| time.0),
        unreachable_ms: told.unreachable.map_or(base.unreachable_ms, |time| time.0),
        lost_ms: told.lost.map_or(base.lost_ms, |time| time.0),
        ..base
    };
    timers.check().map_err(|error| ConfigError::Together(format!("liveness: {error}")))?;
    Ok(timers)
}
