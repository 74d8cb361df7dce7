//! A server process of our own, spoken to by plain HTTP over loopback.

mod exchange;

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::process::{PATIENCE, exit_within};
pub use exchange::{Answer, ask, exchange, request, send};

pub const BINARY: &str = env!("CARGO_BIN_EXE_callboard");

/// What makes a node run jobs as plain processes unless they ask for more.
pub const PLAIN: [(&str, &str); 2] = [("CALLBOARD_ISOLATION", "none"), ("CALLBOARD_MIN_ISOLATION", "none")];

pub struct Server {
    child: Child,
    pub port: u16,
    pub data_dir: PathBuf,
}

/// Keeps a developer's own settings from a command.
pub fn knows_no_settings(command: &mut Command) {
    for name in ["CONFIG", "CONTEXT", "SERVER", "TOKEN", "TOKEN_FILE", "OUTPUT", "COLOR", "REQUEST_TIMEOUT"] {
        command.env_remove(format!("CALLBOARD_{name}"));
    }
    command.env("XDG_CONFIG_HOME", "/dev/null");
}

/// A port that nobody listens on and that no other test was given: two servers that start at once never get the same.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

/// The inode of the socket that listens on this port of loopback or of every address.
fn listener(port: u16) -> Option<String> {
    const LISTENS: &str = "0A";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == LISTENS;
        is_it.then(|| fields[9].to_owned())
    })
}

/// A copy of our binary. Another process makes it: whatever is forked here meanwhile would hold a file that we have open
/// for writing, and nobody can execute such a file ("text file busy").
pub fn copy_binary(to: &Path) {
    let done = Command::new("cp").arg(BINARY).arg(to).status().unwrap();
    assert!(done.success(), "cp {BINARY} {}", to.display());
}

/// A server that is about to be started over a data folder; its jobs run as the tests' own user.
#[derive(Clone)]
pub struct Launch {
    command: &'static str,
    slots: u32,
    data_dir: PathBuf,
    variables: Vec<(String, String)>,
    prelude: String,
    grace: String,
    bind: String,
    binary: PathBuf,
    uid: u32,
    log: Option<PathBuf>,
    log_level: &'static str,
    has_rooms: bool,
    port: Option<u16>,
    waits_only_for_life: bool,
    job_uid: Option<u32>,
    speaks_tls: bool,
}

impl Launch {
    pub fn over(data_dir: &Path) -> Self {
        let uid = rustix::process::getuid().as_raw();
        let (variables, prelude) = (Vec::new(), String::new());
        Self {
            command: "serve",
            slots: 2,
            data_dir: data_dir.to_owned(),
            variables,
            prelude,
            grace: "5s".into(),
            bind: "127.0.0.1".into(),
            binary: BINARY.into(),
            uid,
            log: None,
            log_level: "info",
            has_rooms: false,
            port: None,
            waits_only_for_life: false,
            job_uid: None,
            speaks_tls: false,
        }
    }

    /// A runner node instead of a server.
    pub fn runner(mut self) -> Self {
        self.command = "runner";
        // What a test leaves behind does not stay for long.
        self.variable("CALLBOARD_HOLD_JOBS", "20s")
    }

    /// Jobs that ask for nothing have what a user's jobs have: a room, where there can be one.
    pub fn with_rooms(mut self) -> Self {
        self.has_rooms = true;
        self
    }

    /// Speaks TLS, so that it is up when it refuses plain HTTP.
    pub fn speaks_tls(self) -> Self {
        Self { speaks_tls: true, ..self }
    }

    /// Waits until it lives only: jobs would not start yet, or a token is demanded.
    pub fn unready(self) -> Self {
        Self { waits_only_for_life: true, ..self }
    }

    /// Listens on a port that others know.
    pub fn on_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// How long jobs may go on after the first signal.
    pub fn grace(mut self, grace: &str) -> Self {
        self.grace = grace.into();
        self
    }

    /// The address to listen on.
    pub fn bind(mut self, bind: &str) -> Self {
        self.bind = bind.into();
        self
    }

    /// A shell line that is run in the process that becomes the server.
    pub fn after(mut self, prelude: &str) -> Self {
        self.prelude = format!("{prelude} && ");
        self
    }

    /// Another user for the server and its jobs, and where that user finds the binary.
    pub fn user(mut self, uid: u32, binary: PathBuf) -> Self {
        (self.uid, self.binary) = (uid, binary);
        self
    }

    /// Another user for its jobs than its own.
    pub fn jobs_as(mut self, uid: u32) -> Self {
        self.job_uid = Some(uid);
        self
    }

    /// Everything that it says goes to this file.
    pub fn log_to(mut self, log: &Path) -> Self {
        self.log = Some(log.to_owned());
        self
    }

