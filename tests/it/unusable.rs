//! Files and folders of the server that cannot be used: one line that names the file and the setting, and an exit code.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::death::{binary_in, folder_of, ordinary_user};
use crate::process::finish;

/// What a server says that is started as an ordinary user.
fn serve(binary: &Path, data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary);
    command.args(["serve", "--bind", "127.0.0.1:0", "--data-dir"]).arg(data).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if rustix::process::getuid().is_root() {
        command.uid(ordinary_user()).gid(ordinary_user());
    }
    finish(command.spawn().unwrap(), None)
}

fn refused(done: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing: {said}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn unreadable_files_of_settings_are_named_with_their_flag() {
    let folder = folder_of(ordinary_user());
    let binary = binary_in(folder.path());
    let data = folder.path().join("data");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "token\n").unwrap();
    set_mode(&secret, 0o000);
    let (secret, absent) = (secret.to_str().unwrap(), "/no/such/file");
    let here = folder.path().to_str().unwrap();
    for path in [secret, absent, here] {
        refused(&serve(&binary, &data, &["--token-file", path]), 78, &[path, "--token-file"]);
        refused(&serve(&binary, &data, &["--config", path]), 78, &[path, "--config"]);
    }
    assert!(!data.exists(), "nothing was made before the settings were read");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named_with_its_flag() {
    let folder = folder_of(ordinary_user());
    let binary = binary_in(folder.path());
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    set_mode(&locked, 0o555);
    refused(&serve(&binary, &locked, &[]), 1, &[locked.to_str().unwrap(), "--data-dir"]);
    let below = locked.join("data");
    refused(&serve(&binary, &below, &[]), 1, &[below.to_str().unwrap(), "--data-dir"]);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused(&serve(&binary, &file, &[]), 1, &[file.to_str().unwrap(), "--data-dir"]);
    set_mode(&locked, 0o755);
}
