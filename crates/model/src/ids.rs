//! Identifiers. Each is its own type, so that an app id can never be passed for a task id, and each is cheap to clone.

use std::fmt;
use std::sync::Arc;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given, or nothing but slashes.
    #[error("{kind} must not be empty")]
    Empty {
        /// Which kind of id was asked for, e.g. `app id`.
        kind: &'static str,
    },
    /// Longer than [`MAX_ID_BYTES`].
    #[error("{kind} has {bytes} bytes, at most {MAX_ID_BYTES} are allowed")]
    TooLong {
        /// Which kind of id was asked for.
        kind: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// An app id with an empty, `.` or `..` segment.
    #[error("app id \"{id}\" has the segment \"{segment}\", which is not allowed")]
    Segment {
        /// The id as it was given.
        id: String,
        /// The offending segment.
        segment: String,
    },
    /// A control character, which would break log lines and file formats.
    #[error("{kind} contains a control character")]
    Control {
        /// Which kind of id was asked for.
        kind: &'static str,
    },
    /// A name with characters outside letters, digits, `-`, `_` and `.`.
    #[error("{kind} \"{id}\" may only have letters, digits, '-', '_' and '.'")]
    Characters {
        /// Which kind of id was asked for.
        kind: &'static str,
        /// The text as it was given.
        id: String,
    },
}

/// The longest id that is accepted, in bytes. Marathon's ids are bounded by ZooKeeper's node names, far below this.
pub const MAX_ID_BYTES: usize = 4096;

fn check(kind: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong { kind, bytes: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control { kind });
    }
    Ok(())
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes any text that is not empty, not longer than 4096 bytes and free of control characters.
            ///
            /// # Errors
            /// [`IdError`] that says which of these it broke.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

opaque_id! {
    /// A Mesos task. Any characters are possible (slashes and dots too), so it is never used as a path or file name.
    TaskId, "task id"
}
opaque_id! {
    /// Marathon's slot for one task (app) or several (pod); Marathon 1.4 and later.
    InstanceId, "instance id"
}
opaque_id! {
    /// A Mesos agent ("slave").
    AgentId, "agent id"
}
opaque_id! {
    /// One asynchronous change that Marathon is carrying out.
    DeploymentId, "deployment id"
}
opaque_id! {
    /// An orchestrator that we watch. Keys are (source, id), so that one source's outage never touches another's tasks.
    SourceId, "source id"
}

/// A module's name: letters, digits, `-`, `_` and `.`, as it appears in routes, presets and the store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleName(Arc<str>);

impl ModuleName {
    /// # Errors
    /// [`IdError`] when empty, too long, or with characters that do not fit a route or a store key.
    pub fn new(text: &str) -> Result<Self, IdError> {
        const KIND: &str = "module name";
        check(KIND, text)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !text.chars().all(fits) || matches!(text, "." | "..") {
            return Err(IdError::Characters { kind: KIND, id: text.to_owned() });
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for ModuleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// An absolute app (or pod) id such as `/group/sub/app`: begins with a slash, does not end in one, and has no empty,
/// `.` or `..` segment. The whole id is the key everywhere (spec/mconn.md section 8).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

impl AppId {
    /// Normalises and checks: a missing leading slash is added, one trailing slash is dropped.
    ///
    /// # Errors
    /// [`IdError`] for empty ids, `/`, empty or dotted segments and control characters.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        const KIND: &str = "app id";
        check(KIND, text)?;
        let bare = text.strip_prefix('/').unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        if bare.is_empty() {
            return Err(IdError::Empty { kind: KIND });
        }
        for segment in bare.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(IdError::Segment { id: text.to_owned(), segment: segment.to_owned() });
            }
        }
        if text.len() == bare.len() + 1 && text.starts_with('/') {
            return Ok(Self(text.into()));
        }
        Ok(Self(format!("/{bare}").into()))
    }

    /// The id as text, beginning with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments from the outermost group to the app's own name.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0[1..].split('/')
    }

    /// Whether this id lies below `group` (an absolute path; `/` holds everything).
    #[must_use]
    pub fn is_below(&self, group: &str) -> bool {
        let group = group.strip_suffix('/').unwrap_or(group);
        self.0.strip_prefix(group).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for AppId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn app_ids_are_normalised_or_refused() {
        let cases: &[(&str, Option<&str>)] = &[
            ("/web", Some("/web")),
            ("web", Some("/web")),
            ("/group/sub/app/", Some("/group/sub/app")),
            ("group/app", Some("/group/app")),
            ("", None),
            ("/", None),
            ("//", None),
            ("/a//b", None),
            ("/a/../b", None),
            ("/./a", None),
            ("/a\n", None),
        ];
        for (given, wanted) in cases {
            let got = AppId::parse(given).ok();
            assert_eq!(got.as_ref().map(AppId::as_str), *wanted, "given {given:?}");
        }
    }

    #[test]
    fn nested_ids_are_distinct_and_know_their_group() {
        let nested = AppId::parse("/group/app").unwrap();
        assert_ne!(nested, AppId::parse("/group").unwrap());
        assert!(nested.is_below("/group") && nested.is_below("/"));
        assert!(!nested.is_below("/gro") && !nested.is_below("/group/app"));
        assert_eq!(nested.segments().collect::<Vec<_>>(), ["group", "app"]);
    }

    #[test]
    fn module_names_fit_routes() {
        assert!(ModuleName::new("HelloWorld").is_ok());
        for bad in ["", "a/b", "..", "a b", "ä"] {
            assert!(ModuleName::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_an_app_id_twice_changes_nothing(text in "[a-z/.\\-]{0,20}") {
            if let Ok(id) = AppId::parse(&text) {
                prop_assert_eq!(AppId::parse(id.as_str()).unwrap(), id.clone());
                prop_assert!(id.as_str().starts_with('/') && !id.as_str().ends_with('/'));
            }
        }
    }
}
