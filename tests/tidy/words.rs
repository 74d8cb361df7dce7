//! Words that may not be spoken in a room. The lists repeat ARCHITECTURE's paragraph of that name; change both
//! together. Comments, strings and tests never trip a word.

use crate::lexer::{Tok, texts};
use crate::report::Problem;
use crate::rooms::library_rooms;
use crate::source::Source;

const RULE: &str = "word";

/// Where a ban holds.
enum Scope {
    /// These rooms of the library.
    Library(&'static [&'static str]),
    /// `src/http`.
    Http,
    /// Both crates, but for these files and folders.
    AllBut(&'static [&'static str]),
    /// The whole library.
    AllLibrary,
}

/// Patterns, where they are banned, and what to do instead.
struct Ban {
    scope: Scope,
    patterns: &'static [&'static str],
    advice: &'static str,
}

const PURE: Scope = Scope::Library(&["model", "policy", "link"]);
const ACTORS: Scope =
    Scope::Library(&["coordinator", "scheduler", "runner", "runner_proxy", "uplink", "metrics", "events"]);

const BANS: &[Ban] = &[
    Ban {
        scope: PURE,
        patterns: &["actix", "actix_rt", "actix_web", "tokio", "async fn", "async move", ".await"],
        advice: "this room decides and does no IO: let the actor do it and pass the result in",
    },
    Ban {
        scope: PURE,
        patterns: &["std::env", "now_v7"],
        advice: "this room knows no machine: take it as an argument",
    },
    Ban {
        scope: Scope::Library(&["protocol"]),
        patterns: &["impl Handler", "Addr<", "awc"],
        advice: "protocol only says what may be said: handlers and addresses belong to the actors and to graph",
    },
    Ban {
        scope: Scope::Library(&["store", "exec"]),
        patterns: &["actix", "Recipient"],
        advice: "this room knows no actors: return a value, or take a callback of its own shape",
    },
    Ban { scope: ACTORS, patterns: &["from_registry"], advice: "hold a Recipient that graph hands in" },
    Ban {
        scope: ACTORS,
        patterns: &["tokio::process"],
        advice: "living processes are touched in `exec` only: call its Executor",
    },
    Ban {
        scope: Scope::Library(&["coordinator", "scheduler", "runner", "runner_proxy", "uplink", "events"]),
        patterns: &["prometheus"],
        advice: "only `metrics` names metric families: send a notice, or count into the Meter of `model`",
    },
    Ban {
        scope: Scope::Library(&[
            "coordinator",
            "scheduler",
            "runner",
            "runner_proxy",
            "uplink",
            "metrics",
            "events",
        ]),
        patterns: &["awc"],
        advice: "only `courier` speaks HTTP to another node",
    },
    Ban {
        scope: Scope::AllLibrary,
        patterns: &[".unwrap()"],
        advice: "return the error, or `expect` with the invariant",
    },
    Ban {
        scope: Scope::Http,
        patterns: &["prometheus", "tokio::process"],
        advice: "http asks the PlatformHandle and translates the answer",
    },
    Ban {
        scope: Scope::AllBut(&["actors/src/clock"]),
        patterns: &["Instant::now", "SystemTime::now"],
        advice: "ask `clock` for the time, or take it as an argument",
    },
    Ban {
        scope: Scope::AllBut(&["src/main"]),
        patterns: &["process::exit"],
        advice: "return the exit code: only src/main.rs exits",
    },
    Ban {
        scope: Scope::AllBut(&["src/config"]),
        patterns: &["env::var", "env::var_os", "env::vars", "env::vars_os"],
        advice: "the environment is read in src/config.rs only: take the value as an argument",
    },
    Ban {
        scope: Scope::AllBut(&["actors/src/exec/sys"]),
        patterns: &["unsafe"],
        advice: "put the system call behind a safe function in actors/src/exec/sys.rs",
    },
];

/// Every banned word outside tests.
pub fn check(sources: &[Source]) -> Vec<Problem> {
    let product: Vec<&Source> = sources.iter().filter(|source| !source.is_test).collect();
    let mut problems: Vec<Problem> = product.iter().flat_map(|source| foreign_addresses(source)).collect();
    for ban in BANS {
        let patterns: Vec<(&str, Vec<String>)> =
            ban.patterns.iter().map(|text| (*text, texts(text))).collect();
        for source in product.iter().filter(|source| ban.scope.holds(source)) {
            problems.extend(spoken(source, &patterns, ban.advice));
        }
    }
    problems.extend(product.iter().flat_map(|source| tokio_but_sync(source)));
    problems.sort();
    problems.dedup();
    problems
}

