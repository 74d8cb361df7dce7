//! What is told of runners: their names and labels, and what their silence means.

use std::collections::BTreeMap;

use callboard_actors::link::LivenessTimers;
use callboard_actors::model::requires::is_name;
use callboard_actors::model::runner_spec::{MAX_NODE_LABELS, MAX_NODE_NAME_BYTES};

use super::refuse_unless;
use crate::config::sections::LivenessSection;
use crate::config::{ConfigError, Label, List, LivenessProfile};

pub(super) fn name(told: Option<String>) -> Result<Option<String>, ConfigError> {
    refuse_unless(told.as_deref().is_none_or(is_name), || {
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
    refuse_unless(count <= MAX_NODE_LABELS, || {
        format!("labels has {count}: at most {MAX_NODE_LABELS} are possible")
    })?;
    Ok(labels)
}

pub(super) fn timers(
    profile: LivenessProfile,
    told: &LivenessSection,
) -> Result<LivenessTimers, ConfigError> {
    let base = LivenessTimers::profile(profile.as_str()).unwrap_or_default();
    let timers = LivenessTimers {
        heartbeat_ms: told.heartbeat.as_ref().map_or(base.heartbeat_ms, |time| time.0),
        suspect_ms: told.suspect.as_ref().map_or(base.suspect_ms, |time| time.0),
        unreachable_ms: told.unreachable.as_ref().map_or(base.unreachable_ms, |time| time.0),
        lost_ms: told.lost.as_ref().map_or(base.lost_ms, |time| time.0),
        fence_ms: told.fence.as_ref().map_or(base.fence_ms, |time| time.0),
        fence_grace_ms: told.fence_grace.as_ref().map_or(base.fence_grace_ms, |time| time.0),
        fenced_lost_ms: told.fenced_lost.as_ref().map_or(base.fenced_lost_ms, |time| time.0),
        recovery_ms: told.recovery.as_ref().map_or(base.recovery_ms, |time| time.0),
        ..base
    };
    timers.check().map_err(|error| ConfigError::Together(format!("liveness: {error}")))?;
    Ok(timers)
}
