//! Reading output and writing input.

use std::time::Duration;

use actix_web::test::TestRequest;
use callboard_actors::model::JobId;
use callboard_actors::protocol::OutputError;

use super::*;
use crate::fake::Written;

async fn with_output(fake: &Fake, stdout: &[u8], stderr: &[u8]) -> JobId {
    let id = submit(fake, echo()).await;
    fake.stage().end(id, outcome(EndReason::Exited, Some(Exit::Code(0))));
    fake.stage().job(id).output[0].kept = stdout.to_vec();
    fake.stage().job(id).output[1].kept = stderr.to_vec();
    id
}

fn logs(id: JobId, query: &str) -> TestRequest {
    get(&format!("/v1/jobs/{id}/logs?{query}"))
}

#[actix_web::test]
async fn a_stream_is_read_byte_for_byte() {
    let fake = Fake::new();
    let bytes: Vec<u8> = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
    let id = with_output(&fake, &bytes, b"oops").await;
    let answer = send(&fake.door, logs(id, "stream=stdout")).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-callboard-total-bytes"), Some("900000"));
    assert_eq!(answer.header("x-callboard-truncated"), Some("false"));
    assert_eq!(send(&fake.door, logs(id, "stream=stderr")).await.text(), "oops");
    let rest = send(&fake.door, logs(id, "stream=stdout&offset=899990")).await;
    assert!(rest.body == bytes[899_990..]);
    assert_eq!(send(&fake.door, logs(id, "stream=stdout&offset=900000")).await.body.len(), 0);
    let beyond = send(&fake.door, logs(id, "stream=stdout&offset=900001")).await;
    assert_eq!(beyond.problem(), (416, "range-not-satisfiable".into()));
}

#[actix_web::test]
async fn ranges_are_served() {
    let fake = Fake::new();
    let long: Vec<u8> = (0..600_000_u32).map(|n| (n % 241) as u8).collect();
    let id = with_output(&fake, &long, b"").await;
    let ranged = |value: &str| logs(id, "stream=stdout").insert_header(("Range", value.to_owned()));
    for (value, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=599990-", 599_990, 600_000),
        ("bytes=-5", 599_995, 600_000),
        ("bytes=100-599000", 100, 599_001),
    ] {
        let answer = send(&fake.door, ranged(value)).await;
        assert_eq!((answer.status, answer.body == long[from..to]), (206, true), "{value}");
        let shown = format!("bytes {from}-{}/600000", to - 1);
        assert_eq!(answer.header("content-range"), Some(shown.as_str()));
    }
    let outside = send(&fake.door, ranged("bytes=600000-")).await;
    assert_eq!(outside.problem(), (416, "range-not-satisfiable".into()));
    assert_eq!(outside.header("content-range"), Some("bytes */600000"));
    for ignored in ["bytes=0-1,3-4", "lines=1-2"] {
        assert_eq!(send(&fake.door, ranged(ignored)).await.status, 200, "{ignored}");
    }
}

#[actix_web::test]
async fn both_streams_are_read_one_after_the_other_with_what_is_missing() {
    let fake = Fake::new();
    let id = with_output(&fake, b"headtail", b"err\n").await;
    fake.stage().job(id).output[0] = Written { kept: b"headtail".to_vec(), total: 108, gap_at: Some(4) };
    let answer = send(&fake.door, logs(id, "")).await;
    assert_eq!(answer.text(), "head\n[... 100 bytes omitted ...]\ntailerr\n");
    assert_eq!(answer.header("x-callboard-truncated"), Some("true"));
    assert_eq!(answer.header("accept-ranges"), Some("none"));
    let raw = send(&fake.door, logs(id, "stream=stdout")).await;
    assert_eq!((raw.text().as_str(), raw.header("x-callboard-gap-at")), ("headtail", Some("4")));
}

