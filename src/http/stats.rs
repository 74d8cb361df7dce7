//! `GET /v1/stats`: how it goes, in one small object. It counts nothing itself.

use actix_web::{HttpRequest, HttpResponse};
use callboard_actors::clock;
use callboard_actors::model::spread::Spread;
use callboard_actors::model::time;
use callboard_actors::protocol::metrics::WindowCounts;

use super::access::Visit;
use super::api::{SpreadBody, StatsBody, StatusCounts, WindowBody};
use super::problem::Problem;
use super::{events, kinds, params};

/// Counts, throughput, waits and run times, slots, and what is kept.
#[utoipa::path(
    get, path = "/v1/stats", operation_id = "stats", tag = "operation",
    responses((status = 200, body = StatsBody, description = "How it goes.")),
)]
pub async fn show(door: Visit, request: HttpRequest) -> Result<HttpResponse, Problem> {
    params::query::<params::Nothing>(&request)?;
    let platform = &door.platform;
    let gone = || Problem::new(&kinds::UNAVAILABLE, "the actors do not answer");
    let stats = platform.stats().await.ok_or_else(gone)?;
    let totals = platform.totals().await?;
    let health = platform.health().await;
    let slots = |of: fn(&callboard_actors::protocol::RunnerSummary) -> u32| {
        health.runners.iter().map(|runner| u64::from(of(runner))).sum()
    };
    let [completed, failed, cancelled] = totals.ended;
    Ok(HttpResponse::Ok().json(StatsBody {
        at: time::rfc3339(clock::now_ms()),
        jobs: StatusCounts { pending: stats.pending, running: stats.running, completed, failed, cancelled },
        windows: stats.windows.iter().map(window).collect(),
        wait_ms: spread(&stats.wait_us),
        run_ms: spread(&stats.run_us),
        slots: slots(|runner| runner.usable_slots),
        slots_used: slots(|runner| runner.taken),
        paused: health.paused,
        oldest_waiting_at: stats.oldest_waiting_ms.map(time::rfc3339),
        store_bytes: totals.size_bytes,
        retained_bytes: totals.retained_bytes,
        last_event: events::cursor(platform.events(), platform.events().newest()),
    }))
}

fn window(counts: &WindowCounts) -> WindowBody {
    let [completed, failed, cancelled] = counts.ended;
    let seconds = counts.span_ms as f64 / 1000.0;
    let ended: u64 = counts.ended.iter().sum();
    WindowBody {
        minutes: counts.minutes,
        counted_seconds: seconds,
        accepted: counts.accepted,
        completed,
        failed,
        cancelled,
        // Right after a start a job would be said to come a thousand times a second.
        ended_per_second: round(ended as f64 / seconds.max(1.0)),
    }
}

fn spread(us: &Spread) -> SpreadBody {
    let ms = |us: u64| round(us as f64 / 1000.0);
    SpreadBody { count: us.count, p50: ms(us.p50), p95: ms(us.p95), p99: ms(us.p99), max: ms(us.max) }
}

/// Three digits are more than is known.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
