//! Which addresses have failed too often to be heard for a while. It knows no token and no clock: now is an argument, in
//! milliseconds since any fixed moment.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Failed authentications of one address within a minute after which it is not heard, unless configured.
pub const DEFAULT_FAILURES_PER_MINUTE: u32 = 30;

/// Time within which failures are counted together, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// How long an address is not heard, in milliseconds.
const BLOCK_MS: u64 = 60_000;
/// Most addresses that are remembered; beyond it those that failed longest ago are forgotten.
const MAX_PEERS: usize = 16_384;

/// Whoever is judged together: an IPv4 address, or the 64-bit network of an IPv6 one, within which a single host can
/// take any address it likes. So can it within loopback, which is one peer by all its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// Who an address belongs to. Connections without an address are one peer.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            Some(address) if address.is_loopback() => Self(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(IpAddr::V4(address)) => Self(IpAddr::V4(address)),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V6(address) => write!(f, "{address}/64"),
            IpAddr::V4(address) => write!(f, "{address}"),
        }
    }
}

/// The addresses that have failed lately.
#[derive(Debug)]
pub struct Peers {
    /// Failures within the window at which an address is blocked; 0 never blocks.
    most: u32,
    table: Mutex<Table>,
    /// When the last of all blocks ends: until there is one, nobody needs to look at the table.
    last_block_ends_ms: AtomicU64,
}

/// In two generations: when the young one is full the old one is dropped, so that nothing is ever searched.
#[derive(Debug, Default)]
struct Table {
    young: HashMap<Peer, Record>,
    old: HashMap<Peer, Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    began_ms: u64,
    failures: u32,
    blocked_until_ms: u64,
}

impl Peers {
    /// Blocks an address at its `most`th failure within a minute; 0 never blocks.
    pub fn new(most: u32) -> Self {
        Self { most, table: Mutex::default(), last_block_ends_ms: AtomicU64::new(0) }
    }

    /// For how many milliseconds this one is not heard; none when it is.
    pub fn blocked_for_ms(&self, peer: Peer, now_ms: u64) -> Option<u64> {
        if self.last_block_ends_ms.load(Ordering::Acquire) <= now_ms {
            return None;
        }
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let record = table.young.get(&peer).or_else(|| table.old.get(&peer))?;
        record.blocked_until_ms.checked_sub(now_ms).filter(|left| *left > 0)
    }

    /// Notes a failure. Whether it is the one that blocks the address.
    pub fn failed(&self, peer: Peer, now_ms: u64) -> bool {
        if self.most == 0 {
            return false;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let record = table.record(peer, now_ms);
        record.failures += 1;
        if record.failures < self.most || record.blocked_until_ms > now_ms {
            return false;
        }
        *record = Record { began_ms: now_ms, failures: 0, blocked_until_ms: now_ms + BLOCK_MS };
        self.last_block_ends_ms.fetch_max(now_ms + BLOCK_MS, Ordering::AcqRel);
        true
    }
}

impl Table {
    /// The record of a peer, begun anew when its window is over.
    fn record(&mut self, peer: Peer, now_ms: u64) -> &mut Record {
        let known = self.young.get(&peer).copied().or_else(|| self.old.remove(&peer));
        if self.young.len() >= MAX_PEERS / 2 && !self.young.contains_key(&peer) {
            self.old = std::mem::take(&mut self.young);
        }
        let fresh = Record { began_ms: now_ms, failures: 0, blocked_until_ms: 0 };
        let begun =
            known.filter(|known| now_ms < known.began_ms + WINDOW_MS || now_ms < known.blocked_until_ms);
        let record = self.young.entry(peer).or_insert(fresh);
        *record = begun.unwrap_or(fresh);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn the_nth_failure_within_a_minute_blocks_for_a_minute() {
        let (peers, one, other) = (Peers::new(3), peer("192.0.2.1"), peer("192.0.2.2"));
        assert!(!peers.failed(one, 1_000) && !peers.failed(one, 2_000));
        assert_eq!(peers.blocked_for_ms(one, 2_000), None);
        assert!(peers.failed(one, 3_000));
        assert_eq!(peers.blocked_for_ms(one, 3_000), Some(60_000));
        assert_eq!(peers.blocked_for_ms(one, 62_999), Some(1));
        assert_eq!(peers.blocked_for_ms(other, 3_000), None);
        assert_eq!(peers.blocked_for_ms(one, 63_000), None);
        assert!(!peers.failed(one, 63_000), "it begins anew");
    }

    #[test]
    fn failures_that_are_far_apart_do_not_add_up() {
        let (peers, one) = (Peers::new(2), peer("192.0.2.1"));
        assert!((0..20).all(|minute| !peers.failed(one, minute * WINDOW_MS)));
    }

    #[test]
    fn zero_never_blocks() {
        let (peers, one) = (Peers::new(0), peer("192.0.2.1"));
        assert!((0..1000).all(|now_ms| !peers.failed(one, now_ms)));
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer_and_a_mapped_address_is_its_own() {
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::9"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("::1"), Peer::of(None));
        for loopback in ["127.0.0.2", "127.255.0.9", "::1", "::ffff:127.3.2.1"] {
            assert_eq!(peer(loopback), peer("127.0.0.1"), "{loopback}");
        }
        assert_eq!(peer("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(peer("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn the_table_has_an_end_and_forgets_the_oldest() {
        let peers = Peers::new(2);
        let of = |number: u32| Peer::of(Some(IpAddr::V4(number.into())));
        (0..100_000).for_each(|number| _ = peers.failed(of(number), 1));
        {
            let table = peers.table.lock().unwrap();
            assert!(table.young.len() + table.old.len() <= MAX_PEERS);
        }
        assert!(peers.failed(of(99_999), 2), "the newest is remembered");
        assert!(!peers.failed(of(0), 2), "the oldest is forgotten");
    }
}
