//! Every parser of what a stranger may write, as a function of any bytes. Each says whether the bytes were something to
//! it, asserts what must then be true, and must not panic otherwise. The fuzz targets run them, and so does an ordinary
//! test of the node.

use std::str::from_utf8;

use callboard::config::{self, Bind, ByteCount, JobUser, LogFilter, Millis, OptionalMillis};
use callboard::http::parsers;
use callboard_actors::exec::{count_frames, hear_room};
use callboard_actors::model::access::{Scopes, TokenLabel, token_parts};
use callboard_actors::model::rules::Asker;
use callboard_actors::model::{AdmissionRules, AttemptId, JobId, JobSpec, Limits, Tenant, admission, time};
use callboard_actors::secret::decode_sealed;
use callboard_actors::spool::results::count_results;

/// Reads any bytes; whether they were something to it.
pub type Parser = fn(&[u8]) -> bool;

/// Every parser by the name of its fuzz target.
pub const ALL: [(&str, Parser); 12] = [
    ("access", access),
    ("job_body", job_body),
    ("cursor", cursor),
    ("byte_range", byte_range),
    ("id_prefix", id_prefix),
    ("duration", duration),
    ("size", size),
    ("keeper_frame", keeper_frame),
    ("room_words", room_words),
    ("result_log", result_log),
    ("config_file", config_file),
    ("sealed_env", sealed_env),
];

/// Tokens as they are shown, names of tenants, and lists of scopes.
pub fn access(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else {
        return false;
    };
    if let Some((id, secret)) = token_parts(text) {
        assert_eq!(format!("callboard_{id}_{secret}"), text, "a token has one form only");
        return true;
    }
    if let Ok(scopes) = text.parse::<Scopes>() {
        assert_eq!(scopes.to_string().parse(), Ok(scopes), "{text}");
        return true;
    }
    Tenant::known(text).is_ok()
}

/// Bodies of requests.
pub fn job_body(bytes: &[u8]) -> bool {
    let jobs = parsers::jobs(bytes);
    for spec in &jobs {
        // Whether it is admitted does not matter, only that somebody decides.
        let _ = admission::check(spec, &Limits::default());
    }
    parsers::cancel(bytes) || !jobs.is_empty()
}

/// Cursors of lists.
pub fn cursor(bytes: &[u8]) -> bool {
    let read = from_utf8(bytes).ok().and_then(|text| Some((text, parsers::cursor(text)?)));
    if let Some((text, written)) = &read {
        assert_eq!(text, written, "a cursor has one form only");
    }
    read.is_some()
}

/// The `Range` header, after eight bytes that say how much there is.
pub fn byte_range(bytes: &[u8]) -> bool {
    let Some((length, header)) = bytes.split_first_chunk() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    let range = from_utf8(header).ok().and_then(|header| parsers::byte_range(header, length));
    if let Some(range) = &range {
        assert!(range.start < range.end && range.end <= length, "{range:?} of {length}");
    }
    range.is_some()
}

/// Ids and their beginnings.
pub fn id_prefix(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else {
        return false;
    };
    if let Ok(id) = text.parse::<JobId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let prefix = parsers::id_prefix(text);
    if let Some(prefix) = &prefix {
        assert_eq!(parsers::id_prefix(prefix).as_ref(), Some(prefix));
    }
    prefix.is_some() | text.parse::<AttemptId>().is_ok()
}

/// Durations, in queries and settings, and times.
pub fn duration(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else {
        return false;
    };
    let read = time::parse_duration_ms(text);
    if let Ok(ms) = read {
        assert!(!time::short_duration(ms).is_empty());
        assert!(parsers::wait_ms(&format!("wait={ms}ms")).is_some_and(|waited| waited <= ms));
    }
    if let Some(ms) = time::parse_rfc3339(text) {
        assert!(!time::rfc3339(ms).is_empty());
    }
    let settings = text.parse::<Millis>().is_ok() || text.parse::<OptionalMillis>().is_ok();
    read.is_ok() | settings | parsers::wait_ms(text).is_some()
}

/// Sizes and the other units of settings.
pub fn size(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else {
        return false;
    };
    let others = text.parse::<Bind>().is_ok() | text.parse::<JobUser>().is_ok();
    text.parse::<ByteCount>().is_ok() | others | text.parse::<LogFilter>().is_ok()
}

/// What keepers and nodes say to each other.
pub fn keeper_frame(bytes: &[u8]) -> bool {
    let (to_keeper, from_keeper) = count_frames(bytes);
    to_keeper + from_keeper > 0
}

/// What a room's first process tells its keeper: faults, last words, times.
pub fn room_words(bytes: &[u8]) -> bool {
    hear_room(bytes)
}

/// Results on the disk of a node that is elsewhere.
pub fn result_log(bytes: &[u8]) -> bool {
    count_results(bytes) > 0
}

/// Sealed secret variables as records hold them, sealed bytes, and what stands in them once they are open.
pub fn sealed_env(bytes: &[u8]) -> bool {
    decode_sealed(bytes)
}

/// Files of settings.
pub fn config_file(bytes: &[u8]) -> bool {
    let Ok(text) = from_utf8(bytes) else {
        return false;
    };
    let mistakes = config::mistakes(text);
    match config::parse_file(text, "fuzzed.toml") {
        Ok(file) => {
            // Names and servers are looked at more closely by the check than by the reading.
            let closer = |key: &String| key.starts_with("contexts.") || key == "client.server";
            assert!(mistakes.iter().all(|mistake| mistake.key.as_ref().is_some_and(closer)), "{mistakes:?}");
            let rules = file.admission.rules.into_iter().map(|rule| rule.into_inner());
            let rules = AdmissionRules::new(file.admission.default.unwrap_or_default(), rules);
            // What it says does not matter, only that rules which were read say something.
            let token = TokenLabel { id: "0123456789abcdef".into(), name: Some("a name".into()) };
            let asker = Asker { token: Some(&token), ..Asker::default() };
            let spec = JobSpec::argv(["/bin/echo", "a b"]);
            let _ = rules.expect("what was read was checked").judge(asker, &spec);
            true
        }
        Err(error) => {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
            assert!(!mistakes.is_empty(), "{error}");
            false
        }
    }
}
