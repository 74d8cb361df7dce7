//! `help`: of a command what its `--help` says, of a topic what the documents say of it. Both have one source.

use std::io::{ErrorKind, Write};

use super::args;
use super::commands::print;
use super::exit::{Failure, USAGE};

mod topics;

pub use topics::TOPICS;

/// Prints help about a command or a topic.
pub fn help(words: &[String]) -> Result<i32, Failure> {
    let mut command = args::command();
    command.build();
    if let [word] = words
        && let Some(topic) = TOPICS.iter().find(|topic| topic.name == word)
    {
        print(&topic.text())?;
        return Ok(0);
    }
    let mut found = &mut command;
    for word in words {
        if found.find_subcommand(word).is_none() {
            let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
            let message = format!(
                "`{}` is neither a command nor a topic: `callboard help` lists the commands, topics are {}",
                words.join(" "),
                topics.join(", ")
            );
            return Err(Failure::new(USAGE, message));
        }
        // It was found just now.
        found = found.find_subcommand_mut(word).ok_or_else(|| Failure::new(USAGE, "no such command"))?;
    }
    // One that is no terminal gets no colour.
    let text = found.render_long_help().ansi().to_string();
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::unwritten("standard output", &error))
        }
        _ => Ok(0),
    }
}
