//! Flags that say how far a job is kept apart.

use clap::Args;

use crate::http::api::{DemandsBody, IsolationBody};

/// How far a job is kept apart.
#[derive(Debug, Args)]
pub struct IsolationArgs {
    /// auto, none, or sandbox: a room of its own, or a failure that says why there is none.
    #[arg(long, value_name = "MODE")]
    pub isolation: Option<String>,
    /// The least that it runs with: none, lite, partial or full.
    #[arg(long, value_name = "TIER")]
    pub min_tier: Option<String>,
    /// A layer that it does not run without, for example cgroup.memory; may be repeated.
    #[arg(long, value_name = "LAYER")]
    pub require_layer: Vec<String>,
    /// none, or host where the node permits it.
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
}

impl IsolationArgs {
    /// As it is sent; none when nothing was said.
    pub fn body(&self) -> Option<IsolationBody> {
        let demands = DemandsBody {
            mode: self.isolation.clone(),
            required: None,
            min_tier: self.min_tier.clone(),
            require: self.require_layer.clone(),
            network: self.network.clone(),
        };
        let only_mode = DemandsBody { mode: demands.mode.clone(), ..DemandsBody::default() };
        match (demands == only_mode, &demands.mode) {
            (true, None) => None,
            (true, Some(mode)) => Some(IsolationBody::Mode(mode.clone())),
            (false, _) => Some(IsolationBody::Demands(demands)),
        }
    }
}
