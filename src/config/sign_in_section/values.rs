//! Values that are written in two ways: one, or a list.

use serde::{Deserialize, Serialize};

/// Texts, written as one text or as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMore<String>")]
pub(in crate::config) struct Texts(pub(in crate::config) Vec<String>);

impl From<OneOrMore<String>> for Texts {
    fn from(given: OneOrMore<String>) -> Self {
        Self(given.into_list())
    }
}

/// Values of one claim, written as one value or as a list; an empty list means any value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMore<ClaimValue>")]
pub(in crate::config) struct ClaimValues(pub(in crate::config) Vec<ClaimValue>);

impl From<OneOrMore<ClaimValue>> for ClaimValues {
    fn from(given: OneOrMore<ClaimValue>) -> Self {
        Self(given.into_list())
    }
}

impl ClaimValues {
    /// Any value.
    pub(in crate::config) const ANY: Self = Self(Vec::new());

    /// Values that are texts.
    pub(in crate::config) fn texts<const N: usize>(texts: [&str; N]) -> Self {
        Self(texts.iter().map(|text| ClaimValue::Text((*text).to_owned())).collect())
    }
}

/// Value that a claim is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum ClaimValue {
    Text(String),
    Number(i64),
    Switch(bool),
}

impl From<&ClaimValue> for serde_json::Value {
    fn from(value: &ClaimValue) -> Self {
        match value {
            ClaimValue::Text(text) => text.as_str().into(),
            ClaimValue::Number(number) => (*number).into(),
            ClaimValue::Switch(switch) => (*switch).into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_list(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::More(values) => values,
        }
    }
}
