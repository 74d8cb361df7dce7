//! The conversation of a coordinator and a node, without a wire: a hundred attempts from the command that gives them to
//! the answer that settles them, and the sign of life of a node that holds a thousand.

use std::sync::Arc;

use callboard_actors::link::{
    Assignment, CoordinatorLink, JobFact, LinkEffect, NodeEffect, NodeLink, ReportReply, Verdict,
};
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, ClusterId, Epoch, Exit, Incarnation, IsolationReport,
    JobId, JobSpec, NodeId, Term, Usage,
};
use criterion::{Criterion, Throughput};

/// Attempts of one round.
const ATTEMPTS: u64 = 100;
/// Attempts that a node holds in the second bench.
const HELD: u64 = 1000;
const LIFE: Incarnation = Incarnation(1);
const NODE: [u8; 16] = [2; 16];

/// Both halves, and the number of the last attempt.
struct Talk {
    coordinator: CoordinatorLink,
    node: NodeLink,
    spec: Arc<JobSpec>,
    last: u64,
}

impl Talk {
    /// Between which the first inventory has been read.
    fn new() -> Self {
        let (cluster, node) = (ClusterId::from_bytes([1; 16]), NodeId::from_bytes(NODE));
        let mut talk = Self {
            coordinator: CoordinatorLink::new(cluster, node, LIFE, Term(1), []),
            node: NodeLink::new(cluster, node, LIFE, Term(1), HELD as u32),
            spec: Arc::new(JobSpec::shell("true")),
            last: 0,
        };
        talk.report();
        assert!(talk.coordinator.is_ready());
        talk
    }

    /// Gives the node attempts that it starts.
    fn give(&mut self, count: u64) -> Vec<AttemptId> {
        let first = self.last + 1;
        self.last += count;
        let assign = (first..=self.last).map(|number| self.assignment(number)).collect();
        let command = self.coordinator.assign(assign);
        let effects = self.node.on_command(0, command).expect("it is of this life");
        let starts = effects.into_iter().filter_map(|effect| match effect {
            NodeEffect::Start(assignment) => Some(assignment.attempt),
            _ => None,
        });
        let started: Vec<AttemptId> = starts.collect();
        assert_eq!(started.len() as u64, count);
        started.iter().for_each(|attempt| self.node.on_started(0, *attempt));
        started
    }

    fn assignment(&self, number: u64) -> Assignment {
        let job = JobId::from_bytes(u128::from(number).to_be_bytes());
        let attempt = AttemptId::new(job, Epoch(1));
        Assignment { attempt, spec: Arc::clone(&self.spec), started_before: 0 }
    }

    /// The node reports, and what it said is judged and answered. How many results there were.
    fn report(&mut self) -> usize {
        let report = self.node.report(0);
        let n = report.n;
        let (effects, want_full_inventory) =
            self.coordinator.on_report(report, fact).expect("it is of this life");
        let recorded = effects.into_iter().filter_map(|effect| match effect {
            LinkEffect::Record(result) => Some((result.attempt, Verdict::Recorded)),
            _ => None,
        });
        let verdicts: Vec<_> = recorded.collect();
        verdicts.iter().for_each(|(attempt, _)| self.coordinator.settle(*attempt));
        self.coordinator.answered(n);
        let count = verdicts.len();
        self.node.on_reply(&ReportReply { n, verdicts, want_full_inventory });
        count
    }

    /// Attempts from their command to the answer that settles them.
    fn lives(&mut self) {
        let attempts = self.give(ATTEMPTS);
        self.report();
        for attempt in attempts {
            self.node.on_finished(0, result(attempt));
        }
        assert_eq!(self.report() as u64, ATTEMPTS, "every result is recorded once");
        assert!(self.node.is_empty() && self.coordinator.taken() == 0);
    }
}

/// What the records say of every job here: the node holds it.
fn fact(_: JobId) -> JobFact {
    JobFact::Leased { epoch: Epoch(1), node: NodeId::from_bytes(NODE), incarnation: LIFE, started: true }
}

fn result(attempt: AttemptId) -> AttemptResult {
    AttemptResult {
        attempt,
        end: AttemptEnd::Exited(Exit::Code(0)),
        usage: Usage::default(),
        stdout: Captured::default(),
        stderr: Captured::default(),
        started_ms_ago: Some(0),
        isolation: IsolationReport::default(),
        artifacts: Default::default(),
    }
}

/// Measures it.
pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Elements(ATTEMPTS));
    let mut talk = Talk::new();
    group.bench_function("give, start, finish and settle 100 attempts", |bencher| {
        bencher.iter(|| talk.lives());
    });
    group.throughput(Throughput::Elements(1));
    let mut talk = Talk::new();
    talk.give(HELD);
    talk.report();
    group.bench_function("sign of life of a node that holds 1000 attempts", |bencher| {
        bencher.iter(|| assert_eq!(talk.report(), 0, "nothing has ended"));
    });
    group.finish();
}
