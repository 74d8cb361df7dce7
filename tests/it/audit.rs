//! The audit log of a real server: who did what, that nothing secret is in it, and that a node lives without it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{PATIENCE, until};
use crate::server::{Answer, Launch, Server, exchange};

const COMMAND: &str = "echo words-of-a-command";

fn open(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn ask(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let mut answer = String::new();
    open(server, token, method, path, body).read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn entries(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The first entry of this action, once it is there.
fn entry(folder: &Path, action: &str) -> Value {
    let found = || entries(folder).into_iter().find(|entry| entry["action"] == action);
    until(action, || found().is_some());
    found().unwrap()
}

fn create(server: &Server, token: &str, body: &Value) -> (String, String) {
    let answer = ask(server, token, "POST", "/v1/tokens", Some(body));
    assert_eq!(answer.status, 201, "{}", answer.body);
    let made = answer.json();
    (made["token"].as_str().unwrap().into(), made["id"].as_str().unwrap().into())
}

/// What `work` left behind.
struct Done {
    admin: String,
    admin_id: String,
    user: String,
    user_id: String,
    job: String,
}

/// Does, and fails to do, something of every kind.
fn work(server: &Server) -> Done {
    let (admin, admin_id) = create(server, "none", &json!({"role": "admin", "name": "first"}));
    let wanted = json!({"role": "user", "name": "ana", "tenant": "blue"});
    let (user, user_id) = create(server, &admin, &wanted);
    let (open, secret) = (json!({"OPEN": "value-of-a-variable"}), json!({"S": "value-of-a-secret"}));
    let wanted = json!({"command": COMMAND, "env": open, "secret_env": secret});
    let submitted = ask(server, &user, "POST", "/v1/jobs?wait=30s", Some(&wanted));
    assert_eq!(submitted.status, 200, "{}", submitted.body);
    let job = submitted.json()["id"].as_str().unwrap().to_owned();
    let short = &job[..job.len() - 4];
    let batch = json!({"jobs": vec![json!({"command": COMMAND}); 60]});
    for (token, method, path, body, status) in [
        (&user[..], "POST", "/v1/jobs/batch", Some(&batch), 200),
        (&user, "POST", &format!("/v1/jobs/{short}/cancel"), None, 409),
        (&user, "DELETE", &format!("/v1/jobs/{short}"), None, 204),
        (&user, "POST", "/v1/queue/pause", None, 403),
        (&user, "GET", "/v1/tokens", None, 403),
        (&admin, "POST", "/v1/jobs/prune", Some(&json!({})), 200),
        (&admin, "DELETE", &format!("/v1/tokens/{user_id}"), None, 204),
        (&admin, "DELETE", &format!("/v1/tokens/{admin}"), None, 404),
        (&user, "GET", &format!("/v1/jobs?token={admin}"), None, 401),
        (&user, "GET", &format!("/v1/jobs/{admin}"), None, 401),
        ("not-a-token", "GET", "/v1/jobs", None, 401),
    ] {
        let answer = ask(server, token, method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
    Done { admin, admin_id, user, user_id, job }
}

#[test]
fn who_did_what_is_noted_and_nothing_secret_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::over(folder.path()).start();
    let dir = folder.path();
    let Done { admin, admin_id, user, user_id, job: id } = work(&server);
    until("the last failure is noted", || {
        entries(dir).iter().filter(|one| one["action"] == "auth.fail").count() == 3
    });

    let all = entries(dir);
    let of = |action: &str| all.iter().filter(|one| one["action"] == action).collect::<Vec<_>>();
    let made = of("token.create");
    assert_eq!(made.len(), 2);
    assert_eq!(
        (&made[0]["token_id"], &made[0]["targets"]),
        (&Value::Null, &json!([admin_id])),
        "the first is nobody's"
    );
    assert_eq!((&made[1]["token_id"], &made[1]["token_name"]), (&json!(admin_id), &json!("first")));
    assert_eq!((&made[1]["targets"], &made[1]["result"]), (&json!([user_id]), &json!(201)));
    let submits = of("job.submit");
    assert_eq!((&submits[0]["targets"], &submits[0]["result"]), (&json!([id]), &json!(200)));
    assert_eq!((&submits[0]["token_name"], &submits[0]["tenant"]), (&json!("ana"), &json!("blue")));
    assert_eq!(submits[0]["peer"], "127.0.0.1");
    assert_eq!(
        (&submits[1]["count"], submits[1]["targets"].as_array().map(Vec::len)),
        (&json!(60), Some(50))
    );
    assert_eq!(
        (&of("job.cancel")[0]["targets"], &of("job.cancel")[0]["result"]),
        (&json!([id]), &json!(409))
    );
    assert_eq!(
        (&of("job.delete")[0]["targets"], &of("job.delete")[0]["result"]),
        (&json!([id]), &json!(204))
    );
    assert_eq!(of("queue.pause")[0]["result"], 403);
    assert_eq!(
        (&of("auth.deny")[0]["path"], &of("auth.deny")[0]["token_id"]),
        (&json!("/v1/tokens"), &json!(user_id))
    );
    assert_eq!(of("prune")[0]["token_id"], json!(admin_id));
    assert_eq!(
        (&of("token.revoke")[0]["targets"], &of("token.revoke")[0]["result"]),
        (&json!([user_id]), &json!(204))
    );
    assert_eq!(
        (&of("token.revoke")[1]["targets"], &of("token.revoke")[1]["result"]),
        (&Value::Null, &json!(404))
    );
    let failed = of("auth.fail");
    assert_eq!((&failed[0]["path"], &failed[1]["path"]), (&json!("/v1/jobs"), &json!("/v1/jobs/***")));
    assert_eq!((&failed[0]["reason"], &failed[0]["token_id"]), (&json!("revoked"), &json!(user_id)));
    assert_eq!((&failed[2]["reason"], &failed[2]["token_id"]), (&json!("unknown"), &Value::Null));
    assert!(all.iter().all(|one| one["time"].as_str().is_some_and(|time| time.ends_with('Z'))));

    assert_eq!(server.terminate(), Some(0));
    let text = std::fs::read_to_string(dir.join("audit.jsonl")).unwrap();
    let secrets = [&admin[..], &user, "not-a-token", "words-of", "value-of"];
    for secret in secrets.iter().flat_map(|secret| [secret, secret.rsplit('_').next().unwrap_or(secret)]) {
        assert!(!text.contains(secret), "{secret} is in the audit log");
    }
    let mode = dir.join("audit.jsonl").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_was_done_for_a_client_that_went_away_is_noted_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let (admin, _) = create(&server, "none", &json!({"role": "admin"}));
    let job = json!({"command": "sleep 100"});
    let gone = open(&server, &admin, "POST", "/v1/jobs?wait=5m", Some(&job));
    until("the job is there", || {
        let list = ask(&server, &admin, "GET", "/v1/jobs", None).json();
        list["items"].as_array().is_some_and(|items| !items.is_empty())
    });
    drop(gone);
    let entry = entry(folder.path(), "job.submit");
    assert_eq!((&entry["reason"], &entry["result"]), (&json!("client_gone"), &Value::Null));
    assert_eq!(entry["targets"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_open_node_notes_what_an_operator_does_and_no_submits() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::over(folder.path()).start();
    server.until(&server.submit("true"), "completed");
    assert_eq!(server.ask("POST", "/v1/queue/pause", None).unwrap().0, 200);
    assert_eq!(server.terminate(), Some(0));
    let actions: Vec<Value> =
        entries(folder.path()).into_iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, [json!("queue.pause")]);
    let mut silent = Launch::over(folder.path()).variable("CALLBOARD_AUDIT", "0").start();
    assert_eq!(silent.ask("POST", "/v1/queue/pause", None).unwrap().0, 200);
    assert_eq!(silent.terminate(), Some(0));
    assert_eq!(entries(folder.path()).len(), 1);
}

#[test]
fn an_address_is_blocked_once_in_the_log_and_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let data = folder.path().join("data");
    let server = Launch::over(&data).variable("CALLBOARD_AUTH_FAILURES_PER_MINUTE", "3").log_to(&log).start();
    let (admin, _) = create(&server, "none", &json!({"role": "admin"}));
    let statuses: Vec<u16> = (0..6).map(|_| ask(&server, "guess", "GET", "/v1/jobs", None).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    let refused = ask(&server, &admin, "GET", "/v1/jobs", None);
    assert_eq!((refused.status, &refused.json()["type"]), (429, &json!("/problems/too-many-failures")));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert_eq!(server.ask("GET", "/livez", None).unwrap().0, 200);
    entry(&data, "auth.block");
    let all = entries(&data);
    assert_eq!(all.iter().filter(|one| one["action"] == "auth.fail").count(), 3);
    assert_eq!(all.iter().filter(|one| one["action"] == "auth.block").count(), 1);
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("this address is not heard").count(), 1, "{said}");
    assert!(!said.contains("guess"), "{said}");
}

#[test]
fn a_node_works_on_without_its_audit_log_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (log, data) = (folder.path().join("log"), folder.path().join("data"));
    // Nobody can write into that, root neither; a full disk fails at the same place.
    std::fs::create_dir_all(data.join("audit.jsonl")).unwrap();
    let server = Launch::over(&data).log_to(&log).start();
    let pause = || assert_eq!(server.ask("POST", "/v1/queue/pause", None).unwrap().0, 200);
    let lost = || {
        let metrics = exchange(server.port, "GET", "/metrics", None).unwrap().body;
        let line =
            metrics.lines().find(|line| line.starts_with("callboard_audit_lost_total ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let warned =
        || server.ask("GET", "/health", None).unwrap().1["warnings"].to_string().contains("audit log");
    (0..3).for_each(|_| pause());
    until("they are counted", || lost() == 3);
    assert!(warned());
    assert_eq!(server.ask("POST", "/v1/queue/resume", None).unwrap().0, 200);
    server.until(&server.submit("true"), "completed");
    std::fs::remove_dir(data.join("audit.jsonl")).unwrap();
    pause();
    assert_eq!(entry(&data, "queue.pause")["result"], 200);
    until("the warning is gone", || !warned());
    assert_eq!(lost(), 4);
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("cannot be written, its entries are lost").count(), 1, "{said}");
    assert!(said.contains("is written again"), "{said}");
}

#[test]
fn who_is_refused_often_flushes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).variable("CALLBOARD_AUTH_FAILURES_PER_MINUTE", "0").start();
    let (admin, _) = create(&server, "none", &json!({"role": "admin"}));
    let (user, _) = create(&server, &admin, &json!({"role": "user"}));
    for _ in 0..30 {
        assert_eq!(ask(&server, "guess", "GET", "/v1/jobs", None).status, 401);
        assert_eq!(ask(&server, &user, "GET", "/v1/tokens", None).status, 403);
        assert_eq!(ask(&server, &user, "POST", "/v1/queue/pause", None).status, 403);
    }
    assert_eq!(ask(&server, &admin, "POST", "/v1/queue/resume", None).status, 200);
    entry(folder.path(), "queue.resume");
    let all = entries(folder.path());
    let noted = |actions: &[&str]| {
        all.iter().filter(|entry| actions.iter().any(|action| entry["action"] == *action)).count()
    };
    // A minute may end meanwhile: then as many again may be noted.
    assert!((20..30).contains(&noted(&["auth.fail"])));
    assert!((20..=40).contains(&noted(&["auth.deny", "queue.pause"])));
    let metrics = ask(&server, &admin, "GET", "/metrics", None).body;
    let line = metrics.lines().find(|line| line.starts_with("callboard_audit_left_out_total ")).unwrap();
    let left_out: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(left_out + noted(&["auth.fail", "auth.deny", "queue.pause"]), 90);
}
