//! Arbitrary values of the model, and that each of them survives being written down and read again.

use std::collections::BTreeMap;
use std::sync::Arc;

use callboard_actors::link::{
    Assignment, CancelOrder, Command, Digest, DrainOrder, Draining, Held, HeldPhase, Inventory, Report,
    ReturnedNote, StartedNote,
};
use callboard_actors::model::Limits;
use callboard_actors::model::{
    Artifact, Artifacts, AttemptEnd, AttemptId, AttemptResult, CancelWish, Captured, ClusterId, CommandLine,
    Demands, EndReason, Epoch, Exit, Incarnation, InputMode, Isolation, IsolationReport, JobId, JobSpec,
    NodeId, OnDisconnect, OnLost, Outcome, OutputSummary, ResourceLimits, SealedEnv, SetupStage, Term,
    Unkept, Usage, admission,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub fn attempt() -> impl Strategy<Value = AttemptId> {
    (any::<[u8; 16]>(), any::<u32>())
        .prop_map(|(job, epoch)| AttemptId::new(JobId::from_bytes(job), Epoch(epoch)))
}

fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        (0..256).prop_map(Exit::Code),
        (1..65, any::<bool>()).prop_map(|(number, core_dumped)| Exit::Signal { number, core_dumped }),
    ]
}

fn end() -> impl Strategy<Value = AttemptEnd> {
    prop_oneof![
        exit().prop_map(AttemptEnd::Exited),
        (any::<u64>(), exit()).prop_map(|(limit_ms, exit)| AttemptEnd::Timeout { limit_ms, exit }),
        option::of(exit()).prop_map(|exit| AttemptEnd::Killed { exit }),
        (any::<u64>(), exit()).prop_map(|(limit_bytes, exit)| AttemptEnd::OutputLimit { limit_bytes, exit }),
        (any::<(Option<u64>, Option<u64>, u32)>(), exit()).prop_map(
            |((limit_bytes, peak_bytes, kills), exit)| {
                AttemptEnd::OutOfMemory {
                    limit_bytes,
                    peak_bytes,
                    kills,
                    whole: kills == 1,
                    spared: kills % 2 == 0,
                    exit,
                }
            }
        ),
        (".*", vec(".*", 0..3)).prop_map(|(message, missing)| AttemptEnd::Unavailable { message, missing }),
        (".*", select(&SetupStage::ALL))
            .prop_map(|(message, stage)| AttemptEnd::SandboxError { message, stage }),
        (".*", 126..128).prop_map(|(message, shell_code)| AttemptEnd::SpawnError { message, shell_code }),
        (".*", any::<bool>()).prop_map(|(why, fenced)| AttemptEnd::Lost { why, fenced }),
    ]
}

fn usage() -> impl Strategy<Value = Usage> {
    let counted = any::<(Option<u64>, u32, u32)>();
    let used = any::<(u64, u64, u64, u64, u32)>();
    (used, counted).prop_map(|((wall, user, system, peak, orphans), (of_all, oom_kills, process_denials))| {
        Usage {
            wall_us: wall,
            cpu_user_us: user,
            cpu_system_us: system,
            peak_memory_bytes: peak,
            orphans_killed: orphans,
            memory_peak_bytes: of_all,
            oom_kills,
            process_denials,
        }
    })
}

fn captured() -> impl Strategy<Value = Captured> {
    (any::<(u64, u64, u64)>(), option::of(vec(any::<u8>(), 0..40))).prop_map(
        |((total, head, tail), inline)| {
            let summary = OutputSummary { total_bytes: total, head_bytes: head, tail_bytes: tail };
            Captured { summary, inline }
        },
    )
}

fn artifacts() -> impl Strategy<Value = Artifacts> {
    let kept = (".*", any::<(u64, bool)>()).prop_map(|(path, (bytes, executable))| Artifact {
        path,
        bytes,
        executable,
    });
    let unkept = (".*", ".*").prop_map(|(path, why)| Unkept { path, why });
    (vec(kept, 0..3), vec(unkept, 0..3)).prop_map(|(kept, unkept)| Artifacts { kept, unkept })
}

