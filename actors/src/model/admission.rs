//! What a spec must look like to be a job at all: sizes, bytes and names. Whether it is *permitted* is `policy`.

use super::artifacts::{self, MAX_ARTIFACTS};
use super::files::{self, MAX_FILES, MAX_FILES_BYTES};
use super::isolation::{MAX_DEMANDED_LAYERS, Tier, layer_names};
use super::limits::{self, Limits};
use super::mounts::MAX_MOUNTS;
use super::resources::{Bound, show};
use super::secret::SecretEnv;
use super::spec::{CommandLine, InputMode, Isolation, JobSpec};

/// One thing wrong with a spec, with where it is (a JSON pointer below the spec).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SpecProblem {
    /// JSON pointer of the field, for example `/command`.
    pub pointer: String,
    /// What is wrong and what is allowed.
    pub detail: String,
}

/// Checks everything about a spec that needs no knowledge of the platform's state.
///
/// # Errors
/// Every problem at once, so that a user mends them in one go.
pub fn check(spec: &JobSpec, limits: &Limits) -> Result<(), Vec<SpecProblem>> {
    check_with_secrets(spec, &SecretEnv::default(), limits)
}

/// The same of a spec and the secret variables that come with it.
///
/// # Errors
/// Every problem at once. None shows a secret value.
pub fn check_with_secrets(
    spec: &JobSpec,
    secrets: &SecretEnv,
    limits: &Limits,
) -> Result<(), Vec<SpecProblem>> {
    let mut problems = Vec::new();
    check_command(&spec.command, &mut problems);
    check_env(spec, secrets, &mut problems);
    if let Some(name) = &spec.name {
        require(
            !name.is_empty() && name.len() <= limits::MAX_NAME_BYTES && !name.chars().any(char::is_control),
            "/name",
            || format!("a name has 1 to {} bytes and no control characters", limits::MAX_NAME_BYTES),
            &mut problems,
        );
    }
    if let Some(cwd) = &spec.cwd {
        let fine = cwd.starts_with('/') && cwd.len() <= limits::MAX_CWD_BYTES && !cwd.contains('\0');
        require(fine, "/cwd", || "cwd must be an absolute path of at most 4095 bytes".into(), &mut problems);
    }
    if let InputMode::Inline(bytes) = &spec.input {
        let max = limits::MAX_INLINE_INPUT_BYTES;
        require(bytes.len() <= max, "/stdin", || format!("stdin has at most {max} bytes"), &mut problems);
    }
    if let Some(timeout_ms) = spec.timeout_ms {
        let max = limits.max_timeout_ms;
        let text = || format!("timeout must be between 1 ms and {max} ms (limit max_timeout)");
        require((1..=max).contains(&timeout_ms), "/timeout", text, &mut problems);
    }
    let max = limits.max_grace_ms;
    let text = || format!("grace must be at most {max} ms (limit max_grace)");
    require(spec.grace_ms <= max, "/grace", text, &mut problems);
    check_limits(spec, limits, &mut problems);
    check_mounts(spec, &mut problems);
    check_files(spec, &mut problems);
    check_artifacts(spec, &mut problems);
    check_demands(spec, &mut problems);
    check_requires(spec, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_demands(spec: &JobSpec, problems: &mut Vec<SpecProblem>) {
    let demands = &spec.demands;
    let most = MAX_DEMANDED_LAYERS;
    let text = || format!("a job demands at most {most} layers");
    require(demands.require.len() <= most, "/isolation/require", text, problems);
    let strange = demands.require.iter().find(|name| !layer_names().any(|known| known == name.as_str()));
    let text = || {
        let known = layer_names().collect::<Vec<_>>().join(", ");
        format!("`{}` is no layer: there are {known}", strange.map_or("", |name| &name[..name.len().min(40)]))
    };
    require(strange.is_none(), "/isolation/require", text, problems);
    let wants_room = demands.min_tier.is_some_and(|tier| tier > Tier::None) || !demands.require.is_empty();
    let text =
        || "a plain process has no layers: min_tier and require do not go with isolation `none`".into();
    require(!(wants_room && spec.isolation == Isolation::None), "/isolation", text, problems);
}

fn check_requires(spec: &JobSpec, problems: &mut Vec<SpecProblem>) {
    let told = |(at, detail)| SpecProblem { pointer: format!("/requires{at}"), detail };
    problems.extend(spec.requires.problems().map(told));
}

fn check_mounts(spec: &JobSpec, problems: &mut Vec<SpecProblem>) {
    let most = MAX_MOUNTS;
    require(spec.mounts.len() <= most, "/mounts", || format!("a job has at most {most} mounts"), problems);
    for (at, mount) in spec.mounts.iter().enumerate() {
        if let Some(detail) = mount.problem() {
            problems.push(SpecProblem { pointer: format!("/mounts/{at}/path"), detail });
        }
    }
    let fine = spec.mounts.is_empty() || spec.isolation != Isolation::None;
    let text = || "a plain process sees the host as it is: mounts do not go with isolation `none`".into();
    require(fine, "/mounts", text, problems);
}

fn check_files(spec: &JobSpec, problems: &mut Vec<SpecProblem>) {
    let (files, most) = (&spec.files, MAX_FILES);
    require(files.len() <= most, "/files", || format!("a job has at most {most} files"), problems);
    let text = || format!("the files of a job and their paths have at most {MAX_FILES_BYTES} bytes in all");
    require(files::weight(files) <= MAX_FILES_BYTES, "/files", text, problems);
    for (at, detail) in files::problems(files) {
        problems.push(SpecProblem { pointer: format!("/files/{at}/path"), detail });
    }
    let fine = files.is_empty() || spec.isolation != Isolation::None;
    let text = || "files lie in a job's room: they do not go with isolation `none`".into();
    require(fine, "/files", text, problems);
}

fn check_artifacts(spec: &JobSpec, problems: &mut Vec<SpecProblem>) {
    let (paths, most) = (&spec.artifacts, MAX_ARTIFACTS);
    require(
        paths.len() <= most,
        "/artifacts",
        || format!("a job declares at most {most} artifacts"),
        problems,
    );
    for (at, detail) in artifacts::problems(paths) {
        problems.push(SpecProblem { pointer: format!("/artifacts/{at}"), detail });
    }
    let fine = paths.is_empty() || spec.isolation != Isolation::None;
    let text = || "artifacts lie in a job's room: they do not go with isolation `none`".into();
    require(fine, "/artifacts", text, problems);
}

fn check_limits(spec: &JobSpec, limits: &Limits, problems: &mut Vec<SpecProblem>) {
    for Bound { name, value, least, most, is_policy } in spec.limits.bounds(&limits.max_job) {
        let whose = if is_policy { " (limit of this node)" } else { "" };
        let text = || format!("{name} must be between {} and {}{whose}", show(name, least), show(name, most));
        require((least..=most).contains(&value), &format!("/limits/{name}"), text, problems);
    }
    if spec.isolation == Isolation::None {
        for (name, value) in
            [("disk_bytes", spec.limits.disk_bytes), ("open_files", spec.limits.open_files.map(u64::from))]
        {
            let text = || format!("{name} is a limit of rooms: it does not go with isolation `none`");
            require(value.is_none(), &format!("/limits/{name}"), text, problems);
        }
    }
}

fn require(fine: bool, pointer: &str, detail: impl FnOnce() -> String, problems: &mut Vec<SpecProblem>) {
    if !fine {
        problems.push(SpecProblem { pointer: pointer.into(), detail: detail() });
    }
}

fn check_command(command: &CommandLine, problems: &mut Vec<SpecProblem>) {
    let (empty, has_nul, longest) = match command {
        CommandLine::Shell(line) => (line.trim().is_empty(), line.contains('\0'), line.len()),
        CommandLine::Argv(argv) => (
            argv.first().is_none_or(String::is_empty),
            argv.iter().any(|word| word.contains('\0')),
            argv.iter().map(String::len).max().unwrap_or(0),
        ),
    };
    let max = limits::MAX_COMMAND_BYTES;
    require(!empty, "/command", || "command must not be empty".into(), problems);
    require(!has_nul, "/command", || "command must not contain a NUL byte".into(), problems);
    let text = || format!("command is longer than {max} bytes: put it in a script file");
    require(longest <= max && command.byte_len() <= 8 * max, "/command", text, problems);
    if let CommandLine::Argv(argv) = command {
        let max = limits::MAX_ARGV;
        require(argv.len() <= max, "/command", || format!("command has at most {max} elements"), problems);
    }
}

fn check_env(spec: &JobSpec, secrets: &SecretEnv, problems: &mut Vec<SpecProblem>) {
    let bytes_of = |(name, value): (&str, &str)| name.len() + value.len() + 2;
    let open = || spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let own: usize = open().map(bytes_of).sum();
    let all = own + secrets.expose().map(bytes_of).sum::<usize>();
    let max = limits::MAX_ENV_BYTES;
    require(own <= max, "/env", || format!("env has at most {max} bytes in all"), problems);
    let text = || format!("env and secret_env together have at most {max} bytes");
    require(own > max || all <= max, SECRETS, text, problems);
    let max = limits::MAX_ENV_NAMES;
    let (own, all) = (spec.env.len(), spec.env.len() + secrets.len());
    require(own <= max, "/env", || format!("env has at most {max} names"), problems);
    let text = || format!("env and secret_env together have at most {max} names");
    require(own > max || all <= max, SECRETS, text, problems);
    open().for_each(|(name, value)| check_variable("/env", name, value, problems));
    for (name, value) in secrets.expose() {
        check_variable(SECRETS, name, value, problems);
        if spec.env.contains_key(name) {
            let detail = format!("{name} is in env, too: give it once");
            problems.push(SpecProblem { pointer: format!("{SECRETS}/{name}"), detail });
        }
    }
    let text = || "sealed values belong to the job that they were sealed for: give the values anew".into();
    require(spec.secret_env.is_empty(), SECRETS, text, problems);
}

const SECRETS: &str = "/secret_env";

/// A variable by itself. Its value is never shown.
fn check_variable(pointer: &str, name: &str, value: &str, problems: &mut Vec<SpecProblem>) {
    if !is_env_name(name) {
        let shown: String = name.chars().take(40).collect();
        let detail =
            format!("`{shown}` is not a variable name: letters, digits and _, not starting with a digit");
        problems.push(SpecProblem { pointer: pointer.into(), detail });
    } else if value.contains('\0') {
        let detail = format!("the value of {name} contains a NUL byte");
        problems.push(SpecProblem { pointer: format!("{pointer}/{name}"), detail });
    } else if name.starts_with("CALLBOARD_") {
        let detail = format!("{name}: names that start with CALLBOARD_ are set by the platform");
        problems.push(SpecProblem { pointer: format!("{pointer}/{name}"), detail });
    }
}

fn is_env_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
