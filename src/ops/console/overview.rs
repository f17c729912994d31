//! Overview: the state of every app in one sentence, activity, failures, keys, nodes, store, alarms, version.

use std::{collections::BTreeMap, time::Duration};

use axum::response::Response;

use super::{
    activity_chart::{ActivityChart, Minute},
    html::{Markup, Prose, ShortId, ShownTime},
    page::{Condition, Page, StateSentence, render},
    visit::Visit,
};
use crate::{
    clock::parse_duration,
    domain::{
        ids::RingName,
        key::{KeyRecord, KeyState},
    },
    operate::{Configuration, FailureOverview, OperationError},
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: u64 = 24 * 60 * 60;

/// State of one app.
struct AppLine {
    name: String,
    mark: Markup,
    sentence: Prose,
    condition: Condition,
}

/// Active key of a ring.
struct ActiveKey {
    ring: String,
    kid: ShortId,
    since: ShownTime,
    /// Next rotation by policy.
    next: String,
}

#[derive(askama::Template)]
#[template(path = "overview.html")]
struct Overview {
    page: Page,
    apps: Vec<AppLine>,
    chart: ActivityChart,
    failures: Vec<(String, String, u64)>,
    keys: Vec<ActiveKey>,
    nodes: usize,
    schema: String,
    alarms: Vec<(String, u64)>,
    drift: Vec<(String, u64)>,
    version: String,
}

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    let about = visit.operations.about().await?;
    let configuration = visit.operations.configuration().await?;
    let keys = visit.operations.keys().await?;
    let nodes = visit.operations.nodes().await?.len();
    let failures = visit.operations.failures(HOUR, None).await?;
    let activity = visit.operations.activity(HOUR).await?;
    let schema = visit.operations.schema().await?;
    let counts = activity.iter().map(|count| (count.minute, Minute { mints: count.mints, refreshes: count.refreshes }));
    let apps = apps(&configuration, &keys, &failures);
    let drift = in_words(visit.console.counted("countersign_braze_drift{"));
    let alarms = in_words(visit.console.counted("countersign_alarms_total{"));
    let state = state(&visit, &apps, nodes, &drift);
    Ok(render(&Overview {
        page: visit.page("Overview", state),
        chart: ActivityChart::new(visit.now, counts),
        failures: failures
            .failures
            .iter()
            .map(|row| (row.cause.as_str().replace('_', " "), row.app.to_string(), row.sessions))
            .collect(),
        keys: active_keys(&visit, &configuration, &keys),
        apps,
        nodes,
        schema: format!("version {}, this build knows {}", schema.found, schema.known),
        alarms,
        drift,
        version: about.version,
    }))
}

fn state(visit: &Visit, apps: &[AppLine], nodes: usize, drift: &[(String, u64)]) -> StateSentence {
    let worst = apps.iter().map(|app| app.condition).max().unwrap_or(Condition::Serving);
    let count = |condition| apps.iter().filter(|app| app.condition == condition).count();
    let (condition, sentence) = match worst {
        Condition::Stopped => (worst, format!("{} of {} apps get no tokens.", count(worst), apps.len())),
        Condition::Attention => {
            (worst, format!("{} of {} apps need attention; all get tokens.", count(worst), apps.len()))
        }
        _ if nodes == 0 => (Condition::Attention, "No node reported in the last seconds.".to_owned()),
        _ if !drift.is_empty() => (Condition::Attention, "Braze does not hold what it should hold.".to_owned()),
        _ => (
            Condition::Serving,
            format!(
                "{} {} served by {nodes} {}.",
                apps.len(),
                if apps.len() == 1 { "app is" } else { "apps are" },
                plural("node", nodes)
            ),
        ),
    };
    StateSentence::new(condition, sentence, visit.now)
}

/// Labels of series in words: `ring="main",kind="missing"` is `missing, ring main`.
fn in_words(series: Vec<(String, u64)>) -> Vec<(String, u64)> {
    let words = |labels: &str| {
        let pairs = labels.split(',').filter_map(|label| label.split_once('='));
        let (kinds, others): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| *name == "kind");
        let kinds = kinds.into_iter().map(|(_, kind)| kind.to_owned());
        let others = others.into_iter().map(|(name, value)| format!("{name} {value}"));
        kinds.chain(others).collect::<Vec<_>>().join(", ").replace('"', "").replace('_', " ")
    };
    series.into_iter().map(|(labels, value)| (words(&labels), value)).collect()
}

pub(super) fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// Apps of the configuration with their rings.
fn apps(configuration: &Configuration, keys: &[KeyRecord], failures: &FailureOverview) -> Vec<AppLine> {
    let sections = configuration.json.get("apps").and_then(|apps| apps.as_object());
    let of = |(name, section): (&String, &serde_json::Value)| {
        let ring = section.get("ring").and_then(|ring| ring.as_str()).unwrap_or("main");
        let active = keys.iter().find(|key| key.ring.as_str() == ring && key.state == KeyState::Active);
        let rise = failures.failures.iter().find(|row| row.app.as_str() == name && row.since.is_some());
        let (condition, sentence) = match (active, rise) {
            (None, _) => (
                Condition::Stopped,
                format!("no active key in ring {ring}: `countersign rotate run --ring {ring}` activates one"),
            ),
            (_, Some(row)) => (Condition::Attention, row.sentence.clone()),
            (Some(key), None) => {
                let short: String = key.kid.as_str().chars().take(8).collect();
                (Condition::Serving, format!("key {short} of ring {ring} signs; no failure is rising"))
            }
        };
        let word = match condition {
            Condition::Stopped => "stopped",
            Condition::Attention => "attention",
            _ => "serving",
        };
        AppLine {
            name: name.clone(),
            mark: Markup(StateSentence::mark(condition, word)),
            sentence: Prose(sentence),
            condition,
        }
    };
    sections.into_iter().flatten().map(of).collect()
}

fn active_keys(visit: &Visit, configuration: &Configuration, keys: &[KeyRecord]) -> Vec<ActiveKey> {
    let rings: BTreeMap<&RingName, &KeyRecord> =
        keys.iter().filter(|key| key.state == KeyState::Active).map(|key| (&key.ring, key)).collect();
    let of = |(ring, key): (&RingName, &KeyRecord)| {
        let every = configuration.json.pointer(&format!("/rings/{ring}/rotation/every"));
        let every = every.and_then(|every| every.as_str()).and_then(|text| parse_duration(text).ok());
        let next = every.map_or_else(
            || "by hand only".to_owned(),
            |every| match key.changed.plus(every).since(visit.now).as_secs().div_ceil(DAY) {
                0 => "due now".to_owned(),
                days => format!("in {days} {}", plural("day", usize::try_from(days).unwrap_or(usize::MAX))),
            },
        );
        let (kid, since) = (ShortId(key.kid.to_string()), ShownTime(key.changed));
        ActiveKey { ring: ring.to_string(), kid, since, next }
    };
    rings.into_iter().map(of).collect()
}