    /// What is worth a line of that file.
    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &format!("{}exec \"$@\"", self.prelude), "sh"])
            .arg(&self.binary)
            .args([self.command, "--bind", &format!("{}:{port}", self.bind)])
            .args(["--slots", &self.slots.to_string()])
            .args(["--user", &self.job_uid.unwrap_or(self.uid).to_string()])
            .args(["--log-level", if self.log.is_some() { self.log_level } else { "error" }])
            .args(["--shutdown-grace", &self.grace])
            .arg("--data-dir")
            .arg(&self.data_dir)
            // Most tests are of something else, and their jobs meet the test in a file of the host's.
            .envs(if self.has_rooms { [].as_slice() } else { &PLAIN }.iter().copied())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if self.uid != rustix::process::getuid().as_raw() {
            command.uid(self.uid).gid(self.uid);
        }
        if let Some(log) = &self.log {
            let open = || std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
            command.stdout(open()).stderr(open());
        }
        command
    }

    /// Starts it, and waits until it is ready.
    pub fn start(self) -> Server {
        // Between the look for a free port and its use another process may take it.
        (0..3).find_map(|_| self.try_start()).expect("the server starts")
    }

    fn try_start(&self) -> Option<Server> {
        let port = self.port.unwrap_or_else(free_port);
        let child = self.command(port).spawn().unwrap();
        let mut server = Server { child, port, data_dir: self.data_dir.clone() };
        let began = Instant::now();
        let probe = if self.waits_only_for_life { "/livez" } else { "/readyz" };
        let wanted = if self.speaks_tls { 400 } else { 200 };
        while !server.answers(probe, wanted) {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(began.elapsed() < PATIENCE, "the server did not become ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }
}

impl Server {
    /// Starts a server over `data_dir` whose jobs run as the tests' own user, and waits until it is ready.
    pub fn start(data_dir: &Path) -> Self {
        Launch::over(data_dir).start()
    }

    /// Whether it answers, and not a stranger that took its port first.
    fn answers(&self, probe: &str, wanted: u16) -> bool {
        self.ask("GET", probe, None).is_some_and(|(status, _)| status == wanted) && self.listens()
    }

    fn listens(&self) -> bool {
        let Some(inode) = listener(self.port) else { return false };
        let socket = format!("socket:[{inode}]");
        let files =
            std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|it| it.as_os_str() == &*socket)
    }

    /// Submits a shell line, which must be accepted; returns the job's id.
    pub fn submit(&self, line: &str) -> String {
        let (status, job) = self.ask("POST", "/v1/jobs", Some(&json!({ "command": line }))).unwrap();
        assert_eq!(status, 202, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    /// The job.
    pub fn job(&self, id: &str) -> Value {
        let (status, job) = self.ask("GET", &format!("/v1/jobs/{id}"), None).unwrap();
        assert_eq!(status, 200, "{job}");
        job
    }

    /// The job once its status is this one.
    pub fn until(&self, id: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let job = self.job(id);
            if job["status"] == status {
                return job;
            }
            assert!(began.elapsed() < PATIENCE, "it does not become {status}: {job}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the job wrote to a stream.
    pub fn output(&self, id: &str) -> String {
        let path = format!("/v1/jobs/{id}/logs?stream=stdout");
        exchange(self.port, "GET", &path, None).expect("the server answers").body
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// The exit code of a server that ends.
    pub fn exit_code(&mut self) -> Option<i32> {
        exit_within(&mut self.child, PATIENCE).code()
    }

    /// One request; none when the server is not there or goes away before it has answered.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        ask(self.port, method, path, body)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.exit_code()
    }

    /// How many keepers of this data folder still live, or somebody who has the lock of one. A server that ends lets go
    /// of them and does not wait, so they are given a moment.
    pub fn keepers(&self) -> usize {
        let began = Instant::now();
        let is_held = |lock: &File| flock(lock, FlockOperation::NonBlockingLockShared).is_err();
        loop {
            let count = self.locks().filter(is_held).count();
            if count == 0 || began.elapsed() > Duration::from_secs(5) {
                return count;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Who they are, as the kernel tells everybody: to look into them is root's alone.
    pub fn keeper_pids(&self) -> Vec<Pid> {
        let locks: Vec<u64> = self.locks().map(|lock| lock.metadata().unwrap().ino()).collect();
        let table = std::fs::read_to_string("/proc/locks").unwrap();
        let holder = |line: &str| {
            let [_, "FLOCK", _, _, pid, place, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return None;
            };
            let inode = place.rsplit(':').next()?.parse().ok()?;
            locks.contains(&inode).then(|| Pid::from_raw(pid.parse().ok()?)).flatten()
        };
        table.lines().filter_map(holder).collect()
    }

    /// The locks of its slots.
    fn locks(&self) -> impl Iterator<Item = File> {
        let slots = std::fs::read_dir(self.data_dir.join("slots")).into_iter().flatten().flatten();
        let locks =
            slots.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "lock"));
        locks.filter_map(|path| File::open(path).ok())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
