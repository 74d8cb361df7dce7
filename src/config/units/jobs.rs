//! Values about jobs: their isolation, what they may have of the host, how much of the machine.

use std::str::FromStr;

use callboard_actors::model::{AllowedMount, Isolation, OnDisconnect, OnLost, Tier};
use callboard_actors::policy::placement::PlacementRule;

use super::List;

/// What a job that asks for nothing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsolationMode(pub Isolation);

impl FromStr for IsolationMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no isolation: write auto, none or sandbox");
        Isolation::parse(text).map(Self).ok_or_else(refuse)
    }
}

/// The least isolation that a node runs jobs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinTier(pub Tier);

impl FromStr for MinTier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// By which rule a node is chosen for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement(pub PlacementRule);

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// Places of the host that jobs may have, or `none` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedMounts(pub Vec<AllowedMount>);

impl FromStr for AllowedMounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Self(Vec::new())),
            text => text.parse().map(|List(places)| Self(places)),
        }
    }
}

/// CPUs, in thousandths of one: `0.5`, `2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(pub u32);

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text.trim().parse().unwrap_or(f64::NAN);
        let fine = (0.001..=f64::from(u32::MAX) / 1000.0).contains(&number);
        let refuse = || format!("`{text}` is not a number of CPUs: write `2` or `0.5`");
        if fine { Ok(Self((number * 1000.0).round() as u32)) } else { Err(refuse()) }
    }
}

/// What becomes of a job whose node is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPolicy(pub OnLost);

impl FromStr for LostPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [OnLost::Requeue, OnLost::Never].into_iter().find(|policy| policy.as_str() == text);
        known.map(Self).ok_or_else(|| format!("`{text}` is not one of: requeue, never"))
    }
}

/// What a node does with a job when it has lost its coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisconnectPolicy(pub OnDisconnect);

impl FromStr for DisconnectPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known =
            [OnDisconnect::Keep, OnDisconnect::Kill].into_iter().find(|policy| policy.as_str() == text);
        known.map(Self).ok_or_else(|| format!("`{text}` is not one of: keep, kill"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_read_in_parts_of_one() {
        for (text, millis) in [("1", 1000), ("0.5", 500), (" 1.25 ", 1250), ("0.001", 1)] {
            assert_eq!(text.parse(), Ok(Cpus(millis)), "{text}");
        }
        for text in ["", "0", "-1", "half", "NaN", "inf", "1e30"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_jobs_may_have_is_a_list_or_nothing() {
        let read = |text: &str| text.parse::<AllowedMounts>().map(|AllowedMounts(places)| places.len());
        assert_eq!(read("none"), Ok(0));
        assert_eq!(read("/data:ro, /srv"), Ok(2));
        assert!(read("data").is_err() && read("/a,/b/../c").is_err());
        assert_eq!("full".parse(), Ok(MinTier(Tier::Full)));
        assert!("most".parse::<MinTier>().is_err() && "strict".parse::<IsolationMode>().is_err());
    }
}
