//! What the stage says of runners, the queue and metrics.

use super::*;

answer!(ListRunners, actix::MessageResult<ListRunners>, |stage, _request| {
    let ready = RunnerSummary {
        id: NodeId(Default::default()),
        incarnation: Incarnation(1),
        spec: Arc::new(RunnerSpec { name: "local".into(), slots: 2, ..RunnerSpec::default() }),
        tier: Tier::None,
        state: "ready",
        eligibility: stage.eligibility.clone(),
        heard_ms_ago: 5,
        usable_slots: 2,
        taken: 0,
    };
    let nodes = if stage.runners_gone { Vec::new() } else { vec![ready] };
    actix::MessageResult(Runners { nodes, paused: stage.paused })
});

answer!(ChangeRunner, Result<Eligibility, ChangeRunnerError>, |stage, request| {
    let cordon = |why: &String| Cordon { by: request.by.clone(), why: why.clone(), since_ms: 0 };
    let eligibility = match &request.change {
        RunnerChange::Cordon { why } => Eligibility::Cordoned(cordon(why)),
        RunnerChange::Drain { why, deadline_ms } => Eligibility::Draining {
            cordon: cordon(why),
            deadline_at_ms: deadline_ms.map(|ms| ms as i64),
        },
        RunnerChange::Resume | RunnerChange::Remove => Eligibility::Eligible,
    };
    stage.eligibility = eligibility.clone();
    stage.runner_changes.push(request);
    stage.refuse_change.clone().map_or(Ok(eligibility), Err)
});

answer!(PauseQueue, (), |stage, request| stage.paused = request.paused);

answer!(RenderMetrics, String, |_stage, _request| String::from("# TYPE jobs_total counter\njobs_total 2"));
