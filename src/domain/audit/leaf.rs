//! Text of a leaf of the audit log: one JSON object of this version, always with the same fields in the same order.
//!
//! Its beginning is version, installation, epoch and index; the rest is the record of an event. A store has the record
//! before it knows the index, and the text is the two put together. A field that an event does not have is left out.

use std::{borrow::Cow, fmt::Write, str::FromStr};

use serde::Deserialize;

use super::{Actor, AuditAction, AuditEvent, AuditOutcome, AuditTarget};
use crate::{
    clock::UnixMillis,
    domain::{
        api_key::ApiKeyId,
        ids::{AppName, ClientName, InstallationId, Kid, RingName},
    },
};

/// Version of the format.
const VERSION: u32 = 1;

/// Leaf of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Id of the installation; `None` where the store had none yet.
    pub installation: Option<InstallationId>,
    pub epoch: u32,
    /// Position in the log, from 0.
    pub index: u64,
    pub event: AuditEvent,
}

impl Leaf {
    /// Exact text of the leaf.
    pub fn text(&self) -> String {
        let installation = self.installation.map(|id| id.to_string());
        text_of(installation.as_deref(), self.epoch, self.index, &record_of(&self.event))
    }

    /// Parses the text of a leaf.
    ///
    /// # Errors
    /// [`BadLeaf`] where the text is no leaf of a version that this build knows.
    pub fn parse(text: &str) -> Result<Self, BadLeaf> {
        let version: Version = serde_json::from_str(text).map_err(|why| BadLeaf::Json(why.to_string()))?;
        if version.v != VERSION {
            return Err(BadLeaf::Version(version.v));
        }
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|why| BadLeaf::Json(why.to_string()))?;
        fields.leaf()
    }
}

/// Returns the text of the leaf with this index, whose record is given.
pub fn text_of(installation: Option<&str>, epoch: u32, index: u64, record: &str) -> String {
    let mut text = String::with_capacity(record.len() + 96);
    // Writing to a string does not fail.
    let _ = write!(text, "{{\"v\":{VERSION}");
    push(&mut text, "installation", installation);
    let _ = write!(text, ",\"epoch\":{epoch},\"index\":{index}{record}");
    text
}

/// Returns the record of an event: the text of its leaf after the index.
///
/// App and user are its first fields, so that a store can put them before the rest, which it has from elsewhere.
pub fn record_of(event: &AuditEvent) -> String {
    let (target, mut record) = (&event.target, String::with_capacity(256));
    push(&mut record, "app", target.app.as_ref().map(AppName::as_str));
    push(&mut record, "user", target.user.map(|user| user.to_string()).as_deref());
    // Writing to a string does not fail.
    let _ = write!(record, ",\"at\":{}", event.at.0);
    push(&mut record, "actor", Some(&event.actor.name));
    push(&mut record, "request_id", event.actor.request_id.as_deref());
    push(&mut record, "action", Some(event.action.as_str()));
    push(&mut record, "outcome", Some(event.outcome.as_str()));
    push(&mut record, "ring", target.ring.as_ref().map(RingName::as_str));
    push(&mut record, "kid", target.kid.as_ref().map(Kid::as_str));
    push(&mut record, "session", target.session.map(|session| session.to_string()).as_deref());
    push(&mut record, "client", target.client.as_ref().map(ClientName::as_str));
    push(&mut record, "api_key", target.api_key.as_ref().map(ApiKeyId::as_str));
    push(&mut record, "why", Some(&event.why));
    record.push('}');
    record
}

/// Adds a field, if it has a value.
fn push(text: &mut String, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":");
    if value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        // No store keeps a text with this character.
        text.push_str(&serde_json::Value::from(value.replace('\0', "\u{fffd}")).to_string());
    }
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Fields of a leaf.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(rename = "v")]
    _version: u32,
    installation: Option<String>,
    epoch: u32,
    index: u64,
    app: Option<String>,
    user: Option<String>,
    at: i64,
    actor: String,
    request_id: Option<String>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    ring: Option<String>,
    kid: Option<String>,
    session: Option<String>,
    client: Option<String>,
    api_key: Option<String>,
    why: String,
}

