//! What is no set of secret variables, and what is not the same request.

use super::*;

#[test]
fn a_refusal_names_the_variable_and_never_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).start();
    let long = "v".repeat(256 * 1024 - 3);
    let names: serde_json::Map<String, Value> = (0..512).map(|n| (format!("N{n}"), json!(""))).collect();
    let cases = [
        (json!({"secret_env": VALUE}), "#/secret_env"),
        (json!({"secret_env": [VALUE]}), "#/secret_env"),
        (json!({"secret_env": null}), "#/secret_env"),
        (json!({"secret_env": {"A": {"b": VALUE}}}), "#/secret_env"),
        (json!({"secret_env": {"A": 4711}}), "#/secret_env"),
        (json!({"secret_env": {"A": format!("{VALUE}\0")}}), "#/secret_env/A"),
        (json!({"secret_env": {"1A": VALUE}}), "#/secret_env"),
        (json!({"secret_env": {"": VALUE}}), "#/secret_env"),
        (json!({"secret_env": {"CALLBOARD_JOB_ID": VALUE}}), "#/secret_env/CALLBOARD_JOB_ID"),
        (json!({"secret_env": {"A": VALUE}, "env": {"A": "open"}}), "#/secret_env/A"),
        (json!({"secret_env": {"A": format!("{long}v")}}), "#/secret_env"),
        (json!({"secret_env": {"A": VALUE}, "env": {"V": long}}), "#/secret_env"),
        (json!({"secret_env": {"A": VALUE}, "env": names.clone()}), "#/secret_env"),
    ];
    for (mut body, pointer) in cases {
        body["command"] = json!("true");
        for (path, body, pointer) in [
            ("/v1/jobs", body.clone(), pointer.to_owned()),
            (
                "/v1/jobs/batch",
                json!({"jobs": [body], "all_or_nothing": true}),
                pointer.replace('#', "#/jobs/0"),
            ),
        ] {
            let answer = ask(&server, "POST", path, Some(&body));
            assert_eq!(answer.status, 422, "{}", answer.body);
            assert_eq!(answer.json()["errors"][0]["pointer"], json!(pointer), "{}", answer.body);
            assert!(!answer.body.contains("4711"), "{}", answer.body);
        }
    }
    // Nothing was accepted, so nothing was sealed.
    assert!(!folder.path().join("secret.key").exists());
    let original = json!({"command": "true", "secret_env": {"A": VALUE}});
    assert_eq!(ask(&server, "POST", "/jobs", Some(&original)).status, 422);
    for fits in [json!({"A": long}), Value::Object(names)] {
        let body = json!({"command": "true", "secret_env": fits});
        submitted(&ask(&server, "POST", "/v1/jobs", Some(&body)));
    }
}

fn keyed(server: &Server, value: &str) -> (u16, Value) {
    use std::io::{Read, Write};
    let body = json!({"command": "true", "secret_env": {"A": value}}).to_string();
    let request = crate::server::request("POST", "/v1/jobs", &body);
    let request = request.replacen("\r\n", "\r\nIdempotency-Key: k\r\n", 1);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn another_value_under_the_same_key_is_another_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::over(folder.path()).start();
    let (status, first) = keyed(&server, VALUE);
    assert_eq!(status, 202, "{first}");
    let check = |server: &Server| {
        let (status, again) = keyed(server, VALUE);
        assert_eq!((status, &again["id"]), (202, &first["id"]), "{again}");
        let (status, other) = keyed(server, "another");
        assert_eq!(status, 422, "{other}");
        assert!(other["type"].as_str().unwrap().ends_with("idempotency-key-reused"), "{other}");
    };
    check(&server);
    server.kill();
    check(&Launch::over(folder.path()).start());
}
