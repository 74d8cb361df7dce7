//! A Runner whose results are kept on disk: it tells none before it is there, tells it again in its next life, and holds
//! none back when the disk fails.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, Context, Handler, MessageResult, Recipient};
use callboard_actors::exec::BaseEnv;
use callboard_actors::link::{
    Assignment, Command, CommandRefusal, Inventory, PROTO, Report, ReportReply, Verdict,
};
use callboard_actors::model::meter::Meter;
use callboard_actors::model::{
    AttemptEnd, AttemptId, ClusterId, Epoch, Exit, HealthBoard, Incarnation, JobId, JobSpec, NodeId, Term,
};
use callboard_actors::protocol::runner::{AssignAttempts, BeginReporting, Registration, RunnerReport, Tie};
use callboard_actors::protocol::{DeathGuard, NodeError};
use callboard_actors::runner::{Runner, RunnerSetup};
use callboard_actors::secret::{KeySource, Vault};
use callboard_actors::spool::results::{ResultLog, count_results};
use callboard_actors::testing::scripted_executor;
use tokio::sync::mpsc;

const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_bytes([7; 16]));

/// What the coordinator's double heard, and how it answers.
#[derive(Clone, Default)]
struct Desk {
    heard: Arc<Mutex<Vec<Report>>>,
    judges: Arc<AtomicBool>,
    /// Whose results must be on disk when they are told.
    log: Option<PathBuf>,
}

struct Double(Desk);

impl Actor for Double {
    type Context = Context<Self>;
}

impl Handler<RunnerReport> for Double {
    type Result = MessageResult<RunnerReport>;

    fn handle(&mut self, message: RunnerReport, _: &mut Context<Self>) -> Self::Result {
        let report = message.report;
        if let Some(log) = &self.0.log {
            let stored = count_results(&std::fs::read(log).expect("the log is there"));
            assert!(stored >= report.finished.len(), "{stored} on disk: {:?}", report.finished);
        }
        let judged = report.finished.iter().filter(|_| self.0.judges.load(Ordering::Relaxed));
        let verdicts = judged.map(|result| (result.attempt, Verdict::Recorded)).collect();
        let reply = ReportReply { n: report.n, verdicts, want_full_inventory: false };
        self.0.heard.lock().expect("no double panicked").push(report);
        MessageResult(Ok(reply))
    }
}

/// One life of a Runner, on a thread of its own that can be stopped at any moment.
struct Life {
    runner: Addr<Runner>,
    report: Recipient<RunnerReport>,
    cluster: ClusterId,
    arbiter: Arbiter,
    desk: Desk,
    meter: Arc<Meter>,
    incarnation: Incarnation,
    commands: u64,
}

impl Life {
    async fn begin(n: u64, log: ResultLog, desk: Desk) -> Self {
        let arbiter = Arbiter::new();
        let meter = Arc::new(Meter::default());
        let (counts, report) = (Arc::clone(&meter), Double(desk.clone()).start().recipient());
        let (sender, runner) = tokio::sync::oneshot::channel();
        arbiter.spawn_fn(move || drop(sender.send(runner_with(log, counts))));
        let runner = runner.await.expect("the thread runs");
        let cluster = ClusterId::from_bytes([0; 16]);
        Self { runner, report, cluster, arbiter, desk, meter, incarnation: Incarnation(n), commands: 0 }
    }

    async fn join(mut self, cluster: ClusterId, term: u64) -> Self {
        let registration = Registration { cluster, incarnation: self.incarnation, term: Term(term) };
        self.cluster = cluster;
        let report = self.report.clone();
        let begin = BeginReporting { registration, report, heartbeat_ms: 50, tie: Tie::Dialled, fence: None };
        self.runner.send(begin).await.expect("it lives").expect("it works for nobody else");
        self
    }

    async fn assign(&mut self, jobs: std::ops::Range<u8>, term: u64) -> Result<(), NodeError> {
        self.commands += 1;
        let spec = Arc::new(JobSpec::shell("true"));
        let assign =
            jobs.map(|n| Assignment { attempt: attempt(n), spec: Arc::clone(&spec), started_before: 0 });
        let command = Command {
            proto: PROTO,
            cluster: self.cluster,
            term: Term(term),
            incarnation: self.incarnation,
            cmd_no: self.commands,
            assign: assign.collect(),
            cancel: Vec::new(),
            retract: Vec::new(),
            draining: None,
            answered_n: 0,
        };
        self.runner.send(AssignAttempts { command }).await.expect("it lives")
    }