impl Fields<'_> {
    fn leaf(self) -> Result<Leaf, BadLeaf> {
        let target = AuditTarget {
            ring: parsed("ring", self.ring)?,
            kid: parsed("kid", self.kid)?,
            app: parsed("app", self.app)?,
            user: parsed("user", self.user)?,
            session: parsed("session", self.session)?,
            client: parsed("client", self.client)?,
            api_key: parsed("api_key", self.api_key)?,
        };
        let action: AuditAction = self.action.parse().map_err(|_| BadLeaf::Value("action"))?;
        let outcome: AuditOutcome = self.outcome.parse().map_err(|_| BadLeaf::Value("outcome"))?;
        let actor = Actor { name: self.actor, request_id: self.request_id };
        let event = AuditEvent { at: UnixMillis(self.at), actor, action, target, outcome, why: self.why };
        let installation = parsed("installation", self.installation)?;
        Ok(Leaf { installation, epoch: self.epoch, index: self.index, event })
    }
}

fn parsed<T: FromStr>(name: &'static str, value: Option<String>) -> Result<Option<T>, BadLeaf> {
    value.map(|text| text.parse()).transpose().map_err(|_| BadLeaf::Value(name))
}

/// Reason why a text is no leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLeaf {
    /// Not a JSON object with the fields of a leaf.
    #[error("it is not the text of a leaf: {0}")]
    Json(String),
    /// Written by a later version of this program.
    #[error("it has version {0} of the format, which this build does not know")]
    Version(u32),
    /// A field whose value is malformed.
    #[error("its field {0:?} has a value that this build does not know")]
    Value(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{SessionId, UserHash};

    fn leaf() -> Leaf {
        let target = AuditTarget {
            ring: Some("main".parse().unwrap()),
            kid: Some(crate::domain::ids::Kid::from_thumbprint(&[9; 32])),
            app: Some("web".parse().unwrap()),
            user: Some(UserHash([1; 32])),
            session: Some(SessionId([2; 16])),
            client: Some("shop".parse().unwrap()),
            api_key: Some("0123456789abcdef".parse().unwrap()),
        };
        let actor = Actor::of_request("bob \"the\" \\ operator", "r-1");
        let why = "line one\nline two \u{1f} \u{7f} ü \u{2028}".to_owned();
        let (action, outcome) = (AuditAction::Withdrawn, AuditOutcome::Unknown);
        let event = AuditEvent { at: UnixMillis(1_795_000_000_000), actor, action, target, outcome, why };
        Leaf { installation: Some(InstallationId::new([7; 16])), epoch: 3, index: 17, event }
    }

    fn bare() -> Leaf {
        let mut leaf = leaf();
        leaf.installation = None;
        (leaf.event.target, leaf.event.actor) = (AuditTarget::default(), Actor::service());
        leaf.event.why = String::new();
        leaf
    }

    /// Trees are built on these bytes.
    #[test]
    fn the_text_has_these_bytes() {
        let expected = concat!(
            r#"{"v":1,"installation":"07070707070707070707070707070707","epoch":3,"index":17,"app":"web","#,
            r#""user":"0101010101010101010101010101010101010101010101010101010101010101","at":1795000000000,"#,
            r#""actor":"bob \"the\" \\ operator","request_id":"r-1","action":"withdrawn","outcome":"unknown","#,
            r#""ring":"main","kid":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk","#,
            r#""session":"02020202020202020202020202020202","client":"shop","api_key":"0123456789abcdef","#,
            "\"why\":\"line one\\nline two \\u001f \u{7f} ü \u{2028}\"}"
        );
        assert_eq!(leaf().text(), expected);
        let expected = concat!(
            r#"{"v":1,"epoch":3,"index":17,"at":1795000000000,"actor":"service","action":"withdrawn","#,
            r#""outcome":"unknown","why":""}"#
        );
        assert_eq!(bare().text(), expected);
    }

    #[test]
    fn a_text_is_parsed_as_it_was_written() {
        for leaf in [leaf(), bare()] {
            assert_eq!(Leaf::parse(&leaf.text()), Ok(leaf));
        }
    }

    #[test]
    fn a_text_that_is_no_leaf_is_refused() {
        let text = bare().text();
        let refused = |text: &str| Leaf::parse(text).unwrap_err();
        assert_eq!(refused(&text.replace("\"v\":1", "\"v\":2")), BadLeaf::Version(2));
        assert_eq!(refused(&text.replace("withdrawn", "vanished")), BadLeaf::Value("action"));
        for text in ["", "{}", "[]", &text.replace("\"why\"", "\"because\""), &format!("{text} x")] {
            assert!(matches!(refused(text), BadLeaf::Json(_)), "{text}");
        }
    }
}
