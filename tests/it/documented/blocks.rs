//! The blocks of shell commands in a document, and what becomes of each command. It runs nothing.

/// Programs whose lines are run. `export` and `cd` hold for what follows in their block.
const RUN: &[&str] = &["callboard", "curl", "jq", "export", "cd", "echo", "cat", "kill", "wait"];

/// Programs whose lines are not run, wherever they stand, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo", "it builds, tests or measures, for which CI has steps of its own"),
    ("docker", "it needs a daemon and images"),
];

/// Options and redirections that name a place to write to or to read from.
const PLACES: &[&str] = &["--data-dir", "--out", "--output-file", "--config", ">", ">>"];

/// Commands that a reader would type one after another.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// Why the whole of it is not run, if the document says so.
    pub not_run: Option<String>,
    pub steps: Vec<Step>,
}

/// One command, without its comment and with its continuations.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The line it begins at, from 1.
    pub line: usize,
    pub text: String,
    /// What it must end with: 0, or N where its comment says `exit code N`.
    pub exit_code: i32,
}

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    Run,
    NotRun(&'static str),
    /// Nobody has said.
    Unknown,
}

/// A node that a command starts and that goes on beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Server,
    Runner,
}

impl Step {
    fn new(line: usize, text: &str) -> Self {
        let (text, comment) = without_comment(text);
        let said = comment.split("exit code ").nth(1).unwrap_or_default();
        let digits: String = said.chars().take_while(char::is_ascii_digit).collect();
        Self { line, text: text.trim().to_owned(), exit_code: digits.parse().unwrap_or(0) }
    }

    pub fn fate(&self) -> Fate {
        let program = program(&self.text);
        let not_run = NOT_RUN.iter().find(|(name, _)| *name == program);
        match not_run {
            Some((_, why)) => Fate::NotRun(why),
            None if RUN.contains(&program) => Fate::Run,
            None => Fate::Unknown,
        }
    }

    /// Whether the next command does not wait for its end.
    pub fn is_background(&self) -> bool {
        self.text.ends_with('&') && !self.text.ends_with("&&")
    }

    pub fn node(&self) -> Option<Node> {
        let mut words = self.text.split_whitespace().skip_while(|word| *word != "callboard").skip(1);
        match words.next() {
            Some("serve") => Some(Node::Server).filter(|_| self.is_background()),
            Some("runner") => Some(Node::Runner).filter(|_| self.is_background()),
            _ => None,
        }
    }

    /// A place of the machine, outside of the folder in which the block runs, that the command names.
    pub fn foreign_place(&self) -> Option<&str> {
        let mut words = self.text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word, words.peek().copied()),
            };
            let place = value.filter(|value| PLACES.contains(&option) && value.starts_with('/'));
            if let Some(place) = place.filter(|place| *place != "/dev/null") {
                return Some(place);
            }
        }
        None
    }
}

/// The blocks of a document, or what is wrong with how they are written.
pub fn of(document: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let inside: Vec<_> = lines.by_ref().take_while(|(_, line)| line.trim() != "```").collect();
        let (kind, more) = info.trim().split_once(char::is_whitespace).unwrap_or((info.trim(), ""));
        if !["sh", "bash", "shell", "console"].contains(&kind) {
            continue;
        }
        let not_run = match more.trim() {
            "" => None,
            more => Some(reason(more).ok_or_else(|| format!("line {}: {NO_REASON}", at + 1))?),
        };
        blocks.push(Block { line: at + 1, not_run, steps: steps(&inside, kind == "console") });
    }
    Ok(blocks)
}

const NO_REASON: &str = "after the language only `not-run: REASON` may follow";

fn reason(more: &str) -> Option<String> {
    let reason = more.strip_prefix("not-run:")?.trim();
    (!reason.is_empty()).then(|| reason.to_owned())
}

/// The commands among numbered lines. With a prompt the lines without one are what the commands say.
fn steps(lines: &[(usize, &str)], prompt: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (at, line) in lines {
        let (first, mut text) = match (begun.take(), prompt) {
            (Some((first, text)), _) => (first, text + line.trim()),
            (None, true) => match line.trim_start().strip_prefix("$ ") {
                Some(line) => (at + 1, line.to_owned()),
                None => continue,
            },
            (None, false) => (at + 1, (*line).to_owned()),
        };
        if text.ends_with('\\') {
            text.pop();
            begun = Some((first, text));
            continue;
        }
        steps.push(Step::new(first, &text));
    }
    steps.extend(begun.map(|(first, text)| Step::new(first, &text)));
    steps.retain(|step| !step.text.is_empty());
    steps
}

/// A line and the comment at its end: after a `#` that begins a word outside of quotes.
fn without_comment(line: &str) -> (&str, &str) {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before.is_whitespace() => return line.split_at(at),
            _ => {}
        }
        before = c;
    }
    (line, "")
}

/// The program of a command: its first word that sets no variable, also inside of `NAME=$(...)`.
fn program(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let word = rest.split_whitespace().next().unwrap_or_default();
        let variable = word.split_once('=').filter(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        match variable {
            Some((_, value)) if value.trim_start_matches('"').starts_with("$(") => {
                return value.trim_start_matches('"').trim_start_matches("$(");
            }
            Some(_) => rest = rest[word.len()..].trim_start(),
            None => return word,
        }
    }
}

#[test]
fn commands_are_found_with_what_is_said_of_them() {
    let document = "text\n```sh\n# only a comment\ncallboard list '# no comment'  # exit code 4: refused\n\
        A=1 callboard serve \\\n  --slots 2 &\n```\n```toml\na = 1\n```\n```console\n$ curl x\nan answer\n```\n\
        ```sh not-run: it never ends\ncallboard demo\n```\n";
    let blocks = of(document).unwrap();
    let step = |line, text: &str, exit_code| Step { line, text: text.into(), exit_code };
    let expected =
        [step(4, "callboard list '# no comment'", 4), step(5, "A=1 callboard serve --slots 2 &", 0)];
    assert_eq!(blocks[0], Block { line: 2, not_run: None, steps: expected.into() });
    assert_eq!(blocks[1].steps, [step(12, "curl x", 0)]);
    assert_eq!(blocks[2].not_run.as_deref(), Some("it never ends"));
    assert_eq!((blocks.len(), blocks[0].steps[1].node()), (3, Some(Node::Server)));
    for wrong in ["```sh not-run:\n```", "```sh skip\n```"] {
        assert!(of(wrong).unwrap_err().contains(NO_REASON), "{wrong}");
    }
}

#[test]
fn every_command_has_a_fate_and_foreign_places_are_seen() {
    let step = |text| Step::new(1, text);
    for run in ["callboard list", "A=b callboard list", "ID=$(callboard submit -q -- true)", "export A=b"] {
        assert_eq!(step(run).fate(), Fate::Run, "{run}");
    }
    assert!(matches!(step("cargo test").fate(), Fate::NotRun(_)));
    for unknown in ["callboardd", "rm -r x", "A=1", "./callboard list"] {
        assert_eq!(step(unknown).fate(), Fate::Unknown, "{unknown}");
    }
    assert_eq!(step("callboard serve --data-dir /var/lib/x &").foreign_place(), Some("/var/lib/x"));
    assert_eq!(step("callboard serve --data-dir=/x &").foreign_place(), Some("/x"));
    assert_eq!(step("callboard list > /dev/null").foreign_place(), None);
    assert_eq!(step("callboard run -- /bin/true").foreign_place(), None);
}
