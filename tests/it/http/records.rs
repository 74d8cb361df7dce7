//! Forgetting many jobs, the state of things, and the feed of events, at the door.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use callboard_actors::model::JobId;
use callboard_actors::model::spread::Spread;
use callboard_actors::protocol::metrics::{Stats, WindowCounts};
use callboard_actors::protocol::notices::{JobChange, JobChangeKind, RunnerChanged};
use futures_util::future::poll_fn;

use super::*;

/// Four finished jobs, the second one failed, and one that waits.
async fn crowd(fake: &Fake) -> Vec<JobId> {
    let mut ids = Vec::new();
    for at in 0..5 {
        let id = submit(fake, echo()).await;
        let reason = if at == 1 { EndReason::Oom } else { EndReason::Exited };
        if at < 4 {
            fake.stage().end(id, outcome(reason, None));
        }
        ids.push(id);
    }
    ids
}

#[actix_web::test]
async fn finished_jobs_are_pruned_in_rounds_and_live_ones_stay() {
    let fake = Fake::new();
    let ids = crowd(&fake).await;
    fake.stage().prune_page = 1;
    let prune = async |body: Value| send(&fake.door, post("/v1/jobs/prune", body)).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let counted = prune(json!({"dry_run": true})).await.json();
    assert_eq!(
        (&counted["jobs"], &counted["bytes"], &counted["dry_run"]),
        (&json!(4), &json!(4000), &json!(true))
    );
    assert_eq!(prune(json!({"older_than_ms": 3_600_000})).await.json()["jobs"], 0);
    assert_eq!(prune(json!({"status": ["failed", "cancelled"]})).await.json()["jobs"], 1);
    assert!(!fake.stage().jobs.contains_key(&ids[1]));
    let answer = prune(json!({"finished_before": counted["finished_before"]})).await.json();
    assert_eq!((&answer["jobs"], &answer["more"]), (&json!(3), &json!(false)));
    assert_eq!(fake.only(), ids[4]);
}

#[actix_web::test]
async fn a_prune_says_what_it_does_not_understand() {
    let fake = Fake::new();
    for (body, pointer) in [
        (json!({"status": ["running"]}), "#/status/0"),
        (json!({"status": []}), "#/status"),
        (json!({"finished_before": "yesterday"}), "#/finished_before"),
        (json!({"finished_before": "2026-11-24T16:40:00Z", "older_than_ms": 1}), "#/older_than_ms"),
        (json!({"older_than": "7d"}), "#/older_than"),
    ] {
        let answer = send(&fake.door, post("/v1/jobs/prune", body)).await;
        assert_eq!(answer.refusal(), (422, pointer.into()));
    }
    let nothing = TestRequest::post().uri("/v1/jobs/prune");
    assert_eq!(send(&fake.door, nothing).await.status, 422, "to forget everything takes a word");
    fake.stage().refuse_lookup = Some(callboard_actors::protocol::LookupError::Busy);
    assert_eq!(send(&fake.door, post("/v1/jobs/prune", json!({}))).await.status, 429);
}

#[actix_web::test]
async fn stats_are_one_object() {
    let fake = Fake::new();
    crowd(&fake).await;
    let windows = [(1, 2_000), (5, 2_000), (15, 2_000)].map(|(minutes, span_ms)| WindowCounts {
        minutes,
        span_ms,
        accepted: 9,
        ended: [5, 2, 1],
    });
    let run_us = Spread { count: 8, p50: 1_500, p95: 2_000_000, p99: 2_000_000, max: 2_000_001 };
    fake.stage().stats =
        Stats { running: 3, windows, run_us, oldest_waiting_ms: Some(0), ..Stats::default() };
    let stats = send(&fake.door, get("/v1/stats")).await.json();
    let jobs = json!({"pending": 1, "running": 3, "completed": 3, "failed": 1, "cancelled": 0});
    assert_eq!(stats["jobs"], jobs);
    let window = json!({"minutes": 15, "counted_seconds": 2.0, "accepted": 9, "completed": 5, "failed": 2,
        "cancelled": 1, "ended_per_second": 4.0});
    assert_eq!(stats["windows"][2], window);
    assert_eq!(
        stats["run_ms"],
        json!({"count": 8, "p50": 1.5, "p95": 2000.0, "p99": 2000.0, "max": 2000.001})
    );
    assert_eq!(stats["oldest_waiting_at"], "1970-01-01T00:00:00.000Z");
    let rest = ["slots", "slots_used", "store_bytes", "retained_bytes"].map(|key| stats[key].clone());
    assert_eq!(rest, [2, 0, 4096, 77].map(|number| json!(number)));
    assert_eq!(stats["last_event"], "1764000000000-0");
}