impl Scope {
    fn holds(&self, source: &Source) -> bool {
        let library = source.room("actors/src");
        match self {
            Scope::Library(rooms) => library.is_some_and(|room| rooms.contains(&room)),
            Scope::AllLibrary => library.is_some(),
            Scope::Http => source.room("src") == Some("http"),
            Scope::AllBut(places) => {
                let here = |place: &&str| {
                    source.path == format!("{place}.rs") || source.path.starts_with(&format!("{place}/"))
                };
                (library.is_some() || source.room("src").is_some()) && !places.iter().any(here)
            }
        }
    }
}

fn spoken(source: &Source, patterns: &[(&str, Vec<String>)], advice: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for toks in source.product.sequences() {
        for (at, tok) in toks.iter().enumerate() {
            for (text, _) in patterns.iter().filter(|(_, pattern)| matches(&toks[at..], pattern)) {
                let what = format!("`{text}` may not be said here: {advice}");
                problems.push(Problem::new(RULE, &source.path, tok.line, what));
            }
        }
    }
    problems
}

/// Whether the tokens begin with the pattern. The generics of `impl<..>` do not count.
fn matches(toks: &[Tok], pattern: &[String]) -> bool {
    let mut at = 0;
    for want in pattern {
        if toks.get(at).is_none_or(|tok| tok.text != *want) {
            return false;
        }
        at += 1;
        if want == "impl" {
            at += generics(&toks[at..]);
        }
    }
    true
}

/// The length of the `<..>` at the start, or 0.
fn generics(toks: &[Tok]) -> usize {
    let mut open = 0;
    for (at, tok) in toks.iter().enumerate() {
        let arrow = at > 0 && ["-", "="].contains(&toks[at - 1].text.as_str());
        match tok.text.as_str() {
            "<" => open += 1,
            ">" if !arrow => open -= 1,
            _ => {}
        }
        if open == 0 {
            return if at == 0 { 0 } else { at + 1 };
        }
    }
    0
}

/// `protocol` may use nothing of tokio but `tokio::sync`.
fn tokio_but_sync(source: &Source) -> Vec<Problem> {
    if source.room("actors/src") != Some("protocol") {
        return Vec::new();
    }
    let sync = texts("tokio::sync");
    let mut problems = Vec::new();
    for toks in source.product.sequences() {
        let other = (0..toks.len()).filter(|&at| toks[at].text == "tokio" && !matches(&toks[at..], &sync));
        let what = "`tokio` may not be said here, but for `tokio::sync`: IO belongs to the actors";
        problems.extend(other.map(|at| Problem::new(RULE, &source.path, toks[at].line, what)));
    }
    problems
}

/// In the room of an actor, `Addr<..>` of anyone but itself.
fn foreign_addresses(source: &Source) -> Vec<Problem> {
    let Some(room) = source.room("actors/src").filter(|_| ACTORS.holds(source)) else {
        return Vec::new();
    };
    let own = actor_name(room);
    let addr = texts("Addr<");
    let mut problems = Vec::new();
    for toks in source.product.sequences() {
        for at in (0..toks.len()).filter(|&at| matches(&toks[at..], &addr)) {
            let named =
                toks[at + 2..].iter().find(|tok| !["super", "self", ":"].contains(&tok.text.as_str()));
            if named.is_some_and(|tok| tok.text == "Self" || tok.text == own) {
                continue;
            }
            let what =
                format!("an address of another actor than {own}: hold a Recipient that graph hands in");
            problems.push(Problem::new(RULE, &source.path, toks[at].line, what));
        }
    }
    problems
}

/// `runner_proxy` houses `RunnerProxy`.
fn actor_name(room: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    room.split('_').map(capital).collect()
}

#[test]
fn every_room_of_a_ban_exists() {
    for ban in BANS {
        if let Scope::Library(rooms) = ban.scope {
            assert!(rooms.iter().all(|room| library_rooms().any(|known| known == *room)), "{rooms:?}");
        }
    }
}
