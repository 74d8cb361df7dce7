//! Which settings hold, who said them, and what is wrong with a file of them.

use std::path::Path;

use serde_json::{Value, json};

use super::{Said, callboard, command, said};

const FILE: &str = "current_context = 'prod'\n[client]\nserver = 'http://file:1'\noutput = 'wide'\ncolor = 'never'\n\
                    [contexts.prod]\nserver = 'http://prod:1'\ntoken_file = 'prod.token'\n[contexts.dev]\n\
                    request_timeout = '5s'\n[contexts.other]\nserver = 'http://other:1'\n[server]\nslots = 7\n";

fn with(file: &Path, args: &[&str], variables: &[(&str, &str)]) -> Said {
    said(command(args).env("CALLBOARD_CONFIG", file).envs(variables.iter().copied()))
}

#[test]
fn every_value_comes_from_the_strongest_that_says_it_and_says_who_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, FILE).unwrap();
    let at = file.display().to_string();
    let server = ("CALLBOARD_SERVER", "http://variable:1");
    for (args, variables, value, origin) in [
        (&[][..], &[][..], "http://prod:1", format!("context prod in {at}")),
        (&["-c", "dev"], &[], "http://file:1", at.clone()),
        (&[], &[("CALLBOARD_CONTEXT", "other")], "http://other:1", format!("context other in {at}")),
        (
            &["-c", "prod"],
            &[("CALLBOARD_CONTEXT", "other")],
            "http://prod:1",
            format!("context prod in {at}"),
        ),
        (&[], &[server], "http://variable:1", "CALLBOARD_SERVER".into()),
        (&[], &[server, ("CALLBOARD_CONTEXT", "other")], "http://variable:1", "CALLBOARD_SERVER".into()),
        (&["-c", "prod"], &[server], "http://prod:1", format!("context prod in {at}")),
        (&["-s", "http://flag:1", "-c", "prod"], &[server], "http://flag:1", "--server".into()),
    ] {
        let shown = with(&file, &[&["config", "show", "--origin", "--json"], args].concat(), variables);
        assert_eq!(
            shown.json()["client"]["server"],
            json!({"value": value, "origin": origin}),
            "{args:?} {variables:?}"
        );
        let text = with(&file, &[&["config", "show", "--origin"], args].concat(), variables);
        assert!(text.fine().contains(&format!("server = \"{value}\"  # {origin}\n")), "{text:?}");
    }
    let nothing = callboard(&["config", "show", "--origin"]);
    assert!(nothing.fine().contains("server = \"http://127.0.0.1:8000\"  # default\n"), "{nothing:?}");
    assert!(nothing.fine().contains("request_timeout = \"30s\"  # default"), "{nothing:?}");
    let plain = with(&file, &["config", "show", "--json", "-c", "dev"], &[]).json();
    assert_eq!(plain["client"]["request_timeout"], "5s");
}

#[test]
fn a_token_is_for_the_server_that_stands_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, FILE).unwrap();
    let token = |args: &[&str], variables: &[(&str, &str)]| {
        with(&file, &[&["config", "show", "--json"], args].concat(), variables).json()["client"]["token_file"]
            .clone()
    };
    let own = json!(folder.path().join("prod.token"));
    assert_eq!(token(&[], &[]), own, "beside the file");
    assert_eq!(token(&["-s", "http://prod:1/"], &[]), own);
    assert_eq!(token(&["-s", "http://elsewhere:1"], &[]), Value::Null);
    assert_eq!(token(&[], &[("CALLBOARD_SERVER", "http://elsewhere:1")]), Value::Null);
    assert_eq!(token(&["-s", "http://elsewhere:1", "--token-file", "t"], &[]), json!("t"));
}

#[test]
fn the_token_itself_comes_from_a_variable_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, FILE).unwrap();
    let own = json!(folder.path().join("prod.token"));
    let (secret, server) = (("CALLBOARD_TOKEN", "s3cret"), ("CALLBOARD_SERVER", "http://variable:1"));
    for (args, variables, set, token_file) in [
        (&[][..], &[secret][..], true, Value::Null),
        (&[], &[secret, ("CALLBOARD_TOKEN_FILE", "t")], true, Value::Null),
        (&["-c", "prod"], &[secret], false, own),
        (&["--token-file", "t"], &[secret], false, json!("t")),
        (&[], &[secret, server], true, Value::Null),
        (&["-s", "http://elsewhere:1"], &[secret, server], false, Value::Null),
        (&["-c", "other"], &[secret, server], false, Value::Null),
    ] {
        let show = |more: &[&str]| with(&file, &[&["config", "show"], more, args].concat(), variables);
        let shown = show(&["--json", "--origin"]);
        let client = &shown.json()["client"];
        let token = if set {
            json!({"value": "set", "origin": "CALLBOARD_TOKEN"})
        } else {
            json!({"value": null, "origin": "default"})
        };
        assert_eq!((&client["token"], &client["token_file"]["value"]), (&token, &token_file), "{args:?}");
        let text = show(&[]);
        let line = if set { "# token is set\n" } else { "# token is not set\n" };
        assert!(text.fine().contains(line), "{text:?}");
        assert!(!shown.out.contains("s3cret") && !text.out.contains("s3cret"), "{text:?}");
    }
}

