//! The TOML layer: a table per area, a key per setting, both from the table of settings. It keeps the line of every
//! value. An unknown key is an error, because in a file it is a mistake and nothing else.

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::raw::{Given, Origin};
use super::setting::{Kind, Setting};
use super::table::{Name, SETTINGS, nearest_key};

type Spanned<T> = toml::Spanned<T>;

/// Reads all it can, and says what it could not.
pub(crate) fn read(path: &str, text: &str) -> (Vec<(Name, Given)>, Vec<Problem>) {
    let mut reader = Reader { path, text, values: Vec::new(), problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(root) => reader.table("", root.get_ref()),
        Err(error) => {
            let line = error.span().map_or(1, |span| reader.line(span.start));
            let message = error.message().to_owned();
            reader.problems.push(Problem::Syntax { path: path.to_owned(), line, message });
        }
    }
    (reader.values, reader.problems)
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    values: Vec<(Name, Given)>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let line = self.line(key.span().start);
            let full = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            if let Some(setting) = SETTINGS.iter().find(|s| s.key == full) {
                self.value(setting, line, value);
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) if prefix.is_empty() && is_area(&full) => self.table(&full, inner),
                _ => {
                    let hint = nearest_key(&full);
                    let path = self.path.to_owned();
                    self.problems.push(Problem::UnknownKey { path, line, key: full, hint });
                }
            }
        }
    }

    fn value(&mut self, setting: &'static Setting, line: usize, value: &Spanned<DeValue<'_>>) {
        let text = match (value.get_ref(), setting.kind) {
            // In the environment any text mutes; `false` in a file can only mean the opposite.
            (DeValue::Boolean(false), Kind::NonEmpty) => Some(String::new()),
            (DeValue::Array(items), Kind::List) => items
                .iter()
                .map(|item| scalar(item.get_ref()))
                .collect::<Option<Vec<_>>>()
                .map(|all| all.join(",")),
            (other, _) => scalar(other),
        };
        match text {
            Some(text) => {
                let origin = Origin::File { path: self.path.to_owned(), line };
                self.values.push((setting.name, Given::new(text, origin)));
            }
            None => self.problems.push(Problem::Type {
                path: self.path.to_owned(),
                line,
                key: setting.key.to_owned(),
                found: type_name(value.get_ref()),
                expected: if setting.kind == Kind::List {
                    "a string, or an array of strings"
                } else {
                    "one value"
                },
            }),
        }
    }
}

/// Whether some setting lies in this table.
fn is_area(name: &str) -> bool {
    SETTINGS.iter().any(|s| s.key.split_once('.').is_some_and(|(area, _)| area == name))
}

/// A single value as the text that a variable would have.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
            "a single value"
        }
    }
}
