//! `artifacts`, and `--artifact` of `run`: the files that a job left are listed, printed, or saved below a folder. Their
//! names come from a server, and so from a job: none leads out of that folder, through a link or otherwise.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use callboard_actors::model::files::is_below;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2, renameat, unlinkat};
use rustix::io::Errno;

use super::args::{ArtifactsArgs, Global};
use super::client::{Client, is_over};
use super::commands::{print, print_rows};
use super::exit::{self, CONFLICT, Failure, NO_ANSWER, USAGE};
use super::many::resolve;
use super::render::{Cell, Column};
use super::sink::Sink;
use crate::http::api::{FileInfoBody, JobBody};

/// Exit code of what is not there.
const NOT_FOUND: i32 = 3;

const COLUMNS: &[Column<FileInfoBody>] = &[
    Column::new("path", "PATH", |file: &FileInfoBody| Cell::Text(file.path.clone())).id(),
    Column::new("bytes", "SIZE", |file: &FileInfoBody| Cell::Bytes(file.bytes)).right(),
    Column::new("executable", "EXECUTABLE", |file: &FileInfoBody| Cell::Flag(file.executable)),
];

/// Lists, prints or saves what a job left.
pub async fn artifacts(args: &ArtifactsArgs, client: &Client, global: &Global) -> Result<i32, Failure> {
    let id = resolve(client, &args.id).await?;
    let job = client.job(&id, 0).await?;
    if !is_over(&job) {
        let message = format!(
            "job {} is {}: its artifacts are kept when it is over (`callboard wait {}`)",
            job.id, job.status, job.id
        );
        return Err(Failure::new(CONFLICT, message));
    }
    let chosen = choose(&job.id, &job.artifacts_kept, &args.paths)?;
    match (&args.to, &args.paths[..]) {
        (Some(folder), _) => {
            save(client, &job.id, &chosen, folder).await?;
            if global.looks.usual() {
                print(&format!("Saved {} files below {}", chosen.len(), folder.display()))?;
            } else {
                print_rows(&chosen, COLUMNS, true, global)?;
            }
        }
        (None, []) => print_rows(&chosen, COLUMNS, true, global)?,
        (None, [path]) if chosen.iter().any(|file| file.path == *path) => {
            let out = Sink::stdout();
            let read = client.artifact(&job.id, path, async |bytes| out.write(bytes).await).await;
            let written = out.close().await;
            read.and(written)?;
            return Ok(0);
        }
        (None, _) => {
            return Err(Failure::new(USAGE, "only one file can be printed: --to DIR saves several"));
        }
    }
    if !global.quiet {
        unkept(&job).for_each(|line| exit::say(&line));
    }
    Ok(0)
}

