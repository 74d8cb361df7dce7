//! How results stand in their log: a header, then frames with a mark, a length and a checksum. Reading takes any bytes
//! and never panics; what is damaged is passed over up to the next frame that is whole. It refuses to know of files.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{AttemptId, AttemptResult, Captured, OutputSummary};

/// Longest frame, in bytes, its head included.
pub const MAX_RESULT_FRAME_BYTES: usize = 32 << 20;
/// Most places of a damaged log at which a whole frame is looked for.
pub const MAX_FRAME_SEARCHES: usize = 1024;

/// Version of what follows the header.
pub(super) const VERSION: u16 = 1;
/// Bytes of the header: a name and the version.
pub(super) const HEADER_LEN: usize = 8;

const NAME: [u8; 6] = *b"cbrslt";
const MARK: [u8; 4] = [0xf7, b'r', b's', 0x1a];
const SUM_LEN: usize = 8;
const HEAD_LEN: usize = MARK.len() + 4 + SUM_LEN;

/// The header of a log that this program writes.
pub(super) fn header() -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..NAME.len()].copy_from_slice(&NAME);
    header[NAME.len()..].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Our header.
    Ours,
    /// Less than a header: whoever began it did not get to its end.
    Unfinished,
    /// The header of a version that this program does not know.
    Version(u16),
    /// Something else.
    Foreign,
}

/// Looks at the first bytes of a file.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    if bytes.len() < HEADER_LEN {
        return if header().starts_with(bytes) { Beginning::Unfinished } else { Beginning::Foreign };
    }
    let (name, version) = bytes[..HEADER_LEN].split_at(NAME.len());
    match (name == NAME, u16::from_le_bytes([version[0], version[1]])) {
        (true, VERSION) => Beginning::Ours,
        (true, other) => Beginning::Version(other),
        (false, _) => Beginning::Foreign,
    }
}

/// What one frame says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry<'a> {
    /// An attempt ended.
    Result(#[serde(borrow)] Stored<'a>),
    /// The coordinator has told what became of its result.
    Judged(AttemptId),
}

/// A result as it is stored: its inline output stands beside its JSON, where bytes are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored<'a> {
    pub(super) attempt: AttemptId,
    /// When it was stored, Unix milliseconds.
    at_ms: i64,
    json: &'a [u8],
    #[serde(borrow)]
    inline: [Option<&'a [u8]>; 2],
}

impl Stored<'_> {
    /// Bytes of inline output.
    pub(super) fn inline_bytes(&self) -> usize {
        self.inline.iter().flatten().map(|bytes| bytes.len()).sum()
    }

    /// The result, older by the time that has passed since it was stored.
    pub(super) fn result(&self, now_ms: i64) -> Result<AttemptResult, serde_json::Error> {
        let mut result: AttemptResult = serde_json::from_slice(self.json)?;
        let [stdout, stderr] = self.inline.map(|bytes| bytes.map(<[u8]>::to_vec));
        (result.stdout.inline, result.stderr.inline) = (stdout, stderr);
        let since = u64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(0);
        result.started_ms_ago = result.started_ms_ago.map(|ago| ago.saturating_add(since));
        Ok(result)
    }
}

/// What of a result is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bodies {
    /// All of it.
    Kept,
    /// All but its inline output, which the sizes then say was lost.
    Dropped,
}

/// The frame of a result. None when it would be longer than [`MAX_RESULT_FRAME_BYTES`].
pub(super) fn of_result(result: &AttemptResult, bodies: Bodies, now_ms: i64) -> Option<Vec<u8>> {
    let (mut without, inline) = parted(result);
    let inline = match bodies {
        Bodies::Kept => inline,
        Bodies::Dropped => {
            for (captured, bytes) in [&mut without.stdout, &mut without.stderr].into_iter().zip(inline) {
                let total_bytes = captured.summary.total_bytes;
                if bytes.is_some() {
                    captured.summary = OutputSummary { total_bytes, ..OutputSummary::default() };
                }
            }
            [None; 2]
        }
    };
    let json = serde_json::to_vec(&without).ok()?;
    encode(&Entry::Result(Stored { attempt: result.attempt, at_ms: now_ms, json: &json, inline }))
}

