//! `--secret-env` of `run` and `submit`.

use std::process::{Command, Stdio};

use super::*;
use crate::process::finish;
use crate::server::{BINARY, knows_no_settings};

/// The exit code, the output and what was said of a client that has the value in its environment.
fn client(server: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    knows_no_settings(&mut command);
    command.args(args).env("CALLBOARD_SERVER", server).env("TOKEN", VALUE).env("EMPTY", "");
    command.env("CALLBOARD_LOG", "trace").env_remove("ABSENT");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(command.spawn().unwrap(), None);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn a_value_comes_from_the_environment_or_a_file_and_never_from_the_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("value"));
    let server = Launch::over(&data).start();
    let url = format!("http://127.0.0.1:{}", server.port);
    std::fs::write(&file, format!("{VALUE}\n\n")).unwrap();
    let from_file = format!("FILE=@{}", file.display());
    let flags =
        ["submit", "--wait", "--json", "--secret-env", "TOKEN", "--", "/bin/sh", "-c", "test -n \"$TOKEN\""];
    let (code, out, err) = client(&url, &flags);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("\"TOKEN\"") && !out.contains(VALUE), "{out}");
    assert_eq!(files_with_value(&data), Vec::<PathBuf>::new());

    // From here on the value is in the output of a job, which is the job's own business.
    let job = ["--", "/bin/sh", "-c", "printf %s \"$TOKEN|$FILE|$OPEN\""];
    let flags = ["run", "-n", "--secret-env", "TOKEN", "--secret-env", &from_file, "-e", "OPEN=o"];
    let (code, out, err) = client(&url, &[&flags[..], &job].concat());
    // One newline is an editor's, the other one belongs to the value.
    assert_eq!((code, out), (Some(0), format!("{VALUE}|{VALUE}\n|o")), "{err}");
    assert!(!err.contains(VALUE), "{err}");

    let big = folder.path().join("big");
    std::fs::write(&big, vec![b'v'; 256 * 1024 + 1]).unwrap();
    let binary = folder.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let said = |path: &Path| format!("A=@{}", path.display());
    for (flag, why) in [
        ("ABSENT", "no such variable"),
        ("EMPTY", "empty"),
        (&format!("TOKEN={VALUE}"), "every user of this machine"),
        ("A=", "every user of this machine"),
        (&said(&big), "more than 262144 bytes"),
        (&said(&binary), "not UTF-8"),
        (&said(&folder.path().join("absent")), "cannot be read"),
    ] {
        for command in ["run", "submit"] {
            let (code, out, err) = client(&url, &[command, "--secret-env", flag, "--", "true"]);
            assert_eq!((code, out.as_str()), (Some(2), ""), "{flag}: {err}");
            let line = err.lines().last().unwrap_or_default();
            assert!(line.starts_with("callboard: --secret-env") && line.contains(why), "{flag}: {err}");
            assert!(!err.contains(VALUE), "{err}");
        }
    }
    let twice = ["submit", "--secret-env", "TOKEN", "--secret-env", "TOKEN", "--", "true"];
    assert_eq!(client(&url, &twice).0, Some(2));
}

#[test]
fn run_without_a_server_hands_a_secret_to_its_job() {
    let mut command = Command::new(BINARY);
    command.args(["run", "-n", "--secret-env", "TOKEN", "--", "/bin/sh", "-c", "printf %s \"$TOKEN\""]);
    knows_no_settings(&mut command);
    command.env("TOKEN", VALUE).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(command.spawn().unwrap(), None);
    assert_eq!((done.status.code(), done.stdout), (Some(0), VALUE.as_bytes().to_vec()), "{:?}", done.stderr);
}
