//! How far jobs are kept apart where nobody says anything, what they may demand, what a node says of its rooms, and what
//! becomes of all this on a machine where no room can be made.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use callboard_actors::exec::HostFacts;
use rustix::process::getuid;
use serde_json::{Value, json};

use crate::death::{binary_in, folder_of, ordinary_user};
use crate::process::{finish, until};
use crate::server::{Launch, PLAIN, Server, ask, exchange, free_port, knows_no_settings};
use crate::skip::missing;

fn run(server: &Server, body: Value) -> Value {
    let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(status, 200, "{job}");
    job
}

/// The problem of a job that is refused at once.
fn refused(server: &Server, status: u16, isolation: Value) -> Value {
    let body = json!({"command": "true", "isolation": isolation});
    let (found, problem) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(found, status, "{body}: {problem}");
    problem
}

fn tier(job: &Value) -> &str {
    job["isolation_effective"]["tier"].as_str().unwrap_or_else(|| panic!("{job}"))
}

/// What the node's rooms are worth; none, out loud, where there are none.
fn rooms_of(test: &str, server: &Server) -> Option<String> {
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    let tier = health["isolation"]["tier"].as_str().unwrap_or_else(|| panic!("{health}")).to_owned();
    if tier == "none" {
        missing(test, "namespaces", &health["isolation"].to_string());
        return None;
    }
    Some(tier)
}

#[test]
fn a_job_that_asks_for_nothing_has_what_its_node_can_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).with_rooms().start();
    let Some(best) = rooms_of("isolation::auto", &server) else { return };
    let job = run(&server, json!({"command": "id -u; ls -A /root /home 2>/dev/null | wc -l"}));
    assert_eq!((tier(&job), job["stdout"]["text"].as_str()), (best.as_str(), Some("1000\n0\n")), "{job}");
    let job = run(&server, json!({"command": "true", "isolation": "none"}));
    assert_eq!((tier(&job), &job["isolation_effective"]["network"]), ("none", &json!("host")), "{job}");
    // The original's clients have it without knowing.
    let (_, accepted) = server.ask("POST", "/jobs", Some(&json!({"command": "id -u"}))).unwrap();
    let id = accepted["job_id"].as_str().unwrap();
    let job = server.until(id, "completed");
    assert_eq!((tier(&job), server.output(id).as_str()), (best.as_str(), "1000\n"));
}

#[test]
fn what_is_demanded_is_had_or_the_job_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).with_rooms().start();
    let Some(best) = rooms_of("isolation::demands", &server) else { return };
    let demand = |isolation: Value| run(&server, json!({"command": "echo ran", "isolation": isolation}));
    for fine in [
        json!({"mode": "sandbox", "min_tier": "partial", "require": ["netns", "seccomp"]}),
        json!({"min_tier": best}),
        json!({"mode": "none", "min_tier": "none"}),
        json!({"network": "none"}),
    ] {
        assert_eq!(demand(fine.clone())["status"], "completed", "{fine}");
    }
    if best != "full" {
        let problem = refused(&server, 409, json!({"mode": "sandbox", "min_tier": "full"}));
        assert!(problem["detail"].as_str().unwrap().contains("tier full"), "{problem}");
        assert!(problem["missing"].as_array().is_some_and(|layers| !layers.is_empty()), "{problem}");
    }
    let job =
        run(&server, json!({"command": "true", "isolation": {"mode": "sandbox", "min_tier": "partial"}}));
    assert_eq!(
        (&job["isolation"]["mode"], &job["isolation"]["required"]),
        (&json!("sandbox"), &json!(true)),
        "{job}"
    );
    for strange in [
        json!("strict"),
        json!({"mode": "strict"}),
        json!({"min_tier": "most"}),
        json!({"require": ["luck"]}),
        json!({"network": "lan"}),
        json!({"mode": "none", "require": ["netns"]}),
        json!({"colour": "red"}),
        json!(["sandbox"]),
        json!(7),
    ] {
        let body = json!({"command": "true", "isolation": strange});
        let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
        assert_eq!(status, 422, "{body}: {problem}");
    }
}

