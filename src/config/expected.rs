//! Expected value of each setting, and the errors of a value that is another: in the words of an operator, with an
//! example of a right value. The example is the value in the sample, which also shows the kind of the setting.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::Value;

use super::{
    samples::{Sample, samples},
    sign_in_section::{AUTHENTICATIONS, METHODS, SIGN_IN_KINDS, SIGN_IN_PRESETS, TOKEN_USES},
};
use crate::{address::AllowedHost, clock::parse_duration, domain::ids::RingName};

/// Sections whose values may be secrets, and their settings that never are.
const SECRET_SECTIONS: [&str; 3] = ["sealing", "custody", "braze"];
/// Settings of other sections that may be secrets, or have one in them.
const SECRET_SETTINGS: [&str; 3] = ["store.url", "store.password", "store.password_file"];
const NEVER_SECRET: [&str; 4] = ["custody.kind", "custody.max_wait", "custody.batch", "custody.threads"];

/// Longest part of a wrong value that an error shows, in characters.
const SHOWN: usize = 64;

/// Kind of value that a setting takes.
#[derive(Clone, Copy)]
enum Kind {
    Switch,
    Count,
    Span,
    Text,
    Address,
    Networks,
    Origins,
    Hosts,
    Rate,
    RingName,
    Texts,
    Claims,
    OneOf(&'static [&'static str]),
}

/// Kinds that the value in the sample does not show.
const KINDS: &[(&str, Kind)] = &[
    ("server.ops_hosts", Kind::Hosts),
    ("server.trusted_proxies", Kind::Networks),
    ("server.forwarded_header", Kind::OneOf(&["x-forwarded-for", "forwarded"])),
    ("store.outage", Kind::OneOf(&["serve", "refuse"])),
    ("apps.<name>.allowed_origins", Kind::Origins),
    ("apps.<name>.ring", Kind::RingName),
    ("apps.<name>.sign_in.kind", Kind::OneOf(SIGN_IN_KINDS)),
    ("apps.<name>.sign_in.preset", Kind::OneOf(SIGN_IN_PRESETS)),
    ("apps.<name>.sign_in.token_use", Kind::OneOf(TOKEN_USES)),
    ("apps.<name>.sign_in.authentication", Kind::OneOf(AUTHENTICATIONS)),
    ("apps.<name>.sign_in.method", Kind::OneOf(METHODS)),
    ("apps.<name>.sign_in.audience", Kind::Texts),
    ("apps.<name>.sign_in.algorithms", Kind::Texts),
    ("apps.<name>.sign_in.token_types", Kind::Texts),
    ("apps.<name>.sign_in.client_ids", Kind::Texts),
    ("apps.<name>.sign_in.authorized_parties", Kind::Texts),
    ("apps.<name>.sign_in.cookies", Kind::Texts),
    ("apps.<name>.sign_in.required_claims", Kind::Claims),
    ("apps.<name>.sign_in.refused_claims", Kind::Claims),
    ("custody.kind", Kind::OneOf(&["file", "store"])),
    ("custody.batch", Kind::OneOf(&["auto", "on", "off"])),
    ("log.format", Kind::OneOf(&["text", "json"])),
    ("log.requests", Kind::OneOf(&["all", "refusals", "none"])),
];

/// Examples that the sample does not have: it has an empty list.
const NETWORK: &str = "\"10.0.0.0/8\"";
const ORIGIN: &str = "\"https://www.example.com\"";
const HOST: &str = "\"countersign.internal:9090\"";

/// Errors of a wrong value, and what is left of it.
pub(super) struct ValueErrors {
    pub(super) texts: Vec<String>,
    /// Value without its wrong elements, where it is a list.
    pub(super) rest: Option<Value>,
}

/// Returns true where this path, with `<name>` for a name that operators choose, is a table of settings.
pub(super) fn is_table(general: &str) -> bool {
    let inside = |setting: &str| setting.strip_prefix(general).is_some_and(|rest| rest.starts_with('.'));
    samples().iter().any(|sample| inside(&sample.setting))
}

/// Returns true for a setting that takes a value, as against a table of settings.
pub(super) fn takes_value(general: &str) -> bool {
    samples().iter().any(|sample| sample.setting == general) || is_secret_text(general)
}

