//! Members of the line, and what they are called.

use std::fmt;
use std::sync::Arc;

/// What a member's name begins with (spec/mconn.md section 9).
const PREFIX: &str = "member_";

/// Digits of the number in a member's name.
const DIGITS: usize = 10;

/// The name of a member: `member_` and ten digits. Names are ordered by that number, which is the place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberName(u64);

impl MemberName {
    /// The prefix that ZooKeeper appends a number to.
    pub const PREFIX: &str = PREFIX;

    /// Reads a name; `None` if it is no member's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_prefix(PREFIX)?;
        let numeric = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        numeric.then(|| digits.parse().ok().map(Self)).flatten()
    }

    /// The ten digits, which the original calls the member's id.
    #[must_use]
    pub fn id(self) -> String {
        format!("{:010}", self.0)
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:010}", self.0)
    }
}

/// Which process a member belongs to: random, made once per process. It tells our own members from those of a process
/// that had the same address before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// From text that the caller knows to be unique.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The session that a member belongs to; it lives as long as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The number of a lead. It only grows; nobody has led before 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub i32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// Name or address of the host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The scheme and authority that requests go to, such as `http://host:port`.
    pub url: String,
}

impl NodeAddress {
    /// `host:port`, as `/v1/leader` shows it (spec/mconn.md section 4.9). An IPv6 address gets its brackets.
    #[must_use]
    pub fn host_port(&self) -> String {
        let bare_v6 = self.host.contains(':') && !self.host.starts_with('[');
        if bare_v6 {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// One member as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, and so its place in the line.
    pub name: MemberName,
    /// Where it is reached; `None` if what it says about itself cannot be read.
    pub address: Option<NodeAddress>,
    /// The version of the program; the original tells none.
    pub version: Option<String>,
    /// Whether it is this node.
    pub is_self: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_ordered_by_number() {
        let name = MemberName::parse("member_0000000012").unwrap();
        assert_eq!((name.to_string().as_str(), name.id().as_str()), ("member_0000000012", "0000000012"));
        assert!(name < MemberName::parse("member_2147483647").unwrap());
        for wrong in
            ["member_", "member_12", "member_-000000001", "member_00000000012", "leader_0000000012", ""]
        {
            assert_eq!(MemberName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_scheme() {
        let address = |host: &str| NodeAddress { host: host.to_owned(), port: 31999, url: String::new() };
        assert_eq!(address("10.0.0.1").host_port(), "10.0.0.1:31999");
        assert_eq!(address("::1").host_port(), "[::1]:31999");
        assert_eq!(address("[::1]").host_port(), "[::1]:31999");
    }
}
