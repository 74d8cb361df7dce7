//! What an operator asks of a platform: its health, its numbers, its queue and its tokens.

use super::*;

impl PlatformHandle {
    /// Stops or resumes the starting of jobs. Submits are accepted all the same.
    pub async fn pause_queue(&self, paused: bool) {
        // A platform that is gone starts nothing either.
        let _ = self.core.pause.send(PauseQueue { paused }).await;
    }

    /// The metrics in Prometheus' text format 0.0.4; none when the platform is gone.
    pub async fn metrics(&self) -> Option<String> {
        self.core.metrics.render.send(RenderMetrics).await.ok()
    }

    /// What is live and what happened in the last minutes; none when the platform is gone.
    pub async fn stats(&self) -> Option<Stats> {
        self.core.metrics.stats.send(GetStats).await.ok()
    }

    /// The doors to other machines.
    pub fn doors(&self) -> &NodeDoors {
        &self.core.doors
    }

    /// The last things that happened, to be read at any pace.
    pub fn events(&self) -> &Arc<EventFeed> {
        &self.core.feed
    }

    /// How the platform is.
    pub async fn health(&self) -> Health {
        let asked = self.core.runners.send(ListRunners).timeout(PING_TIMEOUT).await;
        let alive = asked.is_ok();
        let Runners { nodes, paused } = asked.unwrap_or_default();
        Health {
            alive: alive && !self.core.board.is_stopped(),
            store_ok: !self.core.board.is_store_failing(),
            draining: self.core.board.is_draining(),
            runners: nodes,
            paused,
            lacks_isolation: self.core.facts.rooms.read().is_too_little,
        }
    }

    /// Every node that has registered and was not removed.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn runners(&self) -> Result<Runners, LookupError> {
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        self.core.runners.send(ListRunners).await.map_err(|_| LookupError::Gone)
    }

    /// Changes a node, in the name of the token that is shown; resolves when that is durable and holds. Whoever holds this
    /// handle may do so: it is for the door to judge.
    ///
    /// # Errors
    /// [`ChangeRunnerError`]; then nothing was changed.
    pub async fn change_runner(
        &self,
        node: NodeId,
        change: RunnerChange,
    ) -> Result<Eligibility, ChangeRunnerError> {
        let _permit = self.permit().ok_or(LookupError::Busy)?;
        let shown = self.token.as_deref().map(|token| token.name.as_ref().unwrap_or(&token.id).clone());
        let by = shown.unwrap_or_else(|| "operator".into());
        let asked = self.core.jobs.change_runner.send(ChangeRunner { node, change, by }).await;
        asked.map_err(|_| LookupError::Gone)?
    }

    /// Every token that is remembered. Whoever holds this handle may see them: it is for the door to judge.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, LookupError> {
        self.look(&self.core.jobs.list_tokens, ListTokens).await
    }

    /// Changes tokens; resolves when that is durable.
    ///
    /// # Errors
    /// [`LookupError`]; then nothing was changed.
    pub async fn change_tokens(&self, ops: Vec<TokenOp>) -> Result<(), LookupError> {
        self.look(&self.core.jobs.change_tokens, ChangeTokens { ops }).await
    }
}
