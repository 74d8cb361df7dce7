//! The conversation between coordinator and nodes, simulated: the real state machines in virtual time, with a net, disks
//! and processes that fail by a seed. A seed replays: `CALLBOARD_SIM_SEED=17`; `CALLBOARD_SIM_SEEDS` says how many run.

mod coordinator;
mod env;
mod node;
mod oracle;
mod plan;
mod rng;
mod store;
mod world;

use env::Sabotage;
use world::{Failure, Stats};

const SEEDS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number of a seed, or of seeds"))
}

fn fail(seed: u64, failure: &Failure) -> ! {
    let tail = failure.tail.join("\n");
    panic!("{tail}\n\nseed {seed}: {}\nreplay with CALLBOARD_SIM_SEED={seed}", failure.rule)
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("CALLBOARD_SIM_SEED") {
        match world::run(seed, Sabotage::Nothing) {
            Ok(stats) => return eprintln!("seed {seed}: {stats:?}"),
            Err(failure) => fail(seed, &failure),
        }
    }
    let began = std::time::Instant::now();
    let seeds = number("CALLBOARD_SIM_SEEDS").unwrap_or(SEEDS);
    let mut all = Stats::default();
    for seed in 0..seeds {
        match world::run(seed, Sabotage::Nothing) {
            Ok(stats) => {
                all.steps += stats.steps;
                all.processes += stats.processes;
                all.jobs += stats.jobs;
            }
            Err(failure) => fail(seed, &failure),
        }
    }
    eprintln!("{seeds} seeds in {:?}: {all:?}", began.elapsed());
    assert!(all.processes > seeds, "a simulation in which nothing runs proves nothing");
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
    bites(Sabotage::NoJudgedMemory, 3_000, &["started twice"]);
}

#[test]
fn nodes_that_obey_old_commands_are_noticed() {
    bites(Sabotage::OldCommandsObeyed, 1_000, &["started twice", "after it was"]);
}

#[test]
fn nodes_that_obey_commands_to_their_earlier_lives_are_noticed() {
    bites(Sabotage::OtherLivesObeyed, 1_000, &["started twice", "after it was"]);
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
    bites(Sabotage::AbsenceIsProof, 300, &["proved to be gone"]);
}

#[test]
fn a_coordinator_that_never_doubts_is_noticed() {
    bites(Sabotage::NoDistrust, 300, &["I8", "I10", "stays unknown"]);
}
