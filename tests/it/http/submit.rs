//! Submitting: the original's route, `/v1/jobs` and batches, and everything that is refused there.

use actix_web::test::TestRequest;
use callboard_actors::model::{EndReason, Exit, InputMode};
use callboard_actors::protocol::SubmitError;
use serde_json::json;

use super::*;

#[actix_web::test]
async fn the_original_route_answers_as_the_original_did() {
    let fake = Fake::new();
    let answer = send(&fake.door, post("/jobs", echo())).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["status"], "pending");
    assert!(body["created_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    let id = fake.only();
    assert_eq!(body["job_id"], id.to_string());
    assert_eq!(fake.stage().job(id).view.record.spec.timeout_ms, Some(30_000));
}

#[actix_web::test]
async fn the_original_route_takes_timeouts_as_the_original_did() {
    let fake = Fake::new();
    for timeout in [json!(1), json!(300), json!(30.0), json!("30"), json!(null)] {
        let body = json!({"command": "true", "timeout": timeout});
        assert_eq!(send(&fake.door, post("/jobs", body)).await.status, 200, "{timeout}");
    }
    for timeout in [json!(0), json!(301), json!(-1), json!(1.5), json!("soon"), json!([30])] {
        let body = json!({"command": "true", "timeout": timeout});
        let answer = send(&fake.door, post("/jobs", body)).await;
        assert_eq!(answer.refusal(), (422, "#/timeout".into()), "{timeout}");
    }
}

#[actix_web::test]
async fn the_original_route_refuses_with_422_as_the_original_did() {
    let fake = Fake::new();
    for body in ["", "{", "[]", "{}", "null", r#"{"command":7}"#, r#"{"command":""}"#] {
        let request = TestRequest::post()
            .uri("/jobs")
            .insert_header((CONTENT_TYPE, "application/json"))
            .set_payload(body);
        assert_eq!(send(&fake.door, request).await.status, 422, "{body}");
    }
    let unknown = json!({"command": "true", "colour": "red"});
    assert_eq!(send(&fake.door, post("/jobs", unknown)).await.refusal(), (422, "#/colour".into()));
    assert!(fake.stage().jobs.is_empty());
}

#[actix_web::test]
async fn a_job_is_accepted_with_202_and_where_to_find_it() {
    let fake = Fake::new();
    let body = json!({
        "command": ["printf", "%s", "a b"], "name": "print", "env": {"A": "1"}, "cwd": "/tmp",
        "stdin": {"base64": "aGk="}, "timeout_ms": 5000, "grace_ms": 1, "on_lost": "never", "isolation": "auto",
    });
    let answer = send(&fake.door, post("/v1/jobs", body)).await;
    assert_eq!(answer.status, 202);
    let (id, job) = (fake.only(), answer.json());
    assert_eq!(answer.header("location"), Some(format!("/v1/jobs/{id}").as_str()));
    assert_eq!(job["command"], json!(["printf", "%s", "a b"]));
    assert_eq!((&job["status"], &job["reason"]), (&json!("pending"), &json!("resources")));
    assert_eq!(job["env"], json!({"A": "1"}));
    assert_eq!(job["on_lost"], "never");
    let stage = fake.stage();
    let spec = &stage.jobs[&id].view.record.spec;
    assert_eq!(spec.input, InputMode::Inline(b"hi".to_vec()));
    assert_eq!((spec.timeout_ms, spec.grace_ms), (Some(5000), 1));
}

#[actix_web::test]
async fn what_is_wrong_with_a_job_is_named() {
    let fake = Fake::new();
    let long = "x".repeat(200 << 10);
    for (body, pointer) in [
        (json!({}), "#/command"),
        (json!({"command": ""}), "#/command"),
        (json!({"command": []}), "#/command"),
        (json!({"command": {"sh": "x"}}), "#/command"),
        (json!({"command": "a\u{0}b"}), "#/command"),
        (json!({"command": ["a", "b\u{0}"]}), "#/command"),
        (json!({"command": long}), "#/command"),
        (json!({"command": "x", "name": ""}), "#/name"),
        (json!({"command": "x", "cwd": "here"}), "#/cwd"),
        (json!({"command": "x", "env": {"1A": ""}}), "#/env"),
        (json!({"command": "x", "env": {"A": "\u{0}"}}), "#/env/A"),
        (json!({"command": "x", "env": {"CALLBOARD_X": ""}}), "#/env/CALLBOARD_X"),
        (json!({"command": "x", "timeout_ms": 0}), "#/timeout_ms"),
        (json!({"command": "x", "timeout_ms": 1u64 << 60}), "#/timeout_ms"),
        (json!({"command": "x", "grace_ms": 1u64 << 60}), "#/grace_ms"),
        (json!({"command": "x", "on_lost": "pray"}), "#/on_lost"),
        (json!({"command": "x", "isolation": "strict"}), "#/isolation"),
        (json!({"command": "x", "stdin": {"base64": "?"}}), "#/stdin/base64"),
        (json!({"command": "x", "stdin": {"stream": false}}), "#/stdin/stream"),
        (json!({"command": "x", "priority": 3}), "#/priority"),
    ] {
        let answer = send(&fake.door, post("/v1/jobs", body.clone())).await;
        let shown: String = body.to_string().chars().take(80).collect();
        assert_eq!(answer.refusal(), (422, pointer.into()), "{shown}: {}", answer.text());
        assert!(answer.text().len() < 1000, "{shown}");
    }
    let strict = json!({"command": "x", "isolation": "strict"});
    let detail = send(&fake.door, post("/v1/jobs", strict)).await.json()["detail"].to_string();
    assert!(detail.contains("one of auto, none, sandbox, not `strict`"), "{detail}");
    assert!(fake.stage().jobs.is_empty());
}

#[actix_web::test]
async fn bodies_that_are_not_json_are_refused() {
    let fake = Fake::new();
    let request = |kind: Option<&str>, body: &'static str| {
        let request = TestRequest::post().uri("/v1/jobs").set_payload(body);
        match kind {
            Some(kind) => request.insert_header((CONTENT_TYPE, kind)),
            None => request,
        }
    };
    let json = r#"{"command":"true"}"#;
    for (kind, body, status) in [
        (Some("application/json"), "{", 400),
        (Some("application/json"), "", 422),
        (Some("Application/JSON; charset=utf-8"), json, 202),
        (None, json, 415),
        (Some("text/plain"), json, 415),
        (Some("application/x-www-form-urlencoded"), json, 415),
    ] {
        let answer = send(&fake.door, request(kind, body)).await;
        assert_eq!(answer.status, status, "{kind:?} {body}");
    }
    let packed = request(Some("application/json"), json).insert_header(("content-encoding", "gzip"));
    assert_eq!(send(&fake.door, packed).await.status, 415);
}

