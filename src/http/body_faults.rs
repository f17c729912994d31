//! Faults of a request's JSON object, all of them, each by its member. The member's schema in the OpenAPI document is
//! the rule, so that the document and the messages say the same.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use utoipa::{
    Number, ToSchema,
    openapi::{
        Object, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use super::problem::FieldError;
use crate::domain::ids::AppName;

/// Most faults that one answer lists, beside missing members.
const MAX_FAULTS: usize = 16;
/// Longest text of the request that a message repeats, in bytes.
const MAX_REPEATED: usize = 64;

/// Body of a request: a JSON object, with a schema for each member.
pub trait RequestBody: DeserializeOwned + ToSchema {
    /// Returns the fault of a text member, by a rule that no schema expresses.
    fn fault_of_text(_member: &str, _text: &str) -> Option<String> {
        None
    }
}

/// Returns the fault of a text that should be the name of an app.
pub(super) fn fault_of_app(text: &str) -> Option<String> {
    text.parse::<AppName>().err()?;
    let rule = "must be the app's name in the configuration: a-z, 0-9, '-' and '_', at most 63, such as \"web\"";
    let similar = text.trim().to_lowercase().replace(' ', "-");
    Some(match similar.parse::<AppName>() {
        Ok(name) => format!("{rule}; did you mean \"{}\"?", name.as_str()),
        Err(_) => rule.to_owned(),
    })
}

/// Returns the example of such a body.
pub(super) fn example<B: RequestBody>() -> Option<Value> {
    object(B::schema()).and_then(|schema| schema.example)
}

/// Returns the faults of a body that serde refused. It is none where the text is not one JSON object.
pub(super) fn faults<B: RequestBody>(bytes: &[u8]) -> Vec<FieldError> {
    let (Ok(Members(members)), Some(schema)) = (serde_json::from_slice(bytes), object(B::schema())) else {
        return Vec::new();
    };
    let is_there = |name: &str| members.iter().any(|(member, _)| member == name);
    let absent: Vec<&str> = schema.properties.keys().map(String::as_str).filter(|name| !is_there(name)).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    let present = members.iter().filter_map(|(name, value)| {
        let times = times.entry(name).or_default();
        *times += 1;
        let message = match *times {
            1 => fault::<B>(&schema, name, value.get(), &absent)?,
            2 => "is given twice".to_owned(),
            _ => return None,
        };
        Some(FieldError::new(name, message))
    });
    let required = schema.required.iter().filter(|name| !is_there(name));
    let missing = required.map(|name| FieldError::new(name, is_missing(&schema, name)));
    present.take(MAX_FAULTS).chain(missing).collect()
}

/// Members of an object, in their order, each as often as it is there.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

fn object(schema: RefOr<Schema>) -> Option<Object> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        _ => None,
    }
}

fn fault<B: RequestBody>(schema: &Object, name: &str, raw: &str, absent: &[&str]) -> Option<String> {
    match schema.properties.get(name) {
        None => Some(is_unknown(name, absent)),
        Some(RefOr::T(Schema::Object(rule))) => fault_of_value(rule, raw, example_of(schema, name)).or_else(|| {
            let text: String = serde_json::from_str(raw).ok()?;
            B::fault_of_text(name, &text)
        }),
        Some(_) => None,
    }
}

fn is_unknown(name: &str, absent: &[&str]) -> String {
    match absent.iter().find(|other| is_like(name, other)) {
        Some(meant) => format!("is not a member of this request; did you mean {meant}?"),
        None => "is not a member of this request".to_owned(),
    }
}

fn is_missing(schema: &Object, name: &str) -> String {
    match schema.properties.get(name) {
        Some(RefOr::T(Schema::Object(rule))) => format!("is missing: it {}", must_be(rule, example_of(schema, name))),
        _ => "is missing".to_owned(),
    }
}

