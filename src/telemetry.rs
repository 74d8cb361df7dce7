//! Log lines of this process: text for people, or one JSON object a line; and its audit log. It refuses to know what is
//! logged.

use std::io::Write;

use callboard_actors::clock;
use callboard_actors::model::time::rfc3339;
use env_logger::fmt::Formatter;
use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{LevelFilter, Record};

use crate::config::{LogFilter, LogFormat, LogSettings};

mod audit;

pub use audit::AuditLog;

/// Says of each malformed request that it is an error: anybody who reaches the port could fill the log.
const STRANGERS_FAULTS: &str = "actix_http::h1::dispatcher";

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output: a server's lines are its output.
    Stdout,
    /// Standard error: a client's output is its job's.
    Stderr,
}

/// Starts logging. A second call, as in tests, changes nothing.
pub fn init(settings: &LogSettings, target: LogTarget) {
    let mut builder = env_logger::Builder::new();
    for (module, level) in &settings.level.0 {
        builder.filter(module.as_deref(), *level);
    }
    if !is_asked_for(&settings.level, STRANGERS_FAULTS) {
        builder.filter(Some(STRANGERS_FAULTS), LevelFilter::Off);
    }
    builder.target(match target {
        LogTarget::Stdout => env_logger::Target::Stdout,
        LogTarget::Stderr => env_logger::Target::Stderr,
    });
    match settings.format {
        LogFormat::Text => builder.format(text_line),
        LogFormat::Json => {
            builder.format(|out, record| writeln!(out, "{}", json_line(record, clock::now_ms())))
        }
    };
    // The only failure is that logging has been started before.
    let _ = builder.try_init();
}

/// Whether lines of this target are wanted: it, or what it is a part of, is named, or everything is from `debug` on.
fn is_asked_for(filter: &LogFilter, target: &str) -> bool {
    filter.0.iter().any(|(module, level)| match module {
        Some(module) => target.starts_with(module.as_str()),
        None => *level >= LevelFilter::Debug,
    })
}

/// The settings of a client's own log: warnings, unless `level` says otherwise.
pub fn client_settings(level: Option<LogFilter>) -> LogSettings {
    LogSettings {
        format: LogFormat::Text,
        level: level.unwrap_or(LogFilter(vec![(None, LevelFilter::Warn)])),
    }
}

fn text_line(out: &mut Formatter, record: &Record<'_>) -> std::io::Result<()> {
    let style = out.default_level_style(record.level());
    let (time, level) = (rfc3339(clock::now_ms()), record.level());
    write!(out, "{time} {style}{level:<5}{style:#} {}: {}", record.target(), record.args())?;
    let mut pairs = Pairs::default();
    let _ = record.key_values().visit(&mut pairs);
    for (key, value) in &pairs.0 {
        match value {
            serde_json::Value::String(word) if is_plain(word) => write!(out, " {key}={word}")?,
            value => write!(out, " {key}={value}")?,
        }
    }
    writeln!(out)
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '=')
}

fn json_line(record: &Record<'_>, now_ms: i64) -> serde_json::Value {
    let mut line = serde_json::Map::new();
    let mut pairs = Pairs::default();
    let _ = record.key_values().visit(&mut pairs);
    line.extend(pairs.0);
    // Last, so that no key-value can pose as one of these.
    line.insert("ts".into(), rfc3339(now_ms).into());
    line.insert("level".into(), record.level().as_str().to_lowercase().into());
    line.insert("target".into(), record.target().into());
    line.insert("message".into(), record.args().to_string().into());
    line.into()
}

#[derive(Default)]
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let mut json = ToJson(serde_json::Value::Null);
        value.visit(&mut json)?;
        self.0.push((key.to_string(), json.0));
        Ok(())
    }
}

struct ToJson(serde_json::Value);

impl<'v> VisitValue<'v> for ToJson {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_strangers_are_logged_only_for_whoever_asks() {
        for (words, shown) in [
            ("info", false),
            ("error", false),
            ("callboard=debug", false),
            ("debug", true),
            ("info,actix_http=error", true),
            ("actix_http::h1::dispatcher=warn", true),
        ] {
            assert_eq!(is_asked_for(&words.parse().unwrap(), STRANGERS_FAULTS), shown, "{words}");
        }
    }

    #[test]
    fn a_json_line_keeps_types_and_protects_its_own_keys() {
        let pairs =
            [("job", Value::from("0192")), ("exit_code", Value::from(3)), ("level", Value::from("fake"))];
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("callboard::node")
            .args(format_args!("job \"x\"\nended"))
            .key_values(&pairs)
            .build();
        let line = json_line(&record, 1_790_000_000_123);
        assert_eq!(line.to_string().lines().count(), 1);
        assert_eq!(line["ts"], rfc3339(1_790_000_000_123));
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "job \"x\"\nended");
        assert_eq!(line["job"], "0192");
        assert_eq!(line["exit_code"], 3);
    }
}
