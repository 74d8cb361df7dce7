//! Values as people write them in flags, variables and files: durations, sizes, addresses, users and words. It
//! refuses to know which setting they belong to.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use callboard_actors::model::time::parse_duration_ms;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

mod jobs;
mod peers;

pub use jobs::{AllowedMounts, Cpus, DisconnectPolicy, IsolationMode, LostPolicy, MinTier, Placement};
pub use peers::{Label, PeerUrl};

/// A duration in milliseconds: `90` (seconds), `500ms`, `1m30s`, `2h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u64);

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_duration_ms(text).map(Self).map_err(|error| error.to_string())
    }
}

/// A duration, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalMillis(pub Option<u64>);

impl FromStr for OptionalMillis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            text => text.parse::<Millis>().map(|millis| Self(Some(millis.0))),
        }
    }
}

/// A size in bytes: `4096`, `64KiB`, `10M`, `1.5GiB`. `K M G` count by 1024, `kB MB GB` by 1000; lower case means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteCount(pub u64);

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("`{text}` is not a size: write bytes (`4096`) or units (`64KiB`, `10M`, `1GB`)");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..digits].parse().map_err(|_| refuse())?;
        // Docker and Slurm are told `64m`: whoever writes so means this, and no unit differs from another by case alone.
        let unit: f64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kib" => 1024.0,
            "m" | "mib" => 1_048_576.0,
            "g" | "gib" => 1_073_741_824.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            _ => return Err(refuse()),
        };
        let bytes = number * unit;
        // 2^53: beyond it an f64 no longer counts single bytes.
        if bytes <= 9_007_199_254_740_992.0 { Ok(Self(bytes.round() as u64)) } else { Err(refuse()) }
    }
}

/// An address to listen on: `IP:PORT`, `localhost:PORT`, or `:PORT` for every address of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind(pub SocketAddr);

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not an address: write IP:PORT, localhost:PORT or :PORT");
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let port: u16 = port.parse().map_err(|_| refuse())?;
        let ip = match host {
            "" => Ipv4Addr::UNSPECIFIED,
            "localhost" => Ipv4Addr::LOCALHOST,
            _ => return Err(refuse()),
        };
        Ok(Self(SocketAddr::new(IpAddr::V4(ip), port)))
    }
}

/// Who jobs run as: `NAME`, `UID` or `UID:GID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobUser {
    /// A name that the machine knows.
    Name(String),
    /// Numbers; the user's own group when the second is absent.
    Ids {
        /// User id.
        uid: u32,
        /// Group id.
        gid: Option<u32>,
    },
}

impl FromStr for JobUser {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a user: write a name, UID or UID:GID");
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let gid = group.map(str::parse::<u32>).transpose().map_err(|_| refuse())?;
        if let Ok(uid) = user.parse() {
            return Ok(Self::Ids { uid, gid });
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
        let named =
            user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && user.chars().all(plain);
        if named && gid.is_none() { Ok(Self::Name(user.to_owned())) } else { Err(refuse()) }
    }
}

/// What is worth a log line: a level, or `TARGET=LEVEL` pairs with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub Vec<(Option<String>, log::LevelFilter)>);

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |part: &str| {
            format!(
                "`{part}` is not a log level: write off, error, warn, info, debug or trace, or TARGET=LEVEL"
            )
        };
        let item = |part: &str| match part.trim().split_once('=') {
            Some((target, level)) if !target.is_empty() => {
                level.parse().map(|level| (Some(target.to_owned()), level)).map_err(|_| refuse(part))
            }
            _ => part.trim().parse().map(|level| (None, level)).map_err(|_| refuse(part)),
        };
        text.split(',').map(item).collect::<Result<_, _>>().map(Self)
    }
}