/// Returns the example of a member: its own, or the one in the example of the body.
fn example_of<'a>(schema: &'a Object, name: &str) -> Option<&'a Value> {
    let own = match schema.properties.get(name) {
        Some(RefOr::T(Schema::Object(rule))) => rule.example.as_ref(),
        _ => None,
    };
    own.or_else(|| schema.example.as_ref()?.get(name))
}

/// Returns true where a member may have been meant by this name: the same letters in another case, with a word more
/// or less, or with a typing error.
fn is_like(name: &str, member: &str) -> bool {
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    if name.len() > MAX_REPEATED {
        return false;
    }
    let (name, member) = (letters(name), letters(member));
    let has_more = |long: &str, short: &str| short.len() > 2 && (long.starts_with(short) || long.ends_with(short));
    has_more(&name, &member)
        || has_more(&member, &name)
        || strsim::damerau_levenshtein(&name, &member) <= member.len() / 3
}

fn fault_of_value(rule: &Object, raw: &str, example: Option<&Value>) -> Option<String> {
    let kind = kind(raw);
    let allowed = match &rule.schema_type {
        SchemaType::Type(only) => std::slice::from_ref(only),
        SchemaType::Array(several) => several,
        SchemaType::AnyValue => return None,
    };
    let is_whole = kind == Type::Number && raw.parse::<u64>().is_ok();
    let is_allowed = allowed.iter().any(|allowed| *allowed == kind || *allowed == Type::Integer && is_whole);
    let is_outside = is_whole && !is_within(rule, raw.parse().unwrap_or_default());
    (!is_allowed || is_outside).then(|| meant(rule, allowed, &kind, raw).unwrap_or_else(|| must_be(rule, example)))
}

/// Returns the right value where the wrong one shows it: a number in quotes, or a text without them.
fn meant(rule: &Object, allowed: &[Type], kind: &Type, raw: &str) -> Option<String> {
    let is_short = raw.len() <= MAX_REPEATED;
    match kind {
        Type::Number if is_short && allowed.contains(&Type::String) => Some(format!("must be a string: \"{raw}\"")),
        Type::String if is_short && allowed.contains(&Type::Integer) => {
            let number: u64 = raw.trim_matches('"').trim().parse().ok()?;
            is_within(rule, number).then(|| format!("must be a number: {number}"))
        }
        _ => None,
    }
}

fn must_be(rule: &Object, example: Option<&Value>) -> String {
    let is = |kind: &Type| match &rule.schema_type {
        SchemaType::Type(only) => only == kind,
        SchemaType::Array(several) => several.contains(kind),
        SchemaType::AnyValue => false,
    };
    let mut text = "must be ".to_owned();
    text += match () {
        () if is(&Type::String) => "a string",
        () if is(&Type::Integer) => "a whole number",
        () if is(&Type::Boolean) => "true or false",
        () if is(&Type::Array) => "an array",
        () => "a JSON value",
    };
    for (word, limit) in [("at least", whole(rule.minimum.as_ref())), ("at most", whole(rule.maximum.as_ref()))] {
        text += &limit.map(|limit| format!(", {word} {limit}")).unwrap_or_default();
    }
    text + &example.map(|example| format!(", such as {example}")).unwrap_or_default()
}

fn is_within(rule: &Object, value: u64) -> bool {
    let (least, most) = (whole(rule.minimum.as_ref()), whole(rule.maximum.as_ref()));
    least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
}

fn whole(number: Option<&Number>) -> Option<u64> {
    match number? {
        Number::Int(number) => u64::try_from(*number).ok(),
        Number::UInt(number) => u64::try_from(*number).ok(),
        Number::Float(_) => None,
    }
}

/// Returns the kind of a valid JSON value by its first character.
fn kind(raw: &str) -> Type {
    match raw.bytes().next() {
        Some(b'"') => Type::String,
        Some(b'{') => Type::Object,
        Some(b'[') => Type::Array,
        Some(b't' | b'f') => Type::Boolean,
        Some(b'n') => Type::Null,
        _ => Type::Number,
    }
}
