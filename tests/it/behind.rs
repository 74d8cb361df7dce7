//! Starting something where the kernel seems to lack things, as in a container: behind a filter of system calls, which
//! whatever is started inherits.

use std::collections::BTreeMap;

use seccompiler::{apply_filter, compile_from_json};
use serde_json::{Value, json};

/// What there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// New user namespaces are refused, and `clone3` is unknown, as with Docker's own filter.
    Namespaces,
    /// Landlock is switched off.
    Landlock,
}

impl Lack {
    /// What the kernel says, and to which calls.
    fn filters(self) -> Vec<(i32, Vec<Value>)> {
        const NEW_USER: u32 = 0x1000_0000;
        const EPERM: i32 = 1;
        const ENOSYS: i32 = 38;
        const EOPNOTSUPP: i32 = 95;
        let flag = json!({"index": 0, "type": "dword", "op": {"masked_eq": NEW_USER}, "val": NEW_USER});
        match self {
            Self::Namespaces => vec![
                (ENOSYS, vec![json!({"syscall": "clone3"})]),
                (EPERM, ["clone", "unshare"].map(|call| json!({"syscall": call, "args": [flag]})).to_vec()),
            ],
            Self::Landlock => vec![(EOPNOTSUPP, vec![json!({"syscall": "landlock_create_ruleset"})])],
        }
    }
}

/// Does `start` where these are lacking: in a thread of its own, because the filter stays with it.
pub fn without<T: Send>(lacks: &[Lack], start: impl FnOnce() -> T + Send) -> T {
    let behind = || {
        rustix::thread::set_no_new_privs(true).unwrap();
        for (errno, rules) in lacks.iter().flat_map(|lack| lack.filters()) {
            let filter =
                json!({"mismatch_action": "allow", "match_action": {"errno": errno}, "filter": rules});
            let text = json!({"only": filter}).to_string();
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let mut programs: BTreeMap<_, _> =
                compile_from_json(text.as_bytes(), arch).unwrap().into_iter().collect();
            apply_filter(&programs.remove("only").unwrap()).unwrap();
        }
        start()
    };
    std::thread::scope(|scope| scope.spawn(behind).join().unwrap())
}
