//! The store on a disk that fails: at every single write, resize and sync of a run, once for each.
//!
//! The disk keeps two images: what the process sees (the page cache) and what has been synced. After a failure the store
//! opens again on what the process sees; a power cut leaves the synced image and any part of the writes since.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use mconn_model::{AppId, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus, Timestamp};
use mconn_store::{Contents, JournalEntry, MemoryStore, Seq, Store, StoreError, StoreErrorKind, Write};
use redb::{Builder, Database, StorageBackend};

use crate::OpenOptions;
use crate::engine::{Engine, Medium};
use crate::error::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// One operation fails, the next ones work.
    Once,
    /// From then on every write, resize and sync fails, until the disk is mended.
    Forever,
    /// As `Forever`, and half of the failing write has reached the file.
    Torn,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    Resize(u64),
}

#[derive(Debug, Default)]
struct Platter {
    visible: Vec<u8>,
    synced: Vec<u8>,
    since_sync: Vec<Change>,
    operations: u64,
    fail_at: Option<(u64, Fault)>,
    open: bool,
}

impl Platter {
    /// Counts an operation that changes something; tells whether it fails, and how.
    fn operation(&mut self) -> Option<Fault> {
        let now = self.operations;
        self.operations += 1;
        match self.fail_at {
            Some((at, Fault::Once)) if now == at => Some(Fault::Once),
            Some((at, fault)) if now >= at && fault != Fault::Once => Some(fault),
            _ => None,
        }
    }

