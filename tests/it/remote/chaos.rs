//! A coordinator and three runners that are killed, stopped, told to end and cut off in a loop while clients submit. What
//! ran is read from a file that the jobs wrote and held against the records. `CALLBOARD_CHAOS_SEED` replays the order of
//! the faults (not their very moments), `CALLBOARD_CHAOS_ROUNDS` asks for more of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{coordinator, runner, until, until_ready, url};
use crate::evidence::{Traces, all_jobs, lost_epochs, read_evidence, wait_until_all_ended};
use crate::fault::{FaultProxy, Way};
use crate::server::{Launch, Server, free_port, request, send};

const ROUNDS: u64 = 14;
/// Epochs that a job may lose: some of these rounds end every attempt there is.
const MAX_LOST: &str = "100";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Numbers by a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pause(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most_ms)));
    }
}

/// A process that can be started again as it was.
struct Member {
    launch: Launch,
    server: Server,
}

impl Member {
    fn start(launch: Launch) -> Self {
        Self { server: launch.clone().start(), launch }
    }

    fn again(&mut self) {
        self.server = self.launch.clone().start();
    }
}

struct Cluster {
    coordinator: Member,
    runners: Vec<Member>,
    ways: Vec<FaultProxy>,
}

impl Cluster {
    /// Two runners dial, the third is dialled, each over a way of its own.
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let dialled = runner(folder, "dialled").slots(3).on_port(free_port());
        let dialled = Member::start(dialled);
        let mut ways = vec![FaultProxy::to(dialled.server.port)];
        let launch = coordinator(folder)
            .variable("CALLBOARD_LOST", "4s")
            .variable("CALLBOARD_MAX_LOST", MAX_LOST)
            .variable("RUNNER_URL", &url(ways[0].port));
        let coordinator = Member::start(launch.on_port(port).unready());
        let mut runners = vec![dialled];
        for name in ["first", "second"] {
            let way = FaultProxy::to(port);
            let launch = runner(folder, name).slots(3).on_port(free_port());
            runners.push(Member::start(launch.variable("CALLBOARD_JOIN", &url(way.port))));
            ways.push(way);
        }
        until_ready(&coordinator.server);
        Self { coordinator, runners, ways }
    }

    /// One fault, and its end. Its name.
    fn suffer(&mut self, chance: &mut Chance) -> &'static str {
        let which = chance.below(3) as usize;
        match chance.below(8) {
            0 => {
                self.coordinator.server.kill();
                chance.pause(600);
                self.coordinator.again();
                "the coordinator is killed"
            }
            1 => {
                self.runners[which].server.kill();
                chance.pause(600);
                self.runners[which].again();
                "a runner is killed"
            }
            2 => {
                self.coordinator.server.kill();
                self.runners[which].server.kill();
                chance.pause(300);
                self.runners[which].again();
                chance.pause(300);
                self.coordinator.again();
                "both are killed"
            }
            3 => {
                stand_still(&self.coordinator.server, chance);
                "the coordinator stands still"
            }
            4 => {
                stand_still(&self.runners[which].server, chance);
                "a runner stands still"
            }
            5 => {
                let bad = [Way::Cut, Way::HalfOpen, Way::Deaf][chance.below(3) as usize];
                self.cut(which..=which, bad, 300 + chance.below(1_500));
                "a way is bad"
            }
            6 => {
                self.cut(0..=2, Way::HalfOpen, 300 + chance.below(1_500));
                "all ways are bad"
            }
            _ => {
                assert_eq!(self.runners[which].server.terminate(), Some(0), "a drain ends well");
                self.runners[which].again();
                "a runner is told to end"
            }
        }
    }

    fn cut(&self, which: std::ops::RangeInclusive<usize>, how: Way, ms: u64) {
        self.ways[which.clone()].iter().for_each(|way| way.set(how));
        std::thread::sleep(Duration::from_millis(ms));
        self.ways[which].iter().for_each(|way| {
            way.set(Way::Open);
            way.reset();
        });
    }
}

fn stand_still(server: &Server, chance: &mut Chance) {
    server.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(300));
    chance.pause(1_500);
    server.signal(Signal::CONT);
}

/// What was submitted, and how: a job that must not run twice, one that fails, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Never,
    Fails,
}

