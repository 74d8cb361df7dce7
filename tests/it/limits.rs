//! What a job may use: limits that are enforced, who enforces them, and what the outcome says when one is hit.

use rustix::process::getuid;
use serde_json::{Value, json};

use crate::metrics::scrape;
use crate::process::until;
use crate::server::{Launch, Server};
use crate::skip::missing;

/// Runs until its memory is used up, by itself.
const GREEDY: &str = "exec dd if=/dev/zero of=/dev/null bs=500M count=1";

fn run(server: &Server, command: &str, isolation: &str, limits: Value) -> Value {
    let body = json!({"command": command, "isolation": isolation, "limits": limits, "timeout_ms": 60_000});
    let (status, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(status, 200, "{job}");
    job
}

fn text(job: &Value) -> &str {
    job["stdout"]["text"].as_str().unwrap_or_else(|| panic!("{job}"))
}

/// A server whose jobs can be limited in isolation `mode`; none, out loud, where they cannot.
fn server(test: &str, mode: &str) -> Option<(tempfile::TempDir, Server)> {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let job = run(&server, "true", mode, json!({"memory_bytes": 64 << 20, "cpus": 1, "processes": 64}));
    let by = |name: &str| job["isolation_effective"]["limits"][name]["enforced_by"].clone();
    let is_of_group = |name| by(name).as_str().is_some_and(|by| by.starts_with("cgroup"));
    if !["memory_bytes", "cpus", "processes"].into_iter().all(is_of_group) {
        missing(test, "cgroups", &format!("jobs cannot have control groups here: {job}"));
        return None;
    }
    assert_eq!(job["status"], "completed", "{job}");
    Some((folder, server))
}

/// How the groups of this server's jobs are called, as one of them sees it.
fn group_name(server: &Server) -> String {
    let job = run(server, "cat /proc/self/cgroup", "none", json!({"processes": 50}));
    let name = text(&job).lines().find_map(|line| line.split_once("/callboard/")?.1.split_once('.'));
    name.unwrap_or_else(|| panic!("{job}")).0.to_owned()
}

/// Groups of this machine that are called so.
fn groups(name: &str) -> Vec<String> {
    let find = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("{name}.*")])
        .output()
        .unwrap();
    String::from_utf8(find.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn is_out_of_memory(job: &Value, limit: u64) {
    assert_eq!((&job["status"], &job["reason"]), (&json!("failed"), &json!("oom")), "{job}");
    let peak = job["usage"]["memory_peak_bytes"].as_u64().unwrap();
    assert!((limit / 2..=limit).contains(&peak), "{job}");
    assert!(job["usage"]["oom_kills"].as_u64().unwrap() >= 1, "{job}");
    let message = job["message"].as_str().unwrap();
    let of_group = &job["isolation_effective"]["limits"]["memory_bytes"]["enforced_by"];
    // With version 2 everybody is killed at once, which counts as one.
    let who = if of_group == "cgroup_v2" { "the whole job" } else { "the job's own process" };
    assert!(message.contains(&limit.to_string()) && message.contains(who), "{message}");
    assert!(of_group != "cgroup_v2" || job["usage"]["oom_kills"] == 1, "{job}");
}

#[test]
fn memory_is_limited_and_running_out_of_it_is_told_exactly() {
    for mode in ["sandbox", "none"] {
        let Some((_folder, server)) = server("memory_is_limited", mode) else { return };
        let limit = 64 << 20;
        let job = run(&server, GREEDY, mode, json!({"memory_bytes": limit}));
        is_out_of_memory(&job, limit);
        assert_eq!(job["signal"], "SIGKILL", "{job}");
        let counted = scrape(&server).value("callboard_job_oom_kills_total");
        assert_eq!(job["usage"]["oom_kills"].as_f64(), Some(counted), "{job}");
        // With more of it the same command ends well, so it was the limit.
        let job = run(
            &server,
            "head -c 30000000 /dev/zero | tail -c 20000000 | wc -c",
            mode,
            json!({"memory_bytes": limit}),
        );
        assert_eq!(text(&job), "20000000\n", "{job}");
        // What a job survives is counted, and no failure of it.
        let job = run(
            &server,
            "(exec dd if=/dev/zero of=/dev/null bs=500M count=1) || echo survived",
            mode,
            json!({"memory_bytes": limit}),
        );
        let is_watched = job["reason"] == "oom"; // The kernel or the keeper may end the whole job first.
        assert!(is_watched || text(&job) == "survived\n", "{job}");
        assert!(job["usage"]["oom_kills"].as_u64().unwrap() >= 1, "{job}");
        // A job that does not end when a part of it is killed is ended.
        let job = run(
            &server,
            "dd if=/dev/zero of=/dev/null bs=500M count=1; sleep 50",
            mode,
            json!({"memory_bytes": limit}),
        );
        assert_eq!(job["reason"], "oom", "{job}");
        assert!(job["message"].as_str().unwrap().contains("a process that the job had started"), "{job}");
        assert!(job["runtime_ms"].as_f64().unwrap() < 30_000.0, "{job}");
        let job = run(&server, "echo ok", mode, json!({}));
        assert_eq!(text(&job), "ok\n");
    }
}

#[test]
fn processes_are_limited() {
    let probe = "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done 2>/dev/null; wait; echo end";
    for mode in ["sandbox", "none"] {
        let Some((_folder, server)) = server("processes_are_limited", mode) else { return };
        let job = run(&server, probe, mode, json!({"processes": 10}));
        assert!(job["usage"]["process_denials"].as_u64().unwrap() > 0, "{job}");
        let job = run(&server, probe, mode, json!({"processes": 60}));
        assert_eq!((text(&job), &job["usage"]["process_denials"]), ("end\n", &json!(0)), "{job}");
    }
}

#[test]
fn cpu_time_is_limited() {
    // As much work as takes about 0.4 s; half of that again, at a tenth of a CPU, takes seconds.
    let work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    for mode in ["sandbox", "none"] {
        let Some((_folder, server)) = server("cpu_time_is_limited", mode) else { return };
        let share = |limits| {
            let job = run(&server, work, mode, limits);
            let number = |it: &Value| it.as_f64().unwrap();
            let used = number(&job["usage"]["cpu_user_ms"]) + number(&job["usage"]["cpu_system_ms"]);
            assert!(used > 50.0, "it did something: {job}");
            used / number(&job["runtime_ms"])
        };
        // A busy machine gives a job less than it could take; never more than it may.
        let held = share(json!({"cpus": 0.1}));
        assert!(held < 0.2, "{mode}: {held} of a CPU, where a tenth is permitted");
    }
}

#[test]
fn what_a_job_has_used_is_counted_even_when_its_room_was_killed() {
    let Some((_folder, server)) = server("what_a_job_has_used", "sandbox") else { return };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !mounts.contains(" - cgroup2 ") && !mounts.contains("cpuacct,cpu") && !mounts.contains("cpu,cpuacct") {
        return missing(
            "what_a_job_has_used",
            "cgroups",
            "no control group here counts CPU time with version 2",
        );
    }
    let body = json!({"command": "while :; do :; done", "isolation": "sandbox", "timeout_ms": 1000, "grace_ms": 0,
        "limits": {"memory_bytes": 64 << 20}});
    let (_, job) = server.ask("POST", "/v1/jobs?wait=60s", Some(&body)).unwrap();
    assert_eq!(job["reason"], "timeout", "{job}");
    let number = |name: &str| job["usage"][name].as_f64().unwrap();
    // A busy machine gives it less than the whole second.
    assert!(number("cpu_user_ms") + number("cpu_system_ms") > 100.0, "{job}");
    assert!(number("memory_peak_bytes") > 0.0, "{job}");
}

#[test]
fn a_plain_job_that_its_group_held_to_a_limit_does_not_say_that_groups_were_missing() {
    let Some((_folder, server)) = server("a_plain_job_that_its_group_held", "none") else { return };
    let lacks = |limits| {
        let job = run(&server, "true", "none", limits);
        job["isolation_effective"]["missing"].as_array().unwrap().contains(&json!("cgroups"))
    };
    assert!(!lacks(json!({"processes": 50})));
    assert!(lacks(json!({})), "it was held to nothing");
}

#[test]
fn a_room_s_disk_and_open_files_are_limited() {
    let Some((_folder, server)) = server("a_room_s_disk", "sandbox") else { return };
    let fill = "head -c 3000000 /dev/zero > /job/x && echo fits; stat -c %s /job/x";
    let job = run(&server, fill, "sandbox", json!({"disk_bytes": 1 << 20}));
    assert_eq!(text(&job), "1048576\n", "{job}");
    let job = run(&server, fill, "sandbox", json!({"disk_bytes": 4 << 20}));
    assert_eq!(text(&job), "fits\n3000000\n", "{job}");
    let job = run(&server, "ulimit -n", "sandbox", json!({"open_files": 33}));
    assert_eq!(text(&job), "33\n", "{job}");
    // Files in memory are memory: a full disk comes first.
    let job = run(
        &server,
        "head -c 99000000 /dev/zero > /tmp/x; stat -c %s /tmp/x",
        "sandbox",
        json!({"memory_bytes": 32 << 20}),
    );
    assert_eq!(text(&job), "16777216\n", "{job}");
}

#[test]
fn every_limit_is_reported_with_who_enforces_it() {
    let Some((_folder, server)) = server("every_limit_is_reported", "sandbox") else { return };
    let asked = json!({"memory_bytes": 64 << 20, "cpus": 0.5, "processes": 20, "disk_bytes": 1 << 20, "open_files": 100});
    let job = run(&server, "true", "sandbox", asked.clone());
    assert_eq!(job["limits"], asked);
    let had = &job["isolation_effective"]["limits"];
    for name in ["memory_bytes", "cpus", "processes"] {
        assert_eq!(had[name]["limit"].as_f64(), asked[name].as_f64(), "{had}");
        assert!(had[name]["enforced_by"].as_str().unwrap().starts_with("cgroup_v"), "{had}");
    }
    assert_eq!(had["disk_bytes"], json!({"limit": f64::from(1 << 20), "enforced_by": "tmpfs"}));
    assert_eq!(had["open_files"], json!({"limit": 100.0, "enforced_by": "rlimit"}));
    assert_eq!(had["timeout_ms"], json!({"limit": 60_000.0, "enforced_by": "node"}));
    assert_eq!(had["output_bytes"]["enforced_by"], "node");
}

#[test]
fn a_node_s_defaults_hold_for_those_who_ask_for_nothing_and_its_most_for_all() {
    if server("a_node_s_defaults", "none").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path())
        .variable("CALLBOARD_DEFAULT_MEMORY", "48M")
        .variable("CALLBOARD_MAX_MEMORY", "96M")
        .start();
    is_out_of_memory(&run(&server, GREEDY, "none", json!({})), 48 << 20);
    is_out_of_memory(&run(&server, GREEDY, "none", json!({"memory_bytes": 64 << 20})), 64 << 20);
    let body = json!({"command": "true", "limits": {"memory_bytes": 97 << 20}});
    let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
    assert_eq!(status, 422, "{problem}");
    assert!(problem.to_string().contains("limit of this node"), "{problem}");
    for limits in [
        json!({"cpus": 0}),
        json!({"cpus": -1}),
        json!({"cpus": 1e300}),
        json!({"processes": 0}),
        json!({"speed": 1}),
        json!([1, 2]),
    ] {
        let (status, problem) =
            server.ask("POST", "/v1/jobs", Some(&json!({"command": "true", "limits": limits}))).unwrap();
        assert_eq!(status, 422, "{problem}");
    }
}

