//! Every command that README.md and docs/ tell a reader to type: it is run, as it stands there, against a node with a
//! data folder of its own, or it is named as not run with the reason. docs/CONTRIBUTING.md has how that is written.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::process::{PATIENCE, until};
use crate::server::{BINARY, Launch, Server, free_port};
use crate::skip;

mod blocks;
mod mentioned;

use blocks::{Block, Fate, Node, Step};

const TEST: &str = "every_command_of_the_documents_is_run_or_named_with_a_reason";

/// Programs that not every machine has; a block that wants one which is not here is skipped.
const TOOLS: [&str; 2] = ["curl", "jq"];

/// What the script of a block calls: each of its commands is announced before it is run and judged afterwards. A node
/// is waited for until it is ready, and must end well when it is told to.
const PRELUDE: &str = r#"
_at() { printf '%s' "$1" >"$HOME/at"; }
_judge() { [ "$1" = "$2" ] || { echo "exit code $1 instead of $2"; exit 9; }; }
_ready() {
  until callboard healthcheck --server "$2" --quiet 2>"$HOME/why"; do
    kill -0 "$1" 2>/dev/null || { cat "$HOME/why"; echo "the node ended before it was ready"; exit 9; }
    sleep 0.05
  done
}
_stop() { kill "$1" 2>/dev/null; wait "$1"; _judge $? 0; }
"#;

/// The text of every document, by its path in the repository.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    paths.extend(markdown(&root.join("docs")));
    let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let inside = |path: PathBuf| if path.is_dir() { markdown(&path) } else { vec![path] };
    let files = paths.into_iter().flat_map(inside);
    files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

#[test]
fn every_command_of_the_documents_is_run_or_named_with_a_reason() {
    let mut faults = Vec::new();
    let mut run = 0;
    for (name, text) in documents() {
        match check(&name, &text) {
            Ok(count) => run += count,
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(run > 0 || !has("curl"), "no command was found: are they written in another way?");
}

#[test]
fn what_does_not_do_what_its_document_says_is_found() {
    let block = |lines: &str| format!("# Title\n\n```sh\n{lines}\n```\n");
    for (lines, line, why) in [
        ("callboard list --no-such-flag", 4, "exit code 2 instead of 0"),
        ("callboard stats\ncallboard show 0192f3c1", 5, "exit code 3 instead of 0"),
        ("callboard list # exit code 3", 4, "exit code 0 instead of 3"),
        ("callboard serve --no-such-flag &", 4, "the node ended before it was ready"),
        ("callboard serve --data-dir /srv/x &", 4, "/srv/x is a place of the machine"),
        ("make install", 4, "neither run here nor marked"),
    ] {
        let fault = check("X.md", &block(lines)).unwrap_err();
        assert!(fault.starts_with(&format!("X.md:{line}: ")) && fault.contains(why), "{lines}: {fault}");
    }
    assert_eq!(check("X.md", &block("callboard show 0192f3c1 # exit code 3")), Ok(1));
    let unmarked = check("X.md", "```sh later\ncallboard demo\n```\n").unwrap_err();
    assert!(unmarked.contains("not-run: REASON"), "{unmarked}");
}

/// Runs what a document tells to type. How many commands that were, or what is wrong with the first that fails.
fn check(name: &str, text: &str) -> Result<usize, String> {
    let mut run = 0;
    for block in blocks::of(text).map_err(|why| format!("{name}: {why}"))? {
        if let Some(why) = &block.not_run {
            skip::skipped(TEST, &format!("{name}:{}: not run: {why}", block.line));
            continue;
        }
        let steps = to_run(name, &block)?;
        let Some(missing) = TOOLS.into_iter().find(|tool| needs(&steps, tool) && !has(tool)) else {
            run += steps.len();
            run_block(&steps).map_err(|(line, why)| format!("{name}:{line}: {why}"))?;
            continue;
        };
        skip::missing(TEST, missing, &format!("{name}:{}: {missing} is not installed", block.line));
    }
    Ok(run)
}

/// The commands of a block that are run; what is not is said.
fn to_run<'a>(name: &str, block: &'a Block) -> Result<Vec<&'a Step>, String> {
    let mut steps = Vec::new();
    for step in &block.steps {
        let Step { line, text, .. } = step;
        match (step.fate(), step.foreign_place()) {
            (Fate::NotRun(why), _) => {
                skip::skipped(TEST, &format!("{name}:{line}: `{text}` is not run: {why}"))
            }
            (Fate::Unknown, _) => {
                return Err(format!("{name}:{line}: `{text}` is neither run here nor marked with a reason"));
            }
            (Fate::Run, Some(place)) => {
                return Err(format!(
                    "{name}:{line}: {place} is a place of the machine: mark the block, or name none"
                ));
            }
            (Fate::Run, None) => steps.push(step),
        }
    }
    Ok(steps)
}

