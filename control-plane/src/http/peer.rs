//! Where a request comes from, past the proxies that are known.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

/// Proxies that are looked past.
const MAX_HOPS: usize = 16;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) tls: bool,
}

/// Who sent a request over a connection, perhaps through proxies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) address: IpAddr,
    /// Whether nobody can have listened on the way that is known.
    pub(super) secure: bool,
}

impl Source {
    /// What the proxies that are trusted say, or the other end of the connection itself.
    pub(super) fn of(peer: Peer, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
        let mut source = Self {
            address: peer.address.to_canonical(),
            secure: peer.tls,
        };
        if !is_trusted(&source.address) {
            return source;
        }
        if let Some(scheme) = headers.get("x-forwarded-proto") {
            source.secure = scheme == "https";
        }
        let hops = headers.get_all("x-forwarded-for").iter();
        let hops = hops
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let hops: Vec<&str> = hops.map(str::trim).collect();
        // Each proxy adds whom it heard from; what stands before the first stranger may be anybody's invention.
        for hop in hops.iter().rev().take(MAX_HOPS) {
            let Ok(address) = hop.parse::<IpAddr>() else { break };
            source.address = address.to_canonical();
            if !is_trusted(&source.address) {
                break;
            }
        }
        source
    }

    /// What is limited together: an address, or the network of one customer.
    pub(super) fn network(self) -> IpAddr {
        network(self.address)
    }
}

/// An address, or the network of one customer that it is of.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// A network of addresses, such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                Ipv4Addr::to_bits(network) & mask == Ipv4Addr::to_bits(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                Ipv6Addr::to_bits(network) & mask == Ipv6Addr::to_bits(address) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a network such as `10.0.0.0/8`");
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits
            .map_or(Ok(most), |bits| bits.trim().parse::<u8>())
            .map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let header = |value: &&str| ("x-forwarded-for".parse().unwrap(), value.parse().unwrap());
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in forwarded.iter().map(header) {
            let _: bool = headers.append::<axum::http::HeaderName>(name, value);
        }
        let address = peer.parse().unwrap();
        Source::of(Peer { address, tls: false }, &headers, &trusted)
            .address
            .to_string()
    }

    #[test]
    fn only_trusted_proxies_say_whom_they_heard_from() {
        assert_eq!(source("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(source("10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            source("10.1.2.3", &["203.0.113.9, 198.51.100.7, 10.9.9.9"]),
            "198.51.100.7"
        );
        assert_eq!(source("10.1.2.3", &["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(source("10.1.2.3", &["198.51.100.7, nonsense"]), "10.1.2.3");
        assert_eq!(source("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(source("::ffff:10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn networks_are_read_and_contain_their_addresses() {
        let contains =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && contains("::/0", "::1") && !contains("::/0", "1.2.3.4"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        for wrong in ["", "10.0.0.0/33", "ten/8", "10.0.0.0/", "::/129"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
