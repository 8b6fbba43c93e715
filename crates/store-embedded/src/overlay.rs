//! A view of a file that redb may write to without changing the file: what it writes stays in memory.
//!
//! This is how a file can be looked at in full, recovery after a crash and redb's own integrity check included, while
//! not one byte of it changes.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

const PAGE_BYTES: usize = 4096;

/// See the module's text. What redb writes while it opens and checks is a few pages, so memory is no concern.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// The file counts up to here; beyond, it has been cut off.
    file_len: u64,
    written: HashMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Overlay {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { len, file_len: len, written: HashMap::new() }) })
    }

    /// A map of pages is whole at any time, so a panic elsewhere does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_into(&self, state: &State, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= state.len);
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let in_file = state.file_len.saturating_sub(offset).min(out.len() as u64);
        let in_file = usize::try_from(in_file).unwrap_or(out.len());
        self.file.read_exact_at(&mut out[..in_file], offset)?;
        for piece in pieces(offset, out.len()) {
            if let Some(page) = state.written.get(&piece.page) {
                out[piece.at..piece.at + piece.len]
                    .copy_from_slice(&page[piece.within..piece.within + piece.len]);
            }
        }
        Ok(())
    }
}

/// The part of a range of bytes that lies in one page.
struct Piece {
    page: u64,
    within: usize,
    at: usize,
    len: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let position = offset + at as u64;
        let within = usize::try_from(position % PAGE_BYTES as u64).unwrap_or(0);
        let piece = Piece {
            page: position / PAGE_BYTES as u64,
            within,
            at,
            len: (PAGE_BYTES - within).min(len - at),
        };
        at += piece.len;
        (piece.len > 0).then_some(piece)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_into(&self.state(), offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if len < state.len {
            state.file_len = state.file_len.min(len);
            let (last, within) =
                (len / PAGE_BYTES as u64, usize::try_from(len % PAGE_BYTES as u64).unwrap_or(0));
            state.written.retain(|page, _| *page <= last);
            if let Some(page) = state.written.get_mut(&last) {
                page[within..].fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for piece in pieces(offset, data.len()) {
            if !state.written.contains_key(&piece.page) {
                let start = piece.page * PAGE_BYTES as u64;
                let present = state.len.saturating_sub(start).min(PAGE_BYTES as u64);
                let present = usize::try_from(present).unwrap_or(PAGE_BYTES);
                let mut page = Box::new([0; PAGE_BYTES]);
                if present > 0 {
                    self.read_into(&state, start, &mut page[..present])?;
                }
                state.written.insert(piece.page, page);
            }
            if let Some(page) = state.written.get_mut(&piece.page) {
                page[piece.within..piece.within + piece.len]
                    .copy_from_slice(&data[piece.at..piece.at + piece.len]);
            }
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }

    // The view belongs to one reader, so every lock is free. redb asks for them before it opens without verifying.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model: the bytes as a vector. The file itself must never change.
    #[test]
    fn the_view_changes_and_the_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let original: Vec<u8> = (0..20_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(&path, &original).unwrap();
        let overlay = Overlay::open(&path).unwrap();
        let mut model = original.clone();
        let mut random = fastrand::Rng::with_seed(7);
        for step in 0..2_000 {
            let offset = random.usize(..30_000);
            let len = random.usize(..9_000);
            match random.u8(..8) {
                0 => {
                    model.resize(offset, 0);
                    overlay.set_len(offset as u64).unwrap();
                }
                1..4 => {
                    let data: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
                    model.resize(model.len().max(offset + len), 0);
                    model[offset..offset + len].copy_from_slice(&data);
                    overlay.write(offset as u64, &data).unwrap();
                }
                _ => {
                    let mut out = vec![1; len];
                    let read = overlay.read(offset as u64, &mut out);
                    match model.get(offset..offset + len) {
                        Some(wanted) => assert_eq!(out, wanted, "step {step}: {offset} + {len}"),
                        None => assert!(read.is_err(), "step {step}: {offset} + {len}"),
                    }
                }
            }
            assert_eq!(overlay.len().unwrap(), model.len() as u64);
        }
        assert_eq!(std::fs::read(&path).unwrap(), original);
    }
}
