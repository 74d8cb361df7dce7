//! `demo`: shows a workload on a platform of its own, as a table that is redrawn on a terminal and as a line a change
//! elsewhere.

use std::io::{IsTerminal, Write};

use callboard_actors::model::time::short_duration;
use comfy_table::{Table, presets};

use super::args::DemoArgs;
use super::commands::print;
use super::exit::{self, CONFIG, Failure, INTERRUPTED};
use super::style::{self, marked, painted, plain};
use crate::config::Environment;
use crate::demo::{Demo, DemoOptions, Shown, WORKLOAD, perform};
use crate::node::{Node, StopSignals};

/// Runs the demo. Returns the exit code.
pub async fn run(args: &DemoArgs, environment: &Environment) -> i32 {
    let bind = args.bind.as_ref().map(|bind| bind.0);
    if let Some(open) = bind.filter(|bind| !bind.ip().is_loopback()) {
        let why = format!("{open}: the demo has no token, so --bind takes a loopback address only");
        return Failure::new(CONFIG, why).report();
    }
    let mut signals = StopSignals::listen();
    let options = DemoOptions { bind, slots: args.slots as usize, data_dir: args.data_dir.clone() };
    let mut demo = match Demo::start(&options).await {
        Ok(demo) => demo,
        Err(error) => return Failure::node(&error).report(),
    };
    let shown = match greet(&demo) {
        Ok(()) => show(&mut demo, &mut signals, args.exit, Board::new(environment)).await,
        Err(failure) => Err(failure),
    };
    let code = shown.unwrap_or_else(|failure| failure.report());
    tokio::select! {
        () = stop(demo) => code,
        () = signals.next() => INTERRUPTED,
    }
}

/// The folder goes when the node has stopped.
async fn stop(demo: Demo) {
    let Demo { node, folder, .. } = demo;
    node.stop(0).await;
    drop(folder);
}

/// Shows the jobs to their end, and then serves until a signal unless it is to exit. The exit code.
async fn show(
    demo: &mut Demo,
    signals: &mut StopSignals,
    exit: bool,
    mut board: Board,
) -> Result<i32, Failure> {
    let surprises = tokio::select! {
        surprises = perform(&demo.url, |jobs| board.show(jobs)) => surprises?,
        failure = died(&mut demo.node) => return Err(failure),
        () = signals.next() => {
            return Err(Failure::new(INTERRUPTED, "stopped before the jobs were over"));
        }
    };
    for surprise in &surprises {
        exit::say(surprise);
    }
    let jobs = WORKLOAD.len();
    print(&match surprises.len() {
        0 => format!("all {jobs} jobs ended as planned"),
        some => format!("{some} of {jobs} jobs did not end as planned"),
    })?;
    if !exit {
        exit::say(&format!("still serving at {}; Ctrl-C ends it", demo.url));
        tokio::select! {
            () = signals.next() => {}
            failure = died(&mut demo.node) => return Err(failure),
        }
    }
    Ok(i32::from(!surprises.is_empty()))
}

async fn died(node: &mut Node) -> Failure {
    Failure::node(&node.died().await)
}

/// Where to look, and what to try.
fn greet(demo: &Demo) -> Result<(), Failure> {
    let url = &demo.url;
    if let Some(port) = demo.taken {
        exit::say(&format!("port {port} is in use, so the demo has taken a free one"));
    }
    print(&format!(
        "a platform of its own answers at {url}\n\
         \x20 jobs     {url}/v1/jobs\n\
         \x20 metrics  {url}/metrics\n\
         \x20 health   {url}/health\n\
         \x20 API      {url}/openapi.json\n\
         \x20 try      callboard --server {url} list\n"
    ))
}

/// Where the jobs are shown.
struct Board {
    /// Whether the last picture can be drawn over.
    redraws: bool,
    colours: bool,
    /// Lines of the last picture.
    lines: usize,
    /// The statuses that were told, where each is told once.
    told: Vec<String>,
}

impl Board {
    fn new(environment: &Environment) -> Self {
        let terminal =
            std::io::stdout().is_terminal() && environment.get("TERM").is_some_and(|term| term != "dumb");
        Self { redraws: terminal, colours: style::on_stdout(), lines: 0, told: Vec::new() }
    }

    fn show(&mut self, jobs: &[Shown]) {
        if self.redraws { self.redraw(jobs) } else { self.tell(jobs) }
    }

    /// Draws over the last picture, with a terminal that breaks no line: a broken one could not be drawn over.
    fn redraw(&mut self, jobs: &[Shown]) {
        let picture = table(jobs, self.colours);
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        let lines: Vec<String> = picture.lines().map(|line| format!("\x1b[2K{line}")).collect();
        self.lines = lines.len();
        let mut out = std::io::stdout().lock();
        // A terminal that is gone needs no picture.
        let _ = write!(out, "\x1b[?7l{up}{}\n\x1b[?7h", lines.join("\n")).and_then(|()| out.flush());
    }

    /// One line for each job that has changed.
    fn tell(&mut self, jobs: &[Shown]) {
        self.told.resize(jobs.len(), String::new());
        for (shown, told) in jobs.iter().zip(&mut self.told) {
            if *told != shown.job.status {
                told.clone_from(&shown.job.status);
                // The line at the end says whether it can be written.
                let _ = print(&line(shown));
            }
        }
    }
}

fn line(shown: &Shown) -> String {
    let Shown { planned, job } = shown;
    let how = match (outcome(shown), verdict(shown)) {
        (outcome, "") => outcome,
        (outcome, verdict) => format!("{outcome}, {verdict}"),
    };
    let how = if how.is_empty() { how } else { format!(": {how}") };
    plain(&format!("{} {} {}{how}", job.id, planned.name, job.status))
}

fn table(jobs: &[Shown], colours: bool) -> String {
    let status = |word: &str| if colours { marked(&plain(word)) } else { plain(word) };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", &status("STATUS"), "RUNTIME", "OUTCOME", ""]);
    for shown in jobs {
        let Shown { planned, job } = shown;
        let runtime = job.runtime_ms.map(|ms| short_duration(ms as u64)).unwrap_or_default();
        table.add_row([
            planned.name.to_owned(),
            status(&job.status),
            runtime,
            plain(&outcome(shown)),
            verdict(shown).into(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    painted(&table.trim_fmt())
}

/// Why it ended, or why it waits.
fn outcome(shown: &Shown) -> String {
    let job = &shown.job;
    match (&job.reason, job.exit_code, &job.signal) {
        (_, Some(code), _) => format!("exit code {code}"),
        (Some(reason), None, Some(signal)) => format!("{reason} {signal}"),
        (Some(reason), None, None) => reason.clone(),
        (None, None, _) => String::new(),
    }
}

fn verdict(shown: &Shown) -> &'static str {
    match shown.verdict() {
        None => "",
        Some(true) => "as planned",
        Some(false) => "NOT AS PLANNED",
    }
}
