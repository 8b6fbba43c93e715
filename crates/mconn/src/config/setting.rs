//! What a setting is: the shape of one row of the table in [`super::table`].

/// One setting, described once for TOML, environment, flags, help, `mconn check`, start-up lines and `/v1/info`.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// Which one it is; equal to its place in the table.
    pub(crate) name: super::table::Name,
    /// The dotted key of the TOML file, e.g. `node.host`.
    pub(crate) key: &'static str,
    /// The environment variable, e.g. `MCONN_HOST`.
    pub(crate) env: &'static str,
    /// The flag without its dashes, e.g. `host`.
    pub(crate) flag: &'static str,
    /// How its text is read.
    pub(crate) kind: Kind,
    /// What holds when nobody sets it.
    pub(crate) default: Default,
    /// Whether the whole text, or a part of it, must never be shown.
    pub(crate) secret: Secrecy,
    /// For help and the start-up lines.
    pub(crate) description: &'static str,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key)
    }
}

/// How a text is read. It also says which TOML types fit and what help shows as the value's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A whole number or a fraction, with what it counts.
    Number(&'static str),
    /// `true` or `false`, anything else is an error.
    Bool,
    /// Exactly `true` switches on; anything else is off, as in the original.
    LooseBool,
    /// Any text that is not empty switches on, as in the original.
    NonEmpty,
    /// Several values separated by commas; an array in TOML.
    List,
    /// One of these words.
    Word(&'static [&'static str]),
}

impl Kind {
    /// The placeholder for help.
    pub(crate) fn value_name(self) -> String {
        match self {
            Self::Text => "TEXT".to_owned(),
            Self::Number(unit) => unit.to_owned(),
            Self::Bool | Self::LooseBool => "true|false".to_owned(),
            Self::NonEmpty => "ANY".to_owned(),
            Self::List => "A,B".to_owned(),
            Self::Word(words) => words.join("|"),
        }
    }
}

/// What holds when nobody sets a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Default {
    /// This text.
    Text(&'static str),
    /// Another environment variable with a text behind it, if that variable is there and not empty; else the text.
    Fallback {
        /// The other variable.
        env: &'static str,
        /// What is put behind its value.
        suffix: &'static str,
        /// What holds without that variable.
        text: &'static str,
    },
    /// Follows from other settings, in the words of the text; worked out when resolving.
    Derived(&'static str),
}

impl Default {
    /// For help: the default in words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Text("") => "empty".to_owned(),
            Self::Text(text) => text.to_owned(),
            Self::Fallback { env, suffix, text } => {
                format!("${env}{suffix}, else {}", if text.is_empty() { "empty" } else { text })
            }
            Self::Derived(words) => words.to_owned(),
        }
    }
}

/// What of a setting's text is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Nothing.
    Open,
    /// All of it.
    Whole,
    /// `user:password@` in front of each host of a list.
    HostList,
    /// The same for a list of named Marathons.
    Clusters,
    /// User, password and query of an address.
    Address,
}
