//! The file in which memory outlives the process: one line per task, written whole and put in place at once, so that a
//! crash leaves either the old or the new one. It can be lost without harm to anything but the first minutes of a restart.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use mconn_model::{Rule, SourceId, TaskId};

use crate::remembered::Remembered;

/// First line of the file; another one is another format.
const HEAD: &str = "mconn task memory 1";

/// Where memory is kept.
#[derive(Debug, Clone)]
pub struct MemoryFile {
    path: PathBuf,
}

/// Why memory could not be read.
#[derive(Debug)]
pub enum MemoryFileError {
    /// The file cannot be read.
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no memory, or only a part of one.
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The first line that makes no sense, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl std::fmt::Display for MemoryFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{} cannot be read: {source}", path.display()),
            Self::Damaged { path, line, reason } => {
                write!(f, "{} is damaged in line {line}: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for MemoryFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Damaged { .. } => None,
        }
    }
}

impl MemoryFile {
    /// Memory in that file; its folder has to be there.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was kept; nothing if there is no file yet.
    ///
    /// # Errors
    /// [`MemoryFileError`]. A damaged file should be put aside with [`MemoryFile::put_aside`] before anything is saved.
    pub fn load(&self) -> Result<Vec<(SourceId, Remembered)>, MemoryFileError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(MemoryFileError::Io { path: self.path.clone(), source }),
        };
        decode(&text).map_err(|(line, reason)| {
            let path = self.path.clone();
            MemoryFileError::Damaged { path, line, reason }
        })
    }

    /// Renames the file, so that it can be looked at and is not overwritten; where it is now.
    ///
    /// # Errors
    /// As renaming has them.
    pub fn put_aside(&self) -> std::io::Result<PathBuf> {
        let aside = self.path.with_extension("damaged");
        std::fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Puts `text` in place of what was there.
    pub(crate) fn save(&self, text: &str) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        // Without it a power failure could leave an empty file under the name that counts.
        file.sync_data()?;
        std::fs::rename(&new, &self.path)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Ids have no control characters, so tabs and line ends separate.
pub(crate) fn encode<'a>(all: impl Iterator<Item = (&'a SourceId, Remembered)>) -> String {
    let (mut text, mut count) = (format!("{HEAD}\n"), 0usize);
    for (source, Remembered { task, healthy, proven, leaving }) in all {
        let healthy = match healthy {
            Some(true) => "healthy",
            Some(false) => "unhealthy",
            None => "unknown",
        };
        let proven = if proven { "ready-once" } else { "never-ready" };
        let leaving = leaving.map_or("stays", Rule::as_str);
        for field in [source.as_str(), task.as_str(), healthy, proven] {
            text.push_str(field);
            text.push('\t');
        }
        text.push_str(leaving);
        text.push('\n');
        count += 1;
    }
    text.push_str(&format!("end {count}\n"));
    text
}

type Line = (usize, &'static str);

fn decode(text: &str) -> Result<Vec<(SourceId, Remembered)>, Line> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    if lines.next().is_none_or(|(_, head)| head != HEAD) {
        return Err((1, "it is no memory of this version"));
    }
    let mut all = Vec::new();
    for (at, line) in lines {
        if let Some(count) = line.strip_prefix("end ") {
            let whole = count.parse() == Ok(all.len());
            return if whole { Ok(all) } else { Err((at, "the number of lines is another one")) };
        }
        all.push(decode_line(line).map_err(|reason| (at, reason))?);
    }
    Err((all.len() + 2, "the end is missing"))
}

fn decode_line(line: &str) -> Result<(SourceId, Remembered), &'static str> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [source, task, healthy, proven, leaving] = fields[..] else { return Err("it has not five fields") };
    let source = SourceId::new(source).map_err(|_| "its source is no source")?;
    let task = TaskId::new(task).map_err(|_| "its task is no task")?;
    let healthy = match healthy {
        "healthy" => Some(true),
        "unhealthy" => Some(false),
        "unknown" => None,
        _ => return Err("its health is none"),
    };
    let proven = match proven {
        "ready-once" => true,
        "never-ready" => false,
        _ => return Err("whether it was ready is not said"),
    };
    let leaving = match leaving {
        "stays" => None,
        name => Some(*Rule::ALL.iter().find(|rule| rule.as_str() == name).ok_or("its rule is none")?),
    };
    Ok((source, Remembered { task, healthy, proven, leaving }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn remembered() -> impl Strategy<Value = (SourceId, Remembered)> {
        let rule = proptest::option::of(proptest::sample::select(Rule::ALL));
        ("[a-z:,.0-9]{1,12}", "[ -~]{1,20}", any::<Option<bool>>(), any::<bool>(), rule).prop_filter_map(
            "ids",
            |(source, task, healthy, proven, leaving)| {
                let task = TaskId::new(&task).ok()?;
                Some((SourceId::new(&source).ok()?, Remembered { task, healthy, proven, leaving }))
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_a_part_of_it_does_not(
            all in proptest::collection::vec(remembered(), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let text = encode(all.iter().map(|(source, it)| (source, it.clone())));
            prop_assert_eq!(decode(&text), Ok(all));
            let cut = cut.index(text.len() - 1);
            prop_assert!(decode(&text[..cut]).is_err(), "{} of {}", cut, text.len());
        }
    }

    #[test]
    fn a_damaged_file_is_named_and_can_be_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let file = MemoryFile::new(dir.path().join("task-memory"));
        assert!(file.load().unwrap().is_empty());
        file.save("mconn task memory 1\nx\n").unwrap();
        let error = file.load().unwrap_err().to_string();
        assert!(error.contains("task-memory is damaged in line 2"), "{error}");
        let aside = file.put_aside().unwrap();
        assert!(aside.exists() && file.load().unwrap().is_empty());
    }
}
