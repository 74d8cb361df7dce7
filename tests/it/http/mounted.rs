//! The door inside an application that has routes of its own: every path it gives out leads back to it.

use actix_web::web;

use super::*;

/// An application with a route of its own and two platforms under scopes.
async fn ask(first: &Fake, second: &Fake, request: TestRequest) -> Answer {
    let app = App::new()
        .route("/own", web::get().to(async || "own"))
        .service(web::scope("/jobs-api").configure(configure(first.door.clone())))
        .service(web::scope("/{team}/v1/jobs").configure(configure(second.door.clone())));
    let app = test::init_service(app).await;
    let request = request.insert_header((HOST, "localhost")).to_request();
    read(test::call_service(&app, request).await).await
}

#[actix_web::test]
async fn own_routes_and_two_platforms_live_side_by_side() {
    let (first, second) = (Fake::new(), Fake::new());
    assert_eq!(ask(&first, &second, get("/own")).await.text(), "own");
    assert_eq!(ask(&first, &second, get("/v1/version")).await.status, 404, "nothing of ours is elsewhere");
    let mut ids = Vec::new();
    for base in ["/jobs-api", "/red/v1/jobs"] {
        let answer = ask(&first, &second, post(&format!("{base}/v1/jobs"), echo())).await;
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let location = answer.header("location").expect("a location").to_owned();
        assert_eq!((answer.status, location.as_str()), (202, format!("{base}/v1/jobs/{id}").as_str()));
        let job = ask(&first, &second, get(&location)).await;
        assert_eq!((job.status, &job.json()["id"]), (200, &json!(id)));
        ids.push(id);
    }
    for (base, foreign) in [("/jobs-api", &ids[1]), ("/red/v1/jobs", &ids[0])] {
        let answer = ask(&first, &second, get(&format!("{base}/v1/jobs/{foreign}"))).await;
        assert_eq!(answer.status, 404, "{base} knows its own jobs only");
    }
    assert_eq!((first.stage().jobs.len(), second.stage().jobs.len()), (1, 1));
}

#[actix_web::test]
async fn a_problem_names_a_page_that_is_there() {
    let (first, second) = (Fake::new(), Fake::new());
    for (path, base) in [
        ("/jobs-api/nowhere", "/jobs-api"),
        ("/jobs-api", "/jobs-api"),
        ("/jobs-api/v1/jobs/none", "/jobs-api"),
        ("/jobs%2Dapi/v1/%6Aobs/none", "/jobs%2Dapi"),
        ("/red/v1/jobs/v1/jobs/none", "/red/v1/jobs"),
    ] {
        let problem = ask(&first, &second, get(path)).await.json();
        assert_eq!((&problem["status"], &problem["instance"]), (&json!(404), &json!(path)));
        let kind = problem["type"].as_str().expect("a type");
        assert_eq!(kind, format!("{base}/problems/not-found"));
        assert_eq!(ask(&first, &second, get(kind)).await.status, 200, "{kind}");
    }
    let batch = json!({"jobs": [{"command": "true"}, {"command": ""}]});
    let answer = ask(&first, &second, post("/jobs-api/v1/jobs/batch", batch)).await.json();
    assert_eq!(answer["items"][1]["error"]["type"], "/jobs-api/problems/validation", "{answer}");
}

#[actix_web::test]
async fn the_next_page_and_the_document_s_server_are_under_the_same_scope() {
    let (first, second) = (Fake::new(), Fake::new());
    for _ in 0..2 {
        ask(&first, &second, post("/jobs-api/v1/jobs", echo())).await;
    }
    let page = ask(&first, &second, get("/jobs-api/v1/jobs?limit=1")).await;
    let link = page.header("link").expect("a next page").to_owned();
    let next = link.split(['<', '>']).nth(1).expect("a target");
    assert!(next.starts_with("/jobs-api/v1/jobs?limit=1&cursor="), "{link}");
    assert_eq!(ask(&first, &second, get(next)).await.json()["items"].as_array().map(Vec::len), Some(1));
    for base in ["/jobs-api", "/red/v1/jobs"] {
        let document = ask(&first, &second, get(&format!("{base}/openapi.json"))).await.json();
        assert_eq!(document["servers"], json!([{"url": base}]));
    }
    assert_eq!(send(&first.door, get("/openapi.json")).await.json().get("servers"), None);
}

#[actix_web::test]
async fn a_health_checker_without_a_token_is_heard_below_a_scope_too() {
    let (first, second) = (Fake::new(), Fake::new());
    let guarded = Fake { door: first.door.clone().with_token(callboard::http::TokenHash::of("s")), ..first };
    for path in ["/jobs-api/livez", "/jobs-api/readyz", "/jobs-api/health"] {
        assert_eq!(ask(&guarded, &second, get(path)).await.status, 200, "{path}");
    }
    for path in ["/jobs-api/v1/jobs", "/jobs-api/v1/jobs/livez"] {
        assert_eq!(ask(&guarded, &second, get(path)).await.status, 401, "{path}");
    }
}
