//! The rules of `promtool check metrics` over the text format, and a few of our own: who has no prefix is named here.

use std::collections::{BTreeMap, BTreeSet};

/// The names that the original's users know. They have no prefix, and the last two are gauges that end like counters.
pub const ORIGINAL_NAMES: &[&str] = &[
    "jobs_total",
    "jobs_completed_total",
    "jobs_failed_total",
    "job_runtime_seconds",
    "executions_total",
    "executions_success_total",
    "executions_failed_total",
    "jobs_pending_total",
    "jobs_running_total",
];
const GAUGES_NAMED_LIKE_COUNTERS: &[&str] = &["jobs_pending_total", "jobs_running_total"];
const PREFIXES: &[&str] = &["callboard_", "process_"];

const TYPES: &[&str] = &["counter", "gauge", "histogram", "summary", "untyped"];
const ABBREVIATIONS: &[&str] =
    &["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
const OTHER_UNITS: &[&str] = &[
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "weeks",
    "bits",
    "kilobytes",
    "kibibytes",
    "megabytes",
    "mebibytes",
    "gigabytes",
    "gibibytes",
    "percent",
    "percents",
];

/// One line of numbers.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// What is said of one family.
#[derive(Clone, Debug, Default)]
pub struct Family {
    pub help: Vec<String>,
    pub kind: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Reads the text format 0.0.4.
    pub fn read(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => read.family(name).help.push(help.into()),
                ["#", "HELP", name] => read.family(name).help.push(String::new()),
                ["#", "TYPE", name, kind] => read.family(name).kind.push(kind.into()),
                ["#", ..] => {}
                _ => read.samples.push(sample(line)),
            }
        }
        read
    }

    fn family(&mut self, name: &str) -> &mut Family {
        self.families.entry(name.into()).or_default()
    }

    /// The value of the only series of that name.
    pub fn value(&self, name: &str) -> f64 {
        let mut found = self.samples.iter().filter(|sample| sample.name == name);
        match (found.next(), found.next()) {
            (Some(sample), None) => sample.value,
            _ => panic!("{name} has not exactly one series"),
        }
    }

    /// The value of the only series of that name that has these labels, whatever others it has.
    pub fn labelled(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample, label: &(&str, &str)| {
            sample.labels.iter().any(|(name, value)| (name.as_str(), value.as_str()) == *label)
        };
        let fits = |sample: &&Sample| sample.name == name && labels.iter().all(|label| has(sample, label));
        let mut found = self.samples.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(sample), None) => sample.value,
            (found, _) => panic!("{name} with {labels:?}: not exactly one series: {found:?}"),
        }
    }

    /// The family that a sample belongs to, with its type.
    fn family_of(&self, sample: &str) -> Option<(&str, &str)> {
        let named = |name: &str| {
            let (name, family) = self.families.get_key_value(name)?;
            Some((name.as_str(), family.kind.first().map_or("untyped", String::as_str)))
        };
        named(sample).or_else(|| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| sample.strip_suffix(suffix))?;
            named(base).filter(|(_, kind)| ["histogram", "summary"].contains(kind))
        })
    }
}

/// Label values of ours hold neither commas nor escapes.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("labels without an end: {line}"));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    let labels = labels.split(',').filter(|pair| !pair.is_empty()).map(pair).collect();
    Sample { name: name.into(), labels, value }
}

/// Everything that is wrong, one line each.
pub fn problems(text: &Exposition) -> Vec<String> {
    let mut found = Vec::new();
    for (name, family) in &text.families {
        found.extend(of_family(name, family).into_iter().map(|what| format!("{name}: {what}")));
        if !text.samples.iter().any(|sample| text.family_of(&sample.name).is_some_and(|of| of.0 == name)) {
            found.push(format!("{name}: has no series"));
        }
    }
    let mut seen = BTreeSet::new();
    for sample in &text.samples {
        found.extend(of_sample(text, sample).into_iter().map(|what| format!("{}: {what}", sample.name)));
        if !seen.insert(format!("{} {:?}", sample.name, sample.labels)) {
            found.push(format!("{}: stands twice with {:?}", sample.name, sample.labels));
        }
    }
    found.extend(of_histograms(text));
    found
}

fn of_family(name: &str, family: &Family) -> Vec<&'static str> {
    let kind = family.kind.first().map_or("", String::as_str);
    let tokens: Vec<&str> = name.split('_').collect();
    let has = |list: &[&str]| tokens.iter().any(|token| list.contains(token));
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    let original = ORIGINAL_NAMES.contains(&name);
    let rules = [
        (family.help.len() != 1 || family.help[0].trim().is_empty(), "needs one HELP"),
        (family.kind.len() != 1 || !TYPES.contains(&kind), "needs one TYPE"),
        (kind == "counter" && !ends(&["_total"]), "is a counter and does not end in _total"),
        (
            kind != "counter" && ends(&["_total"]) && !GAUGES_NAMED_LIKE_COUNTERS.contains(&name),
            "ends in _total and is no counter",
        ),
        (kind != "histogram" && ends(&["_bucket"]), "ends in _bucket and is no histogram"),
        (
            !["histogram", "summary"].contains(&kind) && ends(&["_count", "_sum"]),
            "ends in _count or _sum and is neither histogram nor summary",
        ),
        (has(TYPES), "has its type in its name"),
        (has(ABBREVIATIONS), "abbreviates a unit"),
        (has(OTHER_UNITS), "has another unit than seconds, bytes or a ratio"),
        (!is_snake(name), "is not snake_case"),
        (!original && !PREFIXES.iter().any(|prefix| name.starts_with(prefix)), "has no prefix"),
    ];
    rules.into_iter().filter_map(|(broken, what)| broken.then_some(what)).collect()
}

