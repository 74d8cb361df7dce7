//! The conversation between coordinator and nodes, simulated: the real state machines in virtual time, with a net, disks
//! and processes that fail by a seed. `CALLBOARD_SIM_SEEDS` says how many seeds run; one that fails is printed and
//! replays: `CALLBOARD_SIM_SEED=17`, with a trace of the last steps whether it fails or not.
//!
//! What goes wrong until the faults end: messages of all kinds are dropped, doubled, delayed and so overtake each other;
//! links are cut, one way or both; everything is cut off at once; nodes and coordinator crash, with what they had not
//! synced surviving by chance (results on a node's disk, verdicts noted there, the coordinator's records) and jobs outliving
//! their node for its next life to find, and stand still; nodes' clocks run up to 5 % wrong; executors refuse, fail to spawn and lose processes; slots come and go; nodes
//! are offered more than they can take. Meanwhile users submit and cancel, and operators retract, drain and resume.
//!
//! Checked after every step, by the names of the design (`oracle` unless said otherwise):
//! - I1 a terminal record never changes; I2 it ends the epoch that was current; I3 what was acknowledged survives;
//!   I4 epochs only rise, and each lease has a new one.
//! - I5 no attempt is started twice, a job with `on_lost: never` once only, nothing after it was given back or counted as
//!   gone, nothing beside a living attempt of the same node; nothing counts as gone while it runs, or while its result is
//!   on its node's disk.
//! - I6 (`on_disconnect: kill`) rests on time and on keepers, which are not simulated: its inequality is checked in
//!   `link::liveness`, and what really runs by the root crate's `remote::fence`.
//! - I7 a node holds no more than slots and prefetch, and starts nothing without a slot or while it drains (`node`).
//! - I8 long after the faults every job has ended; I10 and no node, link or disk holds a result of it (`world`).
//! - I9 the queue holds exactly the jobs that wait, and the records nothing but what was submitted.
//! - I11 no node obeys a term lower than one it obeyed before. I12 is about output, which does not travel here.
//! - No node is given up because everything fell silent at once; whole inventories are not asked for for ever; nothing
//!   stays unknown once its node is heard, but for what waits there beyond its slots.
//!
//! That it can fail is shown by the tests below, which sabotage one rule each. Besides, lines of the machines themselves
//! were changed by hand, one at a time, and 10,000 seeds run. Noticed: a node forgets what it gave back (seed 20), a
//! coordinator ignores `cmd_seen` (6), a node obeys old command numbers (6), a node starts a later attempt beside the dying
//! one (4644), a coordinator asks back what it only believes to be there (9605). Not noticed, because a second rule holds
//! where the first is gone: a coordinator has results of old epochs recorded (`transition` drops them), a node takes an
//! attempt although a later one is here (no later command carries one), a node forgets verdicts too early (it refuses older
//! commands then).

mod coordinator;
mod env;
mod faults;
mod node;
mod oracle;
mod plan;
mod rng;
mod store;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use env::Sabotage;
use world::{Failure, Stats};

const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number of a seed, or of seeds"))
}

fn fail(seed: u64, failure: &Failure) -> ! {
    let tail = failure.tail.join("\n");
    panic!("{tail}\n\nseed {seed}: {}\nreplay with CALLBOARD_SIM_SEED={seed}", failure.rule)
}

