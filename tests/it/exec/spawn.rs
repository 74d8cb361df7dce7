//! What a job is started with, and what is said when it cannot be started.

use callboard_actors::exec::RunAs;
use callboard_actors::model::AttemptEnd;

use super::rig::*;

fn refusal(end: AttemptEnd) -> (i32, String) {
    match end {
        AttemptEnd::SpawnError { message, shell_code } => (shell_code, message),
        other => panic!("expected a spawn error, got {other:?}"),
    }
}

#[test]
fn a_program_that_is_missing_or_may_not_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "echo hi\n").unwrap();
    let plain = plain.to_str().unwrap();
    let headless = script(folder.path(), "headless", "#!/no/such/interpreter\n");
    let cases = [
        (argv(&["no-such-program", "x"]), 127, "`no-such-program` was not found in PATH"),
        (argv(&["/no/such/program"]), 127, "`/no/such/program` was not found"),
        (argv(&[headless.to_str().unwrap()]), 127, "interpreter"),
        (argv(&[plain]), 126, "may not be executed"),
        (argv(&["/"]), 126, "may not be executed"),
        (argv(&[""]), 127, "was not found"),
    ];
    with_rig(1, async |mut rig: Rig| {
        for (job, code, words) in cases {
            let result = rig.run(job.clone()).await;
            assert_eq!(result.started_ms_ago, None);
            let (shell_code, message) = refusal(result.end);
            assert_eq!(shell_code, code, "{message}");
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(rig.run(shell("true")).await.end, exited(0), "the slot is free again");
    });
}

#[test]
fn a_script_without_a_first_line_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let bare = script(folder.path(), "bare", "echo hi\n");
    with_rig(1, async |mut rig: Rig| {
        let (code, message) = refusal(rig.run(argv(&[bare.to_str().unwrap()])).await.end);
        assert_eq!(code, 126);
        assert!(message.contains("`#!` line"), "{message}");
    });
}

#[test]
fn arguments_that_are_too_long_are_told_as_that() {
    with_rig(1, async |mut rig: Rig| {
        let (code, message) = refusal(rig.run(argv(&["true", &"x".repeat(200_000)])).await.end);
        assert_eq!(code, 126);
        assert!(message.contains("longer than the kernel takes"), "{message}");
    });
}

#[test]
fn a_folder_that_is_not_there_is_named_and_not_the_program() {
    with_rig(1, async |mut rig: Rig| {
        for mut job in [shell("true"), argv(&["true"]), argv(&["./here"])] {
            job.cwd = Some("/no/such/folder".into());
            let (code, message) = refusal(rig.run(job).await.end);
            assert_eq!(code, 126);
            assert!(message.contains("`/no/such/folder` (cwd) does not exist"), "{message}");
        }
        let mut job = shell("true");
        job.cwd = Some("/etc/passwd".into());
        let (_, message) = refusal(rig.run(job).await.end);
        assert!(message.contains("is not a folder"), "{message}");
    });
}

#[test]
fn a_program_is_looked_up_in_the_jobs_own_path_and_folder() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "hello-here", "#!/bin/sh\necho \"$0 $1\"; pwd\n");
    let place = folder.path().canonicalize().unwrap();
    let place = place.to_str().unwrap().to_owned();
    with_rig(1, async |mut rig: Rig| {
        let mut job = argv(&["hello-here", "you"]);
        job.cwd = Some(place.clone());
        assert_eq!(refusal(rig.run(job.clone()).await.end).0, 127);
        job.env.insert("PATH".into(), ".:/bin".into());
        let result = rig.run(job.clone()).await;
        assert_eq!(result.end, exited(0));
        assert!(text(&result.stdout).ends_with(&format!("you\n{place}\n")), "{}", text(&result.stdout));
        job.command = argv(&["./hello-here", "you"]).command;
        assert_eq!(rig.run(job).await.end, exited(0));
    });
}

