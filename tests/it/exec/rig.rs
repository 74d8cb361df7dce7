//! An executor in a folder of its own, and what tests ask of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_actors::clock::new_job_id;
use callboard_actors::exec::{
    BaseEnv, ExecEvent, ExecJob, Executor, ProcessConfig, ProcessExecutor, job_env,
};
use callboard_actors::model::{
    AttemptEnd, AttemptId, AttemptResult, Captured, Epoch, Exit, Isolation, JobSpec, Limits, Stream,
};
use callboard_actors::spool::Spool;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::server::BINARY;
use crate::skip::missing;

/// Longest that anything in these tests may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Rig {
    pub executor: ProcessExecutor,
    pub events: UnboundedReceiver<ExecEvent>,
    pub config: ProcessConfig,
}

/// Runs a test over an executor of `slots` slots, in a runtime and a folder of its own.
pub fn with_rig(slots: u32, test: impl AsyncFnOnce(Rig)) {
    with_config(|config| config.slots = slots, test);
}

/// The same, with a configuration of the test's own.
pub fn with_config(change: impl FnOnce(&mut ProcessConfig), test: impl AsyncFnOnce(Rig)) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    change(&mut config);
    local(async { test(Rig::start(config).await).await });
}

pub fn local<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

pub fn config(folder: &Path) -> ProcessConfig {
    ProcessConfig {
        slots: 1,
        default_isolation: Isolation::None,
        keeper_path: Some(BINARY.into()),
        default_cwd: "/".into(),
        output_head_bytes: 1 << 20,
        output_hard_bytes: 1 << 30,
        artifacts_bytes: 1 << 20,
        lock_wait_ms: 5_000,
        ..ProcessConfig::new(folder, &Limits::default())
    }
}

pub fn shell(line: impl Into<String>) -> JobSpec {
    JobSpec::shell(line)
}

pub fn argv(words: &[&str]) -> JobSpec {
    JobSpec::argv(words.iter().copied())
}

impl Rig {
    pub async fn start(config: ProcessConfig) -> Self {
        let (sender, events) = unbounded_channel();
        let executor = ProcessExecutor::start(config.clone(), sender).await.unwrap();
        Self { executor, events, config }
    }

    pub fn submit(&mut self, spec: JobSpec) -> AttemptId {
        let attempt = AttemptId::new(new_job_id(), Epoch(1));
        self.submit_as(attempt, spec);
        attempt
    }

    pub fn submit_as(&mut self, attempt: AttemptId, spec: JobSpec) {
        let env = job_env(&BaseEnv::default(), &spec.env, attempt, 1);
        self.executor
            .start(ExecJob {
                attempt,
                spec: Arc::new(spec),
                env,
                secret_env: Default::default(),
                hold: None,
                fence_grace_ms: None,
            })
            .unwrap();
    }

    pub async fn event(&mut self) -> ExecEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("nothing is said").unwrap()
    }

    pub async fn started(&mut self) -> AttemptId {
        match self.event().await {
            ExecEvent::Started { attempt } => attempt,
            other => panic!("expected a start, got {other:?}"),
        }
    }

    /// The next result, whatever is said before it.
    pub async fn finished(&mut self) -> AttemptResult {
        loop {
            if let ExecEvent::Finished(result) = self.event().await {
                return *result;
            }
        }
    }

    pub async fn run(&mut self, spec: JobSpec) -> AttemptResult {
        let attempt = self.submit(spec);
        let result = self.finished().await;
        assert_eq!(result.attempt, attempt);
        result
    }

    pub fn spool(&self) -> Spool {
        Spool::new(&self.config.spool_dir)
    }

    /// Everything that was kept of a stream, wherever it is.
    pub fn kept(&self, result: &AttemptResult, stream: Stream) -> Vec<u8> {
        let captured = match stream {
            Stream::Stdout => &result.stdout,
            Stream::Stderr => &result.stderr,
        };
        if let Some(inline) = &captured.inline {
            return inline.clone();
        }
        let mut all = Vec::new();
        loop {
            let chunk = self.spool().read(result.attempt, stream, all.len() as u64, usize::MAX).unwrap();
            all.extend(chunk.bytes);
            if chunk.at_end {
                return all;
            }
        }
    }

    /// The keeper processes of this executor.
    pub fn keepers(&self) -> Vec<i32> {
        let me = std::process::id().to_string();
        let holds_our_lock = |pid: &i32| {
            let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            fds.filter_map(|fd| std::fs::read_link(fd.path()).ok())
                .any(|file| file.starts_with(&self.config.slots_dir))
        };
        let is_child = |pid: &i32| stat(*pid).is_some_and(|fields| fields[1] == me);
        processes().filter(is_child).filter(holds_our_lock).collect()
    }
}

pub fn text(captured: &Captured) -> String {
    String::from_utf8(captured.inline.clone().expect("small output is inline")).unwrap()
}

pub fn exited(code: i32) -> AttemptEnd {
    AttemptEnd::Exited(Exit::Code(code))
}

pub fn signalled(number: i32) -> Exit {
    Exit::Signal { number, core_dumped: false }
}

/// A word that only one test's processes have in their arguments: as seconds it can be slept for.
pub fn marker() -> String {
    format!("98765.{}", new_job_id().0.as_u128() % 1_000_000_000_000)
}

/// Living processes with a word among their arguments.
pub fn alive(word: &str) -> usize {
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|it| it == word.as_bytes())
    };
    processes().filter(has).count()
}

pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of a process's `stat` from its state on: state, parent, group.
pub fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Whether root's tests can run. Skipping is told, and is a failure where root was promised.
pub fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        missing(test, "root", "it needs root");
    }
    root
}

pub fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, body).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
