//! `man`: pages for `man`, from the same descriptions as `--help`.

use std::path::Path;

use super::args;
use super::commands::put;
use super::exit::Failure;

/// Writes the main page on standard output, or every page into a folder.
pub fn man(dir: Option<&Path>) -> Result<i32, Failure> {
    let command = args::command();
    match dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).map_err(|error| cannot(None, &error))?;
            put(&String::from_utf8_lossy(&page))?;
        }
        Some(dir) => {
            let made = std::fs::create_dir_all(dir);
            made.and_then(|()| clap_mangen::generate_to(command, dir))
                .map_err(|error| cannot(Some(dir), &error))?;
        }
    }
    Ok(0)
}

fn cannot(dir: Option<&Path>, error: &std::io::Error) -> Failure {
    let place = dir.map_or("the page".into(), |dir| format!("pages into {}", dir.display()));
    Failure::new(1, format!("cannot write {place}: {error}"))
}
