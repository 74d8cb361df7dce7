//! Jobs that ask for isolation which their node cannot or may not give: they are refused where they are submitted, counted,
//! and nothing of them is kept. The original's clients, who cannot ask, are answered as ever.

use serde_json::{Value, json};

use crate::cli::ask;
use crate::metrics::scrape;
use crate::server::{Launch, exchange};
use crate::site::has_rooms;

/// Plain processes unless asked, and then none: no job but one in a room runs, and whoever asks for nothing gets none.
fn strict(launch: Launch) -> Launch {
    launch.variable("CALLBOARD_ISOLATION", "none").variable("CALLBOARD_MIN_ISOLATION", "partial")
}

/// Cannot be had anywhere.
fn impossible() -> Value {
    json!({"mode": "sandbox", "network": "host", "require": ["netns", "seccomp"]})
}

#[test]
fn what_cannot_be_given_is_refused_counted_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).with_rooms().start();
    if !has_rooms("refusals::counted", &server) {
        return;
    }
    let wanted = json!({"command": "true", "isolation": impossible()});
    let answer = exchange(server.port, "POST", "/v1/jobs", Some(&wanted)).unwrap();
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    let problem = answer.json();
    assert_eq!(
        (&problem["type"], &problem["missing"], &problem["errors"][0]["pointer"]),
        (&json!("/problems/isolation-unavailable"), &json!(["netns"]), &json!("#/isolation/require")),
        "{problem}"
    );
    assert!(problem["fix"].as_str().unwrap().contains("host's network"), "{problem}");
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().1["items"], json!([]), "nothing is kept");
    assert_eq!(exchange(server.port, "GET", "/problems/isolation-unavailable", None).unwrap().status, 200);
    let text = scrape(&server);
    let refused = |missing| text.labelled("callboard_jobs_isolation_refused_total", &[("missing", missing)]);
    assert_eq!((refused("netns"), refused("seccomp"), refused("policy")), (1.0, 0.0, 0.0));
    assert_eq!(text.labelled("callboard_jobs_rejected_total", &[("reason", "isolation")]), 1.0);
}

#[test]
fn of_a_batch_each_job_is_judged_for_itself_or_all_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).with_rooms().start();
    if !has_rooms("refusals::batch", &server) {
        return;
    }
    let jobs = json!([{"command": "true"}, {"command": "true", "isolation": impossible()}]);
    let answer = exchange(server.port, "POST", "/v1/jobs/batch", Some(&json!({"jobs": jobs}))).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("x-isolation-tier: "), "{}", answer.head);
    let items = answer.json()["items"].clone();
    assert!(items[0]["job"]["id"].is_string(), "{items}");
    let error = &items[1]["error"];
    assert_eq!((&error["status"], &error["missing"]), (&json!(409), &json!(["netns"])), "{items}");
    assert_eq!(error["errors"][0]["pointer"], "#/jobs/1/isolation/require", "{items}");
    let whole = json!({"jobs": jobs, "all_or_nothing": true});
    let (status, problem) = server.ask("POST", "/v1/jobs/batch", Some(&whole)).unwrap();
    assert_eq!((status, &problem["missing"]), (409, &json!(["netns"])), "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "#/jobs/1/isolation/require", "{problem}");
    assert_eq!(server.ask("GET", "/v1/jobs", None).unwrap().1["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_setting_that_is_in_the_way_is_named_and_the_original_s_clients_are_answered_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let server = strict(Launch::over(folder.path()).with_rooms()).start();
    if !has_rooms("refusals::setting", &server) {
        return;
    }
    for isolation in [json!("none"), json!("auto")] {
        let body = json!({"command": "true", "isolation": isolation});
        let (status, problem) = server.ask("POST", "/v1/jobs", Some(&body)).unwrap();
        assert_eq!((status, &problem["setting"]), (403, &json!("runner.min_isolation")), "{problem}");
        assert_eq!(problem["type"], "/problems/isolation-not-allowed", "{problem}");
    }
    let refused = || {
        let labels = [("missing", "policy")];
        scrape(&server).labelled("callboard_jobs_isolation_refused_total", &labels)
    };
    assert_eq!(refused(), 2.0);
    let answer = exchange(server.port, "POST", "/jobs", Some(&json!({"command": "true"}))).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("x-isolation-tier: none"), "{}", answer.head);
    let job = server.until(answer.json()["job_id"].as_str().unwrap(), "failed");
    assert_eq!(job["reason"], "isolation_unavailable", "{job}");
    // The runner refuses what the door lets through, and counts it, too.
    assert_eq!(refused(), 3.0);
    let path = format!("/v1/jobs/{}/retry", job["id"].as_str().unwrap());
    assert_eq!(server.ask("POST", &path, None).unwrap().0, 403);
}

#[test]
fn the_command_line_says_it_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = strict(Launch::over(folder.path()).with_rooms()).start();
    if !has_rooms("refusals::client", &server) {
        return;
    }
    let demand = ["--isolation", "sandbox", "--network", "host", "--require-layer", "netns", "--", "true"];
    let plain = ["--isolation", "none", "--", "true"];
    for (command, arguments, code, word) in [
        (&["submit"][..], &demand[..], 5, "netns"),
        (&["submit"], &plain, 4, "runner.min_isolation"),
        (&["submit", "--wait"], &demand, 125, "netns"),
        (&["run"], &demand, 125, "netns"),
        (&["run"], &plain, 125, "runner.min_isolation"),
    ] {
        let said = ask(&server, &[command, arguments].concat());
        said.refused(code, word);
        assert!(said.err.starts_with("callboard: "), "{said:?}");
    }
}