fn publish(fake: &Fake, id: JobId, kinds: Vec<JobChangeKind>) {
    let changes = kinds.into_iter().map(|what| JobChange { id, what }).collect();
    fake.feed.publish_jobs(Arc::new(changes), 0);
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

fn told(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().expect("a word")).collect()
}

fn ended() -> JobChangeKind {
    let (usage, output) = (Default::default(), [(0, false); 2]);
    let (reason, from) = (EndReason::Oom, callboard_actors::model::Status::Running);
    JobChangeKind::Ended { reason, from, runtime_ms: Some(7), usage, output }
}

#[actix_web::test]
async fn events_are_told_in_order_and_from_where_a_reader_stopped() {
    let fake = Fake::new();
    let [one, two] = [clock::new_job_id(), clock::new_job_id()];
    publish(&fake, one, vec![JobChangeKind::Accepted, JobChangeKind::Leased { waited_ms: 3 }]);
    publish(&fake, two, vec![JobChangeKind::Accepted, JobChangeKind::Dispatched { took_us: 1 }]);
    let node = callboard_actors::model::NodeId(Default::default());
    fake.feed.publish_runner(RunnerChanged { node, state: "lost", usable_slots: 4, taken: 0 }, 0);
    publish(&fake, one, vec![JobChangeKind::Started, ended(), JobChangeKind::Deleted]);
    let all = lines(&send(&fake.door, get("/v1/events")).await);
    assert_eq!(told(&all), ["accepted", "leased", "accepted", "changed", "started", "ended", "deleted"]);
    let last = all[5].clone();
    let expected = json!({"id": "1764000000000-7", "at": "1970-01-01T00:00:00.000Z", "topic": "job", "event": "ended",
        "job": one.to_string(), "status": "failed", "reason": "oom", "runtime_ms": 7});
    assert_eq!(last, expected);
    assert_eq!((&all[3]["state"], &all[3]["slots"]), (&json!("lost"), &json!(4)));
    for since in ["?since=1764000000000-6", "?since=6"] {
        assert_eq!(
            told(&lines(&send(&fake.door, get(&format!("/v1/events{since}"))).await)),
            ["ended", "deleted"]
        );
    }
    let header = get("/v1/events").insert_header(("Last-Event-ID", "1764000000000-8"));
    assert_eq!(lines(&send(&fake.door, header).await), [json!(null); 0]);
    let runners = lines(&send(&fake.door, get("/v1/events?topic=runner")).await);
    assert_eq!(told(&runners), ["changed"]);
    submit(&fake, echo()).await;
    let stranger = lines(&send(&fake.door, get(&format!("/v1/events?job={two}"))).await);
    assert_eq!(told(&stranger), ["accepted"]);
}

#[actix_web::test]
async fn what_is_missing_is_told_as_a_gap() {
    let fake = Fake::new();
    publish(&fake, clock::new_job_id(), vec![JobChangeKind::Started; 20_000]);
    publish(&fake, clock::new_job_id(), vec![JobChangeKind::Accepted; 2]);
    let behind = lines(&send(&fake.door, get("/v1/events?since=5")).await);
    assert_eq!(told(&behind), ["gap", "accepted", "accepted"]);
    let gap = &behind[0];
    assert_eq!(
        (&gap["why"], &gap["missed"], &gap["id"]),
        (&json!("behind"), &json!(19_995), &json!("1764000000000-20000"))
    );
    let restarted = lines(&send(&fake.door, get("/v1/events?since=1-5")).await);
    assert_eq!((told(&restarted)[0], &restarted[0]["why"]), ("gap", &json!("restart")));
    assert_eq!(restarted[0].get("missed"), None);
    let at_the_gap = lines(&send(&fake.door, get("/v1/events?since=1764000000000-20000")).await);
    assert_eq!(told(&at_the_gap), ["accepted", "accepted"]);
}