#[actix_web::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_read() {
    let fake = Fake::new();
    let padded = |length: usize| {
        let json = r#"{"command":"true"}"#;
        let body = format!("{json}{}", " ".repeat(length - json.len()));
        TestRequest::post()
            .uri("/v1/jobs")
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header(("content-length", length))
            .set_payload(body)
    };
    assert_eq!(send(&fake.door, padded(1 << 20)).await.status, 202);
    assert_eq!(send(&fake.door, padded((1 << 20) + 1)).await.status, 413);
    assert_eq!(send(&fake.door, padded(10 << 20)).await.status, 413);
    // Without an announced length the limit holds all the same.
    let unannounced = TestRequest::post()
        .uri("/v1/jobs")
        .insert_header((CONTENT_TYPE, "application/json"))
        .set_payload(" ".repeat(2 << 20));
    assert_eq!(send(&fake.door, unannounced).await.status, 413);
}

#[actix_web::test]
async fn waiting_answers_200_once_the_job_is_over_and_202_otherwise() {
    let fake = Fake::new();
    let answer = send(&fake.door, post("/v1/jobs?wait=10ms", echo())).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("pending")));
    let end = async {
        while fake.stage().jobs.len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let id = *fake.stage().jobs.keys().last().expect("the second job");
        fake.stage().end(id, outcome(EndReason::Exited, Some(Exit::Code(0))));
    };
    let waiting = send(&fake.door, post("/v1/jobs?wait=1m", echo()));
    let (answer, ()) = futures_util::future::join(waiting, end).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")));
    let answer = send(&fake.door, post("/v1/jobs?wait=soon", echo())).await;
    assert_eq!(answer.refusal(), (422, "?wait".into()));
}

#[actix_web::test]
async fn a_submit_that_cannot_be_waited_for_is_still_accepted() {
    let fake = Fake::new();
    fake.stage().refuse_wait = true;
    assert_eq!(send(&fake.door, post("/v1/jobs?wait=1s", echo())).await.status, 202);
}

#[actix_web::test]
async fn a_repeated_key_gets_the_first_job_again() {
    for path in ["/v1/jobs", "/jobs"] {
        let fake = Fake::new();
        let keyed = |body| post(path, body).insert_header(("Idempotency-Key", "k-1"));
        let first = send(&fake.door, keyed(json!({"command": "true"}))).await;
        assert_eq!(first.header("idempotent-replayed"), None);
        let again = send(&fake.door, keyed(json!({"command": "true"}))).await;
        assert_eq!((again.status, again.body.clone()), (first.status, first.body.clone()));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let other = send(&fake.door, keyed(json!({"command": "false"}))).await;
        assert_eq!(other.problem(), (422, "idempotency-key-reused".into()));
        assert_eq!(fake.stage().jobs.len(), 1);
    }
}