/// Several values: in a file one or a list, in a variable with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr<Err: fmt::Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| part.parse().map_err(|error: T::Err| error.to_string()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
        $(#[$doc])*
        pub enum $name { $($(#[$vdoc])* #[value(name = $word)] $variant),+ }

        impl $name {
            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is not one of: {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(
    /// Where a port of a container is published.
    Published {
        /// Wherever it listens.
        Everywhere = "everywhere",
        /// On the loopback address of the container's host only.
        Loopback = "loopback",
    }
);

words!(
    /// How much time runners are given.
    LivenessProfile {
        /// For one room or one site.
        Default = "default",
        /// Four times that, for lines that are slow or unsteady.
        Wan = "wan",
        /// A twentieth, for tests.
        Test = "test",
    }
);

words!(
    /// Where jobs are kept.
    StoreKind {
        /// In a file, for good.
        Sqlite = "sqlite",
        /// In memory, for tests: a restart forgets every job.
        Memory = "memory",
    }
);
words!(
    /// What an answered submit survives.
    Durability {
        /// A power failure.
        Full = "full",
        /// A crash of this program; the last moments before a power failure may be lost.
        Normal = "normal",
    }
);
words!(
    /// How log lines look.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
);
words!(
    /// How a command prints what it has.
    #[derive(Default)]
    OutputForm {
        /// For people: tables, blocks and sentences.
        #[default]
        Table = "table",
        /// A table with more columns.
        Wide = "wide",
        /// One JSON value.
        Json = "json",
        /// One JSON object a line.
        Jsonl = "jsonl",
        /// Full ids or names, one a line.
        Name = "name",
        /// Comma-separated values (RFC 4180).
        Csv = "csv",
    }
);

words!(
    /// When there is colour.
    #[derive(Default)]
    ColorWhen {
        /// On a terminal that wants it.
        #[default]
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
);

/// Takes a string, a number or a list from a file and reads it as its text.
struct Written<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> Visitor<'de> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            texts.push(text);
        }
        self.visit_str(&texts.join(","))
    }
}

macro_rules! read_as_text {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Written(PhantomData))
            }
        }
    )+};
}

read_as_text!(Millis, OptionalMillis, ByteCount, Cpus, Bind, JobUser, LogFilter);
read_as_text!(Published, LivenessProfile, StoreKind, Durability, LogFormat, OutputForm, ColorWhen);
read_as_text!(PeerUrl, List<PeerUrl>, List<Label>);
read_as_text!(List<Bind>, List<String>, AllowedMounts, IsolationMode, MinTier, Placement);
read_as_text!(LostPolicy, DisconnectPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("64KiB", 65_536), ("1.5M", 1_572_864), ("2GB", 2_000_000_000)]
        {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for (text, same) in
            [("64k", "64K"), ("64m", "64M"), ("1g", "1G"), ("2gb", "2GB"), ("1kib", "1KiB"), ("9b", "9B")]
        {
            assert_eq!(text.parse::<ByteCount>().unwrap(), same.parse().unwrap(), "{text}");
        }
        for text in ["", "-1", "KiB", "kib", "1TB", "1e9", "99999999999G"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_with_and_without_a_host() {
        for (text, address) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("[::1]:0", "[::1]:0"),
            (":8000", "0.0.0.0:8000"),
            ("localhost:1", "127.0.0.1:1"),
        ] {
            assert_eq!(text.parse(), Ok(Bind(address.parse().unwrap())), "{text}");
        }
        for text in ["8000", "localhost", "example.org:80", ":", ":70000"] {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
    }

    #[test]
    fn users_are_names_or_numbers() {
        assert_eq!("nobody".parse(), Ok(JobUser::Name("nobody".into())));
        assert_eq!("1000".parse(), Ok(JobUser::Ids { uid: 1000, gid: None }));
        assert_eq!("1000:100".parse(), Ok(JobUser::Ids { uid: 1000, gid: Some(100) }));
        for text in ["", "a b", "nobody:nogroup", "nobody:5", "-1", "1:x"] {
            assert!(text.parse::<JobUser>().is_err(), "{text}");
        }
    }

    #[test]
    fn log_filters_name_levels_and_targets() {
        use log::LevelFilter::{Debug, Info};
        assert_eq!(
            "info,callboard=debug".parse(),
            Ok(LogFilter(vec![(None, Info), (Some("callboard".into()), Debug)]))
        );
        assert!("loud".parse::<LogFilter>().is_err());
        assert!("=info".parse::<LogFilter>().is_err());
    }
}