/// The files that are meant, each of the words meaning at least one.
fn choose(id: &str, kept: &[FileInfoBody], paths: &[String]) -> Result<Vec<FileInfoBody>, Failure> {
    let fits = |file: &FileInfoBody, word: &str| {
        let rest = file.path.strip_prefix(word.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(strange) = paths.iter().find(|word| !kept.iter().any(|file| fits(file, word))) {
        let message =
            format!("job {id} has kept no `{strange}`: `callboard artifacts {id}` lists what it has");
        return Err(Failure::new(NOT_FOUND, message));
    }
    let is_meant = |file: &&FileInfoBody| paths.is_empty() || paths.iter().any(|word| fits(file, word));
    Ok(kept.iter().filter(is_meant).cloned().collect())
}

/// What was to be kept and was not, a line each.
pub fn unkept(job: &JobBody) -> impl Iterator<Item = String> {
    job.artifacts_unkept.iter().map(|unkept| format!("`{}` was not kept: {}", unkept.path, unkept.detail))
}

/// Saves these files below `folder`, which is made where it is not there. One of the same name is replaced.
pub async fn save(client: &Client, id: &str, files: &[FileInfoBody], folder: &Path) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let fail = |path: &str, error: &dyn std::fmt::Display| {
        Failure::new(1, format!("{} cannot be written: {error}", folder.join(path).display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| fail("", &error))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(folder, flags, Mode::empty()).map_err(|error| fail("", &error))?;
    let mut failed: Option<Failure> = None;
    for file in files {
        let Err(failure) = save_one(client, id, file, &root, &fail).await else { continue };
        // Those that come after it may be fine; without a server none is.
        let is_last = failure.code == NO_ANSWER;
        if let Some(before) = failed.replace(failure) {
            exit::say(&before.message);
        }
        if is_last {
            break;
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn save_one(
    client: &Client,
    id: &str,
    file: &FileInfoBody,
    root: &OwnedFd,
    fail: &impl Fn(&str, &dyn std::fmt::Display) -> Failure,
) -> Result<(), Failure> {
    let mut place = Place::new(root, file).map_err(|errno| fail(&file.path, &in_words(errno)))?;
    let mut written = Ok(());
    let read = client.artifact(id, &file.path, async |bytes| {
        written = place.file.write_all(&bytes);
        written.is_ok()
    });
    let read = read.await;
    let done = written.map_err(|error| fail(&file.path, &error)).and(read);
    place.settle(done.is_ok()).map_err(|errno| fail(&file.path, &in_words(errno)))?;
    done
}

fn in_words(errno: Errno) -> String {
    match errno {
        Errno::LOOP => "there is a symbolic link on the way".into(),
        errno => errno.to_string(),
    }
}

/// Where a file is written: beside its place at first, so that there is never half of one.
struct Place {
    folder: OwnedFd,
    name: String,
    beside: String,
    file: File,
}

impl Place {
    fn new(root: &OwnedFd, file: &FileInfoBody) -> Result<Self, Errno> {
        if !is_below(&file.path) {
            return Err(Errno::INVAL);
        }
        let (above, name) = file.path.rsplit_once('/').unwrap_or((".", &file.path));
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let enter = |path: &str| openat2(root, path, flags, Mode::empty(), within);
        for (slash, _) in file.path.match_indices('/') {
            let (above, name) = file.path[..slash].rsplit_once('/').unwrap_or((".", &file.path[..slash]));
            match mkdirat(enter(above)?, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        let folder = enter(above)?;
        // A name of the longest kind leaves no room for more of it.
        let beside = format!(".callboard-{}.part", std::process::id());
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        let mode = if file.executable { mode | Mode::XUSR | Mode::XGRP | Mode::XOTH } else { mode };
        // What a killed one of the same number has left.
        let _ = unlinkat(&folder, &beside, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(folder.as_fd(), &beside, flags, mode)?;
        Ok(Self { folder, name: name.into(), beside, file: opened.into() })
    }

    /// Puts it in its place, or takes it away.
    fn settle(self, is_whole: bool) -> Result<(), Errno> {
        let Self { folder, name, beside, file } = self;
        drop(file);
        let done = match is_whole {
            true => renameat(&folder, &beside, &folder, &name),
            false => Ok(()),
        };
        if !is_whole || done.is_err() {
            let _ = unlinkat(&folder, &beside, AtFlags::empty());
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn file(path: &str) -> FileInfoBody {
        FileInfoBody { path: path.into(), bytes: 3, executable: path.ends_with("tool") }
    }

    fn put(folder: &Path, path: &str) -> Result<(), Errno> {
        let root = OwnedFd::from(File::open(folder).unwrap());
        let mut place = Place::new(&root, &file(path))?;
        place.file.write_all(b"new").unwrap();
        place.settle(true)
    }

    #[test]
    fn files_are_put_below_the_folder_and_replace_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "old and longer").unwrap();
        for path in ["a", "in/deep/tool", "in/deep/b"] {
            put(folder.path(), path).unwrap();
            assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), b"new");
        }
        let mode = std::fs::metadata(folder.path().join("in/deep/tool")).unwrap().permissions().mode();
        assert_eq!(mode & 0o700, 0o700);
        assert_eq!(std::fs::read_dir(folder.path().join("in/deep")).unwrap().count(), 2, "nothing beside");
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = outside.path().join("target");
        std::fs::write(&target, "old").unwrap();
        symlink(outside.path(), folder.path().join("away")).unwrap();
        symlink(&target, folder.path().join("link")).unwrap();
        for path in ["../x", "/tmp/x", "a/../../x", "", ".", "a//b"] {
            assert_eq!(put(folder.path(), path), Err(Errno::INVAL), "{path}");
        }
        for path in ["away/x", "away/in/x"] {
            assert_eq!(put(folder.path(), path), Err(Errno::LOOP), "{path}");
        }
        // The link itself is replaced, and not what it leads to.
        put(folder.path(), "link").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn words_mean_files_and_what_is_below_folders() {
        let kept = ["out", "outer/a", "out.txt", "in/x", "in/y"].map(file);
        let chosen = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            let chosen = choose("1", &kept, &words).map_err(|failure| failure.code)?;
            Ok(chosen.into_iter().map(|file| file.path).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&["out"]), Ok(vec!["out".into()]));
        assert_eq!(chosen(&["in/", "out.txt"]).map(|found| found.len()), Ok(3));
        assert_eq!(chosen(&[]).map(|found| found.len()), Ok(5));
        assert_eq!(chosen(&["in", "inn"]), Err(NOT_FOUND));
    }
}