/// Returns true for a setting that takes a table as one value.
pub(super) fn takes_table(general: &str) -> bool {
    samples().iter().any(|sample| sample.setting == general && matches!(kind_of(sample), Kind::Rate | Kind::Claims))
}

/// Returns the errors of a value that its setting does not take.
pub(super) fn mistake(general: &str, value: &Value) -> ValueErrors {
    let sample = samples().into_iter().find(|sample| sample.setting == general);
    let kind = sample.as_ref().map_or(Kind::Text, kind_of);
    let example = sample.as_ref().map_or_else(String::new, |sample| format!(", like {}", example(kind, sample)));
    if may_be_secret(general) {
        let text = format!("must be {}{example}", described(kind));
        return ValueErrors { texts: vec![text], rest: None };
    }
    let found = match (kind, value) {
        (Kind::Networks, Value::Array(list)) => elements(list, bad_network),
        (Kind::Origins, Value::Array(list)) => elements(list, bad_origin),
        (Kind::Hosts, Value::Array(list)) => elements(list, bad_host),
        _ => ValueErrors { texts: error(kind, value, sample.as_ref()).into_iter().collect(), rest: None },
    };
    if let Some(form) = form_hint(general, value) {
        let texts = found.texts.iter().map(|text| format!("{text}; {form}")).collect();
        return ValueErrors { texts, rest: None };
    }
    if found.texts.is_empty() {
        // The value is refused for a reason that is not known here.
        let text = format!("{} is not {}{example}", shown(value), described(kind));
        return ValueErrors { texts: vec![text], rest: None };
    }
    found
}

/// Returns the form of `[[apps.<name>.sign_in]]` that is meant by another name, where none is nearly written so.
fn form_hint(general: &str, value: &Value) -> Option<String> {
    let (known, others, other) = match general.strip_prefix("apps.<name>.sign_in.")? {
        "preset" => (SIGN_IN_PRESETS, SIGN_IN_KINDS, "kind"),
        "kind" => (SIGN_IN_KINDS, SIGN_IN_PRESETS, "preset"),
        _ => return None,
    };
    let text = value.as_str()?.to_ascii_lowercase();
    if others.contains(&text.as_str()) {
        return Some(format!("write {other} = \"{text}\""));
    }
    closest(&text, known).is_none().then(|| "any other OpenID provider is kind = \"oidc\"".to_owned())
}

/// Returns the known text that is meant by nearly the same one.
fn closest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|other| (strsim::damerau_levenshtein(text, other), *other));
    distances.filter(|(distance, _)| *distance <= 2).min().map(|(_, meant)| meant)
}

/// Settings of secrets that the sample does not have, because they are for the environment.
fn is_secret_text(general: &str) -> bool {
    ["sealing.secret", "custody.passphrase", "store.password", "braze.<name>.api_key"].contains(&general)
}

fn may_be_secret(general: &str) -> bool {
    let section = general.split('.').next().unwrap_or_default();
    (SECRET_SECTIONS.contains(&section) && !NEVER_SECRET.contains(&general)) || SECRET_SETTINGS.contains(&general)
}

fn kind_of(sample: &Sample) -> Kind {
    if let Some((_, kind)) = KINDS.iter().find(|(setting, _)| *setting == sample.setting) {
        return *kind;
    }
    match sample.value() {
        Some(Value::Boolean(_)) => Kind::Switch,
        Some(Value::Integer(_)) => Kind::Count,
        Some(Value::Table(_)) => Kind::Rate,
        Some(Value::String(text)) if text.parse::<SocketAddr>().is_ok() => Kind::Address,
        Some(Value::String(text)) if parse_duration(&text).is_ok() => Kind::Span,
        _ => Kind::Text,
    }
}

/// Returns a right value, as it is written in the file.
fn example(kind: Kind, sample: &Sample) -> String {
    match kind {
        Kind::Networks => format!("[{NETWORK}]"),
        Kind::Origins => format!("[{ORIGIN}]"),
        Kind::Hosts => format!("[{HOST}]"),
        _ => sample.text.to_owned(),
    }
}

/// Returns the errors of the wrong elements of a list.
fn elements(list: &[Value], bad: impl Fn(&Value) -> Option<String>) -> ValueErrors {
    let texts = list.iter().filter_map(&bad).collect();
    let rest: Vec<Value> = list.iter().filter(|element| bad(element).is_none()).cloned().collect();
    ValueErrors { texts, rest: (rest.len() < list.len()).then_some(Value::Array(rest)) }
}

