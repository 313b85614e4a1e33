use std::fmt;
use std::net::IpAddr;

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Whoever is at an address.
    Address(Network),
    /// Whoever has proven to be somebody, by a hash of the name: names may be long.
    Identity(u64),
}

impl Key {
    /// The key of who is called `name`: the same in every process, and nobody can choose a name that falls together with
    /// another's.
    pub fn identity(name: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let head: [u8; 8] = digest.as_ref()[..8].try_into().expect("a digest has 32 bytes");
        Self::Identity(u64::from_be_bytes(head))
    }
}

/// As other processes know it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(Network::V4(bits)) => write!(f, "4:{bits:08x}"),
            Self::Address(Network::V6(bits)) => write!(f, "6:{bits:016x}"),
            Self::Identity(hash) => write!(f, "i:{hash:016x}"),
        }
    }
}

/// The addresses that one client can take on at will: of IPv4 one, of IPv6 all that share the first 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// One address.
    V4(u32),
    /// The first 64 bits: what a site hands out to a link, and a machine chooses the rest of.
    ///
    /// See <https://www.rfc-editor.org/rfc/rfc4291#section-2.5.1>.
    V6(u64),
}

impl Network {
    /// The one that `address` is in; an IPv4 address in IPv6's clothes is an IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64;
                Self::V6(u64::try_from(network).expect("64 bits are left"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_the_first_half_of_one() {
        let of = |text: &str| Network::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        for (one, other) in
            [("2001:db8:1:2::", "2001:db8:1:3::"), ("192.0.2.7", "192.0.2.8"), ("::1", "0.0.0.1")]
        {
            assert_ne!(of(one), of(other));
        }
        assert_eq!(Key::identity("a"), Key::identity("a"));
        assert_ne!(Key::identity("a"), Key::identity("b"));
    }
}