#[test]
fn no_group_is_left_by_jobs_nor_by_a_node_that_is_killed() {
    let Some((folder, mut server)) = server("no_group_is_left", "sandbox") else { return };
    let name = group_name(&server);
    let daemons = "setsid sleep 1000 & (setsid sleep 1000 &) ; echo ok";
    let job = run(&server, daemons, "sandbox", json!({"memory_bytes": 64 << 20}));
    assert_eq!(text(&job), "ok\n");
    assert_eq!(groups(&name), [""; 0]);
    for isolation in ["sandbox", "none"] {
        let body = json!({"command": "trap '' TERM; sleep 1000", "isolation": isolation, "on_lost": "never",
            "limits": {"processes": 50}});
        let (_, live) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
        server.until(live["id"].as_str().unwrap(), "running");
    }
    assert!(groups(&name).len() >= 6, "{:?}", groups(&name));
    server.kill();
    until("its keepers have left", || server.keepers() == 0);
    until("their groups are gone", || groups(&name).is_empty());
    let again = Server::start(folder.path());
    assert_eq!(text(&run(&again, "echo ok", "sandbox", json!({}))), "ok\n");
}

#[test]
fn a_group_that_a_killed_keeper_left_is_emptied_before_its_slot_is_used_again() {
    let Some((folder, mut server)) = server("a_group_that_a_killed_keeper_left", "none") else { return };
    let name = group_name(&server);
    let body = json!({"command": "setsid sleep 1000 & sleep 1000", "isolation": "none", "on_lost": "never",
        "limits": {"processes": 50}});
    let (_, live) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
    server.until(live["id"].as_str().unwrap(), "running");
    let members = || -> Vec<i32> {
        let read =
            |group: &String| std::fs::read_to_string(format!("{group}/cgroup.procs")).unwrap_or_default();
        groups(&name)
            .iter()
            .flat_map(|group| read(group).lines().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
            .collect()
    };
    until("both sleep", || members().iter().collect::<std::collections::BTreeSet<_>>().len() >= 2);
    // Whoever kills both leaves nobody to clean up.
    for keeper in server.keeper_pids() {
        rustix::process::kill_process(keeper, rustix::process::Signal::STOP).unwrap();
    }
    let keepers = server.keeper_pids();
    server.kill();
    for keeper in keepers {
        rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    }
    until("its keepers have left", || server.keepers() == 0);
    assert!(!members().is_empty(), "there is somebody to be found");
    let again = Server::start(folder.path());
    assert_eq!(members(), [0; 0]);
    assert_eq!(text(&run(&again, "echo ok", "none", json!({"processes": 50}))), "ok\n");
}

#[test]
fn without_groups_a_plain_process_that_wants_a_limit_is_refused_and_a_room_has_what_is_left() {
    if !getuid().is_root() {
        return missing("without_groups", "root", "only root can hide the control groups from a server");
    }
    let folder = tempfile::tempdir().unwrap();
    let hidden = format!(
        "unshare --mount --propagation private sh -c 'umount -R /sys/fs/cgroup && exec {} serve --bind 127.0.0.1:$0 --data-dir {} --slots 1 --user 0' ",
        crate::server::BINARY,
        folder.path().join("data").display()
    );
    let port = crate::server::free_port();
    let mut child = std::process::Command::new("sh")
        .args(["-c", &format!("exec {hidden} {port}")])
        .env("XDG_CONFIG_HOME", "/dev/null")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ask = |body: Value| crate::server::ask(port, "POST", "/v1/jobs?wait=60s", Some(&body));
    until("it answers", || {
        crate::server::ask(port, "GET", "/readyz", None).is_some_and(|(status, _)| status == 200)
    });
    let (status, problem) =
        ask(json!({"command": "true", "isolation": "none", "limits": {"memory_bytes": 64 << 20}})).unwrap();
    assert_eq!((status, &problem["missing"]), (409, &json!(["cgroup.memory"])), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("sandbox"), "{problem}");
    let (_, job) = ask(json!({"command": "ulimit -v", "isolation": "sandbox", "limits": {"memory_bytes": 64 << 20, "cpus": 1}})).unwrap();
    assert_eq!(text(&job), "65536\n", "{job}");
    let had = &job["isolation_effective"];
    assert_eq!(had["limits"]["memory_bytes"]["enforced_by"], "rlimit", "{had}");
    assert_eq!(had["limits"]["cpus"]["enforced_by"], Value::Null, "{had}");
    assert_eq!(had["tier"], "partial", "{had}");
    assert!(had["missing"].as_array().unwrap().contains(&json!("cgroup.memory")), "{had}");
    child.kill().unwrap();
    child.wait().unwrap();
}
