//! Values that are read whatever type they come in.
//!
//! Ten generations of Marathon, front proxies and hand-written definitions disagree about types: numbers are `1`, `1.0`
//! or `"1"`; absent, `null` and empty mean the same (spec/marathon.md section 3.1). Each type here takes anything and is
//! empty where the value makes no sense, so that one odd field never costs its whole app. Only broken syntax is an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Answers the visits that a type has no use for with its empty value, swallowing the contents.
macro_rules! otherwise {
    ($($kind:ident)*) => { $(otherwise!(@$kind);)* };
    (@null) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@bool) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@number) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@text) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@list) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@object) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

/// A number; also out of a numeric text.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Number(Option<f64>);

impl Number {
    /// Nothing was given.
    pub(crate) const NONE: Self = Self(None);

    /// As it is, if it is finite.
    pub(crate) fn as_f64(self) -> Option<f64> {
        self.0.filter(|number| number.is_finite())
    }

    /// A whole number of that type, if it fits without loss.
    pub(crate) fn whole<T: TryFrom<i64>>(self) -> Option<T> {
        let number = self.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15)?;
        T::try_from(number as i64).ok()
    }

    /// A port; 0 means "not given" wherever Marathon writes it.
    pub(crate) fn port(self) -> Option<u16> {
        self.whole::<u16>().filter(|port| *port != 0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl<'de> Visitor<'de> for NumberVisitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.trim().parse().ok()))
            }
            otherwise!(null bool list object);
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// A yes or no; also out of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl<'de> Visitor<'de> for FlagVisitor {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(Some(flag)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Flag, E> {
                Ok(Flag(text.trim().parse().ok()))
            }
            otherwise!(null number list object);
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// A text, borrowed from the body where it has no escapes; also out of a number or a flag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text; an empty one counts as absent.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }

    /// The text as the model keeps it.
    pub(crate) fn shared(&self) -> Option<Arc<str>> {
        self.get().map(Arc::from)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(flag.to_string()))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            otherwise!(null list object);
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A text, or a whole number that is kept as one: Marathon writes timestamps as text, other senders as milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextOrWhole<'a> {
    Text(Text<'a>),
    Whole(i64),
}

impl Default for TextOrWhole<'_> {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextOrWhole<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherVisitor;
        impl<'de> Visitor<'de> for EitherVisitor {
            type Value = TextOrWhole<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<TextOrWhole<'de>, E> {
                Ok(TextOrWhole::Text(Text(Some(Cow::Borrowed(text)))))
            }
            fn visit_str<E>(self, text: &str) -> Result<TextOrWhole<'de>, E> {
                Ok(TextOrWhole::Text(Text(Some(Cow::Owned(text.to_owned())))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<TextOrWhole<'de>, E> {
                Ok(i64::try_from(number).map(TextOrWhole::Whole).unwrap_or_default())
            }
            fn visit_i64<E>(self, number: i64) -> Result<TextOrWhole<'de>, E> {
                Ok(TextOrWhole::Whole(number))
            }
            fn visit_f64<E>(self, number: f64) -> Result<TextOrWhole<'de>, E> {
                Ok(Number(Some(number)).whole().map(TextOrWhole::Whole).unwrap_or_default())
            }
            otherwise!(null bool list object);
        }
        deserializer.deserialize_any(EitherVisitor)
    }
}

/// A list; a value that is no list counts as a list of it, except nothing at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::IntoDeserializer as _;
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(List(list))
            }
            // A test double of marathon-consul sends `"ports": 31372`.
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<List<T>, E> {
                Ok(List(vec![T::deserialize(number.into_deserializer())?]))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<List<T>, E> {
                Ok(List(vec![T::deserialize(text.into_deserializer())?]))
            }
            fn visit_i64<E>(self, _: i64) -> Result<List<T>, E> {
                Ok(List::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<List<T>, E> {
                Ok(List::default())
            }
            otherwise!(null bool object);
        }
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// A list whose elements are kept as their text, to be decoded one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawList<'a>(pub(crate) Option<Vec<&'a RawValue>>);

impl<'a> RawList<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.0.iter().flatten().map(|raw| raw.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = RawList<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawList<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element::<&'de RawValue>()? {
                    list.push(element);
                }
                Ok(RawList(Some(list)))
            }
            otherwise!(null bool number text object);
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

/// An object, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|inner| Object(Some(inner)))
            }
            otherwise!(null bool number text list);
        }
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

/// An object of texts, such as labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Texts(pub(crate) std::collections::BTreeMap<Arc<str>, Arc<str>>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = std::collections::BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    let (key, value) = (key.0.unwrap_or_default(), value.0.unwrap_or_default());
                    texts.insert(Arc::from(key), Arc::from(value));
                }
                Ok(Texts(texts))
            }
            otherwise!(null bool number text list);
        }
        deserializer.deserialize_any(TextsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_str;

    #[test]
    fn numbers_in_every_dress() {
        for text in ["1", "1.0", "\"1\"", "\" 1 \"", "1e0"] {
            assert_eq!(from_str::<Number>(text).unwrap().whole::<u16>(), Some(1), "{text}");
        }
        for text in
            ["null", "true", "[1,[2]]", "{\"a\":{}}", "\"x\"", "1.5", "-1", "70000", "1e300", "\"NaN\""]
        {
            assert_eq!(from_str::<Number>(text).unwrap().whole::<u16>(), None, "{text}");
        }
        assert_eq!(from_str::<Number>("0").unwrap().port(), None);
    }

    #[test]
    fn texts_lists_objects_and_flags() {
        assert_eq!(from_str::<Text<'_>>("\"a\\nb\"").unwrap().get(), Some("a\nb"));
        assert_eq!(from_str::<Text<'_>>("7").unwrap().get(), Some("7"));
        for text in ["null", "\"\"", "[]", "{\"a\":[1]}"] {
            assert_eq!(from_str::<Text<'_>>(text).unwrap().get(), None, "{text}");
        }
        assert_eq!(from_str::<List<Number>>("31372").unwrap().0.len(), 1);
        for text in ["null", "{}", "-1", "true"] {
            assert!(from_str::<List<Number>>(text).unwrap().0.is_empty(), "{text}");
        }
        assert_eq!(
            from_str::<RawList<'_>>("[ {\"a\":1} , 2]").unwrap().iter().collect::<Vec<_>>(),
            ["{\"a\":1}", "2"]
        );
        assert!(from_str::<RawList<'_>>("null").unwrap().0.is_none());
        assert_eq!(from_str::<Object<Texts>>("[1]").unwrap(), Object(None));
        let labels = from_str::<Object<Texts>>("{\"a\":1,\"b\":null,\"c\":\"d\"}").unwrap().0.unwrap().0;
        assert_eq!(labels.values().map(|value| &**value).collect::<Vec<_>>(), ["1", "", "d"]);
        assert_eq!(from_str::<Flag>("\"true\"").unwrap(), Flag(Some(true)));
        assert_eq!(from_str::<Flag>("1").unwrap(), Flag(None));
    }

    #[test]
    fn broken_syntax_is_an_error() {
        for text in ["[1,", "{\"a\":", "\"a"] {
            assert!(from_str::<List<Number>>(text).is_err() && from_str::<Text<'_>>(text).is_err(), "{text}");
        }
    }
}
