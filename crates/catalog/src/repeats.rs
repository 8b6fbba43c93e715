//! Which notices are worth a line again.

use std::collections::BTreeMap;
use std::time::Duration;

use mconn_model::SourceId;

use crate::effects::Notice;

/// A trouble that goes on is worth a line a minute, not one a second.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What was said last about each source's trouble.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    said: BTreeMap<(SourceId, &'static str), (String, Duration)>,
}

impl Repeats {
    /// Whether this says something that was not said within the last minute.
    pub(crate) fn is_news(&mut self, notice: &Notice, now: Duration) -> bool {
        let (source, kind, reason) = match notice {
            Notice::SourceLost { source, reason } => (source, "lost", reason),
            Notice::RequestFailed { source, reason, .. } => (source, "failed", reason),
            Notice::SourceComplete { source, .. } | Notice::SourceBack { source } => {
                self.said.retain(|(other, _), _| other != source);
                return true;
            }
            _ => return true,
        };
        let key = (source.clone(), kind);
        let repeated = self.said.get(&key).is_some_and(|(text, at)| text == reason && now < *at + SAY_AGAIN);
        if !repeated {
            self.said.insert(key, (reason.clone(), now));
        }
        !repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_news_once_a_minute_and_after_it_was_over() {
        let source = SourceId::new("m").unwrap();
        let lost = |reason: &str| Notice::SourceLost { source: source.clone(), reason: reason.to_owned() };
        let mut repeats = Repeats::default();
        let second = Duration::from_secs(1);
        assert!(repeats.is_news(&lost("refused"), second));
        assert!(!repeats.is_news(&lost("refused"), 2 * second));
        assert!(repeats.is_news(&lost("timed out"), 3 * second), "another reason");
        assert!(repeats.is_news(&lost("timed out"), 63 * second), "a minute later");
        assert!(repeats.is_news(&Notice::SourceBack { source: source.clone() }, 64 * second));
        assert!(repeats.is_news(&lost("timed out"), 65 * second));
    }
}
