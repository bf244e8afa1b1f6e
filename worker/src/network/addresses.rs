//! Addresses that jobs must not reach: those special addresses of [`protocol::address`] at which a host might answer.

use std::net::IpAddr;

use protocol::address::{PRIVATE_V4, Range, SPECIAL_V4};

/// Ranges that jobs cannot reach.
pub(super) fn guarded() -> impl Iterator<Item = Range> {
    PRIVATE_V4.into_iter().chain(SPECIAL_V4)
}

/// Whether a job may reach an address. Jobs cannot use IPv6 at all.
pub(crate) fn is_public(address: &IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    !guarded().any(|range| range.contains(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for guarded in
            ["10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.127.0.1", "127.0.0.1", "255.255.255.255"]
        {
            assert!(!is_public(&guarded.parse().unwrap()), "{guarded}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "198.51.100.7", "192.0.2.2", "11.0.0.1"] {
            assert!(is_public(&public.parse().unwrap()), "{public}");
        }
        assert!(!is_public(&"fd00::1".parse().unwrap()));
    }
}
