//! How large a record is, for stores that have a limit; and which one it is, in words.

use std::fmt;

use mconn_model::{EventTimestamp, TaskEvent};

use crate::record::event_size;
use crate::{Write, encode_dead_letter, encode_item, encode_journal_entry, encode_preset};

/// What a character of a key may become in the name of a record.
const NAME_GROWTH: usize = 3;

/// What a character of a text may become in JSON.
const TEXT_GROWTH: usize = 6;

/// More than names and marks of a task's JSON take.
const FIELDS: usize = 200;

impl Write {
    /// Bytes of the record that it writes, at most, with its name; 0 for one that writes none.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::PutPreset(preset) => encode_preset(preset).len() + preset.app.as_str().len() * NAME_GROWTH,
            Self::PutItem { item, .. } => encode_item(item).len() + item.key.len() * NAME_GROWTH,
            Self::Append(entry) => encode_journal_entry(entry).len(),
            Self::PutDeadLetter(letter) => encode_dead_letter(letter).len(),
            Self::RemovePreset { .. }
            | Self::RemoveItem { .. }
            | Self::Through { .. }
            | Self::Forget(_)
            | Self::RemoveDeadLetter { .. } => 0,
        }
    }
}

/// What it is about, for the log. A long key is cut.
impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutPreset(preset) => {
                write!(f, "preset {:.200} of module {}", preset.app.as_str(), preset.module)
            }
            Self::RemovePreset { module, app } => {
                write!(f, "the removal of preset {:.200} of module {module}", app.as_str())
            }
            Self::PutItem { module, item } => {
                write!(f, "inventory item {:?} of module {module}", Cut(&item.key))
            }
            Self::RemoveItem { module, key } => {
                write!(f, "the removal of inventory item {:?} of module {module}", Cut(key))
            }
            Self::Append(entry) => {
                write!(f, "event {:.200} at place {}", entry.event.display_id(), entry.seq)
            }
            Self::Through { seq, module } => {
                write!(f, "that module {module} is through with the event at place {seq}")
            }
            Self::Forget(seq) => write!(f, "the end of the event at place {seq}"),
            Self::PutDeadLetter(letter) => {
                write!(f, "dead letter {} of module {}", letter.seq, letter.module)
            }
            Self::RemoveDeadLetter { module, seq } => {
                write!(f, "the removal of dead letter {seq} of module {module}")
            }
        }
    }
}

struct Cut<'a>(&'a str);

impl fmt::Debug for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = beginning(self.0, 200);
        write!(f, "{kept:?}{}", if kept.len() < self.0.len() { "..." } else { "" })
    }
}

/// As much of a text as has at most `max` bytes. No character is cut in two.
#[must_use]
pub fn beginning(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether an event's JSON has at most `max` bytes.
///
/// # Errors
/// Its size, when it is larger.
pub fn event_fits(event: &TaskEvent, max: usize) -> Result<(), usize> {
    let timestamp = match &event.timestamp {
        Some(EventTimestamp::Text(text)) => text.len(),
        _ => 0,
    };
    let texts = event.task.as_str().len()
        + event.status.as_str().len()
        + event.app.as_str().len()
        + event.source.as_ref().map_or(0, |source| source.as_str().len())
        + event.host.as_ref().map_or(0, |host| host.len())
        + event.event_type.as_ref().map_or(0, |kind| kind.len())
        + timestamp;
    // Nearly all events are small, and then this is enough.
    if (texts + event.ports.len()) * TEXT_GROWTH + FIELDS <= max {
        return Ok(());
    }
    match event_size(event) {
        size if size > max => Err(size),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mconn_model::{AppId, InventoryItem, ModuleName, TaskId, TaskStatus};
    use proptest::prelude::*;

    use super::*;

    fn event(host: &str, ports: Vec<u16>) -> TaskEvent {
        TaskEvent {
            source: None,
            task: TaskId::new("t").unwrap(),
            status: TaskStatus::Running,
            app: AppId::parse("/a").unwrap(),
            host: Some(host.into()),
            ports,
            event_type: Some("status_update_event".into()),
            timestamp: Some(EventTimestamp::Text(host.into())),
        }
    }

    #[test]
    fn a_beginning_cuts_no_character_in_two() {
        let cases = [("", 3, ""), ("abc", 0, ""), ("abc", 2, "ab"), ("abc", 3, "abc"), ("abc", 9, "abc")];
        for (text, max, wanted) in cases.into_iter().chain([("a\u{e4}b", 2, "a"), ("a\u{e4}b", 3, "a\u{e4}")])
        {
            assert_eq!(beginning(text, max), wanted, "{text} {max}");
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_agrees_with_the_exact_one(host in "\\PC{0,40}|\u{1}{0,40}", ports: Vec<u16>, max in 100_usize..2_000) {
            let event = event(&host, ports);
            let size = event_size(&event);
            prop_assert_eq!(event_fits(&event, max), if size > max { Err(size) } else { Ok(()) });
        }
    }

    #[test]
    fn a_write_is_named_shortly() {
        let item = InventoryItem { key: "\n".repeat(500).into(), data: 1.into(), event: event("h", vec![]) };
        let write = Write::PutItem { module: ModuleName::new("Test").unwrap(), item: Arc::new(item) };
        assert!(write.size() > 1_500);
        let text = write.to_string();
        assert!(text.starts_with("inventory item \"\\n") && text.ends_with("\"... of module Test"), "{text}");
        assert!(text.len() < 500);
    }
}
