//! What the node tells and is told about it: reports, their answers, inventories. It refuses to know of commands.

use super::{MAX_FINISHED_PER_REPORT, MAX_REPORTED_OUTPUT_BYTES, NodeEffect, NodeLink, NodePhase, Told};
use crate::link::messages::{
    Assignment, Digest, Draining, Held, HeldPhase, Inventory, PROTO, Report, ReportReply, StartedNote,
    Verdict,
};
use crate::model::Captured;

impl NodeLink {
    /// Takes the answer to a report: what has a verdict is forgotten.
    pub fn on_reply(&mut self, reply: &ReportReply) -> Vec<NodeEffect> {
        self.full_inventory_due |= reply.want_full_inventory;
        let memory = &mut self.memory;
        self.returned_told.retain(|(n, note)| {
            let answered = *n == reply.n;
            if answered {
                memory.returned(note.attempt, reply.n);
            }
            !answered
        });
        let mut effects = Vec::new();
        for (attempt, verdict) in &reply.verdicts {
            if !matches!(self.attempts.get(attempt), Some(NodePhase::Done { .. })) {
                continue;
            }
            self.attempts.remove(attempt);
            self.memory.judge(*attempt, reply.n);
            if matches!(verdict, Verdict::Stale | Verdict::Unknown) {
                effects.push(NodeEffect::Forget(*attempt));
            }
        }
        // An answer may be silent on a result whose record is still under way.
        for phase in self.attempts.values_mut() {
            if let NodePhase::Done { told, .. } = phase
                && *told == Told::In(reply.n)
            {
                *told = Told::Again;
            }
        }
        effects
    }

    /// A report did not reach the coordinator, or its answer did not reach us: everything is told again.
    pub fn on_report_failed(&mut self) {
        self.full_inventory_due = true;
        for phase in self.attempts.values_mut() {
            if let NodePhase::Done { told, .. } = phase {
                *told = Told::No;
            }
        }
        let mut returned: Vec<_> = self.returned_told.drain(..).map(|(_, note)| note).collect();
        returned.append(&mut self.returned);
        self.returned = returned;
    }

    /// Whether there is something to tell before the next heartbeat.
    pub fn has_news(&self) -> bool {
        self.full_inventory_due
            || self.size_news
            || !self.started.is_empty()
            || !self.returned.is_empty()
            || self.attempts.values().any(|phase| matches!(phase, NodePhase::Done { told: Told::No, .. }))
    }

    /// Makes the next report. What it tells is told once; `on_report_failed` makes it told again.
    pub fn report(&mut self, now: u64) -> Report {
        self.reports += 1;
        self.size_news = false;
        let (inventory, skipped) = if std::mem::take(&mut self.full_inventory_due) {
            (Inventory::Full(self.holdings(now)), self.skipped.iter().copied().collect())
        } else {
            (Inventory::Digest(Digest::of(self.live())), Vec::new())
        };
        let (mut finished, mut bytes) = (Vec::new(), 0);
        for phase in self.attempts.values_mut() {
            if let NodePhase::Done { result, ended_at, told: told @ (Told::No | Told::Again) } = phase
                && finished.len() < MAX_FINISHED_PER_REPORT
                && (finished.is_empty() || bytes < MAX_REPORTED_OUTPUT_BYTES)
            {
                let inline = |captured: &Captured| captured.inline.as_ref().map_or(0, Vec::len);
                bytes += inline(&result.stdout) + inline(&result.stderr);
                *told = Told::In(self.reports);
                let mut result = (**result).clone();
                result.started_ms_ago = result.started_ms_ago.map(|ago| ago + now.saturating_sub(*ended_at));
                finished.push(result);
            }
        }
        let returned = std::mem::take(&mut self.returned);
        self.returned_told.extend(returned.iter().map(|note| (self.reports, note.clone())));
        let draining = self.draining();
        let attempts = &self.attempts;
        let started = self.started.drain(..).filter_map(|attempt| match attempts.get(&attempt) {
            Some(NodePhase::Running { started_at }) => {
                Some(StartedNote { attempt, started_ms_ago: now.saturating_sub(*started_at) })
            }
            _ => None,
        });
        Report {
            proto: PROTO,
            cluster: self.cluster,
            node: self.node,
            incarnation: self.incarnation,
            n: self.reports,
            cmd_seen: self.cmd_seen,
            skipped,
            term_seen: self.term_seen,
            born: Some(self.born),
            usable_slots: self.usable_slots,
            prefetch: self.prefetch,
            draining,
            inventory,
            started: started.collect(),
            finished,
            returned,
        }
    }

    fn draining(&self) -> Draining {
        match (self.own_drain, self.ordered_drain) {
            (true, _) => Draining::Itself,
            (false, Some(_)) => Draining::Ordered,
            (false, None) => Draining::No,
        }
    }

    fn holdings(&self, now: u64) -> Vec<Held> {
        let phase = |phase: &NodePhase| match phase {
            NodePhase::Taken => HeldPhase::Taken,
            NodePhase::Running { started_at } => {
                HeldPhase::Running { started_ms_ago: now.saturating_sub(*started_at) }
            }
            NodePhase::Done { .. } => HeldPhase::Done,
        };
        let taken = |next: &Assignment| Held { attempt: next.attempt, phase: HeldPhase::Taken };
        let waiting = self.waiting.iter().map(taken);
        self.attempts
            .iter()
            .map(|(attempt, at)| Held { attempt: *attempt, phase: phase(at) })
            .chain(waiting)
            .collect()
    }
}
