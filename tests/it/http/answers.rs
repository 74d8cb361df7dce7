//! How a finished job looks: in `/v1`'s words, and in the original's.

use callboard_actors::model::Stream;

use super::*;

async fn ended(fake: &Fake, outcome: Outcome) -> (Value, Value) {
    let id = submit(fake, json!({"command": "x", "timeout_ms": 2000})).await;
    fake.stage().end(id, outcome);
    let v1 = send(&fake.door, get(&format!("/v1/jobs/{id}"))).await.json();
    let original = send(&fake.door, get(&format!("/jobs/{id}"))).await.json();
    (v1, original)
}

#[actix_web::test]
async fn a_job_that_is_not_over_has_no_end() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    let pending = send(&fake.door, get(&format!("/jobs/{id}"))).await.json();
    assert_eq!(pending["status"], "pending");
    for field in ["exit_code", "stdout", "stderr", "runtime_ms", "completed_at"] {
        assert_eq!(pending.get(field), Some(&Value::Null), "{field}");
    }
    fake.stage().run(id);
    assert_eq!(send(&fake.door, get(&format!("/jobs/{id}"))).await.json()["status"], "running");
    let v1 = send(&fake.door, get(&format!("/v1/jobs/{id}"))).await.json();
    assert_eq!((&v1["status"], &v1["exit_code"]), (&json!("running"), &json!(null)));
    assert!(v1["started_at"].is_string() && v1["finished_at"].is_null());
}

#[actix_web::test]
async fn a_completed_job_shows_what_it_wrote() {
    let fake = Fake::new();
    let mut done = outcome(EndReason::Exited, Some(Exit::Code(0)));
    done.stdout = inline(b"out\n");
    done.stderr = inline(b"\xff!");
    let (v1, original) = ended(&fake, done).await;
    assert_eq!((&v1["status"], &v1["exit_code"]), (&json!("completed"), &json!(0)));
    assert_eq!((&v1["stdout"]["text"], &v1["stderr"]["base64"]), (&json!("out\n"), &json!("/yE=")));
    assert_eq!(v1["runtime_ms"], 12.5);
    assert_eq!((&original["status"], &original["exit_code"]), (&json!("completed"), &json!(0)));
    assert_eq!((&original["stdout"], &original["stderr"]), (&json!("out\n"), &json!("\u{fffd}!")));
    assert_eq!(original["runtime_ms"], 12);
    assert!(original["completed_at"].is_string());
}

#[actix_web::test]
async fn each_end_has_its_words_and_its_number() {
    let fake = Fake::new();
    let killed = |number| Some(Exit::Signal { number, core_dumped: false });
    for (reason, exit, v1, original) in [
        (EndReason::ExitCode, Some(Exit::Code(3)), ("failed", json!(3), json!(null)), ("failed", 3)),
        (EndReason::Signal, killed(9), ("failed", json!(null), json!("SIGKILL")), ("failed", -9)),
        (EndReason::Timeout, killed(15), ("failed", json!(null), json!("SIGTERM")), ("failed", -1)),
        (EndReason::SpawnError, None, ("failed", json!(null), json!(null)), ("failed", -1)),
        (EndReason::OutputLimit, killed(9), ("failed", json!(null), json!("SIGKILL")), ("failed", -9)),
        (EndReason::User, killed(15), ("cancelled", json!(null), json!("SIGTERM")), ("failed", -15)),
        (EndReason::User, None, ("cancelled", json!(null), json!(null)), ("failed", -1)),
    ] {
        let (shown, old) = ended(&fake, outcome(reason, exit)).await;
        assert_eq!((&shown["status"], &shown["reason"]), (&json!(v1.0), &json!(reason.as_str())));
        assert_eq!((&shown["exit_code"], &shown["signal"]), (&v1.1, &v1.2), "{reason}");
        assert_eq!((&old["status"], &old["exit_code"]), (&json!(original.0), &json!(original.1)), "{reason}");
        let word = if v1.0 == "cancelled" { "cancelled" } else { reason.as_str() };
        assert_eq!(old["reason"], word);
    }
}

#[actix_web::test]
async fn the_original_explains_in_stderr_what_the_platform_knows() {
    let fake = Fake::new();
    let mut late = outcome(EndReason::Timeout, Some(Exit::Signal { number: 9, core_dumped: false }));
    let (_, original) = ended(&fake, late.clone()).await;
    assert_eq!(original["stderr"], "Command timed out after 2 seconds");
    late.stderr = inline(b"warming up\n");
    let (_, original) = ended(&fake, late).await;
    assert_eq!(original["stderr"], "Command timed out after 2 seconds\nwarming up\n");
    let mut spawn = outcome(EndReason::SpawnError, None);
    spawn.message = Some("nosuch: not found".into());
    let (v1, original) = ended(&fake, spawn).await;
    assert_eq!(
        (&v1["message"], &original["stderr"]),
        (&json!("nosuch: not found"), &json!("nosuch: not found"))
    );
}

#[actix_web::test]
async fn long_output_is_composed_and_says_what_is_missing() {
    let fake = Fake::new();
    let id = submit(&fake, echo()).await;
    let head = "h".repeat(700 << 10);
    let mut done = outcome(EndReason::Exited, Some(Exit::Code(0)));
    done.stdout.summary =
        OutputSummary { total_bytes: (700 << 10) + 1004, head_bytes: 700 << 10, tail_bytes: 4 };
    done.stderr.summary = OutputSummary { total_bytes: 5, head_bytes: 5, tail_bytes: 0 };
    fake.stage().end(id, done);
    fake.stage().job(id).output[0].kept = format!("{head}tail").into_bytes();
    fake.stage().job(id).output[1].kept = b"error".to_vec();
    let original = send(&fake.door, get(&format!("/jobs/{id}"))).await.json();
    assert_eq!(original["stdout"], format!("{head}\n[... 1000 bytes omitted ...]\ntail"));
    assert_eq!(original["stderr"], "error");
    let v1 = send(&fake.door, get(&format!("/v1/jobs/{id}"))).await.json();
    assert_eq!((&v1["stdout"]["truncated"], &v1["stdout"]["text"]), (&json!(true), &json!(null)));
    fake.stage().refuse_output = Some(callboard_actors::protocol::OutputError::Gone(id));
    let gone = send(&fake.door, get(&format!("/jobs/{id}"))).await;
    assert_eq!(gone.status, 200);
    assert!(gone.json()["stderr"].as_str().is_some_and(|text| text.contains("5 bytes cannot be shown")));
    assert_eq!(Stream::BOTH.len(), 2);
}

#[actix_web::test]
async fn an_id_that_is_none_is_404_on_the_original_route() {
    let fake = Fake::new();
    let unknown = clock::new_job_id().to_string();
    for id in ["nonsense", "1", &unknown, &unknown[..8]] {
        let answer = send(&fake.door, get(&format!("/jobs/{id}"))).await;
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (404, Some("Job not found")));
    }
}
