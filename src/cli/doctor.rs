//! `countersign doctor`: is everything as it should be, seen from where the service runs?

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::context::{Context, EXIT_WARNINGS, block_on};
use crate::{
    app::{Drift, Services, drift},
    config::Settings,
    domain::key::KeyState,
};

/// Check configuration, keys, store and clock, and say what to do
///
/// Changes nothing but one row of the store, to prove that it can be written. Exit code 0: all well; 3: warnings; 1:
/// something is wrong.
#[derive(Args)]
pub(super) struct Doctor {}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Warning,
    Wrong,
}

#[derive(Serialize)]
struct Finding {
    what: String,
    health: Health,
    text: String,
}

fn finding(what: impl Into<String>, health: Health, text: impl Into<String>) -> Finding {
    Finding { what: what.into(), health, text: text.into() }
}

pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let settings = context.settings(&[])?;
    let findings = block_on(examine(&settings))?;
    let worst = findings.iter().map(|finding| finding.health).max().unwrap_or(Health::Ok);
    let lines: Vec<String> = findings.iter().map(line).collect();
    context.output.answer(&serde_json::json!({ "health": worst, "findings": findings }), lines.join("\n"))?;
    Ok(match worst {
        Health::Ok => ExitCode::SUCCESS,
        Health::Warning => ExitCode::from(EXIT_WARNINGS),
        Health::Wrong => ExitCode::FAILURE,
    })
}

fn line(finding: &Finding) -> String {
    let mark = match finding.health {
        Health::Ok => "ok      ",
        Health::Warning => "warning ",
        Health::Wrong => "WRONG   ",
    };
    format!("{mark} {}: {}", finding.what, finding.text)
}

async fn examine(settings: &Settings) -> anyhow::Result<Vec<Finding>> {
    let mut findings = configuration(settings);
    match Services::open(settings).await {
        Ok(services) => {
            findings.push(finding("sealing secret", Health::Ok, "opens the store"));
            findings.extend(keys(&services, settings).await?);
            findings.extend(braze(&services, settings).await?);
            findings.extend(store(&services).await);
            findings.push(clock(&services).await);
        }
        Err(error) => findings.push(finding("service", Health::Wrong, error.to_string())),
    }
    Ok(findings)
}

fn configuration(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        settings.warnings().into_iter().map(|text| finding("configuration", Health::Warning, text)).collect();
    if findings.is_empty() {
        findings.push(finding("configuration", Health::Ok, "no mistakes"));
    }
    findings
}

async fn keys(services: &Services, settings: &Settings) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for key in services.check_keys().await? {
        let what = format!("key {} ({})", key.kid, key.state.as_str());
        findings.push(match (key.mistake, key.state) {
            (None, _) => finding(what, Health::Ok, "loads, signs, verifies"),
            (Some(why), KeyState::Active) => finding(what, Health::Wrong, why),
            (Some(why), _) => finding(what, Health::Warning, why),
        });
    }
    let records = services.ceremony().list().await?;
    findings.extend(services.custodian.strays(&records)?.into_iter().map(|file| {
        let text = "no record names it, nothing signs with it: `countersign keys import` takes it in, or delete it";
        finding(format!("key file {file}"), Health::Warning, text)
    }));
    for ring in settings.rings() {
        if !records.iter().any(|key| key.ring == *ring && key.state == KeyState::Active) {
            let text = format!("has no active key: `countersign rotate run --ring {ring}` brings one");
            findings.push(finding(format!("ring {ring}"), Health::Wrong, text));
        }
    }
    Ok(findings)
}

/// What Braze holds against what it should hold, where it can be asked.
async fn braze(services: &Services, settings: &Settings) -> anyhow::Result<Vec<Finding>> {
    let rotator = services.operators_rotator(settings, std::sync::Arc::new(|_, _, _| {}))?;
    let mut findings = Vec::new();
    for config in settings.rotations() {
        if config.apps.iter().all(|app| app.place.is_none()) {
            continue;
        }
        let found = drift(&rotator.observe(&config).await?.snapshot);
        let what = format!("braze, ring {}", config.ring);
        findings.extend(found.iter().map(|drift| {
            let health = if matches!(drift, Drift::Missing { .. }) { Health::Wrong } else { Health::Warning };
            finding(what.clone(), health, drift.to_string())
        }));
        if found.is_empty() {
            findings.push(finding(what, Health::Ok, "holds what it should hold"));
        }
    }
    Ok(findings)
}

async fn store(services: &Services) -> Vec<Finding> {
    let written = match services.store.check(services.clock.now()).await {
        Ok(()) => finding("store", Health::Ok, "can be written and read"),
        Err(error) => finding("store", Health::Wrong, error.to_string()),
    };
    let schema = match services.store.schema().await {
        Ok(schema) => finding("schema", Health::Ok, format!("{} (this build knows {})", schema.found, schema.known)),
        Err(error) => finding("schema", Health::Wrong, error.to_string()),
    };
    vec![written, schema]
}

async fn clock(services: &Services) -> Finding {
    let now = services.clock.now();
    match services.store.latest_time().await {
        Ok(latest) if latest.since(now).as_secs() > 300 => {
            finding("clock", Health::Wrong, format!("says {now}, but the store has seen {latest}: set it right"))
        }
        Ok(_) => finding("clock", Health::Ok, format!("{now}; nothing on record is later")),
        Err(error) => finding("clock", Health::Warning, error.to_string()),
    }
}
