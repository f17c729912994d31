//! Keys: their timeline, next, current and previous key of each ring, and a table of all of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::response::Response;

use super::{
    braze_answers::BrazeQuestions,
    html::{Markup, Prose, ShortId, ShownTime},
    key_history::spans,
    page::{Condition, Page, StateSentence, render},
    shown::ShownLines,
    svg::{KeyLane, LaneSlot, Timeline},
    visit::{Visit, see_other},
};
use crate::{
    clock::UnixMillis,
    domain::{
        audit::AuditEvent,
        ids::{Kid, RingName},
        key::{KeyRecord, KeyState},
        spki::Spki,
    },
    operate::{BrazeKey, BrazeKeys, OperationError, OperationErrorKind, RingStatus},
};

/// Records of the audit log that the history of keys is made of.
const RECORDS: u32 = 500;
/// Keys of one page: a public key is half a kilobyte.
const KEYS_OF_PAGE: usize = 25;
/// Lengths of keys that can be made.
const LENGTHS: [u32; 3] = [2048, 3072, 4096];

/// Everything that the page shows.
struct KeyFacts {
    keys: Vec<KeyRecord>,
    events: Vec<AuditEvent>,
    statuses: Vec<Arc<RingStatus>>,
    braze: Arc<BrazeKeys>,
    /// Time at which Braze was asked.
    asked: UnixMillis,
    now: UnixMillis,
}

#[derive(askama::Template)]
#[template(path = "keys.html")]
struct KeysPage {
    page: Page,
    timeline: Option<Markup>,
    rings: Vec<RingKeys>,
    rows: Vec<KeyRow>,
    /// Number of all keys, and of the first and last one of the table.
    total: usize,
    first: usize,
    last: usize,
    newer: Option<usize>,
    older: Option<usize>,
    silent: Vec<Prose>,
    /// Time at which Braze was asked; `None` where no list of it is shown.
    asked: Option<ShownTime>,
    names: Vec<RingName>,
    lengths: [u32; 3],
    version: String,
    shown: String,
}

/// Next, current and previous key of a ring.
struct RingKeys {
    ring: RingName,
    /// Title, key and description of each.
    tiles: Vec<(&'static str, Option<ShortId>, Markup)>,
}

/// Row of the table.
struct KeyRow {
    kid: ShortId,
    ring: RingName,
    state: &'static str,
    changed: ShownTime,
    safe: Option<ShownTime>,
    fingerprint: ShortId,
    bits: u32,
    created: ShownTime,
    slots: String,
    /// Public key, of keys that verifiers need or will need.
    public_key: Option<String>,
}

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let facts = KeyFacts::read(&visit).await?;
    let from = visit.query.trimmed("from").parse().unwrap_or(0_usize).min(facts.keys.len().saturating_sub(1));
    let rows: Vec<KeyRow> = facts.keys.iter().skip(from).take(KEYS_OF_PAGE).map(|key| facts.row(key)).collect();
    let last = from + rows.len();
    let shown = facts.shown();
    Ok(render(&KeysPage {
        page: visit.page("Keys", facts.state()),
        timeline: (!facts.keys.is_empty()).then(|| Markup(facts.timeline(from).draw())),
        rings: facts.statuses.iter().map(|status| facts.ring_keys(&status.ring)).collect(),
        first: if rows.is_empty() { 0 } else { from + 1 },
        rows,
        total: facts.keys.len(),
        last,
        newer: (from > 0).then(|| from.saturating_sub(KEYS_OF_PAGE)),
        older: (last < facts.keys.len()).then_some(last),
        silent: facts.braze.silent.iter().map(|drift| Prose(drift.to_string())).collect(),
        asked: facts.braze.keys.iter().any(|key| key.id.is_some()).then_some(ShownTime(facts.asked)),
        names: facts.statuses.iter().map(|status| status.ring.clone()).collect(),
        lengths: LENGTHS,
        version: shown.version(),
        shown: shown.text(),
    }))
}

