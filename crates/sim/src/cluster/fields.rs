//! Reading typed fields out of JSON and remembering every mismatch with its path, as Marathon reports them.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One complaint about one place of a body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// Where, as `/healthChecks(0)/path`.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) error: String,
}

/// A JSON object that is being read.
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// Reads `map`, which is found at `path`.
    pub(crate) fn new(map: &'a Map<String, Value>, path: &str, faults: &'a mut Vec<Fault>) -> Fields<'a> {
        Fields { map, path: path.to_owned(), faults }
    }

    /// Reads `value` as an object, which is a fault if it is none.
    pub(crate) fn of(value: &'a Value, path: &str, faults: &'a mut Vec<Fault>) -> Option<Fields<'a>> {
        match value {
            Value::Object(map) => Some(Fields::new(map, path, faults)),
            _ => {
                faults.push(Fault { path: path.to_owned(), error: "error.expected.jsobject".into() });
                None
            }
        }
    }

    /// Where `key` is.
    pub(crate) fn path_of(&self, key: &str) -> String {
        format!("{}/{key}", self.path)
    }

    /// The value of `key`; null is absent.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Notes a complaint about `key`.
    pub(crate) fn complain(&mut self, key: &str, error: &str) {
        let path = self.path_of(key);
        self.faults.push(Fault { path, error: error.to_owned() });
    }

    /// The list of complaints, for reading what is nested.
    pub(crate) fn faults(&mut self) -> &mut Vec<Fault> {
        self.faults
    }

    fn typed<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let found = read(value);
        if found.is_none() {
            self.complain(key, expected);
        }
        found
    }

    pub(crate) fn string(&mut self, key: &str) -> Option<String> {
        self.typed(key, "error.expected.jsstring", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn number(&mut self, key: &str) -> Option<f64> {
        self.typed(key, "error.expected.jsnumber", Value::as_f64)
    }

    pub(crate) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.typed(key, "error.expected.jsboolean", Value::as_bool)
    }

    pub(crate) fn array(&mut self, key: &str) -> Option<&'a Vec<Value>> {
        self.typed(key, "error.expected.jsarray", Value::as_array)
    }

    pub(crate) fn object(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        self.typed(key, "error.expected.jsobject", Value::as_object)
    }

    /// A whole number from 0 to `max`; `1.0` is one too.
    pub(crate) fn whole(&mut self, key: &str, max: u32) -> Option<u32> {
        let number = self.number(key)?;
        if number.fract() != 0.0 {
            self.complain(key, "error.expected.jsnumber");
            return None;
        }
        if number < 0.0 || number > f64::from(max) {
            self.complain(key, &format!("got {number}, expected between 0 and {max}"));
            return None;
        }
        Some(number as u32)
    }

    pub(crate) fn port(&mut self, key: &str) -> Option<u16> {
        self.whole(key, 65_535).and_then(|port| u16::try_from(port).ok())
    }

    /// An object whose values are strings.
    pub(crate) fn strings(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        let object = self.object(key)?;
        let mut found = BTreeMap::new();
        for (name, value) in object {
            match value.as_str() {
                Some(text) => {
                    found.insert(name.clone(), text.to_owned());
                }
                None => self.complain(&format!("{key}/{name}"), "error.expected.jsstring"),
            }
        }
        Some(found)
    }

    /// Something that is kept as it is, as long as it is an array; empty ones are absent.
    pub(crate) fn opaque_array(&mut self, key: &str) -> Option<Value> {
        let array = self.array(key)?;
        (!array.is_empty()).then(|| Value::Array(array.clone()))
    }

    /// Something that is kept as it is, as long as it is an object; empty ones are absent.
    pub(crate) fn opaque_object(&mut self, key: &str) -> Option<Value> {
        let object = self.object(key)?;
        (!object.is_empty()).then(|| Value::Object(object.clone()))
    }
}
