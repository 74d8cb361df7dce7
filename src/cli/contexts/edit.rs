//! Changes a file of settings and leaves what it does not change as it is, remarks included. Whoever reads the file
//! meanwhile sees the old one or the new one; of two who change it at once the second waits.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use super::super::exit::{CONFIG, Failure};
use super::super::settings::nowhere;
use crate::config::{Place, parse_file, text_at};

/// Pauses between looks whether another change is over, and how many there are.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSES: u32 = 100;

/// What can be changed in a file.
pub(super) trait Edit {
    /// Makes the context the one that holds.
    fn use_context(&mut self, name: &str) -> Option<()>;
    /// Makes the context if there is none, and sets what is said.
    fn set_context(&mut self, name: &str, pairs: &[(&str, String)]) -> Option<()>;
    /// Forgets the context, also as the one that holds.
    fn delete(&mut self, name: &str) -> Option<()>;
}

impl Edit for DocumentMut {
    fn use_context(&mut self, name: &str) -> Option<()> {
        // Another process may have deleted it meanwhile.
        self.get("contexts")?.as_table_like()?.get(name)?;
        put(self.as_table_mut(), "current_context", name);
        Some(())
    }

    fn set_context(&mut self, name: &str, pairs: &[(&str, String)]) -> Option<()> {
        let contexts = self.entry("contexts").or_insert_with(|| {
            let mut table = Table::new();
            // Its own header says nothing beside those of the contexts.
            table.set_implicit(true);
            Item::Table(table)
        });
        let inline = contexts.is_inline_table();
        let empty = || if inline { value(InlineTable::new()) } else { Item::Table(Table::new()) };
        let context = contexts.as_table_like_mut()?.entry(name).or_insert_with(empty).as_table_like_mut()?;
        pairs.iter().for_each(|(key, text)| put(context, key, text));
        Some(())
    }

    fn delete(&mut self, name: &str) -> Option<()> {
        self.get_mut("contexts")?.as_table_like_mut()?.remove(name);
        if self.get("current_context").and_then(Item::as_str) == Some(name) {
            self.remove("current_context");
        }
        Some(())
    }
}

/// Sets a key; the remarks around its old value stay.
fn put(table: &mut dyn TableLike, key: &str, text: &str) {
    let mut new = Value::from(text);
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.insert(key, Item::Value(new));
    }
}

/// Changes the file at this place, which is made when there is none.
pub(super) async fn edit(
    place: &Place,
    change: impl FnOnce(&mut DocumentMut) -> Option<()>,
) -> Result<(), Failure> {
    let path = place.path().ok_or_else(|| nowhere(place))?;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        let why = format!("{} cannot be {what}: {error}: name another file with --config", path.display());
        Failure::new(CONFIG, why)
    };
    let target = target_of(path).map_err(|error| failed("found", &error))?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed("made", &error))?;
    // Gone, with its lock, when this function is.
    let lock = File::open(folder).map_err(|error| failed("locked", &error))?;
    wait_for(&lock).await.map_err(|error| failed("locked", &error))?;

    let text = text_at(place).map_err(|error| Failure::config(&error))?.unwrap_or_default();
    let name = path.display().to_string();
    // What is broken is not made worse.
    parse_file(&text, &name).map_err(|error| Failure::config(&error))?;
    let mut document = text.parse::<DocumentMut>().map_err(|error| failed("read", &error.message()))?;
    change(&mut document).ok_or_else(|| failed("changed", &"the context is no longer there"))?;
    let text = document.to_string();
    parse_file(&text, &name).map_err(|error| failed("changed", &error))?;
    write(&target, folder, &text).map_err(|error| failed("written", &error))
}

/// The file itself, behind whatever links lead to it.
fn target_of(path: &Path) -> std::io::Result<PathBuf> {
    if fs::symlink_metadata(path).is_ok() { fs::canonicalize(path) } else { Ok(path.to_owned()) }
}

async fn wait_for(lock: &File) -> std::io::Result<()> {
    for _ in 0..PAUSES {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => actix_rt::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(std::io::Error::other("another process is changing it"))
}

/// Puts a whole new file in the place of the old one, as accessible as that was; a new one is its user's alone.
fn write(target: &Path, folder: &Path, text: &str) -> std::io::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // One name for all, so that what a killed process has left does not add up; the lock is held.
    let new = format!(".{name}.new");
    let _ = fs::remove_file(folder.join(&new));
    let mut file = tempfile::Builder::new().prefix(&new).rand_bytes(0).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}
