//! Contexts: made, used, shown, deleted, and what of the file is left as it was.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use super::{Said, command, said, url};
use crate::server::{Server, free_port};

fn at(file: &Path, args: &[&str]) -> Said {
    said(command(args).env("CALLBOARD_CONFIG", file))
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_context_is_made_used_shown_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/folder/c.toml");
    let server = Server::start(&folder.path().join("data"));
    let job = server.submit("true");
    let here = url(server.port);
    assert_eq!(at(&file, &["context", "list", "--json"]).json(), json!([]));
    let set = at(&file, &["context", "set", "here", "--server", &here]);
    assert_eq!(set.fine(), format!("Context here is set ({here})"));
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let nobody = url(free_port());
    at(&file, &["context", "set", "away", "--server", &nobody, "--token-file", "t"]).fine();

    at(&file, &["list", "-c", "away"]).refused(78, "token file");
    assert_eq!(at(&file, &["list", "-q", "-c", "here"]).fine(), job);
    assert_eq!(at(&file, &["context", "use", "here"]).fine(), format!("Now using context here ({here})"));
    assert_eq!(at(&file, &["list", "-q"]).fine(), job);
    assert_eq!(at(&file, &["run", "--", "sh", "-c", "echo $CALLBOARD_JOB_ID"]).fine().len(), 36);
    assert_eq!(at(&file, &["list", "-q"]).fine().lines().count(), 2, "`run` went to the context's server");

    assert_eq!(at(&file, &["context", "list", "-o", "name"]).fine(), "away\nhere");
    let csv = at(&file, &["context", "list", "-o", "csv", "--fields", "name,current"]);
    assert_eq!(csv.fine(), "name,current\r\naway,false\r\nhere,true");
    assert_eq!(at(&file, &["context", "show", "--json"]).json()["server"], json!(here));
    assert_eq!(at(&file, &["context", "show", "away", "--fields", "current", "--no-headers"]).fine(), "no");
    let other = said(
        command(&["context", "use", "here"]).env("CALLBOARD_CONFIG", &file).env("CALLBOARD_CONTEXT", "away"),
    );
    assert!(other.err.contains("CALLBOARD_CONTEXT is set to away"), "{other:?}");

    let gone = at(&file, &["context", "delete", "here"]);
    assert_eq!(gone.fine(), "Deleted context here; no context is in use now");
    at(&file, &["context", "show"]).refused(78, "no context is in use");
    for args in [
        &["context", "use", "here"][..],
        &["context", "delete", "here"],
        &["context", "show", "here"],
        &["list", "-c", "here"],
    ] {
        at(&file, args).refused(78, "there is no context `here`");
        assert!(at(&file, args).err.contains("known are away"), "{args:?}");
    }
}

#[test]
fn what_is_wrong_about_a_context_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    for (args, why) in [
        (&["context", "set", "a b", "--server", "http://h"][..], "is no name of a context"),
        (&["context", "set", "", "--server", "http://h"], "is no name of a context"),
        (&["context", "set", "a"], "--server URL"),
        (&["context", "set", "a", "--server", "h:8000"], "is no server"),
        (&["context", "set", "a", "--server", "http://h/\u{1b}[2J"], "is no server"),
        (&["context", "set", "a", "--server", "http://"], "is no server"),
        (&["context", "set", "a", "--server", "ftp://h"], "is no server"),
        (&["context", "list", "--server", "http://h"], "--server"),
        (&["context", "delete", "a", "-c", "b"], "--context"),
    ] {
        at(&file, args).refused(2, why);
    }
    assert!(!file.exists());
    std::fs::write(&file, "[contexts.a\n").unwrap();
    at(&file, &["context", "set", "a", "--server", "http://h"]).refused(78, "c.toml:1: ");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[contexts.a\n");
    let under = folder.path().join("c.toml/below.toml");
    at(&under, &["context", "set", "a", "--server", "http://h"]).refused(78, "below.toml");
}

#[test]
fn the_rest_of_the_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let link = folder.path().join("link.toml");
    let text = "# mine\n[server] # a node\nslots   =  3\n\n# servers\n[contexts.a] # first\nserver = 'http://a' # old\n\n\
                # second\n[contexts.b]\nserver = \"http://b\"\n";
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&file, &link).unwrap();
    at(&link, &["context", "set", "a", "--server", "http://new"]).fine();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text.replace("'http://a'", "\"http://new\""));
    assert!(link.is_symlink() && mode(&file) == 0o644);
    at(&link, &["context", "use", "b"]).fine();
    let used = std::fs::read_to_string(&file).unwrap();
    assert!(used.contains("current_context = \"b\"\n") && used.contains("# second\n[contexts.b]"), "{used}");
    at(&link, &["context", "delete", "b"]).fine();
    let left = std::fs::read_to_string(&file).unwrap();
    assert!(!left.contains("contexts.b") && !left.contains("current_context"), "{left}");
    for kept in ["# mine\n", "[server] # a node\nslots   =  3\n", "[contexts.a] # first\n", " # old\n"] {
        assert!(left.contains(kept), "{kept} is not in {left}");
    }
    std::fs::write(&file, "contexts = { a = { server = 'http://a' } } # short\n").unwrap();
    at(&file, &["context", "set", "c", "--server", "http://c"]).fine();
    assert_eq!(at(&file, &["context", "list", "-q"]).fine(), "a\nc");
    assert!(std::fs::read_to_string(&file).unwrap().contains("# short"));
}

#[test]
fn changes_at_once_are_all_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(folder.path().join(".c.toml.new"), "left by a killed process").unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("c{n:02}")).collect();
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            command(&["context", "set", name, "--server", "http://h"])
                .env("CALLBOARD_CONFIG", &file)
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        assert!(crate::process::finish(child, None).status.success());
    }
    assert_eq!(at(&file, &["context", "list", "-q"]).fine().lines().collect::<Vec<_>>(), names);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
}