#[actix_web::test]
async fn the_last_lines_are_found() {
    let fake = Fake::new();
    let line = "a line of some length that makes the output longer than one piece\n";
    let text = line.repeat(10_000);
    let id = with_output(&fake, text.as_bytes(), b"1\n2\n3").await;
    for (lines, expected) in [(0, ""), (1, "3"), (2, "2\n3"), (3, "1\n2\n3"), (9, "1\n2\n3")] {
        let answer = send(&fake.door, logs(id, &format!("stream=stderr&tail={lines}"))).await;
        assert_eq!(answer.text(), expected, "{lines}");
    }
    let answer = send(&fake.door, logs(id, "stream=stdout&tail=9000")).await;
    assert!(answer.text() == line.repeat(9000));
    assert_eq!(send(&fake.door, logs(id, "tail=1")).await.text(), format!("{line}3"));
}

#[actix_web::test]
async fn frames_are_for_those_who_prefer_them_to_text() {
    let fake = Fake::new();
    let id = with_output(&fake, b"a", b"").await;
    let (text, frames) = ("text/plain; charset=utf-8", "application/x-ndjson");
    for (accept, kind) in [
        ("application/x-ndjson, */*", frames),
        ("text/plain;q=0.5, application/x-ndjson", frames),
        ("Application/X-NDJSON; q=0.1", frames),
        ("application/x-ndjson, text/plain", text),
        ("application/x-ndjson;q=0.5, text/*", text),
        ("application/x-ndjson;q=0", text),
        ("application/x-ndjson-ish", text),
        ("*/*", text),
        (",;=", text),
    ] {
        let answer = send(&fake.door, logs(id, "").insert_header(("Accept", accept))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept}");
    }
}

#[actix_web::test]
async fn frames_name_stream_and_offset_and_keep_characters_whole() {
    let fake = Fake::new();
    let id = with_output(&fake, "aé".as_bytes(), b"\xff\xfe").await;
    let request = logs(id, "").insert_header(("Accept", "application/x-ndjson"));
    let answer = send(&fake.door, request).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(
        lines,
        [
            json!({"stream": "stdout", "offset": 0, "text": "aé"}),
            json!({"stream": "stderr", "offset": 0, "base64": "//4="}),
            json!({"stream": "end", "offset": 5, "more": false}),
        ]
    );
}

#[actix_web::test]
async fn what_does_not_go_together_is_refused() {
    let fake = Fake::new();
    let id = with_output(&fake, b"x", b"y").await;
    for (query, pointer) in [
        ("stream=stdin", "?stream"),
        ("follow=maybe", "?follow"),
        ("offset=1", "?offset"),
        ("stream=stdout&offset=-1", "?offset"),
        ("stream=stdout&offset=0&tail=1", "?offset"),
        ("tail=10001", "?tail"),
        ("since=1h", "?since"),
    ] {
        assert_eq!(send(&fake.door, logs(id, query)).await.refusal(), (422, pointer.into()), "{query}");
    }
    for query in ["", "stream=stdout&follow=true"] {
        let request = logs(id, query).insert_header(("Range", "bytes=0-0"));
        assert_eq!(send(&fake.door, request).await.refusal(), (422, "Range".into()), "{query}");
    }
}

#[actix_web::test]
async fn refusals_of_output_have_their_codes() {
    let fake = Fake::new();
    let id = with_output(&fake, b"x", b"").await;
    for (error, status, kind) in [
        (OutputError::Gone(id), 410, "gone"),
        (OutputError::Node("silent".into()), 503, "runner-unreachable"),
    ] {
        fake.stage().refuse_output = Some(error);
        for query in ["stream=stdout", ""] {
            assert_eq!(send(&fake.door, logs(id, query)).await.problem(), (status, kind.into()));
        }
    }
}

async fn write_while(fake: &Fake, id: JobId, pieces: &[&[u8]], last: impl FnOnce()) {
    for piece in pieces {
        tokio::time::sleep(Duration::from_millis(60)).await;
        fake.stage().job(id).output[0].kept.extend_from_slice(piece);
    }
    last();
}