#[test]
fn the_host_s_network_is_had_where_it_is_permitted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::over(&folder.path().join("open")).with_rooms();
    let server = launch.start();
    if rooms_of("isolation::network", &server).is_none() {
        return;
    }
    let port = format!("grep -ci ':{:04X} ' /proc/net/tcp", server.port);
    let job = run(&server, json!({"command": port, "isolation": {"mode": "sandbox", "network": "host"}}));
    assert_ne!(job["stdout"]["text"], "0\n", "it sees who listens: {job}");
    let had = &job["isolation_effective"];
    assert_eq!(
        (&had["network"], had["missing"].as_array().unwrap().contains(&json!("netns"))),
        (&json!("host"), true)
    );
    let job = run(&server, json!({"command": port, "isolation": "sandbox"}));
    assert_eq!(job["stdout"]["text"], "0\n", "{job}");
    assert_eq!(had["tier"], "partial", "{job}");
    let both = json!({"mode": "sandbox", "network": "host", "require": ["netns"]});
    let problem = refused(&server, 409, both);
    assert_eq!((&problem["missing"], &problem["setting"]), (&json!(["netns"]), &Value::Null), "{problem}");
    let closed = Launch::over(&folder.path().join("closed")).with_rooms();
    let closed = closed.variable("CALLBOARD_ALLOW_HOST_NETWORK", "false").start();
    let problem = refused(&closed, 403, json!({"mode": "sandbox", "network": "host"}));
    assert_eq!(problem["setting"], "runner.allow_host_network", "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "#/isolation/network", "{problem}");
}

#[test]
fn a_node_says_what_its_rooms_are_worth() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let Some(best) = rooms_of("isolation::health", &server) else { return };
    let (_, health) = server.ask("GET", "/health", None).unwrap();
    let rooms = &health["isolation"];
    assert!(rooms["verified_at"].is_string(), "{rooms}");
    for layer in ["userns", "pidns", "mountns", "netns", "root", "proc", "rights", "no_new_privs", "seccomp"]
    {
        assert_eq!(rooms["layers"][layer]["state"], "enforced", "{layer}: {rooms}");
    }
    let metrics = exchange(server.port, "GET", "/metrics", None).unwrap().body;
    for line in [
        format!("callboard_runner_isolation_tier{{tier=\"{best}\"}} 1"),
        "callboard_runner_isolation_layer{layer=\"seccomp\",state=\"enforced\"} 1".into(),
        "callboard_runner_isolation_layer{layer=\"seccomp\",state=\"unavailable\"} 0".into(),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in {metrics}");
    }
}

#[test]
fn a_node_that_runs_nothing_without_a_room_refuses_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Launch::over(folder.path()).with_rooms().variable("CALLBOARD_MIN_ISOLATION", "partial").start();
    if rooms_of("isolation::least", &server).is_none() {
        return;
    }
    assert_eq!(run(&server, json!({"command": "true"}))["status"], "completed");
    let problem = refused(&server, 403, json!("none"));
    assert_eq!(problem["setting"], "runner.min_isolation", "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "#/isolation", "{problem}");
}

/// Our binary, about to be run by `uid` where the kernel makes no more user namespaces: in one whose limit is 0.
fn without_rooms(
    uid: u32,
    arguments: &[&str],
    binary: &std::path::Path,
    settings: &[(&str, &str)],
) -> Command {
    let mut command = Command::new("unshare");
    let line = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all \"$@\"";
    let (user, group) = (format!("--map-user={uid}"), format!("--map-group={uid}"));
    command
        .args(["--user", &user, &group, "--keep-caps", "sh", "-c", line, "sh"])
        .arg(binary)
        .args(arguments);
    if getuid().is_root() {
        command.uid(uid).gid(uid);
    }
    knows_no_settings(&mut command);
    command.envs(settings.iter().copied()).stdin(Stdio::null());
    command
}

