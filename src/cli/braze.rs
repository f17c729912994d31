//! `countersign braze`: what Braze holds, against what we hold.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{
    context::{Context, EXIT_NOT_READY, EXIT_WARNINGS},
    output::table,
    rotate::{Patience, RingFilter, finish, rotator, work},
};
use crate::{
    app::{Drift, Observed, RotationConfig, drift, plan},
    domain::ids::{AppName, Kid, RingName},
};

#[derive(Subcommand)]
pub(super) enum Braze {
    /// The public keys of SDK authentication
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Subcommand)]
pub(super) enum Keys {
    /// List the keys that Braze holds for each app. Exit code 4: Braze does not answer
    List(RingFilter),
    /// Show what is not as it should be: unknown and missing keys, wrong primary. Exit code 3: there is such
    Diff(RingFilter),
    /// Put right what is ours: publish missing keys, set the primary, delete keys that have to go
    ///
    /// A key that is none of ours is left alone: delete it in Braze's dashboard, if nobody needs it.
    Apply(RingFilter),
}

/// A key at an app, or that should be there.
#[derive(Serialize)]
struct Row {
    ring: RingName,
    app: AppName,
    /// Braze's id; none where it is missing there, or not known.
    id: Option<String>,
    /// Our key; none where it is none of ours.
    kid: Option<Kid>,
    /// `matching`, `missing`, `unknown`, `attested`.
    is: &'static str,
    /// Our state of it.
    state: Option<&'static str>,
    primary: bool,
    description: String,
}

impl Braze {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Keys(Keys::List(filter)) => list(context, &filter),
            Self::Keys(Keys::Diff(filter)) => diff(context, &filter),
            Self::Keys(Keys::Apply(filter)) => apply(context, &filter),
        }
    }
}

async fn observed_rings(
    context: &Context,
    services: &crate::app::Services,
    settings: &crate::config::Settings,
    filter: &RingFilter,
) -> anyhow::Result<Vec<(RotationConfig, Observed)>> {
    let (rotator, _) = rotator(context, services, settings)?;
    let mut observed_rings = Vec::new();
    for config in filter.of(settings)? {
        let observed = rotator.observe(&config).await?;
        observed_rings.push((config, observed));
    }
    Ok(observed_rings)
}

fn list(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let observed_rings = context
        .with_services(async |services, settings| observed_rings(context, &services, &settings, filter).await)?;
    let rows: Vec<Row> = observed_rings.iter().flat_map(|(_, observed)| rows(observed)).collect();
    let texts = rows.iter().map(|row| {
        let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let primary = if row.primary { "primary" } else { "" };
        [
            row.app.to_string(),
            text(row.id.as_deref()),
            row.is.to_owned(),
            text(row.kid.as_ref().map(Kid::as_str)),
            text(row.state),
            primary.to_owned(),
            row.description.clone(),
        ]
    });
    let header = ["APP", "BRAZE'S ID", "IS", "KID", "STATE", "", "DESCRIPTION"];
    context.output.answer(&rows, table(&header, texts))?;
    let silent = told_silent(context, observed_rings.iter().flat_map(|(_, observed)| drift(&observed.snapshot)));
    Ok(if silent { ExitCode::from(EXIT_NOT_READY) } else { ExitCode::SUCCESS })
}

fn told_silent(context: &Context, drift: impl Iterator<Item = Drift>) -> bool {
    let silent: Vec<Drift> = drift.filter(|drift| matches!(drift, Drift::Silent { .. })).collect();
    for drift in &silent {
        context.output.remark(drift);
    }
    !silent.is_empty()
}

fn rows(observed: &Observed) -> Vec<Row> {
    observed.snapshot.apps.iter().flat_map(|app| app_rows(observed, app)).collect()
}

fn app_rows(observed: &Observed, app: &plan::AppSnapshot) -> Vec<Row> {
    let snapshot = &observed.snapshot;
    let row = |kid: Option<Kid>, is| {
        let key = kid.as_ref().and_then(|kid| snapshot.key(kid));
        let state = key.map(|key| key.record.state.as_str());
        let (ring, app) = (snapshot.ring.clone(), app.app.clone());
        Row { ring, app, id: None, kid, is, state, primary: false, description: String::new() }
    };
    if app.listing == plan::Listing::Attested {
        let attested = app.publications.iter().filter(|(_, known)| known.shown.is_some());
        return attested.map(|(kid, _)| row(Some(kid.clone()), "attested")).collect();
    }
    let words = observed.listed.get(&app.app).map(Vec::as_slice).unwrap_or_default();
    let mut rows: Vec<Row> = app
        .entries()
        .iter()
        .map(|entry| {
            let is = if entry.kid.is_some() { "matching" } else { "unknown" };
            let description =
                words.iter().find(|listed| listed.id == entry.id).map(|listed| listed.description.clone());
            let (id, description) = (Some(entry.id.clone()), description.unwrap_or_default());
            Row { id, primary: entry.primary, description, ..row(entry.kid.clone(), is) }
        })
        .collect();
    let missing = drift(snapshot).into_iter().filter_map(|drift| match drift {
        Drift::Missing { app: at, kid } if at == app.app => Some(kid),
        _ => None,
    });
    rows.extend(missing.map(|kid| row(Some(kid), "missing")));
    rows
}

fn diff(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let observed_rings = context
        .with_services(async |services, settings| observed_rings(context, &services, &settings, filter).await)?;
    let found: Vec<Drift> = observed_rings.iter().flat_map(|(_, observed)| drift(&observed.snapshot)).collect();
    let mut lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    if lines.is_empty() {
        lines.push("Braze holds what it should hold.".to_owned());
    }
    context.output.answer(&found, lines.join("\n"))?;
    Ok(match () {
        () if found.iter().any(|drift| matches!(drift, Drift::Silent { .. })) => ExitCode::from(EXIT_NOT_READY),
        () if found.is_empty() => ExitCode::SUCCESS,
        () => ExitCode::from(EXIT_WARNINGS),
    })
}

fn apply(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let mut worst = ExitCode::SUCCESS;
    let done = context.with_services(async |services, settings| {
        let mut done = Vec::new();
        for config in filter.of(&settings)? {
            let (rotator, steps) = rotator(context, &services, &settings)?;
            rotator.repair(&config, "asked for at the command line").await?;
            done.push((config.ring.clone(), work(&rotator, &config, Patience::Short).await?, steps));
        }
        Ok(done)
    })?;
    for (ring, next, steps) in done {
        let code = finish(context, &ring, &next, &steps)?;
        if code != ExitCode::SUCCESS {
            worst = code;
        }
    }
    Ok(worst)
}