/// The frame of a stored result without its inline output.
pub(super) fn without_bodies(stored: &Stored<'_>) -> Option<Vec<u8>> {
    let result = stored.result(stored.at_ms).ok()?;
    of_result(&result, Bodies::Dropped, stored.at_ms)
}

/// The frame that says that a result may be forgotten.
pub(super) fn of_judged(attempt: AttemptId) -> Option<Vec<u8>> {
    encode(&Entry::Judged(attempt))
}

/// A result without its inline output, and that.
fn parted(result: &AttemptResult) -> (AttemptResult, [Option<&[u8]>; 2]) {
    let bare = |captured: &Captured| Captured { summary: captured.summary, inline: None };
    let without = AttemptResult {
        attempt: result.attempt,
        end: result.end.clone(),
        usage: result.usage,
        stdout: bare(&result.stdout),
        stderr: bare(&result.stderr),
        started_ms_ago: result.started_ms_ago,
        isolation: result.isolation.clone(),
        artifacts: result.artifacts.clone(),
    };
    (without, [result.stdout.inline.as_deref(), result.stderr.inline.as_deref()])
}

fn encode(entry: &Entry<'_>) -> Option<Vec<u8>> {
    let body =
        postcard::to_allocvec(entry).ok().filter(|body| body.len() <= MAX_RESULT_FRAME_BYTES - HEAD_LEN)?;
    let mut frame = Vec::with_capacity(HEAD_LEN + body.len());
    frame.extend(MARK);
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(sum(&body));
    frame.extend(body);
    Some(frame)
}

fn sum(body: &[u8]) -> [u8; SUM_LEN] {
    let mut hash = Sha256::new();
    hash.update((body.len() as u32).to_le_bytes());
    hash.update(body);
    let mut sum = [0; SUM_LEN];
    sum.copy_from_slice(&hash.finalize()[..SUM_LEN]);
    sum
}

/// A frame that is whole.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// Where it begins.
    pub(super) at: usize,
    /// How long it is, its head included.
    pub(super) len: usize,
    /// What it says; none when it is whole and says what this program does not understand.
    pub(super) entry: Option<Entry<'a>>,
}

/// The frame that begins at `at`, if one does and it is whole.
pub(super) fn frame_at(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let rest = bytes.get(at..)?.strip_prefix(&MARK)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (wanted, rest) = rest.split_first_chunk::<SUM_LEN>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let body = rest.get(..len).filter(|_| len <= MAX_RESULT_FRAME_BYTES - HEAD_LEN)?;
    if sum(body) != *wanted {
        return None;
    }
    let entry = postcard::take_from_bytes(body).ok().filter(|(_, rest)| rest.is_empty());
    Some(Frame { at, len: HEAD_LEN + len, entry: entry.map(|(entry, _)| entry) })
}

/// The frames of a log, in order.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    searches: usize,
    /// Where the last whole frame ends.
    pub(super) end: usize,
    /// Bytes before that which belong to no whole frame.
    pub(super) passed_over: usize,
}

/// Reads the frames after the header.
pub(super) fn frames(bytes: &[u8]) -> Frames<'_> {
    Frames { bytes, searches: 0, end: HEADER_LEN.min(bytes.len()), passed_over: 0 }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let mut at = self.end;
        loop {
            if let Some(frame) = frame_at(self.bytes, at) {
                self.passed_over += at - self.end;
                self.end = at + frame.len;
                return Some(frame);
            }
            // A log whose end is torn is searched to no avail once; one that is full of marks, not for ever.
            self.searches += 1;
            let after = self.bytes.get(at + 1..).filter(|_| self.searches <= MAX_FRAME_SEARCHES)?;
            at += 1 + after.windows(MARK.len()).position(|window| window == MARK)?;
        }
    }
}