#[actix_web::test]
async fn following_goes_on_until_the_job_is_over() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    fake.stage().run(id);
    let end = || fake.stage().end(id, outcome(EndReason::Exited, Some(Exit::Code(0))));
    let (answer, ()) = futures_util::future::join(
        send(&fake.door, logs(id, "stream=stdout&follow=true")),
        write_while(&fake, id, &[b"one\n", b"two\n", b"three"], end),
    )
    .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "one\ntwo\nthree"));
}

#[actix_web::test]
async fn a_character_that_comes_in_two_pieces_is_one_in_frames() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    fake.stage().run(id);
    let end = || fake.stage().end(id, outcome(EndReason::Exited, Some(Exit::Code(0))));
    let request = logs(id, "follow=true").insert_header(("Accept", "application/x-ndjson"));
    let (answer, ()) = futures_util::future::join(
        send(&fake.door, request),
        write_while(&fake, id, &[b"a\xc3", b"\xa9", b"\xc3"], end),
    )
    .await;
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let text: String = lines.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!(text, "aé");
    assert_eq!(lines[lines.len() - 2], json!({"stream": "stdout", "offset": 3, "base64": "ww=="}));
    assert_eq!(lines[lines.len() - 1]["more"], false);
}

#[actix_web::test]
async fn following_ends_when_the_platform_stops() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    fake.stage().run(id);
    let stop = || {
        fake.stop.send_replace(true);
    };
    let request = logs(id, "follow=true").insert_header(("Accept", "application/x-ndjson"));
    let begun = clock::moment();
    let (answer, ()) =
        futures_util::future::join(send(&fake.door, request), write_while(&fake, id, &[b"x"], stop)).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(answer.text().ends_with("\"more\":true}\n"), "{}", answer.text());
}

#[actix_web::test]
async fn input_is_taken_in_order_until_its_end() {
    let fake = Fake::new();
    let id = submit(&fake, json!({"command": "cat", "stdin": {"stream": true}})).await;
    fake.stage().run(id);
    let put = |query: &str, bytes: &'static str| {
        TestRequest::put().uri(&format!("/v1/jobs/{id}/stdin?{query}")).set_payload(bytes)
    };
    let answer = send(&fake.door, put("", "hello ")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"accepted": 6, "open": true})));
    let gap = send(&fake.door, put("offset=9", "x")).await;
    assert_eq!(gap.problem(), (409, "input-gap".into()));
    assert_eq!(gap.json()["accepted"], 6);
    let last = put("offset=6&end=true", "you").insert_header((CONTENT_TYPE, "application/octet-stream"));
    assert_eq!(send(&fake.door, last).await.json(), json!({"accepted": 9, "open": false}));
    assert_eq!(fake.stage().job(id).input, b"hello you");
    let text = put("offset=9", "x").insert_header((CONTENT_TYPE, "text/plain"));
    assert_eq!(send(&fake.door, text).await.status, 415);
    assert_eq!(send(&fake.door, put("offset=x", "x")).await.refusal(), (422, "?offset".into()));
    let large = TestRequest::put().uri(&format!("/v1/jobs/{id}/stdin")).set_payload(vec![0; (256 << 10) + 1]);
    assert_eq!(send(&fake.door, large).await.status, 413);
    fake.stage().end(id, outcome(EndReason::Exited, Some(Exit::Code(0))));
    assert_eq!(send(&fake.door, put("offset=9", "x")).await.problem(), (409, "conflict".into()));
    let other = submit(&fake, echo()).await;
    let request = TestRequest::put().uri(&format!("/v1/jobs/{other}/stdin")).set_payload("x");
    let answer = send(&fake.door, request).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains(r#"{\"stream\": true}"#), "{}", answer.text());
}
