//! The caller of a request: its token, and the address that it came from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;

use super::TokenHash;
use crate::app::AppState;
use crate::consent::Guest;
use crate::error::ApiError;

/// The caller of a request. Cheap to keep for as long as a socket lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    token: Option<TokenHash>,
    /// The page of another origin that sent the request; only on a local API.
    pub(crate) guest: Option<Guest>,
    /// The address that limits count; `None` for a caller that they do not count.
    pub(crate) address: Option<IpAddr>,
}

impl Caller {
    pub(crate) fn token(&self) -> Option<&TokenHash> {
        self.token.as_ref()
    }
}

#[derive(Deserialize)]
struct TokenParameter {
    token: Option<String>,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let address = peer.and_then(|peer| counted_address(peer, &parts.headers, app.config.limits.trusted_proxies));
        let guest = parts.extensions.get::<Option<Guest>>().copied().flatten();
        Ok(Self { token: token_of(parts), guest, address })
    }
}

/// `Authorization: Bearer …`, or `?token=…` for browsers' sockets and event streams, which cannot set headers.
fn token_of(parts: &Parts) -> Option<TokenHash> {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = header.and_then(|text| text.trim().split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Some(TokenHash::of(token.trim()));
    }
    let Query(parameter) = Query::<TokenParameter>::try_from_uri(&parts.uri).ok()?;
    parameter.token.filter(|token| !token.is_empty()).map(|token| TokenHash::of(&token))
}

/// The address that limits count. Loopback belongs to the operator and is not counted, unless a proxy on this machine forwards
/// for others. If the settings do not name that proxy as trusted, all its clients count as one.
fn counted_address(peer: IpAddr, headers: &HeaderMap, n_trusted: u8) -> Option<IpAddr> {
    let forwarded = headers.get_all("x-forwarded-for");
    let is_forwarded = forwarded.iter().next().is_some();
    let values: Vec<&str> = forwarded.iter().filter_map(|value| value.to_str().ok()).collect();
    let hops: Vec<&str> = values.iter().flat_map(|value| value.split(',')).collect();
    // Each proxy adds the address of its peer on the right. A client can forge everything further left.
    let trusted = hops.len().saturating_sub(usize::from(n_trusted));
    let said = (n_trusted > 0).then(|| hops.get(trusted).and_then(|hop| parse(hop))).flatten();
    let address = said.unwrap_or(peer).to_canonical();
    let is_own = address.is_loopback() && (said.is_some() || !is_forwarded);
    (!is_own).then(|| network_of(address))
}

/// An address, with a port or without.
fn parse(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The network that counts as one address: one customer of a provider usually has a whole /64 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(peer: &str, forwarded: &[&str], n_trusted: u8) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        counted_address(peer.parse().unwrap(), &headers, n_trusted).map(|address| address.to_string())
    }

    #[test]
    fn forwarded_addresses_are_read_from_the_right_and_only_from_trusted_proxies() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(counted("127.0.0.1", &[], 0), None);
        assert_eq!(counted("::ffff:127.0.0.1", &[], 1), None);
        assert_eq!(counted("127.0.0.1", &["1.2.3.4"], 0), some("127.0.0.1"), "a proxy that is not configured");
        assert_eq!(counted("9.9.9.9", &["1.2.3.4"], 0), some("9.9.9.9"), "the client's own claim");
        assert_eq!(counted("10.0.0.1", &["6.6.6.6, 1.2.3.4"], 1), some("1.2.3.4"));
        assert_eq!(counted("10.0.0.1", &["6.6.6.6, 1.2.3.4", "10.0.0.2"], 2), some("1.2.3.4"));
        assert_eq!(counted("10.0.0.1", &["1.2.3.4"], 2), some("1.2.3.4"));
        assert_eq!(counted("10.0.0.1", &["nonsense"], 1), some("10.0.0.1"));
        assert_eq!(counted("10.0.0.1", &["1.2.3.4:5678"], 1), some("1.2.3.4"));
        assert_eq!(counted("10.0.0.1", &["[2001:db8:1:2:3:4:5:6]:80"], 1), some("2001:db8:1:2::"));
    }
}
