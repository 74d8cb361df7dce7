//! What the stage answers when it is asked about many jobs.

use callboard_actors::model::StoreTotals;

use super::*;

impl Stage {
    /// What a prune is about, in the order of ids, after what was done in the round before.
    fn finished(&self, request: &PruneJobs) -> Vec<JobId> {
        let wanted = |view: &&JobView| match &view.record.state {
            JobState::Ended(outcome) => {
                outcome.finished_at_ms < request.finished_before_ms
                    && (request.statuses.is_empty() || request.statuses.contains(&view.status()))
            }
            _ => false,
        };
        let views = self.jobs.values().map(|job| &job.view).filter(wanted);
        let ids = views.map(|view| view.record.id);
        ids.filter(|id| request.after.is_none_or(|(_, after)| *id > after)).collect()
    }
}

answer!(PruneJobs, Result<PruneRound, LookupError>, |stage, request| {
    if let Some(error) = &stage.refuse_lookup {
        return Err(error.clone());
    }
    let gone: Vec<JobId> = stage.finished(&request);
    let page: Vec<JobId> = gone.iter().take(stage.prune_page).copied().collect();
    if !request.dry_run {
        page.iter().for_each(|id| _ = stage.jobs.remove(id));
    }
    let next = page.last().filter(|_| page.len() < gone.len()).map(|id| (0, *id));
    Ok(PruneRound { jobs: page.len() as u64, bytes: page.len() as u64 * 1000, next })
});

answer!(GetTotals, Result<StoreTotals, LookupError>, |stage, _request| {
    if let Some(error) = &stage.refuse_lookup {
        return Err(error.clone());
    }
    let mut totals = StoreTotals { size_bytes: 4096, retained_bytes: 77, ..StoreTotals::default() };
    for job in stage.jobs.values() {
        match StoreTotals::place_of(job.view.status()) {
            Some(at) => totals.ended[at] += 1,
            None => totals.live += 1,
        }
    }
    totals.finished = totals.ended.iter().sum();
    Ok(totals)
});

answer!(GetStats, actix::MessageResult<GetStats>, |stage, _request| {
    let pending = stage.jobs.values().filter(|job| job.view.status() == Status::Pending).count() as u64;
    actix::MessageResult(Stats { pending, ..stage.stats })
});
