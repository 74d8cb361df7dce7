//! No parser panics, whatever it is given: the property of the fuzz targets, checked with every run of the tests.

use proptest::prelude::*;

#[path = "../../actors/fuzz/src/parsers.rs"]
mod every;

use every::{ALL, Parser};

/// Something that each parser takes, so that what is random starts near what is right.
const TAKEN: &[(&str, &[u8])] = &[
    (
        "access",
        b"callboard_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ),
    ("access", b"submit, read,admin"),
    ("access", b"team-1_a"),
    ("job_body", br#"{"command":["echo","a"],"env":{"A":"b"},"stdin":{"base64":"AA=="},"timeout_ms":5}"#),
    ("job_body", br#"{"jobs":[{"command":"true","on_lost":"never"}],"all_or_nothing":true}"#),
    ("job_body", br#"{"command":"true","timeout":"30"}"#),
    ("job_body", br#"{"grace_ms":1,"note":"enough"}"#),
    ("cursor", b"AZrP2Nl4f0CAAAAAAAAAAA"),
    ("byte_range", b"\x0a\0\0\0\0\0\0\0bytes=2-5"),
    ("byte_range", b"\xff\xff\xff\xff\xff\xff\xff\xffbytes=-18446744073709551615"),
    ("id_prefix", b"019acfD8-d978"),
    ("id_prefix", b"019acfd8-d978-7f40-8000-000000000000.7"),
    ("duration", b"1d2h3m4.5s6ms"),
    ("duration", b"wait=1.5"),
    ("size", b"1.5GiB"),
    ("size", b"[::1]:80"),
    ("size", b"65534:65534"),
    ("size", b"info,callboard::http=trace"),
    ("keeper_frame", b"\x01\0\0\0\0"),
    ("room_words", b"\x0b\x02\0\0\0\0"),
    ("room_words", b"\0\x01\0\0\x03\0\0\0"),
    ("room_words", b"\x01\x10\0\0\0\x0e\xff\xff\xff\xff"),
    ("result_log", b"cbrslt\x01\x00\xf7rs\x1a\x13\x00\x00\x00\x09\x8c/<\x90\xacX\x97\x01\x10job_of_a_sample_\x01"),
    ("sealed_env", br#"{"names":["A"],"sealed":"AQ"}"#),
    ("sealed_env", b"\x02\x01A\x01b\x01B\0"),
    ("sealed_env", b"\x01key_id__nonce___nonce___nonce___ciphertext-and-tag"),
    ("config_file", b"[server]\nbind = 'localhost:9000'\n[limits]\nmax_timeout = 3600\n"),
    (
        "config_file",
        b"current_context = 'a'\n[client]\noutput = \"csv\"\n[contexts.a]\nserver = '''http://h'''\n",
    ),
    ("config_file", b"[[admission.rules]]\naction='deny'\nreason='x'\ncommands=['^a{1,3}(b|c)']\nenv=['L?_*']\ncwd=['/a/..']\n"),
];

fn of_name(name: &str) -> Parser {
    ALL.iter().find(|known| known.0 == name).expect("a parser of this name").1
}

/// One of the samples with some bytes removed, replaced and added, or any bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(TAKEN).prop_map(|taken| taken.1.to_vec());
    let edit = (any::<prop::sample::Index>(), 0..4_usize, prop::collection::vec(any::<u8>(), 0..4));
    let edited = (piece, prop::collection::vec(edit, 0..4)).prop_map(|(mut bytes, edits)| {
        for (at, removed, added) in edits {
            let from = at.index(bytes.len() + 1);
            bytes.splice(from..(from + removed).min(bytes.len()), added);
        }
        bytes
    });
    prop_oneof![4 => edited, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

#[test]
fn every_parser_takes_its_samples_and_has_one() {
    for (name, bytes) in TAKEN {
        assert!(of_name(name)(bytes), "{name}: {}", String::from_utf8_lossy(bytes));
    }
    for (name, _) in ALL {
        assert!(TAKEN.iter().any(|taken| taken.0 == name), "{name} has no sample");
        let target = format!("{}/actors/fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::fs::read_to_string(target).unwrap().contains(&format!("callboard_fuzz::{name}(bytes)")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_parser_panics(bytes in bytes()) {
        for (_, parse) in ALL {
            parse(&bytes);
        }
    }
}