/// Submits under a key until it is answered, over and over: whatever happened to the coordinator meanwhile, there is one job
/// for each key.
fn load(client: u64, port: u16, evidence: &Path, accepted: &Mutex<HashMap<String, Kind>>, stop: &AtomicBool) {
    let (file, name) = (evidence.display(), "$CALLBOARD_JOB_ID $CALLBOARD_EPOCH");
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let kind = [Kind::Any, Kind::Any, Kind::Never, Kind::Fails][(n % 4) as usize];
        let seconds = [0.05, 0.2, 0.6, 1.2][(n / 4 % 4) as usize];
        let code = if kind == Kind::Fails { 3 } else { 0 };
        let on_lost = if kind == Kind::Never { "never" } else { "requeue" };
        let line =
            format!("echo start {name} >> {file}; sleep {seconds}; echo end {name} >> {file}; exit {code}");
        let body = json!({ "command": line, "on_lost": on_lost }).to_string();
        let text = request("POST", "/v1/jobs", &body);
        let keyed = text.replacen("\r\n", &format!("\r\nIdempotency-Key: {client}-{n}\r\n"), 1);
        let mut id = None;
        until("a submit is not answered", || {
            let answer = send(port, &keyed).filter(|answer| matches!(answer.status, 200 | 202));
            id = answer.and_then(|answer| answer.json()["id"].as_str().map(str::to_owned));
            id.is_some()
        });
        accepted.lock().unwrap().insert(id.unwrap(), kind);
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// The ends of all jobs that are over.
fn ends(server: &Server) -> BTreeMap<String, Value> {
    let is_over = |job: &Value| matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled"));
    let of = |job: &Value| {
        json!([job["status"], job["reason"], job["exit_code"], job["epoch"], job["finished_at"]])
    };
    let jobs = all_jobs(server);
    jobs.iter()
        .filter(|job| is_over(job))
        .map(|job| (job["id"].as_str().unwrap().to_owned(), of(job)))
        .collect()
}

fn judge(id: &str, kind: Kind, job: &Value, traces: &Traces) {
    let epoch = job["epoch"].as_u64().unwrap();
    let Traces { started, ended, .. } = traces;
    let distinct: HashSet<_> = started.iter().collect();
    assert_eq!(distinct.len(), started.len(), "{id}: one attempt was started twice: {started:?}");
    let lost = lost_epochs(job);
    for other in started.iter().filter(|started| **started != epoch) {
        assert!(lost.contains(other), "{id}: epoch {other} ran, which nobody noticed: {job}");
    }
    if kind == Kind::Never {
        assert!(started.len() <= 1, "{id} must not run twice: {started:?}");
    }
    let (wanted, code) = if kind == Kind::Fails { ("failed", 3) } else { ("completed", 0) };
    let ended_by_itself = job["status"] == wanted && job["exit_code"] == code;
    if ended_by_itself {
        assert!(ended.contains(&epoch), "{id}: epoch {epoch} never reached its end: {job}");
        return;
    }
    // Three different runners that lose a job are enough to call it poison.
    let reason = job["reason"].as_str().unwrap_or_default();
    let may = match reason {
        "runner_lost" => kind == Kind::Never,
        "poison" => lost.len() >= 3,
        _ => false,
    };
    assert!(may, "{id} ({kind:?}) ended as nothing here can make it end: {job}");
}

#[test]
fn whatever_is_killed_stopped_or_cut_off_nothing_is_lost_and_nothing_runs_twice_unnoticed() {
    let seed = number("CALLBOARD_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let rounds = number("CALLBOARD_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    println!("replay with CALLBOARD_CHAOS_SEED={seed}");
    let mut chance = Chance(seed);
    let folder = tempfile::tempdir().unwrap();
    let evidence: PathBuf = folder.path().join("evidence");
    std::fs::write(&evidence, "").unwrap();
    let mut cluster = Cluster::start(folder.path());
    let port = cluster.coordinator.server.port;
    let (accepted, stop) = (Arc::new(Mutex::new(HashMap::new())), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..2)
        .map(|client| {
            let (accepted, stop, evidence) = (Arc::clone(&accepted), Arc::clone(&stop), evidence.clone());
            std::thread::spawn(move || load(client, port, &evidence, &accepted, &stop))
        })
        .collect();
    let mut over = BTreeMap::new();
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(300));
        let what = cluster.suffer(&mut chance);
        println!("round {round}: {what}");
        let now = ends(&cluster.coordinator.server);
        for (id, end) in &over {
            assert_eq!(now.get(id), Some(end), "{id}: an end has changed");
        }
        over = now;
    }
    // Long enough for every silence to have its consequence: the runner goes on, and its jobs run elsewhere, too.
    cluster.cut(1..=1, Way::HalfOpen, 5_500);
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let server = &cluster.coordinator.server;
    wait_until_all_ended(server);
    let (accepted, seen) = (accepted.lock().unwrap(), read_evidence(&evidence));
    let jobs = all_jobs(server);
    let known: HashSet<_> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(known, accepted.keys().map(String::as_str).collect(), "one job for each key, and no other");
    assert!(seen.keys().all(|id| known.contains(id.as_str())), "a job ran that no record knows");
    assert!(jobs.len() as u64 > 2 * rounds, "only {} jobs were accepted", jobs.len());
    let nothing = Traces::default();
    for id in accepted.keys() {
        judge(id, accepted[id], &server.job(id), seen.get(id).unwrap_or(&nothing));
    }
    let repeated = seen.values().filter(|traces| traces.started.len() > 1).count();
    println!("{} jobs, {repeated} of them run again after a loss", jobs.len());
}
