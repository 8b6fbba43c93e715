//! The export document: everything a store holds as one JSON text that a person can read, edit and import.

use std::collections::HashMap;
use std::sync::Arc;

use mconn_model::ModuleName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{
    RecordError, decode_dead_letter, decode_item, decode_journal_entry, decode_preset, encode_dead_letter,
    encode_item, encode_journal_entry, encode_preset,
};
use crate::{Contents, Seq};

/// Value of the document's `format`.
pub const FORMAT: &str = "mconn-store";

/// The greatest place that a document may name: JSON's whole numbers end here for many readers, and a million events a
/// second would take three centuries to come near.
const MAX_SEQ: u64 = 1 << 53;

/// Version of the stored layout. Readers refuse greater ones.
pub const SCHEMA_VERSION: u32 = 1;

/// Why a text is no export document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No JSON of this shape.
    #[error("the document is no JSON of the export format: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but something else.
    #[error("the document's format is \"{found}\", expected \"{FORMAT}\"")]
    Format {
        /// What it says.
        found: String,
    },
    /// Written by a newer mconn.
    #[error(
        "the document has schema version {found}, this mconn reads up to {SCHEMA_VERSION}: use a newer mconn"
    )]
    TooNew {
        /// What it says.
        found: u32,
    },
    /// A place that leaves no room for another one.
    #[error("{place}: no place in the journal can be as large as {seq}")]
    Seq {
        /// Where in the document.
        place: String,
        /// The place.
        seq: u64,
    },
    /// A record in it is broken. Nothing is imported then.
    #[error("{place}: {source}")]
    Record {
        /// Where in the document.
        place: String,
        /// What is wrong.
        source: RecordError,
    },
}

/// Everything a store holds, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    format: String,
    schema_version: u32,
    next_seq: Option<u64>,
    presets: Vec<Value>,
    inventory: Vec<ItemRecord>,
    journal: Vec<JournalRecord>,
    #[serde(default)]
    dead_letters: Vec<DeadLetterRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ItemRecord {
    module: String,
    key: String,
    item: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct JournalRecord {
    seq: u64,
    #[serde(default)]
    through: Vec<String>,
    entry: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct DeadLetterRecord {
    module: String,
    seq: u64,
    letter: Value,
}

impl Document {
    /// The document for these contents.
    #[must_use]
    pub fn from_contents(contents: &Contents) -> Self {
        let json = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap_or_default();
        let mut marks: HashMap<Seq, Vec<String>> = HashMap::new();
        for (seq, module) in &contents.through {
            marks.entry(*seq).or_default().push(module.as_str().to_owned());
        }
        Self {
            format: FORMAT.to_owned(),
            schema_version: SCHEMA_VERSION,
            next_seq: contents.next_seq.map(|seq| seq.0),
            presets: contents.presets.iter().map(|preset| json(encode_preset(preset))).collect(),
            inventory: contents
                .items
                .iter()
                .map(|(module, item)| ItemRecord {
                    module: module.as_str().to_owned(),
                    key: item.key.to_string(),
                    item: json(encode_item(item)),
                })
                .collect(),
            journal: contents
                .journal
                .iter()
                .map(|entry| JournalRecord {
                    seq: entry.seq.0,
                    through: marks.remove(&entry.seq).unwrap_or_default(),
                    entry: json(encode_journal_entry(entry)),
                })
                .collect(),
            dead_letters: contents
                .dead_letters
                .iter()
                .map(|letter| DeadLetterRecord {
                    module: letter.module.as_str().to_owned(),
                    seq: letter.seq.0,
                    letter: json(encode_dead_letter(letter)),
                })
                .collect(),
        }
    }

    /// The text, indented, with a final newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] that names what is wrong; the first broken record refuses the whole document.
    pub fn parse(text: &str) -> Result<Contents, DocumentError> {
        let document: Self = serde_json::from_str(text)?;
        if document.format != FORMAT {
            return Err(DocumentError::Format { found: document.format });
        }
        if document.schema_version > SCHEMA_VERSION {
            return Err(DocumentError::TooNew { found: document.schema_version });
        }
        document.into_contents()
    }

    fn into_contents(self) -> Result<Contents, DocumentError> {
        let mut contents = Contents::default();
        for (index, preset) in self.presets.iter().enumerate() {
            let place = || format!("presets[{index}]");
            let preset = decode_preset(&bytes(preset)).map_err(|source| broken(place(), source))?;
            contents.presets.push(Arc::new(preset));
        }
        for (index, record) in self.inventory.iter().enumerate() {
            let place = || format!("inventory[{index}]");
            let module = module(&record.module, place)?;
            let item =
                decode_item(&record.key, &bytes(&record.item)).map_err(|source| broken(place(), source))?;
            contents.items.push((module, Arc::new(item)));
        }
        for (index, record) in self.journal.iter().enumerate() {
            let place = || format!("journal[{index}]");
            let seq = Seq(record.seq);
            let entry =
                decode_journal_entry(seq, &bytes(&record.entry)).map_err(|source| broken(place(), source))?;
            contents.journal.push(Arc::new(entry));
            for name in &record.through {
                contents.through.push((seq, module(name, place)?));
            }
        }
        for (index, record) in self.dead_letters.iter().enumerate() {
            let place = || format!("deadLetters[{index}]");
            let module = module(&record.module, place)?;
            let letter = decode_dead_letter(module, Seq(record.seq), &bytes(&record.letter))
                .map_err(|source| broken(place(), source))?;
            contents.dead_letters.push(Arc::new(letter));
        }
        let places =
            contents.journal.iter().map(|e| e.seq).chain(contents.dead_letters.iter().map(|l| l.seq));
        if let Some(Seq(seq)) = places.chain(self.next_seq.map(Seq)).find(|seq| seq.0 > MAX_SEQ) {
            return Err(DocumentError::Seq { place: "journal, deadLetters or nextSeq".to_owned(), seq });
        }
        let used =
            contents.journal.iter().map(|e| e.seq).chain(contents.dead_letters.iter().map(|l| l.seq)).max();
        contents.next_seq = self.next_seq.map(Seq).max(used.map(Seq::next));
        Ok(contents)
    }
}

fn bytes(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

fn broken(place: String, source: RecordError) -> DocumentError {
    DocumentError::Record { place, source }
}

fn module(name: &str, place: impl Fn() -> String) -> Result<ModuleName, DocumentError> {
    ModuleName::new(name).map_err(|error| broken(place(), RecordError::from_text(&error.to_string())))
}