fn is_snake(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fine) && !name.contains("__")
}

fn of_sample(text: &Exposition, sample: &Sample) -> Vec<&'static str> {
    let Some((_, kind)) = text.family_of(&sample.name) else {
        return vec!["belongs to no family"];
    };
    let mut found = Vec::new();
    for (label, value) in &sample.labels {
        let le_fits = kind == "histogram" && sample.name.ends_with("_bucket");
        let rules = [
            (!is_snake(label), "has a label that is not snake_case, or reserved"),
            (label == "le" && !le_fits, "has the label le and is no bucket"),
            (label == "quantile" && kind != "summary", "has the label quantile and is no summary"),
            (["job", "instance"].contains(&label.as_str()), "has a label that Prometheus itself sets"),
            (value.is_empty(), "has an empty label"),
        ];
        found.extend(rules.into_iter().filter_map(|(broken, what)| broken.then_some(what)));
    }
    let counts = kind == "counter" || sample.name.ends_with("_bucket");
    if !sample.value.is_finite() || counts && sample.value < 0.0 {
        found.push("has a value that it cannot have");
    }
    found
}

/// Buckets only grow, and the last one has them all.
fn of_histograms(text: &Exposition) -> Vec<String> {
    let mut buckets: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for sample in &text.samples {
        let others: Vec<_> = sample.labels.iter().filter(|(label, _)| label != "le").collect();
        if let Some(base) = sample.name.strip_suffix("_bucket") {
            let le = sample.labels.iter().find(|(label, _)| label == "le");
            let le = le.map(|(_, value)| value.clone()).unwrap_or_default();
            buckets.entry(format!("{base} {others:?}")).or_default().push((le, sample.value));
        } else if let Some(base) = sample.name.strip_suffix("_count") {
            counts.insert(format!("{base} {others:?}"), sample.value);
        }
    }
    let wrong = buckets.into_iter().filter(|(series, buckets)| {
        let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        let last = buckets.last().filter(|(le, _)| le == "+Inf").map(|(_, count)| count);
        !grows || last != counts.get(series)
    });
    wrong.map(|(series, _)| format!("{series}: its buckets do not add up")).collect()
}

#[test]
fn every_rule_finds_its_breach() {
    let family = |name: &str, kind: &str, series: &str| {
        format!("# HELP {name} Something.\n# TYPE {name} {kind}\n{series}\n")
    };
    let fine = family("callboard_x_seconds", "gauge", "callboard_x_seconds 1");
    assert_eq!(problems(&Exposition::read(&fine)), [""; 0]);
    let plain = |name: &str, kind: &str| family(name, kind, &format!("{name} 1"));
    for (text, word) in [
        (plain("callboard_x", "counter"), "does not end in _total"),
        (plain("callboard_x_total", "gauge"), "is no counter"),
        (plain("callboard_x_bucket", "gauge"), "is no histogram"),
        (plain("callboard_x_count", "gauge"), "neither histogram"),
        (plain("callboard_x_gauge", "gauge"), "its type"),
        (plain("callboard_x_ms", "gauge"), "abbreviates"),
        (plain("callboard_x_milliseconds", "gauge"), "another unit"),
        (plain("callboard_xY", "gauge"), "snake_case"),
        (plain("callboard:x", "gauge"), "snake_case"),
        (plain("other_x", "gauge"), "no prefix"),
        (plain("callboard_x", "thing"), "one TYPE"),
        ("# TYPE callboard_x gauge\ncallboard_x 1\n".into(), "one HELP"),
        ("callboard_x 1\n".into(), "no family"),
        (family("callboard_x", "gauge", ""), "no series"),
        (family("callboard_x", "gauge", "callboard_x{le=\"1\"} 1"), "no bucket"),
        (family("callboard_x", "gauge", "callboard_x{quantile=\"1\"} 1"), "no summary"),
        (family("callboard_x", "gauge", "callboard_x{__x=\"1\"} 1"), "reserved"),
        (family("callboard_x", "gauge", "callboard_x{instance=\"1\"} 1"), "itself sets"),
        (family("callboard_x", "gauge", "callboard_x{a=\"\"} 1"), "empty label"),
        (family("callboard_x", "gauge", "callboard_x 1\ncallboard_x 2"), "stands twice"),
        (family("callboard_x_total", "counter", "callboard_x_total -1"), "cannot have"),
        (
            family(
                "callboard_x",
                "histogram",
                "callboard_x_bucket{le=\"1\"} 2\ncallboard_x_bucket{le=\"+Inf\"} 1\ncallboard_x_count 1",
            ),
            "do not add up",
        ),
    ] {
        let found = problems(&Exposition::read(&text));
        assert!(found.iter().any(|what| what.contains(word)), "{word}: {found:?}");
    }
}
