//! Specs at their limits and one beyond: what is refused, and that every field is named.

use std::collections::BTreeMap;

use callboard_actors::model::{
    CommandLine, Demands, InputFile, InputMode, Isolation, JobSpec, Limits, Mount, OnDisconnect, OnLost,
    Requires, ResourceLimits, SealedEnv, admission, artifacts, files, limits, mounts, requires, resources,
    runner_spec,
};

#[test]
fn specs_at_the_limits_are_accepted_and_beyond_them_refused() {
    let at = |over: usize| JobSpec {
        command: CommandLine::Shell("x".repeat(limits::MAX_COMMAND_BYTES + over)),
        name: Some("n".repeat(limits::MAX_NAME_BYTES + over)),
        env: BTreeMap::from([("V".to_owned(), "v".repeat(limits::MAX_ENV_BYTES - 3 + over))]),
        secret_env: SealedEnv::default(),
        cwd: Some(format!("/{}", "d".repeat(limits::MAX_CWD_BYTES - 1 + over))),
        input: InputMode::Inline(vec![0; limits::MAX_INLINE_INPUT_BYTES + over]),
        timeout_ms: Some(Limits::default().max_timeout_ms + over as u64),
        grace_ms: Limits::default().max_grace_ms + over as u64,
        on_lost: OnLost::Requeue,
        on_disconnect: OnDisconnect::Kill,
        requires: Requires {
            labels: (0..requires::MAX_REQUIRED_LABELS + over)
                .map(|n| (format!("{n:0>64}"), "v".repeat(requires::MAX_LABEL_VALUE_BYTES)))
                .collect(),
            runner: Some("r".repeat(runner_spec::MAX_NODE_NAME_BYTES + over)),
        },
        isolation: Isolation::Sandbox,
        demands: Demands::default(),
        limits: ResourceLimits {
            memory_bytes: Some(resources::MIN_MEMORY_BYTES - over as u64),
            cpu_millis: Some(resources::MAX_CPU_MILLIS + over as u32),
            processes: Some(resources::MAX_PROCESSES + over as u32),
            disk_bytes: Some(resources::MAX_DISK_BYTES + over as u64),
            open_files: Some(resources::MIN_OPEN_FILES - over as u32),
        },
        mounts: vec![Mount {
            path: format!("/{}", "m".repeat(mounts::MAX_MOUNT_BYTES - 1 + over)),
            read_only: true,
        }],
        files: vec![InputFile {
            path: "f".into(),
            bytes: vec![0; files::MAX_FILES_BYTES - 1 + over],
            executable: false,
        }],
        artifacts: (0..artifacts::MAX_ARTIFACTS + over).map(|number| format!("a{number}")).collect(),
    };
    assert_eq!(admission::check(&at(0), &Limits::default()), Ok(()));
    let problems = admission::check(&at(1), &Limits::default()).expect_err("one too many everywhere");
    let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/command",
            "/env",
            "/name",
            "/cwd",
            "/stdin",
            "/timeout",
            "/grace",
            "/limits/memory_bytes",
            "/limits/cpus",
            "/limits/processes",
            "/limits/disk_bytes",
            "/limits/open_files",
            "/mounts/0/path",
            "/files",
            "/artifacts",
            "/requires/labels",
            "/requires/runner"
        ]
    );
}

#[test]
fn what_an_operator_permits_and_what_a_plain_process_cannot_have_is_refused() {
    let permitted = ResourceLimits { memory_bytes: Some(1 << 30), ..ResourceLimits::default() };
    let limits = Limits { max_job: permitted, ..Limits::default() };
    let spec = |memory_bytes| JobSpec {
        limits: ResourceLimits { memory_bytes: Some(memory_bytes), ..ResourceLimits::default() },
        ..JobSpec::shell("true")
    };
    assert_eq!(admission::check(&spec(1 << 30), &limits), Ok(()));
    let problems = admission::check(&spec((1 << 30) + 1), &limits).expect_err("more than is permitted");
    assert_eq!(
        problems[0].detail,
        "memory_bytes must be between 4194304 and 1073741824 (limit of this node)"
    );
    let plain = JobSpec {
        limits: ResourceLimits { disk_bytes: Some(1 << 20), ..ResourceLimits::default() },
        isolation: Isolation::None,
        ..JobSpec::shell("true")
    };
    let problems =
        admission::check(&plain, &Limits::default()).expect_err("only a room has a disk of its own");
    assert_eq!(problems[0].pointer, "/limits/disk_bytes");
}
