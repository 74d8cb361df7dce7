//! The documents' debts on small sources.

use crate::documents::{check_messages, check_settings};
use crate::report::Problem;
use crate::source::sample;

fn messages(text: &str, document: Option<&str>) -> Vec<String> {
    let problems = check_messages(&[sample("actors/src/protocol/submit.rs", text)], document);
    problems.iter().map(Problem::to_string).collect()
}

fn settings(path: &str, text: &str, document: Option<&str>) -> Vec<String> {
    let problems = check_settings(&[sample(path, text)], document);
    problems.iter().map(|p| p.what.split('`').nth(1).unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_message_is_found_however_it_is_declared() {
    for text in [
        "#[derive(Message)]\n#[rtype(result = \"()\")]\npub struct GetJob { id: u8 }",
        "#[derive(Debug, actix::Message)] #[rtype(\"u8\")] enum GetJob { A }",
        "#[rtype(result = \"()\")] pub(crate) struct GetJob;",
        "impl Message for GetJob { type Result = (); }",
        "impl<T: Send> actix::Message for super::GetJob<T> { type Result = (); }",
    ] {
        let found = messages(text, Some("`GetJobs`, MyGetJob"));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains("`GetJob` is not in docs/PROTOCOL.md"), "{found:?}");
        assert!(messages(text, Some("| `GetJob` | client |")).is_empty(), "{text}");
    }
    assert!(messages("pub struct JobView; impl Debug for JobView {} use actix::Message;", None).is_empty());
    assert!(messages("#[cfg(test)] mod tests { #[rtype(\"()\")] struct Ping; }", None).is_empty());
}

#[test]
fn a_missing_document_names_nothing_and_owes_nothing_when_nothing_is_said() {
    let found = messages("\n\n#[rtype(\"()\")] struct GetJob;", None);
    assert_eq!(
        found,
        [
            "actors/src/protocol/submit.rs:3: [document] `GetJob` is owed to docs/PROTOCOL.md, which does not exist: write it"
        ]
    );
    assert!(messages("struct JobView;", None).is_empty());
    let elsewhere = sample("actors/src/scheduler.rs", "#[rtype(\"()\")] struct Tick;");
    assert!(check_messages(&[elsewhere], None).is_empty(), "private ticks of an actor are no protocol");
}

#[test]
fn a_message_named_by_a_macro_is_refused() {
    let found = messages(
        "macro_rules! m { ($n:ident) => { impl Message for $n { type Result = (); } } }",
        Some("n $n"),
    );
    assert!(found.len() == 1 && found[0].contains("named by a macro"), "{found:?}");
}

#[test]
fn the_keys_of_config_are_the_names_that_serde_reads() {
    let text = "
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct ServerConfig {
            /// Doc.
            pub bind: SocketAddr,
            #[serde(default = \"a::b\", rename = \"max-jobs\")]
            pub max_jobs: Option<HashMap<String, u8>>,
            #[serde(skip)]
            pub origin: Origin,
            #[serde(flatten)]
            rest: RestSection,
            pub(crate) hook: fn(u8) -> std::net::Ip,
        }
        #[derive(Deserialize)] #[serde(rename_all = \"kebab-case\")] struct LogSection { log_format: u8 }
        #[derive(Deserialize)] struct Other { hidden: u8 }
        #[derive(Clone)] struct PlainConfig { hidden: u8 }
        struct HandConfig { by_hand: u8 }
        impl<'de> Deserialize<'de> for HandConfig {}
    ";
    let all = ["bind", "max-jobs", "hook", "log-format", "by_hand"];
    assert_eq!(settings("src/config.rs", text, None), all);
    assert_eq!(
        settings("src/config/server.rs", text, Some("bind hook `max-jobs`")),
        ["bind", "hook", "log-format", "by_hand"]
    );
    let document = "`server.bind`, `max-jobs`\n```toml\nhook = 1\nlog-format = 2\n```\nand `by_hand = 3`";
    assert!(settings("src/config.rs", text, Some(document)).is_empty());
    assert!(settings("src/node.rs", text, None).is_empty());
}

#[test]
fn every_limit_is_documented() {
    let text = "/// Doc.\npub const MAX_JOBS: usize = 1; const OWN: u8 = 1; pub const fn f() {}\npub const MAX_ENV: u8 = 2;";
    let path = "actors/src/model/limits.rs";
    assert_eq!(settings(path, text, None), ["MAX_JOBS", "MAX_ENV"]);
    assert_eq!(settings(path, text, Some("`MAX_ENV_NAMES` `MAX_JOBS`")), ["MAX_ENV"]);
    // Elsewhere what calls itself a limit is one, whoever may see it.
    let text = "const MAX_WAITING: usize = 1; pub(super) const MAX_OPS: u8 = 1; const OTHER: u8 = 1; fn f() { g(MAX_X) }";
    for path in
        ["actors/src/store/sqlite/writer.rs", "src/http/door.rs", "src/config/token.rs", "src/node.rs"]
    {
        assert_eq!(settings(path, text, Some("`MAX_OPS`")), ["MAX_WAITING"], "{path}");
    }
    for path in ["src/cli/table.rs", "src/bench/queue.rs", "tests/it/server.rs"] {
        assert!(settings(path, text, None).is_empty(), "{path}");
    }
}
