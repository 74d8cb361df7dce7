//! Wire shapes are promises: a kept sample of each struct of proto 1 is read, and written again as it was. A change
//! that fails here would cut off nodes of another version; make a new proto, and keep these.

use callboard_actors::link::{Command, DrainOrder, Draining, PROTO, Report, ReportReply};
use callboard_actors::model::{AttemptEnd, ClusterId, SetupStage, Term};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn kept<T: Serialize + DeserializeOwned>(sample: &str) -> T {
    let written: serde_json::Value = serde_json::from_str(sample).expect("the sample is JSON");
    let read: T = serde_json::from_str(sample).expect("the sample can still be read");
    assert_eq!(serde_json::to_value(&read).expect("it can be written"), written);
    read
}

#[test]
fn reports_keep_their_shape() {
    let report: Report = kept(include_str!("golden/report.json"));
    assert_eq!(report.proto, PROTO);
    assert_eq!((report.started.len(), report.finished.len(), report.returned.len()), (1, 8, 1));
    assert_eq!((report.term_seen, report.prefetch, report.draining), (Term(3), 4, Draining::Ordered));
}

/// Nodes that know of no limits say nothing of them.
#[test]
fn reports_from_before_limits_are_still_read() {
    let sample = include_str!("golden/report_before_limits.json");
    let report: Report = serde_json::from_str(sample).expect("the sample can still be read");
    assert_eq!(report.finished.len(), 6);
    assert!(
        report
            .finished
            .iter()
            .all(|result| result.usage.oom_kills == 0 && result.isolation.limits.is_empty())
    );
}

/// Nodes that tell no step and no layer.
#[test]
fn reports_from_before_stages_are_still_read() {
    let sample = include_str!("golden/report_before_stages.json");
    let report: Report = serde_json::from_str(sample).expect("the sample can still be read");
    assert_eq!(report.finished.len(), 8);
    for result in &report.finished {
        match &result.end {
            AttemptEnd::SandboxError { stage, .. } => assert_eq!(*stage, SetupStage::Silent),
            AttemptEnd::Unavailable { missing, .. } => assert!(missing.is_empty()),
            _ => {}
        }
    }
}

/// Nodes that end nothing by themselves when they have lost their coordinator.
#[test]
fn reports_from_before_fences_are_still_read() {
    let sample = include_str!("golden/report_before_fences.json");
    let report: Report = serde_json::from_str(sample).expect("the sample can still be read");
    let fenced = report.finished.iter().filter_map(|result| match result.end {
        AttemptEnd::Lost { fenced, .. } => Some(fenced),
        _ => None,
    });
    assert_eq!(fenced.collect::<Vec<_>>(), [false]);
}

/// Nodes that keep no artifacts.
#[test]
fn reports_from_before_artifacts_are_still_read() {
    let sample = include_str!("golden/report_before_artifacts.json");
    let report: Report = serde_json::from_str(sample).expect("the sample can still be read");
    assert_eq!(report.finished.len(), 8);
    assert!(report.finished.iter().all(|result| result.artifacts.is_empty()));
}

/// Nodes that do not tell whether all of a job was killed at once.
#[test]
fn reports_from_before_whole_kills_are_still_read() {
    let sample = include_str!("golden/report_before_whole_kills.json");
    let report: Report = serde_json::from_str(sample).expect("the sample can still be read");
    let whole = report.finished.iter().filter_map(|result| match result.end {
        AttemptEnd::OutOfMemory { whole, .. } => Some(whole),
        _ => None,
    });
    assert_eq!(whole.collect::<Vec<_>>(), [false]);
}

/// Nodes that tell no term, hold nothing in advance and cannot be told to drain.
#[test]
fn reports_from_before_terms_are_still_read() {
    for sample in
        [include_str!("golden/report_before_terms.json"), include_str!("golden/heartbeat_before_terms.json")]
    {
        let report: Report = serde_json::from_str(sample).expect("the sample can still be read");
        assert_eq!((report.term_seen, report.prefetch, report.draining), (Term(0), 0, Draining::No));
    }
}

/// Commands that name no cluster are read, and belong to none: a node refuses them.
#[test]
fn commands_from_before_terms_are_still_read() {
    for sample in [
        include_str!("golden/command_before_terms.json"),
        include_str!("golden/command_files_before_terms.json"),
        include_str!("golden/command_secret_before_terms.json"),
    ] {
        let command: Command = serde_json::from_str(sample).expect("the sample can still be read");
        assert_eq!(command.cluster, ClusterId::from_bytes([0; 16]));
        assert_eq!((command.retract.len(), command.draining), (0, None));
    }
}

#[test]
fn heartbeats_keep_their_shape() {
    let report: Report = kept(include_str!("golden/heartbeat.json"));
    assert_eq!(report.proto, PROTO);
}

#[test]
fn commands_keep_their_shape() {
    let command: Command = kept(include_str!("golden/command.json"));
    assert_eq!(command.proto, PROTO);
    assert_eq!((command.assign.len(), command.cancel.len(), command.retract.len()), (3, 1, 1));
    assert_eq!(command.draining, Some(DrainOrder { deadline_ms: Some(600_000) }));
}

#[test]
fn commands_with_secrets_keep_their_shape_and_show_names_only() {
    let command: Command = kept(include_str!("golden/command_secret.json"));
    let shown = format!("{command:?}");
    assert_eq!(command.assign[0].spec.secret_env.names(), ["TOKEN"]);
    assert!(shown.contains("TOKEN") && !shown.contains("AQABAgME") && !shown.contains("sealed"), "{shown}");
}

#[test]
fn commands_with_files_limits_and_demands_keep_their_shape() {
    let command: Command = kept(include_str!("golden/command_files.json"));
    let spec = &command.assign[0].spec;
    assert_eq!((spec.files[0].bytes.as_slice(), spec.artifacts.len()), (&[0, 255, 33][..], 2));
}

#[test]
fn answers_keep_their_shape() {
    let reply: ReportReply = kept(include_str!("golden/report_reply.json"));
    assert_eq!(reply.verdicts.len(), 4);
}
