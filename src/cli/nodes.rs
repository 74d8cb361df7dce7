//! `nodes`: what there is to run jobs on, and what an operator does to it.

use std::time::Duration;

use callboard_actors::clock;
use callboard_actors::model::time::short_duration;
use serde::Serialize;

use super::args::{Global, NodeNames, Nodes, WaitNodesArgs};
use super::client::{Client, named};
use super::commands::{print_rows, put};
use super::exit::{Failure, NO_ANSWER, NOT_ALLOWED, WAIT_TIMED_OUT};
use super::render::{Cell, Column};
use super::style::plain;
use crate::http::api::{CordonWanted, DrainWanted, NoBody, RunnerBody};

type Outcome = Result<i32, Failure>;

/// How often nodes are looked at that are waited for.
const LOOK: Duration = Duration::from_millis(500);

/// What a table of nodes has.
const NODES: &[Column<RunnerBody>] = &[
    Column::new("name", "NAME", |node: &RunnerBody| Cell::Text(node.name.clone())),
    Column::new("state", "STATE", |node: &RunnerBody| Cell::Word(node.state.clone())).machine(),
    Column::new("eligibility", "WORK", |node: &RunnerBody| Cell::Word(node.eligibility.clone())).machine(),
    Column::new("status", "STATUS", |node: &RunnerBody| Cell::Word(status(node))).people(),
    Column::new("slots_used", "USED", |node: &RunnerBody| Cell::Integer(node.slots_used.into())).right(),
    Column::new("slots", "SLOTS", |node: &RunnerBody| Cell::Integer(node.slots.into())).right(),
    Column::new("kind", "KIND", |node: &RunnerBody| Cell::Text(node.kind.clone())),
    Column::new("tier", "ISOLATION", |node: &RunnerBody| Cell::Text(node.tier.clone())),
    Column::new("last_heard_ms_ago", "HEARD", |node: &RunnerBody| {
        Cell::Millis(node.last_heard_ms_ago as f64)
    })
    .right(),
    Column::new("labels", "LABELS", |node: &RunnerBody| {
        let value = serde_json::to_value(&node.labels).unwrap_or_default();
        Cell::Whole(labels(node), value)
    })
    .flexible(),
    Column::new("why", "WHY", |node: &RunnerBody| {
        Cell::text(node.cordon.as_ref().map(|cordon| cordon.why.as_str()))
    })
    .flexible(),
    Column::new("version", "VERSION", |node: &RunnerBody| Cell::Text(node.version.clone())).wide(),
    Column::new("address", "ADDRESS", |node: &RunnerBody| Cell::text(node.address.as_deref())).wide(),
    Column::new("id", "ID", |node: &RunnerBody| Cell::Text(node.id.clone())).wide(),
];

/// Does what was said.
pub async fn nodes(verb: &Nodes, client: &Client, global: &Global) -> Outcome {
    match verb {
        Nodes::List => {
            print_rows(&client.runners().await?.items, NODES, true, global)?;
            Ok(0)
        }
        Nodes::Show(names) => {
            let shown = each(names, async |name| client.runner(name).await).await?;
            if global.looks.usual() {
                put(&shown.done.iter().map(|node| block(node) + "\n").collect::<String>())?;
            } else {
                print_rows(&shown.done, NODES, names.nodes.len() > 1, global)?;
            }
            Ok(shown.code)
        }
        Nodes::Drain(args) => {
            let body = DrainWanted { why: args.why.clone(), deadline_ms: args.deadline };
            change(&args.names, "drain", &body, client, global).await
        }
        Nodes::Cordon(args) => {
            change(&args.names, "cordon", &CordonWanted { why: args.why.clone() }, client, global).await
        }
        Nodes::Resume(names) => change(names, "resume", &NoBody {}, client, global).await,
        Nodes::Remove(names) => remove(names, client, global).await,
        Nodes::Wait(args) => wait(args, client, global).await,
    }
}

/// What came of it, and the worst exit code of what failed.
struct Many<T> {
    done: Vec<T>,
    code: i32,
}

/// Acts on each node. The failure of an only one is the whole's; of several each is reported by its name.
async fn each<T>(
    names: &NodeNames,
    mut act: impl AsyncFnMut(&str) -> Result<T, Failure>,
) -> Result<Many<T>, Failure> {
    let mut many = Many { done: Vec::new(), code: 0 };
    for name in &names.nodes {
        match act(name).await {
            Ok(done) => many.done.push(done),
            Err(failure) if names.nodes.len() == 1 => return Err(failure),
            Err(failure) => {
                let message = format!("{}: {}", named(name), failure.message);
                many.code = many.code.max(Failure::new(failure.code, message).report());
                // It would say the same to the next one.
                if matches!(failure.code, NO_ANSWER | NOT_ALLOWED) {
                    break;
                }
            }
        }
    }
    Ok(many)
}

