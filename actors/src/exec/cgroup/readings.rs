//! What the kernel counted of a job, out of the files of its groups. It opens none itself and judges nothing.

use super::{Controls, Version};
use crate::model::Usage;

/// What the kernel counted of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readings {
    /// How often the kernel killed for want of memory: one process each time, or everybody at once.
    pub(crate) oom_kills: u32,
    /// Whether it killed everybody at once.
    pub(crate) killed_whole: bool,
    /// The most memory that the whole tree had at once, in bytes; none where nothing counts it.
    pub(crate) memory_peak_bytes: Option<u64>,
    /// Processes that were not started because there were too many.
    pub(crate) process_denials: u32,
    /// CPU time of the whole tree in user and in kernel mode, in microseconds; none where nothing counts it.
    pub(crate) cpu_us: Option<(u64, u64)>,
    /// Periods in which it was held back because it had used up its CPU time.
    pub(crate) throttles: u32,
}

impl Readings {
    /// These and what the files of one more group say.
    pub(super) fn with(self, version: Version, has: Controls, file: impl Fn(&str) -> Option<String>) -> Self {
        let count = |name: &str, what: &str| file(name).and_then(|text| number(&text, what));
        let few = |name: &str, what: &str| count(name, what).map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        let mut all = self;
        if has.memory {
            let (events, peak) = match version {
                Version::V1 => ("memory.oom_control", "memory.max_usage_in_bytes"),
                Version::V2 => ("memory.events", "memory.peak"),
            };
            all.oom_kills = few(events, "oom_kill").unwrap_or(0);
            all.memory_peak_bytes = file(peak).and_then(|text| text.trim().parse().ok());
            // Where everybody is killed at once the kernel counts each of them, some twice, and the room's first process.
            let is_whole = || file("memory.oom.group").is_some_and(|text| text.trim() == "1");
            if all.oom_kills > 0 && version == Version::V2 && is_whole() {
                all.killed_whole = true;
                // Before Linux 5.17 nobody counts how often that was; of a room it is once.
                all.oom_kills = few(events, "oom_group_kill").unwrap_or(1).max(1);
            }
        }
        if has.pids {
            all.process_denials = few("pids.events", "max").unwrap_or(0);
        }
        if has.cpu {
            all.throttles = few("cpu.stat", "nr_throttled").unwrap_or(0);
        }
        let nanos =
            |name: &str| file(name).and_then(|text| text.trim().parse::<u64>().ok()).map(|it| it / 1000);
        let cpu = match version {
            Version::V1 => nanos("cpuacct.usage_user").zip(nanos("cpuacct.usage_sys")),
            Version::V2 => count("cpu.stat", "user_usec").zip(count("cpu.stat", "system_usec")),
        };
        all.cpu_us = all.cpu_us.max(cpu);
        all
    }

    /// Adds them to what the reaped processes have used. Of those that the kernel killed together with the first process
    /// of their room nobody was reaped, and only their group knows what they used.
    pub(crate) fn add_to(&self, usage: &mut Usage) {
        let Self { oom_kills, memory_peak_bytes, process_denials, .. } = *self;
        *usage = Usage { oom_kills, memory_peak_bytes, process_denials, ..*usage };
        if let Some((user, system)) = self.cpu_us
            && user + system > usage.cpu_user_us + usage.cpu_system_us
        {
            (usage.cpu_user_us, usage.cpu_system_us) = (user, system);
        }
    }
}

/// A number of a file of `name number` lines.
fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Controls = Controls { memory: true, pids: true, cpu: true };

    fn read(version: Version, files: &[(&str, &str)]) -> Readings {
        let file = |name: &str| files.iter().find(|(it, _)| *it == name).map(|(_, text)| (*text).to_owned());
        Readings::default().with(version, ALL, file)
    }

    #[test]
    fn a_job_that_was_killed_as_a_whole_was_killed_once() {
        let events = "low 0\nhigh 0\nmax 31\noom 1\noom_kill 9\noom_group_kill 1\n";
        let all = read(
            Version::V2,
            &[("memory.events", events), ("memory.oom.group", "1\n"), ("memory.peak", "77\n")],
        );
        assert_eq!((all.oom_kills, all.killed_whole, all.memory_peak_bytes), (1, true, Some(77)));
        // An older kernel does not say how often.
        let old = read(Version::V2, &[("memory.events", "oom_kill 9\n"), ("memory.oom.group", "1\n")]);
        assert_eq!((old.oom_kills, old.killed_whole), (1, true));
    }

    #[test]
    fn processes_that_were_killed_one_by_one_are_counted() {
        let two = read(
            Version::V2,
            &[("memory.events", "oom_kill 2\noom_group_kill 0\n"), ("memory.oom.group", "0\n")],
        );
        assert_eq!((two.oom_kills, two.killed_whole), (2, false));
        let one =
            read(Version::V1, &[("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")]);
        assert_eq!((one.oom_kills, one.killed_whole), (1, false));
        let none = read(Version::V2, &[("memory.events", "oom_kill 0\n"), ("memory.oom.group", "1\n")]);
        assert_eq!((none.oom_kills, none.killed_whole), (0, false));
    }

    #[test]
    fn cpu_time_is_read_from_both_versions() {
        let stat =
            "usage_usec 70\nuser_usec 50\nsystem_usec 20\nnr_periods 4\nnr_throttled 3\nthrottled_usec 9\n";
        let new = read(Version::V2, &[("cpu.stat", stat)]);
        assert_eq!((new.cpu_us, new.throttles), (Some((50, 20)), 3));
        let files = [
            ("cpu.stat", "nr_periods 4\nnr_throttled 2\nthrottled_time 9\n"),
            ("cpuacct.usage_user", "5000\n"),
            ("cpuacct.usage_sys", "2000\n"),
        ];
        let old = read(Version::V1, &files);
        assert_eq!((old.cpu_us, old.throttles), (Some((5, 2)), 2));
        assert_eq!(read(Version::V1, &files[..1]).cpu_us, None, "CPU time is counted elsewhere, or nowhere");
        let file = |_: &str| None;
        assert_eq!(
            new.with(Version::V1, Controls::default(), file),
            new,
            "one more group takes nothing away"
        );
    }

    #[test]
    fn the_larger_count_of_cpu_time_stands() {
        let reaped = Usage { cpu_user_us: 30, cpu_system_us: 5, ..Usage::default() };
        for (counted, stands) in
            [(None, (30, 5)), (Some((10, 2)), (30, 5)), (Some((20, 16)), (20, 16)), (Some((0, 0)), (30, 5))]
        {
            let mut usage = reaped;
            Readings { cpu_us: counted, ..Readings::default() }.add_to(&mut usage);
            assert_eq!((usage.cpu_user_us, usage.cpu_system_us), stands);
        }
    }
}