/// Makes a key.
pub(super) async fn generate(visit: Visit) -> Result<Response, OperationError> {
    let invalid = |message: String| OperationError::new(OperationErrorKind::Invalid, message);
    let name = visit.form.trimmed("ring");
    let ring: RingName = name.parse().map_err(|_| invalid(format!("{name:?} is not the name of a ring")))?;
    let bits = visit.form.trimmed("bits");
    let bits = bits.parse().ok().filter(|bits| LENGTHS.contains(bits));
    let bits = bits.ok_or_else(|| invalid("a key has 2048, 3072 or 4096 bits".to_owned()))?;
    let keys = visit.operations.keys().await?;
    if let Err(difference) = shown(&keys).check(&visit) {
        return Ok(visit.outdated(difference));
    }
    visit.operations.generate_key(ring, bits).await?;
    Ok(see_other("/console/keys"))
}

/// Lines that the form is about: retired keys do not matter to it.
fn shown(keys: &[KeyRecord]) -> ShownLines {
    let live = keys.iter().filter(|key| key.state != KeyState::Retired);
    let lines = live.map(|key| format!("key {} of ring {} is {}", key.kid.as_str(), key.ring, key.state.as_str()));
    let mut lines: Vec<String> = lines.collect();
    // The page and the form have the keys in different orders.
    lines.sort_unstable();
    ShownLines::new(lines)
}

impl KeyFacts {
    async fn read(visit: &Visit) -> Result<Self, OperationError> {
        let operations = &*visit.operations;
        let mut keys = operations.keys().await?;
        keys.sort_by(|one, other| (other.created, &one.kid).cmp(&(one.created, &other.kid)));
        let mut events: Vec<AuditEvent> =
            operations.audit_records(None, RECORDS).await?.into_iter().map(|record| record.event).collect();
        let mut questions = BrazeQuestions::new(visit, &keys);
        let mut statuses = Vec::new();
        for ring in operations.rings(None).await? {
            let status = questions.status(&ring).await?;
            // A busy log may have no room for them among its newest records.
            events.extend(status.audit_log.iter().filter(|event| !events.contains(event)).cloned().collect::<Vec<_>>());
            statuses.push(status);
        }
        events.sort_by_key(|event| event.at);
        let braze = questions.keys().await?;
        let asked = questions.asked();
        Ok(Self { keys, events, statuses, braze, asked, now: visit.now })
    }

    fn shown(&self) -> ShownLines {
        shown(&self.keys)
    }

    fn state(&self) -> StateSentence {
        let without: Vec<&str> = self
            .statuses
            .iter()
            .filter(|status| !status.keys.iter().any(|key| key.state == KeyState::Active))
            .map(|status| status.ring.as_str())
            .collect();
        if !without.is_empty() {
            let sentence = format!("no key signs for ring {}.", without.join(", "));
            return StateSentence::new(Condition::Stopped, sentence, self.now);
        }
        if !self.braze.silent.is_empty() {
            let sentence = format!("Braze gave no list for {} of the apps.", self.braze.silent.len());
            return StateSentence::new(Condition::Attention, sentence, self.now);
        }
        if self.statuses.is_empty() {
            return StateSentence::neutral("No app is configured, so that no key is needed.");
        }
        let signs = self.statuses.iter().filter_map(|status| {
            let active = status.keys.iter().find(|key| key.state == KeyState::Active)?;
            Some(format!("{} signs for ring {}", first_eight(&active.kid), status.ring))
        });
        StateSentence::new(Condition::Serving, format!("{}.", signs.collect::<Vec<_>>().join(", ")), self.now)
    }

    /// Timeline of the keys of a page of the table, the rings one after the other.
    fn timeline(&self, from: usize) -> Timeline {
        let mut lanes: Vec<KeyLane> =
            self.keys.iter().skip(from).take(KEYS_OF_PAGE).map(|key| self.lane(key)).collect();
        lanes.sort_by(|one, other| one.ring.cmp(&other.ring));
        let begins = lanes.iter().flat_map(|lane| lane.spans.iter().map(|span| span.from)).min();
        let begins = begins.unwrap_or(self.now).min(self.now.minus(Duration::from_mins(2)));
        let flags = lanes.iter().filter_map(|lane| lane.safe_to_delete).max().unwrap_or(self.now);
        // The present state is seen also where it has just begun, and what is past has two thirds of the axis at least.
        let past = self.now.since(begins);
        let future = flags.since(self.now).min(past / 2);
        let until = self.now.plus(future + past / 12);
        Timeline { from: begins, until, now: self.now, lanes }
    }

