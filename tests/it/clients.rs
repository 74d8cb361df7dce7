//! Clients that go away.

use std::io::Write;
use std::net::TcpStream;

use crate::process::until;
use crate::server::{Launch, request};

/// A client that waits for a job and reads nothing.
fn waiting_client(port: u16, id: &str) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(request("GET", &format!("/v1/jobs/{id}?wait=5m"), "").as_bytes()).unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

#[test]
fn a_client_that_is_gone_in_mid_wait_leaves_its_place_to_others_and_the_job_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::over(folder.path()).variable("CALLBOARD_MAX_WAITERS", "1").start();
    let id = server.submit("sleep 100");
    server.until(&id, "running");
    let wait = |time: &str| server.ask("GET", &format!("/v1/jobs/{id}?wait={time}"), None).unwrap();
    let mut client = waiting_client(server.port, &id);
    until("the only place is taken", || {
        // Our own look may have been in its way.
        if client.peek(&mut [0]).is_ok() {
            client = waiting_client(server.port, &id);
        }
        wait("1ms").0 == 429
    });
    drop(client);
    until("the place is free again", || wait("1ms").0 == 200);
    // A wait that ran out of time has given its place back, too.
    for _ in 0..3 {
        let (status, job) = wait("1ms");
        assert_eq!((status, &job["status"]), (200, &"running".into()), "{job}");
    }
    let (status, _) = server.ask("POST", &format!("/v1/jobs/{id}/cancel"), None).unwrap();
    assert!([200, 202].contains(&status));
    server.until(&id, "cancelled");
}
