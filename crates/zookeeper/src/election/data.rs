//! What members and leaders write about themselves, as JSON (spec/mconn.md section 9). Reading forgives everything: what
//! others have written there must not keep this node from working.

use mconn_leadership::{MemberName, Named, NodeAddress, NodeId};
use mconn_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Larger data are not ours, and not read.
const MAX_BYTES: usize = 64 * 1024;

/// What this process writes about itself.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) node: NodeId,
    pub(super) address: NodeAddress,
    pub(super) version: String,
}

/// What a member says of itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct MemberData {
    pub(super) address: Option<NodeAddress>,
    pub(super) node: Option<NodeId>,
    pub(super) version: Option<String>,
}

#[derive(Serialize)]
struct ServerData<'a> {
    ip: &'a str,
    /// As text: so does the original.
    port: String,
    serverurl: &'a str,
}

#[derive(Serialize)]
struct Written<'a> {
    serverdata: ServerData<'a>,
    node: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

/// Every field by itself, so that one that cannot be read costs no other.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    serverdata: Value,
    #[serde(default)]
    node: Value,
    #[serde(default)]
    version: Value,
    #[serde(default)]
    member: Value,
    #[serde(default)]
    since: Value,
}

impl Identity {
    /// The data of this process's member.
    pub(super) fn member(&self) -> Vec<u8> {
        self.write(None, None)
    }

    /// The data of the epoch that this process claims.
    pub(super) fn leader(&self, member: MemberName, since: Timestamp) -> Vec<u8> {
        self.write(Some(member.to_string()), Some(since.to_string()))
    }

    fn write(&self, member: Option<String>, since: Option<String>) -> Vec<u8> {
        let NodeAddress { host, port, url } = &self.address;
        let serverdata = ServerData { ip: host, port: port.to_string(), serverurl: url };
        let written = Written { serverdata, node: self.node.as_str(), version: &self.version, member, since };
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

/// Reads a member's data. What cannot be read is left out.
pub(super) fn read_member(bytes: &[u8]) -> MemberData {
    let Some(read) = read(bytes) else { return MemberData::default() };
    MemberData {
        address: address(&read.serverdata),
        node: read.node.as_str().map(NodeId::new),
        version: read.version.as_str().map(str::to_owned),
    }
}

/// Reads the epoch's data: `None` if it names no member.
pub(super) fn read_leader(bytes: &[u8]) -> Option<Named> {
    let read = read(bytes)?;
    Some(Named {
        member: MemberName::parse(read.member.as_str()?)?,
        node: read.node.as_str().map(NodeId::new),
        address: address(&read.serverdata),
        since: read.since.as_str().and_then(Timestamp::parse),
    })
}

fn read(bytes: &[u8]) -> Option<Read> {
    (bytes.len() <= MAX_BYTES).then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// An address that requests can go to. Without a usable URL it is made of host and port.
fn address(data: &Value) -> Option<NodeAddress> {
    let host = data["ip"].as_str().filter(|host| is_host(host))?;
    let port: u16 = match &data["port"] {
        Value::String(text) => text.trim().parse().ok()?,
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        _ => return None,
    };
    let given = data["serverurl"].as_str().map(|url| url.trim_end_matches('/')).filter(|url| is_url(url));
    let mut address = NodeAddress { host: host.to_owned(), port, url: String::new() };
    address.url = given.map_or_else(|| format!("http://{}", address.host_port()), str::to_owned);
    Some(address)
}

/// Nothing that could end up as another part of a URL, of a header or of a log line.
fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '%');
    !text.is_empty() && text.len() <= 255 && text.chars().all(fits)
}

fn is_url(text: &str) -> bool {
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    authority.is_some_and(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let address =
            NodeAddress { host: "10.0.0.1".to_owned(), port: 31999, url: "http://10.0.0.1:31999".to_owned() };
        Identity { node: NodeId::new("abc"), address, version: "1.2.3".to_owned() }
    }

    #[test]
    fn a_member_writes_what_the_original_writes_and_more() {
        let text = String::from_utf8(identity().member()).unwrap();
        assert_eq!(
            text,
            r#"{"serverdata":{"ip":"10.0.0.1","port":"31999","serverurl":"http://10.0.0.1:31999"},"node":"abc","version":"1.2.3"}"#
        );
        let read = read_member(text.as_bytes());
        assert_eq!(read.address, Some(identity().address));
        assert_eq!((read.node, read.version), (Some(NodeId::new("abc")), Some("1.2.3".to_owned())));
    }

    #[test]
    fn a_leader_is_named_with_its_member_and_since_when() {
        let member = MemberName::parse("member_0000000012").unwrap();
        let since = Timestamp::from_millis(1_767_607_200_480);
        let named = read_leader(&identity().leader(member, since)).unwrap();
        assert_eq!((named.member, named.since), (member, Some(since)));
        assert_eq!((named.node, named.address), (Some(NodeId::new("abc")), Some(identity().address)));
    }

    #[test]
    fn what_the_original_writes_is_read() {
        let data = br#"{"serverdata":{"ip":"h","port":"1234","serverurl":"http://h:1234"}}"#;
        let address = NodeAddress { host: "h".to_owned(), port: 1234, url: "http://h:1234".to_owned() };
        assert_eq!(read_member(data), MemberData { address: Some(address), ..MemberData::default() });
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for data in ["", "null", "[]", "{", r#"{"serverdata":7}"#, r#"{"serverdata":{"ip":"h"}}"#] {
            assert_eq!(read_member(data.as_bytes()), MemberData::default(), "{data}");
            assert_eq!(read_leader(data.as_bytes()), None, "{data}");
        }
        for url in ["ftp://h:1", "http://user:secret@h:1", "http://h:1/path", "http://h\n:1", "h:1"] {
            let data = serde_json::json!({ "serverdata": { "ip": "h", "port": 1, "serverurl": url } });
            let read = read_member(data.to_string().as_bytes());
            assert_eq!(read.address.unwrap().url, "http://h:1", "{url}");
        }
        for host in ["", "a b", "a/b", "u@h", "h\r\n"] {
            let data = serde_json::json!({ "serverdata": { "ip": host, "port": 1 }, "version": "1" });
            let read = read_member(data.to_string().as_bytes());
            assert_eq!((read.address, read.version), (None, Some("1".to_owned())), "{host:?}");
        }
        assert_eq!(read_member(&vec![b' '; MAX_BYTES + 1]), MemberData::default());
    }
}
