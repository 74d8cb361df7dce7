//! The topics, cut out of the documents that are their only source, and laid out for a terminal.

const COMMANDS: &str = include_str!("../../../docs/COMMANDS.md");
const CONFIGURATION: &str = include_str!("../../../docs/CONFIGURATION.md");

/// Something that is explained by itself.
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    source: Source,
}

/// Where its text stands.
enum Source {
    /// A section of docs/COMMANDS.md.
    Section(&'static str),
    /// Every variable that is in a table of docs/CONFIGURATION.md.
    Variables,
    /// Every setting there.
    Settings,
}

/// All of them.
pub const TOPICS: &[Topic] = &[
    Topic { name: "exit-codes", about: "what each exit code means", source: Source::Section("Exit codes") },
    Topic { name: "environment", about: "the variables that are read", source: Source::Variables },
    Topic { name: "config", about: "the settings and where they come from", source: Source::Settings },
    Topic { name: "selectors", about: "how jobs are named", source: Source::Section("Selectors") },
    Topic { name: "output", about: "the forms of output", source: Source::Section("Forms of output") },
];

impl Topic {
    /// The whole text.
    pub fn text(&self) -> String {
        match self.source {
            Source::Section(title) => laid_out(&section(COMMANDS, title)),
            Source::Variables => {
                let intro = "Variables, their defaults, and what they set. Flags win over them.";
                let last = CONFIGURATION.trim_end().lines().last().unwrap_or_default();
                format!(
                    "{intro}\n\n{}\n{}",
                    laid_out(&settings(|row| [&row[1], &row[2], &row[3]])),
                    bare(last)
                )
            }
            Source::Settings => {
                let start = "A setting of a node is";
                let intro = CONFIGURATION.lines().find(|line| line.starts_with(start)).unwrap_or_default();
                format!("{}\n\n{}", bare(intro), laid_out(&settings(|row| [&row[0], &row[2], &row[3]])))
            }
        }
    }
}

/// What stands below this title, with the titles below it.
fn section(document: &str, title: &str) -> String {
    let head = format!("## {title}");
    let lines = document.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| !line.starts_with("## ")).collect::<Vec<_>>().join("\n")
}

/// The rows of settings with a variable, cut to what is picked of each, and the titles above them.
fn settings(pick: impl Fn(&[String]) -> [&String; 3]) -> String {
    let mut text = String::new();
    let mut title = "";
    for line in CONFIGURATION.lines() {
        let row = cells(line);
        if let Some(next) = line.strip_prefix("## ") {
            title = next;
        } else if row.len() == 4
            && ["CALLBOARD_", "RUNNER_URL"].iter().any(|of_ours| row[1].contains(of_ours))
        {
            if !title.is_empty() {
                text += &format!("{title}\n");
                title = "";
            }
            text += &format!("| {} |\n", pick(&row).map(String::as_str).join(" | "));
        }
    }
    text
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner.map(|inner| inner.split(" | ").map(|cell| cell.trim().to_owned()).collect()).unwrap_or_default()
}

/// Without the marks of code.
fn bare(text: &str) -> String {
    text.replace('`', "")
}

/// Widest first column of a table before what is beside it goes to a line of its own.
const FIRST_COLUMN: usize = 24;

/// Paragraphs as they are, tables as indented lines.
fn laid_out(markdown: &str) -> String {
    let mut text = String::new();
    for line in markdown.trim().lines() {
        let row = cells(line);
        if row.is_empty() {
            text += &format!("{}\n", bare(line.trim_start_matches('#').trim()));
        } else if !line.starts_with("|---") {
            let (first, rest) = (bare(&row[0]), bare(&row[1..].join("; ")));
            if first.chars().count() <= FIRST_COLUMN {
                text += &format!("  {first:<FIRST_COLUMN$}  {rest}\n");
            } else {
                text += &format!("  {first}\n  {:<FIRST_COLUMN$}  {rest}\n", "");
            }
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FileConfig;

    fn text_of(name: &str) -> String {
        TOPICS.iter().find(|topic| topic.name == name).map(Topic::text).unwrap()
    }

    #[test]
    fn every_topic_has_its_text() {
        for topic in TOPICS {
            assert!(topic.text().lines().count() >= 5, "{}: {}", topic.name, topic.text());
            assert!(!topic.text().contains('`'), "{}", topic.name);
        }
        assert!(text_of("exit-codes").contains("78"));
        assert!(text_of("output").contains("jsonl") || text_of("output").contains("--json"));
    }

    #[test]
    fn the_environment_is_what_is_read() {
        let text = text_of("environment");
        for variable in
            FileConfig::variables().chain(["CALLBOARD_CONFIG", "CALLBOARD_CONTEXT", "CALLBOARD_TOKEN"])
        {
            assert!(text.contains(variable), "{variable} is not in docs/CONFIGURATION.md");
        }
        assert!(text_of("config").contains("retention_bytes"));
    }
}