#[actix_web::test]
async fn a_key_does_not_depend_on_spaces_or_order_and_is_bounded() {
    let fake = Fake::new();
    let raw = |body: &'static str, key: &str| {
        TestRequest::post()
            .uri("/v1/jobs")
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header(("Idempotency-Key", key))
            .set_payload(body)
    };
    send(&fake.door, raw(r#"{"command":"a","name":"n"}"#, "k")).await;
    let answer = send(&fake.door, raw(r#"{ "name": "n", "command": "a" }"#, "k")).await;
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    for key in ["", "two words", &"k".repeat(256)] {
        let answer = send(&fake.door, raw(r#"{"command":"a"}"#, key)).await;
        assert_eq!(answer.refusal(), (422, "Idempotency-Key".into()));
    }
}

#[actix_web::test]
async fn refusals_of_the_platform_have_their_codes() {
    let fake = Fake::new();
    let id = clock::new_job_id();
    for (error, expected) in [
        (SubmitError::QueueFull { limit: 5 }, (503, "queue-full")),
        (SubmitError::Busy, (429, "too-many-requests")),
        (SubmitError::Draining, (503, "draining")),
        (SubmitError::Store("disk full".into()), (503, "store-failed")),
        (SubmitError::Gone, (503, "unavailable")),
        (SubmitError::Forgotten(id), (410, "gone")),
    ] {
        fake.stage().refuse_submit = Some(error);
        let expected = (expected.0, expected.1.to_owned());
        assert_eq!(send(&fake.door, post("/v1/jobs", echo())).await.problem(), expected);
        assert_eq!(send(&fake.door, post("/jobs", echo())).await.problem(), expected);
        let batch = json!({"jobs": [echo(), echo()]});
        let answer = send(&fake.door, post("/v1/jobs/batch", batch)).await;
        if expected.0 == 410 {
            assert_eq!(answer.status, 200);
        } else {
            assert_eq!(answer.problem(), expected);
        }
    }
}

#[actix_web::test]
async fn a_batch_has_an_item_for_each_job() {
    let fake = Fake::new();
    let bad = json!({"command": "x", "isolation": "strict"});
    let batch = json!({"jobs": [echo(), {"command": ""}, bad, {"command": "b"}]});
    let answer = send(&fake.door, post("/v1/jobs/batch", batch)).await;
    assert_eq!(answer.status, 200);
    let items = answer.json()["items"].clone();
    assert_eq!(items[0]["job"]["command"], "echo hi");
    assert_eq!(items[1]["error"]["errors"][0]["pointer"], "#/jobs/1/command");
    assert_eq!(items[2]["error"]["errors"][0]["pointer"], "#/jobs/2/isolation");
    assert_eq!(items[3]["job"]["command"], "b");
    assert_eq!(fake.stage().jobs.len(), 2);
    let empty = send(&fake.door, post("/v1/jobs/batch", json!({"jobs": []}))).await;
    assert_eq!((empty.status, empty.json()), (200, json!({"items": []})));
}

#[actix_web::test]
async fn a_batch_of_all_or_nothing_is_refused_as_a_whole() {
    let fake = Fake::new();
    for bad in [json!({"command": ""}), json!({"command": "x", "on_lost": "?"})] {
        let batch = json!({"jobs": [echo(), bad], "all_or_nothing": true});
        let (status, pointer) = send(&fake.door, post("/v1/jobs/batch", batch)).await.refusal();
        assert_eq!(status, 422);
        assert!(pointer.starts_with("#/jobs/1/"), "{pointer}");
    }
    assert!(fake.stage().jobs.is_empty());
}

#[actix_web::test]
async fn a_batch_is_bounded_and_its_key_holds_for_each_job() {
    let fake = Fake::new();
    let many = vec![echo(); 1001];
    let answer = send(&fake.door, post("/v1/jobs/batch", json!({"jobs": many}))).await;
    assert_eq!(answer.refusal(), (422, "#/jobs".into()));
    let two =
        || post("/v1/jobs/batch", json!({"jobs": [echo(), echo()]})).insert_header(("Idempotency-Key", "b"));
    let first = send(&fake.door, two()).await;
    let again = send(&fake.door, two()).await;
    let read = |answer: &Answer| -> Vec<(Value, Value)> {
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.into_iter().map(|item| (item["job"]["id"].clone(), item["replayed"].clone())).collect()
    };
    let ids: Vec<Value> = read(&first).into_iter().map(|(id, _)| id).collect();
    let marked = |replayed: bool| ids.iter().map(|id| (id.clone(), json!(replayed))).collect::<Vec<_>>();
    assert_eq!((read(&first), first.header("idempotent-replayed")), (marked(false), None));
    assert_eq!((read(&again), again.header("idempotent-replayed")), (marked(true), Some("true")));
    assert_eq!(fake.stage().jobs.len(), 2);
    let three = post("/v1/jobs/batch", json!({"jobs": [echo(), echo(), echo()]}));
    let mixed = send(&fake.door, three.insert_header(("Idempotency-Key", "b"))).await;
    let replayed: Vec<Value> = read(&mixed).into_iter().map(|(_, replayed)| replayed).collect();
    assert_eq!((json!(replayed), mixed.header("idempotent-replayed")), (json!([true, true, false]), None));
}
