//! The coordinator that is measured: a process of its own, and what the kernel tells of it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use callboard_actors::courier::{Courier, Peer};
use callboard_actors::exec::keeper_path;
use serde_json::Value;

use crate::bench::BenchError;
use crate::cli::Client;

/// The unit of processor time in `/proc`, on every architecture that the program is built for.
const TICKS_PER_S: f64 = 100.0;

/// A coordinator, ended when it is dropped.
pub(super) struct Coordinator {
    child: Child,
    courier: Courier,
    /// Where it answers.
    pub url: String,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // One that is gone needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Coordinator {
    /// Starts it, and waits until it answers. It has no settings but these.
    pub async fn start(data_dir: &Path, connections: usize) -> Result<Self, BenchError> {
        let program = keeper_path(None)
            .ok_or_else(|| BenchError::Void("this application cannot start itself as a helper".into()))?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let bind = free.map_err(BenchError::system("a free port"))?.to_string();
        let mut command = Command::new(program);
        command.env_clear().args(["serve", "--slots", "0", "--log-level", "error", "--bind", &bind]);
        command.env("CALLBOARD_MAX_CONNECTIONS", connections.to_string());
        command.arg("--data-dir").arg(data_dir).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(BenchError::system("a coordinator"))?;
        let url = format!("http://{bind}");
        let mut coordinator =
            Self { child, courier: Courier::to(&Peer { url: url.clone(), ..Peer::default() }), url };
        let pause = Duration::from_millis(20);
        let answers = async |courier: &Courier| courier.get::<Value>("/v1/version").await.is_ok();
        while !answers(&coordinator.courier).await {
            let ended = coordinator.child.try_wait().map_err(BenchError::system("a coordinator"))?;
            if let Some(status) = ended {
                return Err(BenchError::Void(format!("the coordinator ended by itself: {status}")));
            }
            actix_rt::time::sleep(pause).await;
        }
        Ok(coordinator)
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// Nodes that it would give work to.
    pub async fn ready_nodes(&self) -> usize {
        let listed: Value = self.courier.get("/v1/runners").await.unwrap_or_default();
        let is_ready = |node: &&Value| node["state"] == "ready";
        listed["items"].as_array().map_or(0, |nodes| nodes.iter().filter(is_ready).count())
    }

    /// Jobs that ended well, as it counts.
    pub async fn completed(&self) -> usize {
        let stats: Value = self.courier.get("/v1/stats").await.unwrap_or_default();
        stats["jobs"]["completed"].as_u64().map_or(0, |count| count as usize)
    }

    /// Processor time that it has used, in user mode and in the kernel.
    pub fn cpu(&self) -> Result<Duration, BenchError> {
        let stat = self.read("stat")?;
        // The name of the program, in brackets, may hold anything.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
        let ticks = fields.and_then(|fields| {
            let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
            Some(ticks(11)? + ticks(12)?)
        });
        let ticks = ticks.ok_or_else(|| BenchError::Void("the kernel tells no processor time".into()))?;
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_S))
    }

    /// Memory that it has.
    pub fn resident_bytes(&self) -> Result<u64, BenchError> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes
            .map(|count| count * 1024)
            .ok_or_else(|| BenchError::Void("the kernel tells no memory".into()))
    }

    fn read(&self, file: &str) -> Result<String, BenchError> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .map_err(BenchError::system("the coordinator's own figures"))
    }
}
