//! Who owns an IP address, for every client that fetches a URL of a stranger. This is a table, without I/O.
//!
//! A URL of a stranger may name our own network. The client resolves the name itself, checks each resulting address here, and connects to
//! exactly the checked address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ports of other protocols from 1024 on, whose servers could mistake an HTTP request for commands.
const PORTS_OF_OTHERS: [u16; 22] = [
    1719, 1720, 1723, 2049, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6697,
    10080, 11211,
];

/// Who owns an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Any host on the internet.
    Public,
    /// Loopback and private networks. Permitted if the operator allows it.
    Private,
    /// Link-local (with the metadata services of clouds), multicast, reserved and documentation addresses. Never permitted.
    Nobody,
}

impl Owner {
    /// The owner of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// Whether a stranger's request may go to such an address.
    pub fn is_permitted(self, allow_private: bool) -> bool {
        match self {
            Self::Public => true,
            Self::Private => allow_private,
            Self::Nobody => false,
        }
    }
}

/// Whether a port of a public host may be a port of HTTP.
pub fn is_http_port(port: u16) -> bool {
    matches!(port, 80 | 443) || (port >= 1024 && !PORTS_OF_OTHERS.contains(&port))
}

/// A range of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub network: Ipv4Addr,
    /// How many leading bits the addresses share.
    pub bits: u8,
}

impl Range {
    const fn of(network: [u8; 4], bits: u8) -> Self {
        let [a, b, c, d] = network;
        Self { network: Ipv4Addr::new(a, b, c, d), bits }
    }

    /// Whether the range contains an address.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (address.to_bits() ^ self.network.to_bits()) >> (32 - u32::from(self.bits)) == 0
    }
}

/// Private (RFC 1918), shared by carriers, and loopback.
pub const PRIVATE_V4: [Range; 5] = [
    Range::of([10, 0, 0, 0], 8),
    Range::of([100, 64, 0, 0], 10),
    Range::of([127, 0, 0, 0], 8),
    Range::of([172, 16, 0, 0], 12),
    Range::of([192, 168, 0, 0], 16),
];
/// "This network", link-local with the metadata services of clouds, protocol assignments, benchmarks, multicast, reserved and
/// broadcast.
pub const SPECIAL_V4: [Range; 6] = [
    Range::of([0, 0, 0, 0], 8),
    Range::of([169, 254, 0, 0], 16),
    Range::of([192, 0, 0, 0], 24),
    Range::of([198, 18, 0, 0], 15),
    Range::of([224, 0, 0, 0], 4),
    Range::of([240, 0, 0, 0], 4),
];
/// Documentation addresses and former relays of 6to4, at which no host answers. A packet filter need not block them. A closed network may
/// use them in place of public addresses.
const UNUSED_V4: [Range; 4] = [
    Range::of([192, 0, 2, 0], 24),
    Range::of([192, 88, 99, 0], 24),
    Range::of([198, 51, 100, 0], 24),
    Range::of([203, 0, 113, 0], 24),
];

/// The owner by the registries of special-purpose addresses (RFC 6890 and its updates).
fn of_v4(address: Ipv4Addr) -> Owner {
    let is_in = |ranges: &[Range]| ranges.iter().any(|range| range.contains(address));
    match () {
        () if is_in(&PRIVATE_V4) => Owner::Private,
        () if is_in(&SPECIAL_V4) || is_in(&UNUSED_V4) => Owner::Nobody,
        () => Owner::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Owner {
    let segments = address.segments();
    let [.., a, b, c, d] = address.octets();
    match segments {
        // IPv4 addresses inside IPv6: mapped, and through NAT64.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => of_v4(Ipv4Addr::new(a, b, c, d)),
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Owner::Private,
        // Teredo and other protocols, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Owner::Nobody,
        // All allocated public addresses are in 2000::/3.
        [0x2000..=0x3fff, ..] => Owner::Public,
        _ => Owner::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(text: &str) -> Owner {
        Owner::of(text.parse().unwrap())
    }

    #[test]
    fn every_address_has_its_owner() {
        for text in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert_eq!(owner(text), Owner::Public, "{text}");
        }
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert_eq!(owner(text), Owner::Private, "{text}");
        }
        for text in [
            "0.0.0.0",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "fec0::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "::7f00:1",
            "100::1",
        ] {
            assert_eq!(owner(text), Owner::Nobody, "{text}");
        }
    }

    #[test]
    fn ports_of_other_protocols_are_not_for_http() {
        for port in [80, 443, 1024, 8080, 65535] {
            assert!(is_http_port(port), "{port}");
        }
        for port in [0, 22, 25, 1023, 5432, 6379, 11211] {
            assert!(!is_http_port(port), "{port}");
        }
    }
}