    fn lane(&self, key: &KeyRecord) -> KeyLane {
        let of_ring = self.events.iter().filter(|event| event.target.ring.as_ref() == Some(&key.ring)).cloned();
        KeyLane {
            kid: key.kid.as_str().to_owned(),
            ring: key.ring.to_string(),
            spans: spans(key, &of_ring.collect::<Vec<_>>()),
            slots: self.slots(&key.kid),
            safe_to_delete: self.safe_to_delete(&key.kid),
        }
    }

    fn safe_to_delete(&self, kid: &Kid) -> Option<UnixMillis> {
        let keys = self.statuses.iter().flat_map(|status| &status.keys);
        keys.filter(|key| key.kid == *kid).find_map(|key| key.safe_to_delete)
    }

    /// Slots of a key at every app, by its position in the app's list.
    fn slots(&self, kid: &Kid) -> Vec<LaneSlot> {
        let mut by_app: BTreeMap<&str, Vec<&BrazeKey>> = BTreeMap::new();
        for key in &self.braze.keys {
            by_app.entry(key.app.as_str()).or_default().push(key);
        }
        let slot = |(app, keys): (&str, Vec<&BrazeKey>)| {
            let listed = keys.iter().filter(|key| key.id.is_some()).position(|key| key.kid.as_ref() == Some(kid));
            let is_recorded = keys.iter().any(|key| {
                key.id.is_none() && key.kid.as_ref() == Some(kid) && key.is == crate::operate::Comparison::Recorded
            });
            (listed.is_some() || is_recorded)
                .then(|| LaneSlot { app: app.to_owned(), number: listed.map(|index| index + 1) })
        };
        by_app.into_iter().filter_map(slot).collect()
    }

    fn ring_keys(&self, ring: &RingName) -> RingKeys {
        let newest = |states: &[KeyState]| {
            let keys = || self.keys.iter().filter(|key| key.ring == *ring);
            states.iter().find_map(|state| keys().filter(|key| key.state == *state).max_by_key(|key| key.changed))
        };
        let tile = |title, key: Option<&KeyRecord>, none: &str| {
            let Some(key) = key else { return (title, None, Markup(none.to_owned())) };
            let since = ShownTime(key.changed);
            (title, Some(ShortId(key.kid.as_str().to_owned())), Markup(format!("{} since {since}", key.state.as_str())))
        };
        let tiles = vec![
            tile("Next", newest(&[KeyState::Published, KeyState::Pending]), "made by the next rotation"),
            tile("Current", newest(&[KeyState::Active]), "no key signs"),
            tile("Previous", newest(&[KeyState::Retiring, KeyState::Retired]), "there was none"),
        ];
        RingKeys { ring: ring.clone(), tiles }
    }

    fn row(&self, key: &KeyRecord) -> KeyRow {
        let fingerprint = Spki::from_pem(&key.public_key).map(|spki| spki.fingerprint().to_string());
        let slots = self.slots(&key.kid);
        let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
        KeyRow {
            kid: ShortId(key.kid.as_str().to_owned()),
            ring: key.ring.clone(),
            state: key.state.as_str(),
            changed: ShownTime(key.changed),
            safe: self.safe_to_delete(&key.kid).map(ShownTime),
            fingerprint: ShortId(fingerprint.unwrap_or_default()),
            bits: key.bits,
            created: ShownTime(key.created),
            slots: if slots.is_empty() { "none".to_owned() } else { slots.join(", ") },
            public_key: key.state.is_held().then(|| key.public_key.trim().to_owned()),
        }
    }
}

/// First eight characters of a key's id, as people know it.
pub(super) fn first_eight(kid: &Kid) -> &str {
    kid.as_str().get(..8).unwrap_or(kid.as_str())
}