    /// Waits until something was heard.
    async fn heard<T>(&self, mut what: impl FnMut(&[Report]) -> Option<T>) -> T {
        for _ in 0..2000 {
            if let Some(found) = what(&self.desk.heard.lock().expect("no double panicked")) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within a patience: {:?}", self.desk.heard.lock().expect("no double panicked"));
    }

    async fn end(self) {
        self.arbiter.stop();
        tokio::task::spawn_blocking(|| self.arbiter.join())
            .await
            .expect("it was asked")
            .expect("it ends in peace");
    }
}

fn runner_with(log: ResultLog, meter: Arc<Meter>) -> Addr<Runner> {
    let (sender, events) = mpsc::unbounded_channel();
    let make = scripted_executor(4, |_| Some(AttemptEnd::Exited(Exit::Code(3))));
    let (died, _) = mpsc::unbounded_channel();
    let setup = RunnerSetup {
        hold_ms: 0,
        node: NodeId::from_bytes([1; 16]),
        executor: make(sender),
        base_env: BaseEnv::default(),
        vault: Vault::shared(KeySource::Ephemeral, &Arc::new(HealthBoard::default())),
        events,
        spool: None,
        results: Some(log),
        meter,
    };
    Runner::new(setup, DeathGuard::new("runner", died)).start()
}

fn attempt(n: u8) -> AttemptId {
    AttemptId::new(JobId::from_bytes([n; 16]), Epoch(1))
}

fn told(reports: &[Report]) -> Vec<AttemptId> {
    let mut told: Vec<_> =
        reports.iter().flat_map(|report| &report.finished).map(|result| result.attempt).collect();
    told.sort();
    told.dedup();
    told
}

fn open(dir: &Path) -> ResultLog {
    ResultLog::open(dir).expect("nothing is in the way")
}

#[actix::test]
async fn a_result_without_a_verdict_is_told_again_by_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let strict = || Desk { log: Some(dir.path().join("results.log")), ..Desk::default() };
    let mut first = Life::begin(1, open(dir.path()), strict()).await.join(CLUSTER, 1).await;
    first.assign(0..3, 1).await.unwrap();
    first.heard(|reports| (told(reports).len() == 3).then_some(())).await;
    first.end().await;

    let second = Life::begin(2, open(dir.path()), strict()).await.join(CLUSTER, 1).await;
    let report = second.heard(|reports| reports.first().cloned()).await;
    assert_eq!(told(std::slice::from_ref(&report)), [attempt(0), attempt(1), attempt(2)]);
    assert!(report.finished.iter().all(|result| result.end == AttemptEnd::Exited(Exit::Code(3))));
    assert!(matches!(&report.inventory, Inventory::Full(held) if held.len() == 3), "{:?}", report.inventory);
    second.desk.judges.store(true, Ordering::Relaxed);
    let judged_after = second.desk.heard.lock().unwrap().len();
    second.heard(|reports| (told(&reports[judged_after..]).len() == 3).then_some(())).await;
    // The answer has arrived when the next report has.
    let answered = second.desk.heard.lock().unwrap().len();
    second.heard(|reports| (reports.len() > answered + 1).then_some(())).await;
    second.end().await;

    let third = open(dir.path());
    assert!(third.held().is_empty(), "{:?}", third.held());
}

#[actix::test]
async fn results_of_another_cluster_are_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Life::begin(1, open(dir.path()), Desk::default()).await.join(CLUSTER, 9).await;
    first.assign(0..1, 9).await.unwrap();
    first.heard(|reports| (told(reports).len() == 1).then_some(())).await;
    first.end().await;
    let other = ClusterId::from_bytes([8; 16]);
    let mut second = Life::begin(1, open(dir.path()), Desk::default()).await.join(other, 1).await;
    second.assign(5..6, 1).await.expect("the other cluster's terms are not this one's");
    second.heard(|reports| (told(reports) == [attempt(5)]).then_some(())).await;
    second.end().await;
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let prefix = format!("results.{CLUSTER}.");
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with(&prefix)).count(), 1);
}

#[actix::test]
async fn a_node_goes_to_another_cluster_only_when_its_own_has_been_told_everything() {
    const OTHER: ClusterId = ClusterId(uuid::Uuid::from_bytes([8; 16]));
    let dir = tempfile::tempdir().unwrap();
    let mut life = Life::begin(1, open(dir.path()), Desk::default()).await.join(CLUSTER, 1).await;
    life.assign(0..1, 1).await.unwrap();
    life.heard(|reports| (told(reports).len() == 1).then_some(())).await;
    let registration = Registration { cluster: OTHER, incarnation: Incarnation(1), term: Term(1) };
    let report = life.report.clone();
    let begin = BeginReporting { registration, report, heartbeat_ms: 50, tie: Tie::Dialled, fence: None };
    let refused = life.runner.send(begin).await.expect("it lives");
    assert_eq!(
        refused,
        Err(callboard_actors::protocol::runner::Occupied(CLUSTER)),
        "no verdict has come yet"
    );
    assert!(life.desk.heard.lock().unwrap().iter().all(|report| report.cluster == CLUSTER));
    life.end().await;
    let log = open(dir.path());
    assert_eq!((log.held(), log.state().unwrap().cluster), (&[attempt(0)][..], CLUSTER));
    let empty = tempfile::tempdir().unwrap();
    let idle = Life::begin(2, open(empty.path()), Desk::default()).await.join(CLUSTER, 1).await;
    let idle = idle.join(OTHER, 1).await;
    idle.heard(|reports| reports.iter().any(|report| report.cluster == OTHER).then_some(())).await;
    idle.end().await;
}