#[test]
fn a_job_sees_its_own_environment_and_nothing_else() {
    with_rig(1, async |mut rig: Rig| {
        let mut job = argv(&["env"]);
        job.env.insert("OWN".into(), "a b=c".into());
        let result = rig.run(job).await;
        let shown = text(&result.stdout);
        let mut names: Vec<&str> = shown.lines().map(|line| line.split('=').next().unwrap()).collect();
        names.sort_unstable();
        let wanted = [
            "CALLBOARD_ATTEMPT",
            "CALLBOARD_EPOCH",
            "CALLBOARD_JOB_ID",
            "HOME",
            "LANG",
            "OWN",
            "PATH",
            "USER",
        ];
        assert_eq!(names, wanted);
        assert!(shown.contains("OWN=a b=c\n"));
        assert!(shown.contains(&format!("CALLBOARD_JOB_ID={}\n", result.attempt.job)));
    });
}

#[test]
fn a_job_inherits_no_descriptors_no_ignored_signals_and_no_privilege_over_its_keeper() {
    with_rig(1, async |mut rig: Rig| {
        let fds = rig.run(shell("echo /proc/$$/fd/*")).await;
        let shown = text(&fds.stdout);
        let numbers: Vec<&str> = shown.split_whitespace().map(|it| it.rsplit('/').next().unwrap()).collect();
        // The shell may hold one of its own while it reads the folder.
        assert!(numbers.len() <= 4 && numbers[..3] == ["0", "1", "2"], "{shown}");
        let signals = rig.run(argv(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])).await;
        for line in text(&signals.stdout).lines() {
            let set = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
            // The C library keeps signals 32 and 33 for itself and ignores them in what it spawns.
            assert_eq!(set & !(0b11 << 31), 0, "{line}");
        }
        assert_eq!(text(&rig.run(shell("umask")).await.stdout), "0022\n");
    });
}

#[test]
fn as_root_jobs_run_as_the_configured_user_and_cannot_kill_their_keeper() {
    if !is_root("as_root_jobs_run_as_the_configured_user_and_cannot_kill_their_keeper") {
        return;
    }
    let nobody = RunAs { uid: 65534, gid: 65534 };
    with_config(
        |config| config.run_as = Some(nobody),
        async |mut rig: Rig| {
            let who = rig.run(shell("id -u; id -g; id -G; cat /proc/self/setgroups")).await;
            assert!(text(&who.stdout).starts_with("65534\n65534\n65534\n"), "{}", text(&who.stdout));
            let mutiny = rig.run(shell("kill -9 $PPID; echo $?")).await;
            assert_eq!(text(&mutiny.stdout), "1\n");
            let snoop = rig.run(shell("cat /proc/$PPID/environ /proc/$PPID/maps")).await;
            assert_eq!(text(&snoop.stdout), "");
            assert_eq!(rig.run(argv(&["true"])).await.end, exited(0));
            assert_eq!(refusal(rig.run(argv(&["no-such-program"])).await.end).0, 127);
            let word = marker();
            let left = rig.run(shell(format!("setsid sleep {word} & true"))).await;
            assert_eq!((left.end, alive(&word)), (exited(0), 0));
        },
    );
}

#[test]
fn as_root_a_folder_closed_to_the_jobs_user_is_told_with_the_setting_that_helps() {
    if !is_root("as_root_a_folder_closed_to_the_jobs_user_is_told_with_the_setting_that_helps") {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(closed.path(), mode).unwrap();
    let inside = closed.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    with_config(
        |config| config.run_as = Some(RunAs { uid: 65534, gid: 65534 }),
        async |mut rig: Rig| {
            for folder in [closed.path(), &inside] {
                for mut job in [shell("true"), argv(&["true"])] {
                    job.cwd = Some(folder.to_str().unwrap().to_owned());
                    let (code, message) = refusal(rig.run(job).await.end);
                    assert_eq!(code, 126);
                    let named = message.contains(folder.to_str().unwrap());
                    let helps = ["--cwd", "`runner.user`", "`serve --user`", "65534"];
                    assert!(named && helps.iter().all(|word| message.contains(word)), "{message}");
                }
            }
        },
    );
}
