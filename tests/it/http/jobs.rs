//! Looking at jobs, listing, cancelling, repeating and forgetting them.

use actix_web::test::TestRequest;

use std::time::Duration;

use callboard_actors::protocol::LookupError;

use super::*;

#[actix_web::test]
async fn a_job_is_found_by_its_id_or_by_a_beginning_that_fits_one() {
    let fake = Fake::new();
    let first = submit(&fake, echo()).await.to_string();
    assert_eq!(send(&fake.door, get(&format!("/v1/jobs/{}", &first[..8]))).await.status, 200);
    let upper = first[..13].to_ascii_uppercase();
    assert_eq!(send(&fake.door, get(&format!("/v1/jobs/{upper}"))).await.status, 200);
    for id in ["123", "0-0-0", "nonsense", "ffffffff", &format!("{first}0")] {
        let answer = send(&fake.door, get(&format!("/v1/jobs/{id}"))).await;
        assert_eq!(answer.problem(), (404, "not-found".into()), "{id}");
    }
    submit(&fake, echo()).await;
    let answer = send(&fake.door, get(&format!("/v1/jobs/{}", &first[..4]))).await;
    assert_eq!(answer.problem(), (409, "ambiguous-id".into()));
}

#[actix_web::test]
async fn an_answer_that_is_known_is_304_until_it_changes() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    let path = format!("/v1/jobs/{id}");
    let first = send(&fake.door, get(&path)).await;
    let tag = first.header("etag").expect("an ETag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let again = send(&fake.door, get(&path).insert_header(("If-None-Match", known))).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), Some(tag.as_str()));
    }
    fake.stage().run(id);
    let changed = send(&fake.door, get(&path).insert_header(("If-None-Match", tag.clone()))).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[actix_web::test]
async fn waiting_on_a_finished_job_answers_at_once() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    fake.stage().end(id, outcome(EndReason::Exited, Some(Exit::Code(0))));
    let answer = send(&fake.door, get(&format!("/v1/jobs/{id}?wait=5m"))).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("completed")));
}

#[actix_web::test]
async fn waiting_ends_with_the_time_or_when_the_platform_stops() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    let answer = send(&fake.door, get(&format!("/v1/jobs/{id}?wait=20ms"))).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("pending")));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        fake.stop.send_replace(true);
    };
    let begun = clock::moment();
    let (door, path) = (&fake.door, format!("/v1/jobs/{id}?wait=5m"));
    let (held, submitted, ()) = futures_util::future::join3(
        send(door, get(&path)),
        send(door, post("/v1/jobs?wait=5m", echo())),
        stop,
    )
    .await;
    assert_eq!((held.status, held.json()["status"].as_str()), (200, Some("pending")));
    assert_eq!(submitted.status, 202);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[actix_web::test]
async fn refusals_of_a_look_have_their_codes() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    fake.stage().refuse_wait = true;
    let answer = send(&fake.door, get(&format!("/v1/jobs/{id}?wait=1s"))).await;
    assert_eq!(answer.problem(), (429, "too-many-requests".into()));
    for (error, status, kind) in [
        (LookupError::Busy, 429, "too-many-requests"),
        (LookupError::Store("disk".into()), 503, "store-failed"),
        (LookupError::Gone, 503, "unavailable"),
    ] {
        fake.stage().refuse_lookup = Some(error);
        for request in [get(&format!("/v1/jobs/{id}")), get("/v1/jobs"), get(&format!("/jobs/{id}"))] {
            assert_eq!(send(&fake.door, request).await.problem(), (status, kind.into()));
        }
        for verb in ["cancel", "retry"] {
            let request = TestRequest::post().uri(&format!("/v1/jobs/{id}/{verb}"));
            assert_eq!(send(&fake.door, request).await.problem(), (status, kind.into()));
        }
    }
}

#[actix_web::test]
async fn unknown_jobs_are_404_everywhere() {
    let fake = Fake::new();
    let path = format!("/v1/jobs/{}", clock::new_job_id());
    for request in [
        get(&path),
        TestRequest::delete().uri(&path),
        TestRequest::post().uri(&format!("{path}/cancel")),
        TestRequest::post().uri(&format!("{path}/retry")),
        get(&format!("{path}/logs")),
        get(&format!("{path}/logs?stream=stdout")),
        get(&format!("{path}/logs?follow=true")),
        TestRequest::put().uri(&format!("{path}/stdin")),
    ] {
        let answer = send(&fake.door, request).await;
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (404, Some("Job not found")));
    }
}

#[actix_web::test]
async fn a_list_is_read_page_by_page() {
    let fake = Fake::new();
    for n in 0..5 {
        submit(&fake, json!({"command": "x", "name": format!("n{n}"), "env": {"A": "1"}})).await;
    }
    let mut path = String::from("/v1/jobs?limit=2&status=pending,running");
    let mut names = Vec::new();
    loop {
        let answer = send(&fake.door, get(&path)).await;
        let page = answer.json();
        for item in page["items"].as_array().expect("items") {
            names.push(item["name"].as_str().expect("a name").to_owned());
            assert_eq!(item.get("env"), None);
        }
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        let Some(link) = answer.header("link") else { break };
        path = link.trim_start_matches('<').trim_end_matches(">; rel=\"next\"").to_owned();
        assert!(path.contains("status=pending,running") && path.matches("cursor=").count() == 1, "{path}");
    }
    assert_eq!(names, ["n4", "n3", "n2", "n1", "n0"]);
}