pub fn result() -> impl Strategy<Value = AttemptResult> {
    let output = (captured(), captured());
    (attempt(), end(), usage(), output, any::<Option<u64>>(), artifacts()).prop_map(
        |(attempt, end, usage, (stdout, stderr), started_ms_ago, artifacts)| AttemptResult {
            attempt,
            end,
            usage,
            stdout,
            stderr,
            started_ms_ago,
            isolation: IsolationReport::default(),
            artifacts,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let reason = prop_oneof![Just(EndReason::User), Just(EndReason::FailFast)];
    let wish = (reason, option::of(".*"), any::<u64>()).prop_map(|(reason, note, grace_ms)| CancelWish {
        reason,
        note,
        grace_ms,
    });
    let node = option::of(any::<[u8; 16]>().prop_map(NodeId::from_bytes));
    (result(), node, option::of(wish), any::<i64>())
        .prop_map(|(result, node, wish, now_ms)| Outcome::from_result(result, node, wish.as_ref(), now_ms))
}

fn command_line() -> impl Strategy<Value = CommandLine> {
    prop_oneof![".*".prop_map(CommandLine::Shell), vec(".*", 0..5).prop_map(CommandLine::Argv),]
}

fn on_lost() -> impl Strategy<Value = OnLost> {
    prop_oneof![Just(OnLost::Requeue), Just(OnLost::Never)]
}

fn input() -> impl Strategy<Value = InputMode> {
    prop_oneof![
        Just(InputMode::Null),
        Just(InputMode::Streamed),
        vec(any::<u8>(), 0..40).prop_map(InputMode::Inline),
    ]
}

/// Any spec at all, valid or not.
pub fn spec() -> impl Strategy<Value = JobSpec> {
    let text = || option::of(".*");
    let env = btree_map(".*", ".*", 0..4);
    let numbers = (any::<Option<u64>>(), any::<u64>());
    let open = (command_line(), env, (text(), text()), input(), numbers, on_lost()).prop_map(assembled);
    let sealed = (vec(".*", 0..3), vec(any::<u8>(), 0..40));
    (open, sealed, resource_limits()).prop_map(|(spec, (names, sealed), limits)| JobSpec {
        secret_env: SealedEnv::new(names, sealed),
        limits,
        ..spec
    })
}

fn resource_limits() -> impl Strategy<Value = ResourceLimits> {
    any::<(Option<u64>, Option<u32>, Option<u32>, Option<u64>, Option<u32>)>().prop_map(
        |(memory_bytes, cpu_millis, processes, disk_bytes, open_files)| ResourceLimits {
            memory_bytes,
            cpu_millis,
            processes,
            disk_bytes,
            open_files,
        },
    )
}

type SpecParts = (
    CommandLine,
    BTreeMap<String, String>,
    (Option<String>, Option<String>),
    InputMode,
    (Option<u64>, u64),
    OnLost,
);

fn assembled((command, env, (name, cwd), input, (timeout_ms, grace_ms), on_lost): SpecParts) -> JobSpec {
    JobSpec {
        command,
        name,
        env,
        cwd,
        input,
        timeout_ms,
        grace_ms,
        on_lost,
        on_disconnect: OnDisconnect::Keep,
        requires: Default::default(),
        isolation: Isolation::Auto,
        demands: Demands::default(),
        limits: ResourceLimits::default(),
        mounts: Vec::new(),
        files: Vec::new(),
        artifacts: Vec::new(),
        secret_env: SealedEnv::default(),
    }
}

/// A spec that keeps every limit.
fn valid_spec() -> impl Strategy<Value = JobSpec> {
    let command = prop_oneof![
        "[^\0]{0,20}[a-z][^\0]{0,20}".prop_map(CommandLine::Shell),
        ("[^\0]{1,20}", vec("[^\0]{0,20}", 0..5)).prop_map(|(program, mut rest)| {
            rest.insert(0, program);
            CommandLine::Argv(rest)
        }),
    ];
    let env = btree_map("[A-BD-Za-z_][A-Za-z0-9_]{0,10}", "[^\0]{0,20}", 0..8);
    let texts = (option::of("[a-zäß€ ]{1,66}"), option::of("/[^\0]{0,100}"));
    let times = (option::of(1..=Limits::default().max_timeout_ms), 0..=Limits::default().max_grace_ms);
    (command, env, texts, input(), times, on_lost()).prop_map(assembled)
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let phase = prop_oneof![
        Just(HeldPhase::Taken),
        Just(HeldPhase::Done),
        any::<u64>().prop_map(|started_ms_ago| HeldPhase::Running { started_ms_ago }),
    ];
    let held = (attempt(), phase).prop_map(|(attempt, phase)| Held { attempt, phase });
    prop_oneof![
        any::<(u32, u64)>().prop_map(|(count, xor)| Inventory::Digest(Digest { count, xor })),
        vec(held, 0..4).prop_map(Inventory::Full),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    let started = (attempt(), any::<u64>())
        .prop_map(|(attempt, started_ms_ago)| StartedNote { attempt, started_ms_ago });
    let returned = (attempt(), ".*").prop_map(|(attempt, why)| ReturnedNote { attempt, why });
    let lists = (vec(started, 0..3), vec(result(), 0..3), vec(returned, 0..3));
    let names = (any::<[u8; 16]>(), any::<[u8; 16]>());
    let draining = prop_oneof![Just(Draining::No), Just(Draining::Ordered), Just(Draining::Itself)];
    let size = (any::<(u64, u32, u32)>(), draining);
    (names, any::<(u16, u64, u64, u64)>(), size, inventory(), lists).prop_map(
        |((cluster, node), (proto, incarnation, n, cmd_seen), (size, draining), inventory, lists)| Report {
            proto,
            cluster: ClusterId::from_bytes(cluster),
            node: NodeId::from_bytes(node),
            incarnation: Incarnation(incarnation),
            n,
            cmd_seen,
            skipped: vec![size.0],
            term_seen: Term(size.0),
            born: Some(Incarnation(size.0)),
            usable_slots: size.1,
            prefetch: size.2,
            draining,
            inventory,
            started: lists.0,
            finished: lists.1,
            returned: lists.2,
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let assignment = (attempt(), spec(), any::<u16>()).prop_map(|(attempt, spec, started_before)| {
        Assignment { attempt, spec: Arc::new(spec), started_before }
    });
    let order = (attempt(), any::<u64>()).prop_map(|(attempt, grace_ms)| CancelOrder { attempt, grace_ms });
    let numbers = (any::<(u16, u64, u64, u64, u64)>(), any::<[u8; 16]>(), any::<Option<Option<u64>>>());
    let orders = (vec(assignment, 0..3), vec(order, 0..3), vec(attempt(), 0..3));
    (numbers, orders).prop_map(
        |(((proto, term, incarnation, cmd_no, answered_n), cluster, drain), (assign, cancel, retract))| {
            Command {
                proto,
                cluster: ClusterId::from_bytes(cluster),
                term: Term(term),
                incarnation: Incarnation(incarnation),
                cmd_no,
                assign,
                cancel,
                retract,
                draining: drain.map(|deadline_ms| DrainOrder { deadline_ms }),
                answered_n,
            }
        },
    )
}

fn survives<T>(value: &T) -> Result<(), TestCaseError>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(value).expect("it can be written");
    let read: T = serde_json::from_str(&text).expect("what was written can be read");
    prop_assert_eq!(value, &read);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn specs_survive(spec in spec()) {
        survives(&spec)?;
    }

    #[test]
    fn outcomes_survive(outcome in outcome()) {
        survives(&outcome)?;
    }

    #[test]
    fn reports_survive(report in report()) {
        survives(&report)?;
    }

    #[test]
    fn commands_survive(command in command()) {
        survives(&command)?;
    }

    #[test]
    fn attempts_survive_as_text(attempt in attempt()) {
        prop_assert_eq!(attempt.to_string().parse::<AttemptId>(), Ok(attempt));
    }

    #[test]
    fn text_that_is_no_attempt_is_refused_calmly(text in ".*") {
        if let Ok(attempt) = text.parse::<AttemptId>() {
            prop_assert_eq!(attempt.to_string().parse::<AttemptId>(), Ok(attempt));
        }
    }

    #[test]
    fn every_spec_is_judged_calmly_and_every_problem_is_somewhere(spec in spec()) {
        if let Err(problems) = admission::check(&spec, &Limits::default()) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| problem.pointer.starts_with('/') && !problem.detail.is_empty()));
        }
    }

    #[test]
    fn every_spec_within_the_limits_is_accepted(spec in valid_spec()) {
        prop_assert_eq!(admission::check(&spec, &Limits::default()), Ok(()));
    }
}
