//! Addresses that are nobody's business of a job.

use std::net::{IpAddr, Ipv4Addr};

/// Ranges that jobs cannot reach, as `iptables` reads them: this network, private (RFC 1918), shared by carriers, loopback,
/// link-local with the metadata services of clouds, protocol assignments, benchmarks, multicast, reserved and broadcast.
pub(super) const GUARDED: [(Ipv4Addr, u8); 11] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Whether a job may reach an address. IPv6 is closed to jobs as a whole.
pub(super) fn is_public(address: &IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    let is_in = |(network, bits): &(Ipv4Addr, u8)| (address.to_bits() ^ network.to_bits()) >> (32 - u32::from(*bits)) == 0;
    !GUARDED.iter().any(is_in)
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
