//! What a user hears whose job a rule of the server denies.

use super::ask;
use crate::admission::guarded;
use crate::server::Launch;

#[test]
fn a_denied_job_is_one_line_and_the_exit_code_of_what_is_not_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let server = guarded(Launch::over(&folder.path().join("data")), folder.path());
    let reason = "callboard: admission rule 2 refuses this job: disks are formatted by hand";
    ask(&server, &["submit", "mkfs", "/dev/sda"]).refused(4, reason);
    ask(&server, &["submit", "--wait", "mkfs", "/dev/sda"]).refused(125, reason);
    ask(&server, &["run", "--env", "LD_PRELOAD=x", "--", "echo", "hi"]).refused(125, "(no-preload)");
    ask(&server, &["run", "--", "ls"]).refused(125, "no admission rule allows this job");
    assert_eq!(ask(&server, &["run", "--", "echo", "hi"]).fine(), "hi");
}
