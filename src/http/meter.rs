//! Counts requests without a lock or an allocation, and writes the counts as Prometheus text. It knows the closed
//! sets of routes, methods and codes, so that no stranger can invent a label.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};

use callboard_actors::model::meter::{CountMeter, DurationMeter};

use super::access::STOP_REASONS;
use super::routes::Route;

const ROUTES: usize = Route::ALL.len() + 1;
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "other"];
const CODES: [u16; 23] = [
    200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 416, 422, 429, 431, 500,
    503, 0,
];

#[derive(Debug, Default)]
struct Cell {
    codes: [CountMeter; CODES.len()],
    duration: DurationMeter,
}

/// Counts of one server.
#[derive(Debug)]
pub struct HttpMeter {
    /// Callers who were not let in, by [`STOP_REASONS`].
    pub auth_failures: [CountMeter; STOP_REASONS.len()],
    cells: Vec<[Cell; METHODS.len()]>,
    in_flight: AtomicI64,
}

impl Default for HttpMeter {
    fn default() -> Self {
        Self {
            auth_failures: Default::default(),
            cells: (0..ROUTES).map(|_| Default::default()).collect(),
            in_flight: AtomicI64::new(0),
        }
    }
}

/// One request that is being answered; dropping it ends that.
#[derive(Debug)]
pub struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpMeter {
    /// A request begins.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// A request was answered, up to the head of the answer. `route` is none when no route matched.
    pub fn count(&self, route: Option<Route>, method: &str, code: u16, took_us: u64) {
        let row = route.map_or(Route::ALL.len(), |route| route as usize);
        let cell = &self.cells[row][method_index(method)];
        cell.codes[code_index(code)].add(1);
        cell.duration.observe_us(took_us);
    }

    /// The counts in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(4096);
        self.render_counts(&mut out);
        self.render_durations(&mut out);
        self.render_auth_failures(&mut out);
        out.push_str("# HELP callboard_http_requests_in_flight Requests whose answer has not begun.\n");
        out.push_str("# TYPE callboard_http_requests_in_flight gauge\n");
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let _ = writeln!(out, "callboard_http_requests_in_flight {in_flight}");
        out
    }

    fn render_counts(&self, out: &mut String) {
        out.push_str("# HELP callboard_http_requests_total Requests that were answered.\n");
        out.push_str("# TYPE callboard_http_requests_total counter\n");
        for (labels, cell) in self.labelled() {
            for (code, count) in CODES.iter().zip(&cell.codes) {
                let count = count.read();
                if count > 0 {
                    let code = if *code == 0 { "other".into() } else { code.to_string() };
                    let _ =
                        writeln!(out, "callboard_http_requests_total{{{labels},code=\"{code}\"}} {count}");
                }
            }
        }
    }

    fn render_auth_failures(&self, out: &mut String) {
        const NAME: &str = "callboard_auth_failures_total";
        let _ = writeln!(out, "# HELP {NAME} Requests that were refused for want of a valid token.");
        let _ = writeln!(out, "# TYPE {NAME} counter");
        for (reason, count) in STOP_REASONS.iter().zip(&self.auth_failures) {
            let _ = writeln!(out, "{NAME}{{reason=\"{reason}\"}} {}", count.read());
        }
    }

    fn render_durations(&self, out: &mut String) {
        const NAME: &str = "callboard_http_request_duration_seconds";
        let _ = writeln!(out, "# HELP {NAME} Time from a request's head to its answer's head.");
        let _ = writeln!(out, "# TYPE {NAME} histogram");
        for (labels, cell) in self.labelled() {
            let (buckets, count, sum_us) = cell.duration.read();
            if count == 0 {
                continue;
            }
            let mut below = 0;
            for (bound_us, bucket) in DurationMeter::BOUNDS_US.iter().zip(buckets) {
                below += bucket;
                let bound = seconds(*bound_us);
                let _ = writeln!(out, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            // The count is read after the buckets, and they may have grown in between.
            let count = count.max(below);
            let _ = writeln!(out, "{NAME}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{NAME}_sum{{{labels}}} {}", seconds(sum_us));
            let _ = writeln!(out, "{NAME}_count{{{labels}}} {count}");
        }
    }

    fn labelled(&self) -> impl Iterator<Item = (String, &Cell)> {
        self.cells.iter().enumerate().flat_map(|(row, cells)| {
            let route = Route::ALL.get(row).map_or("unmatched", |route| route.path());
            let labels = move |method| format!("method=\"{method}\",route=\"{route}\"");
            METHODS.iter().zip(cells).map(move |(method, cell)| (labels(method), cell))
        })
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn method_index(method: &str) -> usize {
    let other = METHODS.len() - 1;
    METHODS.iter().position(|known| *known == method).unwrap_or(other)
}

fn code_index(code: u16) -> usize {
    let other = CODES.len() - 1;
    CODES.iter().position(|known| *known == code).unwrap_or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_invent_labels() {
        let meter = HttpMeter::default();
        meter.count(None, "BREW", 418, 70);
        let text = meter.render();
        assert!(text.contains(
            "callboard_http_requests_total{method=\"other\",route=\"unmatched\",code=\"other\"} 1\n"
        ));
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_its_count() {
        let meter = HttpMeter::default();
        for us in [50, 200, 60_000_000] {
            meter.count(Some(Route::Jobs), "POST", 200, us);
        }
        let text = meter.render();
        let labels = "method=\"POST\",route=\"/jobs\"";
        for (le, count) in [("0.0001", 1), ("0.00025", 2), ("30", 2), ("+Inf", 3)] {
            let line =
                format!("callboard_http_request_duration_seconds_bucket{{{labels},le=\"{le}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn a_request_is_in_flight_until_its_guard_is_dropped() {
        let meter = HttpMeter::default();
        let guard = meter.begin();
        assert!(meter.render().ends_with("in_flight 1\n"));
        drop(guard);
        assert!(meter.render().ends_with("in_flight 0\n"));
    }
}
