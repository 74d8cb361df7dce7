//! `GET /metrics`: the platform's metrics, and the door's own behind them. It knows no metric of the platform.

use actix_web::HttpResponse;

use super::access::Visit;
use super::kinds;
use super::problem::Problem;

/// Media type of Prometheus' text format, as the original wrote it.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "original",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4", description = "Prometheus text.")),
)]
pub async fn show(door: Visit) -> Result<HttpResponse, Problem> {
    let Some(mut text) = door.platform.metrics().await else {
        return Err(Problem::new(&kinds::UNAVAILABLE, "the platform has stopped"));
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&door.meter.render());
    if let Some(audit) = &door.audit {
        const LOST: &str = "Entries that did not reach the audit log.";
        const LEFT_OUT: &str =
            "Refusals that the audit log does not have: there were too many of one caller.";
        text.push_str(&counter("callboard_audit_lost_total", LOST, audit.lost()));
        text.push_str(&counter("callboard_audit_left_out_total", LEFT_OUT, door.refusals.left_out()));
    }
    Ok(HttpResponse::Ok().content_type(PROMETHEUS_TEXT).body(text))
}

fn counter(name: &str, help: &str, count: u64) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}\n")
}