    fn apply(image: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write { offset, data } => {
                let (start, end) =
                    (usize::try_from(*offset).unwrap(), usize::try_from(*offset).unwrap() + data.len());
                image.resize(image.len().max(end), 0);
                image[start..end].copy_from_slice(data);
            }
            Change::Resize(len) => image.resize(usize::try_from(*len).unwrap(), 0),
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        match self.operation() {
            None => {
                Self::apply(&mut self.visible, &change);
                self.since_sync.push(change);
                Ok(())
            }
            Some(fault) => {
                if let (Fault::Torn, Change::Write { offset, data }) = (fault, change) {
                    let half = Change::Write { offset, data: data[..data.len() / 2].to_vec() };
                    Self::apply(&mut self.visible, &half);
                    self.since_sync.push(half);
                }
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// A disk with this image on it, all of it synced.
    fn holding(image: Vec<u8>) -> Self {
        let platter = Platter { visible: image.clone(), synced: image, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    fn mend(&self) {
        self.platter().fail_at = None;
    }

    /// What a power cut leaves: the synced image and those of the writes since that `kept` chooses.
    fn after_power_cut(&self, mut kept: impl FnMut() -> bool) -> Self {
        let platter = self.platter();
        let mut image = platter.synced.clone();
        for change in platter.since_sync.iter().filter(|_| kept()) {
            Platter::apply(&mut image, change);
        }
        drop(platter);
        Self::holding(image)
    }

    fn engine(&self) -> Result<Engine, StoreError> {
        Engine::start(DiskMedium(self.clone(), PathBuf::from("/disk/mconn.redb")), OpenOptions::default())
    }
}

#[derive(Debug)]
struct DiskMedium(Disk, PathBuf);

impl Medium for DiskMedium {
    fn open(&self, builder: &Builder) -> Result<Database, Failure> {
        assert!(!self.0.platter().open, "the old database is closed before the file is opened again");
        self.0.platter().open = true;
        Ok(builder.create_with_backend(DiskBackend(self.0.clone()))?)
    }

    fn file(&self) -> &Path {
        &self.1
    }
}

#[derive(Debug)]
struct DiskBackend(Disk);

impl StorageBackend for DiskBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.platter().visible.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.platter();
        let start = usize::try_from(offset).unwrap();
        let from = platter.visible.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.platter().change(Change::Resize(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.platter().change(Change::Write { offset, data: data.to_vec() })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.platter();
        if platter.operation().is_some() {
            return Err(io::Error::other("sync failed"));
        }
        platter.synced = platter.visible.clone();
        platter.since_sync.clear();
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.0.platter().open = false;
        Ok(())
    }
}

/// An empty store as a file would hold it.
fn new_image() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    crate::import::create(&crate::files::Places::new(dir.path()), &Contents::default()).unwrap();
    std::fs::read(dir.path().join(crate::FILE_NAME)).unwrap()
}

fn module() -> ModuleName {
    ModuleName::new("Test").unwrap()
}

fn event(task: &str) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).unwrap(),
        status: TaskStatus::Running,
        app: AppId::parse("/app").unwrap(),
        host: None,
        ports: vec![31_000],
        event_type: None,
        timestamp: None,
    }
}

fn append(seq: u64) -> Write {
    let event = Arc::new(event(&format!("task.{seq}")));
    Write::Append(Arc::new(JournalEntry {
        seq: Seq(seq),
        accepted_at: Timestamp::from_millis(0),
        event,
        owed: [].into(),
    }))
}

fn put_item(key: &str, bytes: usize) -> Write {
    let data = serde_json::Value::String("x".repeat(bytes));
    let item = InventoryItem { key: key.into(), data, event: event(key) };
    Write::PutItem { module: module(), item: Arc::new(item) }
}

fn put_preset(app: &str) -> Write {
    Write::PutPreset(Arc::new(Preset {
        app: AppId::parse(app).unwrap(),
        module: module(),
        status: Preset::ENABLED.into(),
        options: serde_json::Value::Null,
        last_edit: None,
        extra: serde_json::Map::new(),
    }))
}

/// A run that grows the file, splits and merges pages, and touches every table.
fn batches() -> Vec<Vec<Write>> {
    vec![
        (0..40).map(append).collect(),
        vec![put_preset("/app"), put_item("web.1", 20), Write::Through { seq: Seq(3), module: module() }],
        vec![put_item("large", 60_000)],
        (0..39).map(|seq| Write::Forget(Seq(seq))).chain([append(40), put_item("web.1", 5_000)]).collect(),
        vec![Write::RemoveItem { module: module(), key: "large".into() }, append(41)],
        (42..120).map(append).collect(),
    ]
}

/// The contents before the first batch and after each one, as the memory store sees them.
async fn states() -> Vec<Contents> {
    let model = MemoryStore::new();
    let mut states = vec![model.contents()];
    for batch in batches() {
        model.commit(batch).await.unwrap();
        states.push(model.contents());
    }
    states
}

/// Number of operations of a run without faults, starting when the store is open.
fn operations() -> (u64, u64) {
    let disk = Disk::holding(new_image());
    let mut engine = disk.engine().unwrap();
    let opened = disk.platter().operations;
    for batch in batches() {
        engine.commit(&batch).unwrap();
    }
    let written = disk.platter().operations;
    (opened, written)
}

/// Runs all batches with one fault, checks the answer to the failing one, and goes on to the end.
fn run(states: &[Contents], fail_at: u64, fault: Fault) {
    let disk = Disk::holding(new_image());
    let mut engine = disk.engine().unwrap();
    disk.platter().fail_at = Some((fail_at, fault));
    let mut failures = 0;
    for (index, batch) in batches().iter().enumerate() {
        let (before, after) = (&states[index], &states[index + 1]);
        let place = format!("{fault:?} at {fail_at}, batch {index}");
        while let Err(error) = engine.commit(batch) {
            failures += 1;
            assert!(failures < 10, "{place}: never ends: {error}");
            check_power_cuts(&disk, &[before, after], fail_at, &place);
            disk.mend();
            let now = engine.load().unwrap_or_else(|error| panic!("{place}: {error}"));
            match error.kind {
                StoreErrorKind::Unavailable => assert_eq!(&now, before, "{place}: {error}"),
                StoreErrorKind::Unknown => assert!(&now == before || &now == after, "{place}: {error}"),
                other => panic!("{place}: {other:?} {error}"),
            }
        }
        assert_eq!(&engine.load().unwrap(), after, "{place}");
        check_power_cuts(&disk, &[after], fail_at, &place);
    }
    assert!(failures > 0 || fault == Fault::Once, "{fault:?} at {fail_at} has hit nothing");
    engine.close().unwrap();
    assert_eq!(&disk.engine().unwrap().load().unwrap(), states.last().unwrap());
}

/// Whatever part of the writes since the last sync a power cut leaves, the store is in one of `allowed`.
fn check_power_cuts(disk: &Disk, allowed: &[&Contents], seed: u64, place: &str) {
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..4 {
        let cut = match round {
            0 => disk.after_power_cut(|| false),
            1 => disk.after_power_cut(|| true),
            _ => disk.after_power_cut(|| random.bool()),
        };
        let mut engine = cut.engine().unwrap_or_else(|error| panic!("{place}, power cut {round}: {error}"));
        let now = engine.load().unwrap();
        assert!(allowed.contains(&&now), "{place}, power cut {round}: neither before nor after");
    }
}

#[tokio::test]
async fn a_batch_is_whole_or_not_there_whichever_operation_fails() {
    let states = states().await;
    let (opened, written) = operations();
    assert!(written - opened > 50, "the run is long enough to mean something: {}", written - opened);
    for fail_at in opened..written {
        for fault in [Fault::Once, Fault::Forever, Fault::Torn] {
            run(&states, fail_at, fault);
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_left_behind_without_a_restart() {
    let disk = Disk::holding(new_image());
    let mut engine = disk.engine().unwrap();
    engine.commit(&[append(0)]).unwrap();
    let now = disk.platter().operations;
    disk.platter().fail_at = Some((now, Fault::Forever));
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(engine.commit(&[append(1)]).unwrap_err().kind);
    }
    // The first one cannot tell, because the file cannot be opened again; then nothing is even begun.
    assert!(kinds[1..].iter().all(|kind| *kind == StoreErrorKind::Unavailable), "{kinds:?}");
    disk.mend();
    engine.commit(&[append(1)]).unwrap();
    assert_eq!(engine.load().unwrap().journal.len(), 2);
}

#[tokio::test]
async fn damage_that_shows_in_a_running_store_is_reported_and_stays() {
    let disk = Disk::holding(new_image());
    let mut engine = disk.engine().unwrap();
    for batch in batches() {
        engine.commit(&batch).unwrap();
    }
    engine.close().unwrap();
    disk.platter().visible[4096..].fill(0xA5);
    let before = disk.platter().visible.clone();
    for _ in 0..2 {
        let error = engine.commit(&[append(500)]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
        assert!(error.message.contains("mconn store repair --data-dir /disk"), "{error}");
    }
    assert_eq!(disk.platter().visible.len(), before.len());
}