fn needs(steps: &[&Step], tool: &str) -> bool {
    steps.iter().any(|step| step.text.split_whitespace().any(|word| word == tool))
}

fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// Runs the commands of a block in one shell, in an empty folder. The line of the one that failed, and why.
fn run_block(steps: &[&Step]) -> Result<(), (usize, String)> {
    if steps.is_empty() {
        return Ok(());
    }
    // Between the look for a free port and its use another process may take it.
    let taken =
        |ended: &Result<(), (usize, String)>| ended.as_ref().is_err_and(|(_, why)| why.contains("is in use"));
    let mut ended = try_block(steps);
    for _ in 0..2 {
        if taken(&ended) {
            ended = try_block(steps);
        }
    }
    ended
}

fn try_block(steps: &[&Step]) -> Result<(), (usize, String)> {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(BINARY, bin.join("callboard")).unwrap();
    let own = steps.iter().any(|step| step.node() == Some(Node::Server));
    let server = (!own).then(|| server(home.path()));
    let ports = [server.as_ref().map_or_else(free_port, |server| server.port), free_port()];
    let script = script(steps, home.path(), ports);
    let out = home.path().join("out");
    let file = File::create(&out).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).current_dir(home.path()).process_group(0);
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    command.env_clear().envs(environment(home.path(), &bin, ports[0]));
    let status = Shell(command.spawn().unwrap()).end();
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let line = std::fs::read_to_string(home.path().join("at")).unwrap_or_default().parse().unwrap_or(0);
    let said = std::fs::read_to_string(&out).unwrap_or_default();
    let how = status.map_or_else(|| format!("it went on for {PATIENCE:?}"), |status| status.to_string());
    Err((line, format!("{how}; it said:\n{said}")))
}

/// A server for clients, with one job that has ended and an entry in the audit log, in the folder where a user's is.
fn server(home: &Path) -> Server {
    let data = home.join(".local/state/callboard");
    let server = Launch::over(&data).log_to(&home.join("log")).start();
    let [forgotten, kept] = ["true", "echo hello"].map(|line| server.submit(line));
    for id in [&forgotten, &kept] {
        server.until(id, "completed");
    }
    assert_eq!(server.ask("DELETE", &format!("/v1/jobs/{forgotten}"), None).unwrap().0, 204);
    until("the deletion is in the audit log", || data.join("audit.jsonl").exists());
    server
}

fn environment(home: &Path, bin: &Path, port: u16) -> Vec<(&'static str, String)> {
    let path = std::env::var("PATH").unwrap_or_default();
    vec![
        ("PATH", format!("{}:{path}", bin.display())),
        ("HOME", home.display().to_string()),
        ("LANG", "C.UTF-8".into()),
        ("NO_PROXY", "*".into()),
        ("CALLBOARD_SERVER", format!("http://127.0.0.1:{port}")),
        // Jobs run as the tests' own user: they can enter its folders.
        ("CALLBOARD_USER", rustix::process::getuid().as_raw().to_string()),
    ]
}

/// The commands as they stand in the document, but for the ports, which another program may have here.
fn script(steps: &[&Step], home: &Path, ports: [u16; 2]) -> String {
    let mut script = PRELUDE.to_owned();
    let mut nodes = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let Step { line, text, exit_code } = step;
        let text =
            text.replace(":8000", &format!(":{}", ports[0])).replace(":8080", &format!(":{}", ports[1]));
        writeln!(script, "_at {line}").unwrap();
        if let Some(node) = step.node() {
            let port = ports[usize::from(node == Node::Runner)];
            let data = home.join(format!("data-{at}"));
            let place = format!("CALLBOARD_BIND=127.0.0.1:{port} CALLBOARD_DATA_DIR={}", data.display());
            writeln!(script, "{place} {text}\n_node{at}=$!\n_ready $_node{at} http://127.0.0.1:{port}")
                .unwrap();
            nodes.push((line, at));
        } else {
            writeln!(script, "{text}").unwrap();
            if !step.is_background() {
                writeln!(script, "_judge $? {exit_code}").unwrap();
            }
        }
    }
    for (line, at) in nodes {
        writeln!(script, "_at {line}\n_stop $_node{at}").unwrap();
    }
    script
}

/// A shell and everything that it has started, none of which outlives this.
struct Shell(Child);

impl Shell {
    /// How it ended; none when it went on for too long.
    fn end(mut self) -> Option<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Whatever is left of its group: a job in the background, or a node that did not stop.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