#[actix_web::test]
async fn a_list_is_filtered() {
    let fake = Fake::new();
    let id = submit(&fake, json!({"command": "x", "name": "one"})).await;
    submit(&fake, json!({"command": "x", "name": "two"})).await;
    fake.stage().end(id, outcome(EndReason::ExitCode, Some(Exit::Code(1))));
    for (query, count) in [
        ("", 2),
        ("status=failed", 1),
        ("status=completed", 0),
        ("name=two", 1),
        ("created_after=2000-01-01T00:00:00Z", 2),
        ("created_before=2000-01-01T00:00:00%2B01:00", 0),
        ("created_before=2000-01-01T00:00:00+01:00", 0),
    ] {
        let answer = send(&fake.door, get(&format!("/v1/jobs?{query}"))).await;
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
}

#[actix_web::test]
async fn what_is_wrong_with_a_query_is_named() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    for (path, pointer) in [
        ("/v1/jobs?colour=red".into(), "?colour"),
        ("/v1/jobs?limit=0".into(), "?limit"),
        ("/v1/jobs?limit=501".into(), "?limit"),
        ("/v1/jobs?limit=many".into(), "?limit"),
        ("/v1/jobs?cursor=x".into(), "?cursor"),
        ("/v1/jobs?status=done".into(), "?status"),
        ("/v1/jobs?status=failed&status=pending".into(), "?status"),
        ("/v1/jobs?created_after=yesterday".into(), "?created_after"),
        (format!("/v1/jobs/{id}?wait=-1"), "?wait"),
        (format!("/v1/jobs/{id}?fields=id"), "?fields"),
        ("/v1/version?x=1".into(), "?x"),
    ] {
        assert_eq!(send(&fake.door, get(&path)).await.refusal(), (422, pointer.into()), "{path}");
    }
}

#[actix_web::test]
async fn a_page_of_huge_commands_ends_early() {
    let fake = Fake::new();
    for _ in 0..40 {
        submit(&fake, json!({"command": "x".repeat(127 << 10)})).await;
    }
    let first = send(&fake.door, get("/v1/jobs?limit=40")).await;
    assert!(first.body.len() < 5 << 20, "{} bytes", first.body.len());
    let (page, count) = (first.json(), first.json()["items"].as_array().map_or(0, Vec::len));
    assert_eq!((&page["has_more"], count > 0 && count < 40), (&json!(true), true));
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let rest = send(&fake.door, get(&format!("/v1/jobs?limit=40&cursor={cursor}"))).await.json();
    assert_eq!(rest["items"].as_array().map_or(0, Vec::len), 40 - count);
}

#[actix_web::test]
async fn cancelling_is_harmless_to_repeat_and_too_late_after_the_end() {
    let fake = Fake::new();
    let cancel = |id| TestRequest::post().uri(&format!("/v1/jobs/{id}/cancel"));
    let waiting = submit(&fake, echo()).await;
    for _ in 0..2 {
        let answer = send(&fake.door, cancel(waiting)).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("cancelled")));
    }
    let running = submit(&fake, echo()).await;
    fake.stage().run(running);
    let body = json!({"grace_ms": 1, "note": "wrong host"});
    let answer = send(&fake.door, cancel(running).set_json(body)).await;
    assert_eq!((answer.status, &answer.json()["cancelling"]), (202, &json!(true)));
    assert_eq!(answer.json()["message"], "wrong host");
    assert_eq!(send(&fake.door, cancel(running)).await.status, 200);
    fake.stage().end(running, outcome(EndReason::Exited, Some(Exit::Code(0))));
    assert_eq!(send(&fake.door, cancel(running)).await.problem(), (409, "conflict".into()));
    for (body, pointer) in [
        (json!({"signal": "HUP"}), "#/signal"),
        (json!({"grace_ms": 1u64 << 50}), "#/grace_ms"),
        (json!({"note": "x".repeat(201)}), "#/note"),
    ] {
        let answer = send(&fake.door, cancel(running).set_json(body)).await;
        assert_eq!(answer.refusal(), (422, pointer.into()));
    }
}

#[actix_web::test]
async fn only_a_finished_job_is_repeated_or_forgotten() {
    let fake = Fake::new();
    let id = submit(&fake, json!({"command": "x", "stdin": {"stream": true}})).await;
    let retry = || TestRequest::post().uri(&format!("/v1/jobs/{id}/retry"));
    let forget = || TestRequest::delete().uri(&format!("/v1/jobs/{id}"));
    assert_eq!(send(&fake.door, retry()).await.problem(), (409, "conflict".into()));
    assert_eq!(send(&fake.door, forget()).await.problem(), (409, "conflict".into()));
    fake.stage().end(id, outcome(EndReason::ExitCode, Some(Exit::Code(1))));
    let streamed = send(&fake.door, retry()).await;
    assert_eq!(streamed.problem(), (409, "conflict".into()));
    let answer = send(&fake.door, forget()).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(send(&fake.door, forget()).await.status, 404);

    let id = submit(&fake, echo()).await;
    fake.stage().end(id, outcome(EndReason::ExitCode, Some(Exit::Code(1))));
    let request = post(&format!("/v1/jobs/{id}/retry"), json!({}));
    let answer = send(&fake.door, request).await;
    let job = answer.json();
    assert_eq!((answer.status, &job["retry_of"]), (201, &json!(id.to_string())));
    assert_eq!(
        answer.header("location").map(String::from),
        job["id"].as_str().map(|id| format!("/v1/jobs/{id}"))
    );
}
