//! A batch that is larger than one transaction may be. Its effect is written in parts that nobody looks at; one transaction then
//! commits all of them by naming their number; then they are put in place and removed. A new leader finds a committed effect
//! and puts it in place, or parts without commitment and removes them: all or nothing, whatever the size.

/// First line of a part.
const HEADER: &[u8] = b"mconn staged 1\n";

/// Stands for the length of what is gone.
const GONE: u32 = u32::MAX;

/// Nodes and their data; `None` for those that go.
pub(crate) type Part = Vec<(String, Option<Vec<u8>>)>;

/// Splits an effect into parts of at most this many bytes, unless one node alone is larger.
pub(crate) fn split(nodes: impl Iterator<Item = (String, Option<Vec<u8>>)>, max_bytes: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut bytes = usize::MAX;
    for (path, data) in nodes {
        let size = path.len() + data.as_ref().map_or(0, Vec::len) + 8;
        if bytes.saturating_add(size) > max_bytes {
            parts.push(Part::new());
            bytes = HEADER.len();
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push((path, data));
        }
    }
    parts
}

/// A part as a node's data.
pub(crate) fn encode(part: &Part) -> Vec<u8> {
    // No piece comes near four gigabytes: ZooKeeper takes one megabyte.
    let length = |data: &[u8]| u32::try_from(data.len()).unwrap_or(GONE - 1).to_be_bytes();
    let mut bytes = HEADER.to_vec();
    for (path, data) in part {
        bytes.extend(length(path.as_bytes()));
        bytes.extend(path.as_bytes());
        match data {
            Some(data) => {
                bytes.extend(length(data));
                bytes.extend(data);
            }
            None => bytes.extend(GONE.to_be_bytes()),
        }
    }
    bytes
}

/// Reads a part; `None` if it is none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Part> {
    let mut rest = bytes.strip_prefix(HEADER)?;
    let mut part = Part::new();
    while !rest.is_empty() {
        let path = piece(&mut rest)??;
        part.push((String::from_utf8(path.to_vec()).ok()?, piece(&mut rest)?.map(<[u8]>::to_vec)));
    }
    Some(part)
}

/// The next piece: `None` if there is none, `Some(None)` for what is gone.
fn piece<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    let length = u32::from_be_bytes(*length);
    if length == GONE {
        return Some(None);
    }
    let (piece, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_keep_to_the_limit_unless_one_node_is_larger() {
        let node = |n: usize, size| (format!("/n{n}"), Some(vec![b'x'; size]));
        let nodes = [node(1, 100), node(2, 100), node(3, 900), ("/gone".to_owned(), None)];
        let parts = split(nodes.into_iter(), 300);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(split(std::iter::empty(), 300).is_empty());
    }

    #[test]
    fn what_is_no_part_is_not_read_as_one() {
        let whole = encode(&vec![("/a".to_owned(), Some(b"data".to_vec()))]);
        for cut in 0..whole.len() {
            assert!(cut == HEADER.len() || decode(&whole[..cut]).is_none(), "{cut}");
        }
        assert_eq!(decode(b""), None);
    }

    proptest! {
        #[test]
        fn parts_come_back(nodes in proptest::collection::vec(
            ("/[a-z]{1,8}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))), 0..20), max in 30_usize..200)
        {
            let parts = split(nodes.clone().into_iter(), max);
            let read: Option<Vec<Part>> = parts.iter().map(|part| decode(&encode(part))).collect();
            prop_assert_eq!(read.map(|parts| parts.concat()), Some(nodes));
        }
    }
}