fn bad_network(element: &Value) -> Option<String> {
    let is_network = |text: &str| text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    let right = element.as_str().is_some_and(is_network);
    (!right).then(|| format!("{} is neither an address nor a network like {NETWORK}", shown(element)))
}

fn bad_origin(element: &Value) -> Option<String> {
    let text = || format!("{} is no origin: write scheme://host[:port], like {ORIGIN}", shown(element));
    (!element.is_str()).then(text)
}

fn bad_host(element: &Value) -> Option<String> {
    let right = element.as_str().is_some_and(|text| text.parse::<AllowedHost>().is_ok());
    (!right).then(|| format!("{} is no host: write a name, or name:port, like {HOST}", shown(element)))
}

fn error(kind: Kind, value: &Value, sample: Option<&Sample>) -> Option<String> {
    let found = shown(value);
    let example = sample.map(|sample| example(kind, sample)).unwrap_or_default();
    Some(match (kind, value) {
        (Kind::Switch | Kind::Count, Value::String(text)) if fits_without_quotes(kind, text) => {
            format!("{found} has quotes: write {text} without them")
        }
        (
            Kind::Text | Kind::Texts | Kind::RingName,
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_),
        ) => {
            format!("{found} has no quotes: write \"{found}\"")
        }
        (Kind::Span, Value::Integer(number)) => {
            // The unit of the example is meant most probably, where it is an unusual one.
            let units = if example.contains("ms") {
                ["ms", "s"]
            } else if example.contains('d') {
                ["d", "s"]
            } else {
                ["s", "m"]
            };
            let [first, second] = units.map(|unit| format!("\"{number}{unit}\""));
            format!("{found} has no unit: write it like {first} or {second} (units ms, s, m, h, d)")
        }
        (Kind::Span, Value::String(text)) => parse_duration(text).err()?.to_string(),
        (Kind::RingName, Value::String(text)) => text.parse::<RingName>().err()?.to_string(),
        (Kind::Networks | Kind::Origins | Kind::Hosts, Value::String(text)) => {
            format!("{found} is no list: write [\"{text}\"]")
        }
        (Kind::Switch, _) => format!("{found} is neither true nor false: write it without quotes, like {example}"),
        (Kind::OneOf(known), _) => one_of(&found, value, known),
        _ => format!("{found} is not {}: write it like {example}", described(kind)),
    })
}

fn fits_without_quotes(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Switch => ["true", "false"].contains(&text),
        _ => text.parse::<u32>().is_ok_and(|number| number > 0),
    }
}

fn described(kind: Kind) -> String {
    match kind {
        Kind::Switch => "true or false".to_owned(),
        Kind::Count => "a whole number of 1 or more".to_owned(),
        Kind::Span => "a span of time in quotes".to_owned(),
        Kind::Text => "text in quotes".to_owned(),
        Kind::Address => "an IP address with a port".to_owned(),
        Kind::Networks => "a list of addresses and networks".to_owned(),
        Kind::Origins => "a list of origins".to_owned(),
        Kind::Hosts => "a list of hosts".to_owned(),
        Kind::Rate => "a pair of whole numbers of 1 or more".to_owned(),
        Kind::RingName => "the name of a key ring, in quotes".to_owned(),
        Kind::Texts => "text in quotes, or a list of texts".to_owned(),
        Kind::Claims => "a table of claims and their values".to_owned(),
        Kind::OneOf(known) => listed(known, "or"),
    }
}

fn one_of(found: &str, value: &Value, known: &[&str]) -> String {
    let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
    let hint = closest(&text, known).map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default();
    let (no, and) = if known.len() == 2 { ("neither", "nor") } else { ("none of", "and") };
    format!("{found} is {no} {}{hint}", listed(known, and))
}

fn listed(known: &[&str], and: &str) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} {and} {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

/// Returns a value as an error shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
        other => other.to_string().chars().take(SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_value_of_every_setting_is_of_its_kind() {
        for sample in samples() {
            assert!(sample.value().is_some(), "{}", sample.setting);
            assert!(takes_value(&sample.setting) && !is_table(&sample.setting));
        }
        for (setting, _) in KINDS {
            assert!(takes_value(setting), "{setting}");
        }
    }
}