/// Runs these seeds on as many threads as there are cores; the first seed that fails, if any does.
fn run_all(seeds: u64) -> Result<Stats, (u64, Box<Failure>)> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut all = Stats::default();
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds
            && !stop.load(Ordering::Relaxed)
        {
            match world::run(seed, Sabotage::Nothing) {
                Ok(stats) => all.add(&stats),
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err((seed, Box::new(failure)));
                }
            }
        }
        Ok(all)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut all: Result<Stats, (u64, Box<Failure>)> = Ok(Stats::default());
        for thread in threads {
            match (thread.join().expect("a seed does not panic"), &mut all) {
                (Ok(stats), Ok(sum)) => sum.add(&stats),
                (Err(failed), Err(first)) if failed.0 < first.0 => *first = failed,
                (Err(failed), Ok(_)) => all = Err(failed),
                _ => {}
            }
        }
        all
    })
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("CALLBOARD_SIM_SEED") {
        match world::replay(seed, Sabotage::Nothing) {
            Ok((stats, tail)) => return eprintln!("{}\nseed {seed}: {stats:?}", tail.join("\n")),
            Err(failure) => fail(seed, &failure),
        }
    }
    let began = std::time::Instant::now();
    let seeds = number("CALLBOARD_SIM_SEEDS").unwrap_or(SEEDS);
    match run_all(seeds) {
        Ok(all) => {
            eprintln!("{seeds} seeds in {:?}: {all:?}", began.elapsed());
            assert!(all.processes > seeds, "a simulation in which nothing runs proves nothing");
            assert!(
                all.happened.iter().all(|times| *times > seeds / 100),
                "a fault that never happens proves nothing"
            );
        }
        Err((seed, failure)) => fail(seed, &failure),
    }
}

/// The first seed that fails under the sabotage, and the rule that it breaks.
fn bites(sabotage: Sabotage, within: u64, rules: &[&str]) {
    let failure = (0..within).find_map(|seed| Some((seed, world::run(seed, sabotage).err()?)));
    let Some((seed, failure)) = failure else { panic!("{sabotage:?} went unnoticed in {within} seeds") };
    eprintln!("{sabotage:?} is noticed by seed {seed}: {}", failure.rule);
    if !rules.iter().any(|rule| failure.rule.contains(rule)) {
        fail(seed, &failure);
    }
}

#[test]
fn nodes_that_forget_what_was_judged_are_noticed() {
    bites(Sabotage::NoJudgedMemory, 3_000, &["started twice", "after it was", "counts as lost"]);
}

#[test]
fn nodes_that_obey_old_commands_are_noticed() {
    bites(
        Sabotage::OldCommandsObeyed,
        1_000,
        &["started twice", "after it was", "proved to be gone", "counts as lost"],
    );
}

#[test]
fn nodes_that_obey_commands_to_their_earlier_lives_are_noticed() {
    bites(Sabotage::OtherLivesObeyed, 1_000, &["started twice", "after it was", "counts as lost"]);
}

#[test]
fn a_coordinator_that_ignores_epochs_is_noticed() {
    bites(Sabotage::EpochsIgnored, 1_000, &["I1", "I2"]);
}

#[test]
fn a_coordinator_that_speaks_early_is_noticed() {
    bites(Sabotage::EarlySpeech, 300, &["I3", "twice", "before it is on disk"]);
}

#[test]
fn a_coordinator_that_starts_again_what_must_not_be_is_noticed() {
    bites(Sabotage::NeverIgnored, 300, &["at most once"]);
}

#[test]
fn a_coordinator_that_takes_every_absence_for_proof_is_noticed() {
    bites(Sabotage::AbsenceIsProof, 300, &["proved to be gone", "counts as lost"]);
}

#[test]
fn a_coordinator_that_never_doubts_is_noticed() {
    bites(Sabotage::NoDistrust, 3_000, &["I8", "I10", "stays unknown"]);
}

#[test]
fn nodes_that_forget_what_they_gave_back_are_noticed() {
    bites(
        Sabotage::ReturnsForgotten,
        3_000,
        &["started twice", "after it was", "gave it back", "counts as lost"],
    );
}

#[test]
fn nodes_that_lose_their_results_are_noticed() {
    bites(Sabotage::SpoolLost, 1_000, &["on its node's disk", "I10"]);
}

#[test]
fn nodes_that_say_nothing_of_what_outlived_them_are_noticed() {
    bites(Sabotage::AdoptedUnlisted, 1_000, &["proved to be gone", "counts as lost", "while it runs"]);
}

#[test]
fn a_coordinator_that_takes_its_own_deafness_for_silence_is_noticed() {
    bites(Sabotage::NoBrake, 1_000, &["fell silent at once"]);
}
