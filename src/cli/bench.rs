//! `bench`: what was asked becomes a measurement, its report becomes text.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use super::args::{BenchArgs, Global};
use super::commands::{print, print_json};
use super::exit::{self, Failure};
use crate::bench::{
    BenchError, BenchOptions, NodeCounts, machine_cores, run as measure, run_nodes as measure_nodes,
    run_remote as measure_remote, run_rooms as measure_rooms,
};
use crate::config::OutputForm;

/// Jobs that run at once for each core, unless told: very short jobs wait for the disk longer than they run.
const SLOTS_PER_CORE: usize = 12;

/// Measures and prints. Returns the exit code.
pub async fn run(args: &BenchArgs, global: &Global) -> i32 {
    let options = BenchOptions {
        span: Duration::from_millis(args.span),
        rounds: args.rounds as usize,
        slots: args.slots.map_or_else(|| SLOTS_PER_CORE * machine_cores(), |slots| slots as usize),
        connections: args.connections as usize,
        queued: args.queued as usize,
        data_dir: args.data_dir.clone(),
        user: args.user.clone(),
    };
    let say = |what: &str| {
        if !global.quiet {
            exit::say(&format!("measuring {what}"));
        }
    };
    let counts = NodeCounts { busy: args.nodes as usize, idle: args.idle_nodes as usize };
    if counts.busy + counts.idle > 0 {
        return tell(measure_nodes(&options, counts, say).await, global);
    }
    if args.remote {
        return tell(measure_remote(&options, say).await, global);
    }
    if args.isolation == "sandbox" {
        return tell(measure_rooms(&options, say).await, global);
    }
    tell(measure(&options, say).await, global)
}

fn tell<R: Serialize + Display>(report: Result<R, BenchError>, global: &Global) -> i32 {
    match report {
        Ok(report) if global.said_form() == Some(OutputForm::Json) => {
            print_json(&report).map_or_else(|failure| failure.report(), |()| 0)
        }
        Ok(report) => print(&report.to_string()).map_or_else(|failure| failure.report(), |()| 0),
        Err(error) => Failure::new(1, error.to_string()).report(),
    }
}