async fn change(
    names: &NodeNames,
    verb: &str,
    body: &impl Serialize,
    client: &Client,
    global: &Global,
) -> Outcome {
    let changed = each(names, async |name| client.change_runner(name, verb, body).await).await?;
    if global.looks.usual() {
        let line = |node: &RunnerBody| {
            let has = match node.slots_used {
                0 => String::new(),
                1 => ", and has 1 job".into(),
                jobs => format!(", and has {jobs} jobs"),
            };
            format!("{} is {}{has}\n", plain(&node.name), plain(&node.eligibility))
        };
        put(&changed.done.iter().map(line).collect::<String>())?;
    } else {
        print_rows(&changed.done, NODES, names.nodes.len() > 1, global)?;
    }
    Ok(changed.code)
}

/// What is said of a node that was forgotten.
#[derive(Serialize)]
struct Removed {
    name: String,
    id: String,
    removed: bool,
}

const REMOVED: &[Column<Removed>] = &[
    Column::new("name", "NAME", |gone: &Removed| Cell::Text(gone.name.clone())),
    Column::new("id", "ID", |gone: &Removed| Cell::Text(gone.id.clone())),
    Column::new("removed", "REMOVED", |gone: &Removed| Cell::Flag(gone.removed)),
];

async fn remove(names: &NodeNames, client: &Client, global: &Global) -> Outcome {
    let removed = each(names, async |name| {
        let RunnerBody { name, id, .. } = client.runner(name).await?;
        client.remove_runner(&id).await.map(|()| Removed { name, id, removed: true })
    });
    let removed = removed.await?;
    if global.looks.usual() {
        let line = |gone: &Removed| {
            format!(
                "Removed {}; `callboard nodes resume {}` lets it in again\n",
                plain(&gone.name),
                plain(&gone.id)
            )
        };
        put(&removed.done.iter().map(line).collect::<String>())?;
    } else {
        print_rows(&removed.done, REMOVED, names.nodes.len() > 1, global)?;
    }
    Ok(removed.code)
}

/// Waits until so many nodes can be given jobs, and prints them.
async fn wait(args: &WaitNodesArgs, client: &Client, global: &Global) -> Outcome {
    let began = clock::moment();
    loop {
        let mut items = client.runners().await?.items;
        items.retain(|node| node.state == "ready" && node.eligibility == "eligible" && node.slots > 0);
        if items.len() >= args.count {
            print_rows(&items, NODES, true, global)?;
            return Ok(0);
        }
        let left_ms = args.timeout.map(|limit| limit.saturating_sub(began.elapsed_ms()));
        if left_ms == Some(0) {
            let message = format!("{} of {} nodes can be given jobs after the time", items.len(), args.count);
            return Err(Failure::new(WAIT_TIMED_OUT, message));
        }
        let nap = left_ms.map_or(LOOK, |left| LOOK.min(Duration::from_millis(left)));
        actix_rt::time::sleep(nap).await;
    }
}

/// One word for both: what keeps a node from work that is there, or that it is not there.
fn status(node: &RunnerBody) -> String {
    let word =
        if node.state == "ready" && node.eligibility != "eligible" { &node.eligibility } else { &node.state };
    word.clone()
}

fn labels(node: &RunnerBody) -> String {
    let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(",")
}

/// One node in full.
fn block(node: &RunnerBody) -> String {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        let value = value.filter(|value| !value.is_empty());
        lines.extend(value.map(|value| format!("{name:<10} {}", plain(&value))));
    };
    add("name:", Some(node.name.clone()));
    add("id:", Some(node.id.clone()));
    add("state:", Some(node.state.clone()));
    add("work:", Some(node.eligibility.clone()));
    if let Some(cordon) = &node.cordon {
        add("by:", Some(format!("{}, since {}", cordon.by, cordon.since)));
        add("why:", Some(cordon.why.clone()));
        add("deadline:", cordon.deadline.clone());
    }
    add("slots:", Some(format!("{} of {} used", node.slots_used, node.slots)));
    add("kind:", Some(node.kind.clone()));
    add("isolation:", Some(node.tier.clone()));
    add("labels:", Some(labels(node)));
    add("heard:", Some(format!("{} ago", short_duration(node.last_heard_ms_ago))));
    add("version:", Some(node.version.clone()));
    add("address:", node.address.clone());
    add("life:", Some(node.incarnation.to_string()));
    lines.join("\n")
}
