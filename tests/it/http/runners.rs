//! `/v1/runners`: what is shown of nodes, and what reaches the platform of an operator's will.

use callboard_actors::model::{Cordon, Eligibility};
use callboard_actors::protocol::{ChangeRunnerError, RunnerChange};

use super::*;

/// The id of the one runner on the stage.
const ID: &str = "00000000-0000-0000-0000-000000000000";

#[actix_web::test]
async fn a_runner_is_listed_and_shown_by_its_name_and_its_id() {
    let fake = Fake::new();
    let list = send(&fake.door, get("/v1/runners")).await.json();
    let runner = &list["items"][0];
    assert_eq!(
        (&runner["name"], &runner["id"], &list["paused"]),
        (&json!("local"), &json!(ID), &json!(false))
    );
    assert_eq!((&runner["state"], &runner["eligibility"]), (&json!("ready"), &json!("eligible")));
    assert_eq!(
        (&runner["slots"], &runner["slots_used"], &runner["cordon"]),
        (&json!(2), &json!(0), &Value::Null)
    );
    for name in ["local", ID, &ID[..9]] {
        let shown = send(&fake.door, get(&format!("/v1/runners/{name}"))).await;
        assert_eq!((shown.status, &shown.json()), (200, runner), "{name}");
    }
    for name in ["elsewhere", "00", "ffffffff-0000-0000-0000-000000000000"] {
        let missing = send(&fake.door, get(&format!("/v1/runners/{name}"))).await;
        assert_eq!(missing.problem(), (404, "not-found".into()), "{name}");
    }
}

#[actix_web::test]
async fn what_an_operator_wants_of_a_runner_reaches_the_platform_and_is_shown() {
    let fake = Fake::new();
    let drain = json!({"why": "new disk", "deadline_ms": 600_000});
    let drained = send(&fake.door, post("/v1/runners/local/drain", drain)).await;
    assert_eq!((drained.status, &drained.json()["eligibility"]), (200, &json!("draining")));
    let cordon = drained.json()["cordon"].clone();
    assert_eq!((&cordon["by"], &cordon["why"]), (&json!("operator"), &json!("new disk")));
    assert_eq!(cordon["deadline"], "1970-01-01T00:10:00.000Z");
    let asked = |path: &str| TestRequest::post().uri(&format!("/v1/runners/{ID}/{path}"));
    let cordoned = send(&fake.door, asked("cordon")).await.json();
    assert_eq!(
        (&cordoned["eligibility"], &cordoned["cordon"]["deadline"]),
        (&json!("cordoned"), &Value::Null)
    );
    assert_eq!(send(&fake.door, asked("resume")).await.json()["cordon"], Value::Null);
    let gone = TestRequest::delete().uri("/v1/runners/local");
    assert_eq!(send(&fake.door, gone).await.status, 204);
    let changes: Vec<_> = fake.stage().runner_changes.drain(..).map(|it| it.change).collect();
    let expected = [
        RunnerChange::Drain { why: "new disk".into(), deadline_ms: Some(600_000) },
        RunnerChange::Cordon { why: String::new() },
        RunnerChange::Resume,
        RunnerChange::Remove,
    ];
    assert_eq!(changes, expected);
}

#[actix_web::test]
async fn what_cannot_be_done_to_a_runner_is_said_with_what_to_do_first() {
    let fake = Fake::new();
    let far = json!({"deadline_ms": u64::MAX});
    assert_eq!(
        send(&fake.door, post("/v1/runners/local/drain", far)).await.refusal(),
        (422, "#/deadline_ms".into())
    );
    for (error, expected) in [
        (ChangeRunnerError::Busy { attempts: 2 }, (409, "runner-conflict")),
        (ChangeRunnerError::Local, (409, "runner-conflict")),
        (ChangeRunnerError::Unknown, (404, "not-found")),
    ] {
        fake.stage().refuse_change = Some(error);
        let answer = send(&fake.door, TestRequest::delete().uri("/v1/runners/local")).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.into()));
    }
    fake.stage().refuse_change = Some(ChangeRunnerError::Why);
    let answer = send(&fake.door, post("/v1/runners/local/cordon", json!({"why": "a\nb"}))).await;
    assert_eq!(answer.refusal(), (422, "#/why".into()));
    fake.stage().eligibility = Eligibility::Cordoned(Cordon { by: "breaker".into(), ..Cordon::default() });
    assert_eq!(send(&fake.door, get("/v1/runners/local")).await.json()["cordon"]["by"], "breaker");
}

#[actix_web::test]
async fn what_a_job_requires_is_taken_and_shown() {
    let fake = Fake::new();
    let requires = json!({"labels": {"gpu": "a100"}, "runner": "node-7"});
    let body = json!({"command": "nvidia-smi", "requires": requires});
    let answer = send(&fake.door, post("/v1/jobs", body)).await;
    assert_eq!((answer.status, &answer.json()["requires"]), (202, &requires), "{answer:?}");
    assert_eq!(send(&fake.door, post("/v1/jobs", echo())).await.json()["requires"], Value::Null);
    for (requires, expected) in [
        (json!({"labels": {"a b": "c"}}), (422, "#/requires/labels")),
        (json!({"runner": ""}), (422, "#/requires/runner")),
        (json!({"gpu": "a100"}), (422, "#/requires/gpu")),
    ] {
        let body = json!({"command": "true", "requires": requires});
        let (status, pointer) = send(&fake.door, post("/v1/jobs", body)).await.refusal();
        assert_eq!((status, &*pointer), expected, "{requires}");
    }
}
