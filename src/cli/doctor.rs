//! `doctor`: how far jobs can be kept apart on this machine, layer by layer, why not further, and what would help. It
//! asks no server: it sends a job into a room and looks at what that job could do.

use callboard_actors::exec::{HostFacts, ProcessConfig, inspect};
use callboard_actors::model::{Limits, RoomFacts, Tier};
use serde_json::{Value, json};

use super::args::Global;
use super::commands::{print, print_json};
use super::exit::{self, Failure};
use crate::http::api::RoomsBody;

/// Exit code where no room can be made.
const NO_ROOMS: i32 = 1;

/// Looks and prints. Returns the exit code.
pub async fn doctor(global: &Global) -> Result<i32, Failure> {
    let cannot = |error: String| Failure::new(NO_ROOMS, error);
    let folder =
        tempfile::Builder::new().prefix("callboard-").tempdir().map_err(|error| cannot(error.to_string()))?;
    let config = ProcessConfig { slots: 0, ..ProcessConfig::new(folder.path(), &Limits::default()) };
    let found = actix_rt::task::spawn_blocking(move || inspect(&config)).await;
    let rooms = match found {
        Ok(Ok(rooms)) => rooms,
        Ok(Err(error)) => return Err(cannot(error.to_string())),
        Err(error) => return Err(cannot(error.to_string())),
    };
    let host = HostFacts::read();
    if global.json {
        print_json(&json!({"host": facts(&host), "isolation": RoomsBody::from(&rooms)}))?;
    } else {
        print(&text(&host, &rooms))?;
    }
    if rooms.tier < Tier::Partial && !global.quiet {
        let others = match rooms.tier {
            Tier::Lite => "confined without one",
            _ => "plain processes",
        };
        exit::say(&format!(
            "no room can be made here: jobs that demand one are refused, others are {others}"
        ));
    }
    Ok(if rooms.tier >= Tier::Partial { 0 } else { NO_ROOMS })
}

fn facts(host: &HostFacts) -> Value {
    json!({
        "kernel": host.kernel,
        "uid": host.uid,
        "container": host.container,
        "max_user_namespaces": host.max_user_namespaces,
        "userns_switched_off": host.userns_switched_off,
        "apparmor_restricts_userns": host.apparmor_restricts_userns,
        "apparmor_profile": host.apparmor_profile,
        "is_filtered": host.is_filtered,
        "no_new_privs": host.no_new_privs,
        "proc_is_covered": host.proc_is_covered,
        "landlock_version": host.landlock_version,
    })
}

fn text(host: &HostFacts, rooms: &RoomFacts) -> String {
    let place = host.container.as_ref().map(|kind| format!(", in a container ({kind})")).unwrap_or_default();
    let mut lines = vec![
        format!("host:  Linux {}, user {}{place}", host.kernel, host.uid),
        format!("tier:  {}", rooms.tier.as_str()),
        String::new(),
    ];
    let layers = rooms.layers.iter();
    lines
        .extend(layers.map(|layer| format!("{:<13} {:<11} {}", layer.name, layer.state.as_str(), layer.why)));
    for (title, what) in
        [("Why it is not more:", &rooms.degraded_because), ("What would help:", &rooms.fixes)]
    {
        if !what.is_empty() {
            lines.extend([String::new(), title.to_owned()]);
            lines.extend(what.iter().map(|line| format!("  {line}")));
        }
    }
    lines.join("\n")
}