#[actix_web::test]
async fn events_say_what_they_do_not_understand() {
    let fake = Fake::new();
    for (query, pointer) in [
        ("since=x", "?since"),
        ("since=1764000000000-1", "?since"),
        ("topic=weather", "?topic"),
        ("job=zzz", "?job"),
        ("follow=maybe", "?follow"),
        ("limit=5", "?limit"),
    ] {
        let answer = send(&fake.door, get(&format!("/v1/events?{query}"))).await;
        assert_eq!(answer.refusal(), (422, pointer.into()), "{query}");
    }
    let both = get("/v1/events?since=0").insert_header(("Last-Event-ID", "0"));
    assert_eq!(send(&fake.door, both).await.refusal(), (422, "?since".into()));
    let page = get("/v1/events").insert_header(("Accept", "text/event-stream"));
    assert_eq!(send(&fake.door, page).await.refusal(), (422, "Accept".into()));
    let any = get("/v1/events").insert_header(("Accept", "text/html, */*;q=0.8"));
    assert_eq!(send(&fake.door, any).await.status, 200);
    let job = submit(&fake, echo()).await;
    let answer = send(&fake.door, get(&format!("/v1/events?job={job}&topic=job,runner"))).await;
    assert_eq!(answer.refusal(), (422, "?topic".into()));
    assert_eq!(send(&fake.door, get("/v1/events?job=ffff")).await.problem(), (404, "not-found".into()));
}

/// The next piece of an answer that goes on.
async fn piece<B: MessageBody<Error: Debug> + Unpin>(body: &mut B) -> Option<String> {
    let next = poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_next(cx));
    let next = tokio::time::timeout(crate::process::PATIENCE, next).await.expect("something comes");
    next.map(|bytes| String::from_utf8(bytes.expect("it is fine").to_vec()).expect("it is UTF-8"))
}

#[actix_web::test]
async fn a_reader_that_follows_hears_what_comes_until_the_platform_stops_and_holds_a_place() {
    let fake = Fake::new();
    publish(&fake, clock::new_job_id(), vec![JobChangeKind::Accepted]);
    let app = test::init_service(App::new().configure(configure(fake.door.clone()))).await;
    let request = || get("/v1/events?follow=true").insert_header((HOST, "localhost")).to_request();
    let answer = test::call_service(&app, request()).await;
    assert_eq!(
        answer.headers().get("content-encoding").map(|value| value.as_bytes()),
        Some(&b"identity"[..])
    );
    let mut body = answer.into_body();
    publish(&fake, clock::new_job_id(), vec![JobChangeKind::Started]);
    let first = piece(&mut body).await.expect("it goes on");
    assert!(first.contains("\"started\"") && !first.contains("\"accepted\""), "{first}");
    // It does not read while more happens than is kept: that holds up nobody, and it hears of it.
    for _ in 0..20 {
        publish(&fake, clock::new_job_id(), vec![JobChangeKind::Accepted; 1000]);
    }
    let next = piece(&mut body).await.expect("it goes on");
    let gap: Value = serde_json::from_str(next.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&gap["event"], &gap["why"]), (&json!("gap"), &json!("behind")));
    let last = "1764000000000-20002";
    let mut told = next;
    while !told.contains(last) {
        told = piece(&mut body).await.expect("it goes on to the last one");
    }
    let places = u32::try_from(fake.door.followers.available_permits()).expect("few");
    let taken = fake.door.followers.try_acquire_many(places).expect("they are free");
    let refused = test::call_service(&app, request()).await;
    assert_eq!(refused.status().as_u16(), 429);
    drop(taken);
    fake.stop.send_replace(true);
    assert_eq!(piece(&mut body).await, None);
    drop(body);
    assert_eq!(fake.door.followers.available_permits() as u32, places + 1, "its place is free again");
}
