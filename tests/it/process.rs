//! Processes of a test that may not outlive its patience: a hang is a failure with a name, never a silent test run.

use std::io::{Read, Write};
use std::process::{Child, ExitStatus, Output};
use std::time::{Duration, Instant};

/// How long any command of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the end of `child`, gives it `input` meanwhile and reads what it says.
pub fn finish(mut child: Child, input: Option<Vec<u8>>) -> Output {
    let mut stdin = child.stdin.take();
    let feeder = std::thread::spawn(move || {
        if let (Some(stdin), Some(input)) = (&mut stdin, input) {
            // One that ends before it has read everything is judged by its exit code.
            let _ = stdin.write_all(&input);
        }
    });
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let status = exit_within(&mut child, PATIENCE);
    feeder.join().unwrap();
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

/// The exit status of `child`, which is killed and fails the test when it goes on for longer than `limit`.
pub fn exit_within(child: &mut Child, limit: Duration) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("process {} went on for more than {limit:?}", child.id());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this process may open so many files, after it has raised its own limit as far as it may.
pub fn may_open(files: u64) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(files, |maximum| maximum.min(files));
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= files);
    enough(current)
        || (setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() && wanted >= files)
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