#[test]
fn colour_of_a_file_yields_to_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[client]\ncolor = 'always'\n").unwrap();
    let color = |variables: &[(&str, &str)], args: &[&str]| {
        let said = with(&file, &[&["config", "show", "--json", "--origin"], args].concat(), variables);
        let color = &said.json()["client"]["color"];
        (color["value"].as_str().unwrap().to_owned(), color["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(color(&[], &[]).0, "always");
    assert_eq!(color(&[("NO_COLOR", "1")], &[]), ("auto".into(), "NO_COLOR".into()));
    assert_eq!(color(&[("CALLBOARD_COLOR", "never")], &[]).0, "never");
    assert_eq!(color(&[("NO_COLOR", "1")], &["--color", "always"]), ("always".into(), "--color".into()));
}

#[test]
fn a_servers_settings_are_shown_as_serve_would_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, FILE).unwrap();
    let variables = [("CALLBOARD_WORKERS", "3"), ("HOME", "/nowhere")];
    let shown = with(&file, &["config", "show", "serve", "--origin", "--token-file", "/t"], &variables);
    for line in [
        format!("slots = 7  # {}", file.display()),
        "workers = 3  # CALLBOARD_WORKERS".into(),
        "token_file = \"/t\"  # --token-file".into(),
        "output_head = \"10MiB\"  # default".into(),
        "max_timeout = \"30d\"  # default".into(),
    ] {
        assert!(shown.fine().lines().any(|shown| shown == line), "{line} is not in {shown:?}");
    }
    let runner = with(&file, &["config", "show", "runner", "--json"], &variables).json();
    assert_eq!(
        (&runner["store"]["kind"], &runner["server"]["bind"]),
        (&json!("memory"), &json!(["127.0.0.1:8080"]))
    );
    with(&file, &["config", "show", "serve"], &[("CALLBOARD_SLOTS", "5000")]).refused(78, "slots is 5000");
    with(&file, &["config", "show", "serve", "-s", "http://x"], &[]).refused(2, "--server");
}

#[test]
fn a_file_is_checked_to_its_last_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        callboard(&[&["config", "check", file.to_str().unwrap()], more].concat())
    };
    assert_eq!(check(FILE, &[]).fine(), format!("{} is fine", file.display()));
    let wrong = "[server]\nslotz = 1\nslots = 'many'\n[contexts.p]\nserver = 'ftp://h'\n";
    let found = check(wrong, &["--json"]);
    assert_eq!((found.code, found.err.lines().count()), (Some(78), 3), "{found:?}");
    for (line, words) in found.err.lines().zip([
        ":2: server.slotz: unknown key",
        ":3: server.slots: ",
        ":5: contexts.p.server: ",
    ]) {
        assert!(line.starts_with(&format!("callboard: {}{words}", file.display())), "{line}");
    }
    assert_eq!(found.json()["mistakes"][1]["line"], 3);
    for (text, why) in [
        ("[server\n", ":1: "),
        ("current_context = 'x'\n", "no context `x` (current_context)"),
        ("[server]\nslots = 5000\n", "slots is 5000"),
        ("[server]\nbind = ':80'\n", "can be reached by others"),
        ("[contexts.'a b']\n", "is no name of a context"),
        ("[contexts]\np = 3\n", ":2: contexts.p: "),
    ] {
        check(text, &[]).refused(78, why);
    }
    callboard(&["config", "check", "/nonexistent"]).refused(78, "/nonexistent: No such file");
    callboard(&["config", "check"]).refused(78, "is not there");
}

#[test]
fn the_file_is_where_it_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("callboard/config.toml");
    std::fs::create_dir(folder.path().join("callboard")).unwrap();
    std::fs::write(&home, "[client]\noutput = 'json'\n[server]\nslots = 1\n").unwrap();
    let usual = |args: &[&str]| said(command(args).env("XDG_CONFIG_HOME", folder.path()));
    assert_eq!(usual(&["config", "path"]).fine(), home.display().to_string());
    assert_eq!(usual(&["config", "show", "--json"]).json()["client"]["output"], "json");
    let checked = usual(&["config", "check"]);
    assert_eq!(checked.code, Some(0));
    assert!(checked.err.contains("`serve` reads them only with --config"), "{checked:?}");
    assert_eq!(usual(&["config", "path", "--config", "/x"]).fine(), "/x");
    let home = said(command(&["config", "path"]).env_remove("XDG_CONFIG_HOME").env("HOME", "/h"));
    assert_eq!(home.fine(), "/h/.config/callboard/config.toml");
    said(command(&["config", "path"]).env_remove("XDG_CONFIG_HOME").env_remove("HOME")).refused(78, "HOME");
    // What is wrong in it stops those who need it, and nobody else.
    std::fs::write(folder.path().join("callboard/config.toml"), "nonsense = 1\n").unwrap();
    usual(&["list"]).refused(78, "config.toml:1: unknown key `nonsense`");
    usual(&["run", "--", "true"]).refused(125, "config.toml:1: unknown key `nonsense`");
    assert_eq!(usual(&["completions", "bash"]).code, Some(0));
    assert_eq!(callboard(&["list", "--config", "/nonexistent"]).code, Some(78));
    callboard(&["list", "--config", "/dev/zero"]).refused(78, "/dev/zero");
}