#[actix::test]
async fn a_coordinator_of_a_lower_term_is_refused_by_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Life::begin(1, open(dir.path()), Desk::default()).await.join(CLUSTER, 4).await;
    first.assign(0..1, 6).await.unwrap();
    first.end().await;
    let mut second = Life::begin(2, open(dir.path()), Desk::default()).await.join(CLUSTER, 5).await;
    assert_eq!(second.assign(1..2, 5).await, Err(NodeError::Refused(CommandRefusal::OldTerm)));
    assert_eq!(second.assign(1..2, 6).await, Ok(()));
    second.end().await;
}

#[actix::test]
async fn a_disk_that_fails_holds_no_result_back() {
    let dir = tempfile::tempdir().unwrap();
    // Where the node's state should be drafted, something is in the way: it cannot be noted whose results these are.
    let in_the_way = dir.path().join("node_state.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let mut life = Life::begin(1, open(dir.path()), Desk::default()).await.join(CLUSTER, 1).await;
    life.assign(0..2, 1).await.unwrap();
    life.heard(|reports| (told(reports).len() == 2).then_some(())).await;
    assert_eq!(life.meter.results_unkept.read(), 2);
    // Mended, it is used again without a new start.
    std::fs::remove_dir(&in_the_way).unwrap();
    life.desk.judges.store(true, Ordering::Relaxed);
    life.heard(|reports| (reports.last()?.usable_slots == 4).then_some(())).await;
    life.assign(2..3, 1).await.unwrap();
    life.heard(|reports| told(reports).contains(&attempt(2)).then_some(())).await;
    assert_eq!(life.meter.results_unkept.read(), 2);
    life.end().await;
}

#[actix::test]
async fn a_node_whose_results_find_no_room_takes_no_more_work_until_some_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let log = ResultLog::open_with(dir.path(), 8 << 10).unwrap();
    let mut life = Life::begin(1, log, Desk::default()).await.join(CLUSTER, 1).await;
    for n in 0..25 {
        // Those that come after it is full are given back.
        life.assign(n..n + 1, 1).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    life.heard(|reports| (reports.last()?.usable_slots == 0).then_some(())).await;
    let returned = life.heard(|reports| reports.iter().flat_map(|it| it.returned.clone()).next()).await;
    assert_eq!(returned.why, "no free slot");
    let finished = life.desk.heard.lock().unwrap().iter().flat_map(|it| &it.finished).count();
    assert!(finished > 0 && life.meter.results_unkept.read() >= 1, "what found no room is told all the same");
    life.desk.judges.store(true, Ordering::Relaxed);
    life.heard(|reports| (reports.last()?.usable_slots == 4).then_some(())).await;
    life.assign(99..100, 1).await.unwrap();
    life.heard(|reports| told(reports).contains(&attempt(99)).then_some(())).await;
    life.end().await;
}

/// What a node of version 1 left on its disk is a promise, as the wire is: a change that fails here would lose results
/// with an update. Make a new version, and keep this sample.
#[test]
fn a_log_of_version_1_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let sample: &[u8] = include_bytes!("golden/results_v1.log");
    std::fs::write(dir.path().join("results.log"), sample).unwrap();
    std::fs::write(dir.path().join("node_state"), include_bytes!("golden/node_state_v1.json")).unwrap();
    assert_eq!(count_results(sample), 4);
    let log = open(dir.path());
    assert_eq!(log.held(), [attempt(1), attempt(3)]);
    let joined = log.join(CLUSTER, Term(1)).blocking_recv().unwrap().unwrap();
    assert_eq!(joined.term, Term(5));
    let [first, second] = &joined.results[..] else { panic!("{:?}", joined.results) };
    assert_eq!(first.end, AttemptEnd::Exited(Exit::Code(1)));
    assert_eq!(
        (first.stdout.inline.as_deref(), first.stderr.inline.as_deref()),
        (Some(&b"out\xff"[..]), None)
    );
    assert_eq!((second.stdout.summary.total_bytes, second.stdout.inline.as_ref()), (99, None));
    assert!(second.started_ms_ago.is_some_and(|ago| ago >= 1234), "it lies there for a while");
}
