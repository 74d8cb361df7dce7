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
        text.push_str(&lost(audit.lost()));
    }
    Ok(HttpResponse::Ok().content_type(PROMETHEUS_TEXT).body(text))
}

fn lost(entries: u64) -> String {
    const NAME: &str = "callboard_audit_lost_total";
    format!(
        "# HELP {NAME} Entries that did not reach the audit log.\n# TYPE {NAME} counter\n{NAME} {entries}\n"
    )
}
