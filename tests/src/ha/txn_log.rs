//! ZooKeeper's own record of what was written: the transaction logs of its servers. Each transaction names the session that
//! asked for it, so that a leader's writes can be told from another's without trusting either. Reading is pure.
//!
//! ```text
//! "ZKLG" version database | checksum length [session cxid zxid time type record digest?] 'B' | ... | zeroes
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const MAGIC: &[u8] = b"ZKLG";
/// Magic, version of the format, id of the database.
const HEAD: usize = 16;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET: i32 = 5;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE_WITH_STAT: i32 = 15;
const CREATE_CONTAINER: i32 = 19;
const CREATE_WITH_TTL: i32 = 21;
const ERROR: i32 = -1;

/// What one transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A node was created.
    Create {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
    },
    /// A node's data were replaced.
    Set {
        /// The node.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// The version that it has since.
        version: i32,
    },
    /// A node was deleted.
    Delete {
        /// The node.
        path: String,
    },
    /// A node had the version that it had to have.
    Check {
        /// The node.
        path: String,
        /// That version.
        version: i32,
    },
    /// It was refused, or the transaction that it was part of.
    Refused {
        /// ZooKeeper's number of the reason.
        code: i32,
    },
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// Its place in the order of all.
    pub zxid: i64,
    /// Who asked for it.
    pub session: i64,
    /// Milliseconds of the server's clock.
    pub time: i64,
    /// What it did. Sessions that begin and end do nothing here.
    pub ops: Vec<Op>,
}

/// The logs of all servers below a directory, as one, in order. A transaction that several have is there once.
///
/// # Panics
/// If a directory or a log cannot be read.
#[must_use]
pub fn read_all(dir: &Path) -> Vec<Txn> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.expect("an entry of a directory").path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log.")) {
                let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let txns = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                all.extend(txns.into_iter().map(|txn| (txn.zxid, txn)));
            }
        }
    }
    all.into_values().collect()
}

/// Reads one log. A transaction that is cut short at its end, as by a kill -9, ends it; so do the zeroes that a server writes
/// in advance.
///
/// # Errors
/// In words, if it is no log, or a transaction in it cannot be read.
pub fn read(bytes: &[u8]) -> Result<Vec<Txn>, String> {
    let mut txns = Vec::new();
    if bytes.is_empty() {
        return Ok(txns);
    }
    if !bytes.starts_with(MAGIC) || bytes.len() < HEAD {
        return Err("it is no transaction log".to_owned());
    }
    let mut rest = Reader(&bytes[HEAD..]);
    loop {
        // The checksum.
        if rest.take(8).is_none() {
            return Ok(txns);
        }
        let Some(record) = rest.buffer().filter(|record| !record.is_empty()) else { return Ok(txns) };
        if rest.take(1) != Some(b"B") {
            return Ok(txns);
        }
        let number = txns.len();
        txns.push(transaction(record).ok_or_else(|| format!("transaction {number} of it cannot be read"))?);
    }
}

fn transaction(record: &[u8]) -> Option<Txn> {
    let mut record = Reader(record);
    let session = record.long()?;
    record.int()?;
    let zxid = record.long()?;
    let time = record.long()?;
    let kind = record.int()?;
    let ops = if kind == MULTI {
        let count = record.int()?;
        let mut ops = Vec::new();
        for _ in 0..count {
            let kind = record.int()?;
            ops.extend(op(kind, &mut Reader(record.buffer()?))?);
        }
        ops
    } else {
        op(kind, &mut record)?.into_iter().collect()
    };
    Some(Txn { zxid, session, time, ops })
}

/// The outer `None` is something that cannot be read, the inner one something that is of no interest.
fn op(kind: i32, record: &mut Reader<'_>) -> Option<Option<Op>> {
    Some(Some(match kind {
        CREATE | CREATE_WITH_STAT | CREATE_CONTAINER | CREATE_WITH_TTL => {
            Op::Create { path: record.text()?, data: record.buffer()?.to_vec() }
        }
        SET => Op::Set { path: record.text()?, data: record.buffer()?.to_vec(), version: record.int()? },
        DELETE => Op::Delete { path: record.text()? },
        // What is written is the version after, as for data that are replaced.
        CHECK => Op::Check { path: record.text()?, version: record.int()? - 1 },
        ERROR => Op::Refused { code: record.int()? },
        _ => return Some(None),
    }))
}

/// ZooKeeper's encoding: big-endian numbers, and texts and buffers after their length, which is -1 for none.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn buffer(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        self.take(usize::try_from(length.max(0)).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.buffer()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(data: &[u8]) -> Vec<u8> {
        let mut out = i32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        out.extend(data);
        out
    }

    fn record(session: i64, zxid: i64, kind: i32, body: &[u8]) -> Vec<u8> {
        let mut out = session.to_be_bytes().to_vec();
        out.extend(7_i32.to_be_bytes());
        out.extend(zxid.to_be_bytes());
        out.extend(1_000_i64.to_be_bytes());
        out.extend(kind.to_be_bytes());
        out.extend(body);
        let mut framed = vec![0; 8];
        framed.extend(buffer(&out));
        framed.push(b'B');
        framed
    }

    fn multi(parts: &[(i32, Vec<u8>)]) -> Vec<u8> {
        let mut out = i32::try_from(parts.len()).unwrap().to_be_bytes().to_vec();
        for (kind, body) in parts {
            out.extend(kind.to_be_bytes());
            out.extend(buffer(body));
        }
        out
    }

    fn log(records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.resize(HEAD, 0);
        records.iter().for_each(|record| out.extend(record));
        out
    }

    fn with_version(path: &str, data: Option<&[u8]>, version: i32) -> Vec<u8> {
        let mut out = buffer(path.as_bytes());
        out.extend(data.map(buffer).unwrap_or_default());
        out.extend(version.to_be_bytes());
        out
    }

    #[test]
    fn a_log_is_read_as_far_as_it_goes() {
        let check = (CHECK, with_version("/e", None, 5));
        let set = (SET, with_version("/n", Some(b"x"), 3));
        let records = [
            record(9, 1, -10, &[0, 0, 0x0b, 0xb8]),
            record(9, 2, MULTI, &multi(&[check.clone(), set])),
            record(8, 3, MULTI, &multi(&[(ERROR, (-103_i32).to_be_bytes().to_vec())])),
            record(9, 4, DELETE, &buffer(b"/n")),
        ];
        let mut bytes = log(&records);
        let whole = bytes.len();
        bytes.extend([0; 64]);
        let txns = read(&bytes).unwrap();
        assert_eq!(
            txns.iter().map(|txn| (txn.zxid, txn.session)).collect::<Vec<_>>(),
            [(1, 9), (2, 9), (3, 8), (4, 9)]
        );
        assert_eq!(txns[0].ops, []);
        assert_eq!(
            txns[1].ops,
            [
                Op::Check { path: "/e".into(), version: 4 },
                Op::Set { path: "/n".into(), data: b"x".to_vec(), version: 3 }
            ]
        );
        assert_eq!(txns[2].ops, [Op::Refused { code: -103 }]);
        assert_eq!(txns[3].ops, [Op::Delete { path: "/n".into() }]);
        assert_eq!(read(&bytes[..whole - 1]).unwrap().len(), 3, "the last one is cut short");
        assert_eq!(read(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(read(b"something else that is long enough").is_err());
        let broken = log(&[record(9, 1, MULTI, &multi(&[(SET, buffer(b"/n"))]))]);
        assert_eq!(read(&broken), Err("transaction 0 of it cannot be read".to_owned()));
    }
}
