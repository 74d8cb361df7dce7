//! What the stage says of runners, the queue and metrics.

use super::*;

answer!(ListRunners, actix::MessageResult<ListRunners>, |stage, _request| {
    let ready = RunnerSummary {
        id: NodeId(Default::default()),
        incarnation: Incarnation(1),
        spec: std::sync::Arc::new(RunnerSpec { name: "local".into(), slots: 2, ..RunnerSpec::default() }),
        tier: Tier::None,
        state: "ready",
        eligibility: Eligibility::Eligible,
        heard_ms_ago: 5,
        usable_slots: 2,
        taken: 0,
    };
    let nodes = if stage.runners_gone { Vec::new() } else { vec![ready] };
    actix::MessageResult(Runners { nodes, paused: stage.paused })
});

answer!(PauseQueue, (), |stage, request| stage.paused = request.paused);

answer!(RenderMetrics, String, |_stage, _request| String::from("# TYPE jobs_total counter\njobs_total 2"));
