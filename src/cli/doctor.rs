//! `countersign doctor`: checks of an installation, from where the service runs.

use std::process::ExitCode;

use clap::Args;

use super::{
    context::{Access, Context, EXIT_WARNINGS},
    runtime,
    target::Target,
};
use crate::{
    app::{Ambient, Services, check_outside, check_unit},
    config::Settings,
    operate::{Check, Health, Operations},
};

/// Check configuration, identity providers, network, keys, store, audit log and clock, and say what to do
///
/// Changes only one row of the store, to check that it can be written; migrates a store of an older version. Exit code
/// 0: all well; 3: warnings; 1: something is wrong.
#[derive(Args)]
pub(super) struct Doctor {}

pub(super) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let checks = match context.target()? {
        Target::Local => {
            let settings = context.settings(&[])?;
            runtime::block_on(checks(&settings))?
        }
        Target::Remote(_) => context.with_operations(Access::Change, async |ops| checks_of(ops).await)?,
    };
    let worst = checks.iter().map(|check| check.health).max().unwrap_or(Health::Ok);
    let lines: Vec<String> = checks.iter().map(line).collect();
    context.output.answer(&serde_json::json!({ "health": worst, "findings": checks }), lines.join("\n"))?;
    Ok(match worst {
        Health::Ok => ExitCode::SUCCESS,
        Health::Warning => ExitCode::from(EXIT_WARNINGS),
        Health::Wrong => ExitCode::FAILURE,
    })
}

fn line(check: &Check) -> String {
    let mark = match check.health {
        Health::Ok => "ok      ",
        Health::Warning => "warning ",
        Health::Wrong => "WRONG   ",
    };
    format!("{mark} {}: {}", check.what, check.text)
}

/// Checks of a service that is asked.
async fn checks_of(ops: &dyn Operations) -> anyhow::Result<Vec<Check>> {
    let mut checks = configuration(ops.configuration().await?.warnings);
    checks.extend(ops.checks().await?);
    Ok(checks)
}

async fn checks(settings: &Settings) -> anyhow::Result<Vec<Check>> {
    let mut checks = configuration(settings.warnings());
    checks.extend(check_unit(settings).await);
    match Services::open_for_command(settings, Ambient::system()).await {
        Ok(services) => checks.extend(checks_here(&services.operator(settings)?).await?),
        Err(error) => {
            let Ambient { clock, entropy } = Ambient::system();
            checks.extend(check_outside(settings, &clock, &entropy).await);
            checks.push(Check::new("service", Health::Wrong, error.to_string()));
        }
    }
    Ok(checks)
}

async fn checks_here(ops: &dyn Operations) -> anyhow::Result<Vec<Check>> {
    Ok(ops.checks().await?)
}

fn configuration(warnings: Vec<String>) -> Vec<Check> {
    if warnings.is_empty() {
        return vec![Check::new("configuration", Health::Ok, "no mistakes")];
    }
    warnings.into_iter().map(|text| Check::new("configuration", Health::Warning, text)).collect()
}