#[test]
fn where_no_room_can_be_made_that_is_said_everywhere_and_nothing_is_weakened_unasked() {
    let uid = ordinary_user();
    let folder = folder_of(uid);
    let binary = binary_in(folder.path());
    let (port, data) = (free_port().to_string(), folder.path().join("data").display().to_string());
    let arguments = ["serve", "--bind", &format!("127.0.0.1:{port}"), "--data-dir", &data, "--slots", "1"];
    let tried =
        without_rooms(uid, &["version"], &binary, &[]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.code() != Some(1)) {
        return missing("isolation::no_rooms", "namespaces", "unshare or setpriv cannot be used here");
    }
    let best = if HostFacts::read().landlock_version >= 3 { "lite" } else { "none" };
    let mut command = without_rooms(uid, &arguments, &binary, &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let port: u16 = port.parse().unwrap();
    let ready = || ask(port, "GET", "/readyz", None).is_some_and(|(status, _)| status == 200);
    until("it answers", ready);
    let (_, health) = ask(port, "GET", "/health", None).unwrap();
    let rooms = &health["isolation"];
    assert_eq!(
        (&rooms["tier"], &rooms["layers"]["userns"]["state"]),
        (&json!(best), &json!("unavailable")),
        "{health}"
    );
    assert!(rooms["degraded_because"].to_string().contains("new namespaces"), "{rooms}");
    let run = |body: Value| ask(port, "POST", "/v1/jobs?wait=60s", Some(&body)).unwrap().1;
    let problem = run(json!({"command": "true", "isolation": "sandbox"}));
    assert_eq!(
        (&problem["type"], &problem["status"]),
        (&json!("/problems/isolation-unavailable"), &json!(409)),
        "{problem}"
    );
    assert!(problem["detail"].as_str().unwrap().contains("callboard doctor"), "{problem}");
    assert!(problem["missing"].as_array().unwrap().contains(&json!("userns")), "{problem}");
    assert!(problem["fix"].as_str().unwrap().contains("user.max_user_namespaces"), "{problem}");
    let answer = exchange(port, "POST", "/v1/jobs", Some(&json!({"command": "true"}))).unwrap();
    assert!(answer.head.contains(&format!("x-isolation-tier: {best}")), "{}", answer.head);
    for weaker in [
        json!({"command": "true"}),
        json!({"command": "true", "isolation": {"mode": "sandbox", "required": false}}),
    ] {
        let job = run(weaker);
        assert_eq!((&job["status"], tier(&job)), (&json!("completed"), best), "{job}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // A node that must have rooms takes no work where there are none.
    let port = free_port();
    let bind = format!("127.0.0.1:{port}");
    let strict = ["serve", "--bind", &bind, "--data-dir", &data, "--slots", "1"];
    let mut strict = without_rooms(uid, &strict, &binary, &[("CALLBOARD_MIN_ISOLATION", "partial")]);
    let mut child = strict.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it answers", || ask(port, "GET", "/readyz", None).is_some());
    let (status, problem) = ask(port, "GET", "/readyz", None).unwrap();
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("[-]isolation"), "{problem}");
    child.kill().unwrap();
    child.wait().unwrap();
    let doctor =
        without_rooms(uid, &["doctor"], &binary, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let done: Output = finish(doctor.unwrap(), None);
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("tier:  {best}")) && said.contains("sysctl -w user.max_user_namespaces"),
        "{said}"
    );
}

#[test]
fn the_doctor_s_word_is_the_node_s() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let Some(best) = rooms_of("isolation::doctor", &server) else { return };
    let mut command = Command::new(crate::server::BINARY);
    knows_no_settings(&mut command);
    let done = finish(
        command.args(["doctor", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
        None,
    );
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &said["isolation"]["tier"]), (Some(0), &json!(best)), "{said}");
    assert_eq!(said["host"]["uid"], getuid().as_raw());
    // A variable of the environment rules what `run` gives where no server is.
    for (settings, inside) in [(&[][..], "1000"), (&PLAIN[..], "own")] {
        let mut command = Command::new(crate::server::BINARY);
        knows_no_settings(&mut command);
        command
            .envs(settings.iter().copied())
            .args(["run", "-n", "--", "id", "-u"])
            .current_dir(folder.path());
        let done = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), None);
        let expected = if inside == "own" { getuid().as_raw().to_string() } else { inside.to_owned() };
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), expected, "{done:?}");
    }
}
