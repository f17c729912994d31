//! `countersign rotate`: replace keys without one rejected token.

use std::{
    io::{BufRead, Write},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    context::{Context, EXIT_NOT_READY, EXIT_WARNINGS},
    rotate_show::{as_text, key_as_json, next_as_json, next_as_text, status_text},
};
use crate::{
    app::{Observer, RotateError, RotationConfig, Rotator, Services, StepPhase, plan},
    config::Settings,
    domain::{ids::RingName, rotation::Goal},
};
use plan::{Blocker, Next};

#[derive(Subcommand)]
pub(super) enum Rotate {
    /// Show what a rotation would do and when, each step with its reason; changes nothing
    Plan(RingFilter),
    /// Bring a new key to sign, or go on with the rotation that is under way
    ///
    /// Each step is put on record before it takes effect, so that this may be stopped and started again at any time. A
    /// running service goes on with it by itself. Exit code 3: something is waited for; 4: Braze does not answer.
    Run {
        #[command(flatten)]
        ring: RingArg,
        /// Stay until it is done: the longest token lifetime, and more
        #[arg(long)]
        wait: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Show where each ring stands: keys, nodes, what is waited for, what was done last. Exit code 3: not at rest
    Status(RingFilter),
    /// Give the rotation up that is under way; the key that signs goes on
    Abort(RingArg),
    /// Let the key before sign again, until it is withdrawn
    Rollback(RingArg),
}

/// Rings.
#[derive(Args)]
pub(super) struct RingFilter {
    /// Only this ring [default: every ring that apps use]
    #[arg(long)]
    pub(super) ring: Option<RingName>,
}

/// A ring.
#[derive(Args)]
pub(super) struct RingArg {
    /// The ring
    #[arg(long, default_value = "main")]
    ring: RingName,
}

impl RingFilter {
    /// The rings that are meant.
    pub(super) fn of(&self, settings: &Settings) -> anyhow::Result<Vec<RotationConfig>> {
        match &self.ring {
            Some(ring) => Ok(vec![config_of(settings, ring)?]),
            None => Ok(settings.rotations()),
        }
    }
}

/// A ring's part of the configuration.
pub(super) fn config_of(settings: &Settings, ring: &RingName) -> anyhow::Result<RotationConfig> {
    let config = settings.rotations().into_iter().find(|config| config.ring == *ring);
    config.with_context(|| format!("no app of the configuration uses ring {ring}"))
}

impl Rotate {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(filter) => show_plan(context, &filter),
            Self::Run { ring, wait, yes } => run(context, &ring.ring, wait, yes),
            Self::Status(filter) => status(context, &filter),
            Self::Abort(ring_arg) => command(context, &ring_arg.ring, Word::Abort),
            Self::Rollback(ring_arg) => command(context, &ring_arg.ring, Word::Rollback),
        }
    }
}

/// The steps that were done, told as they are and kept for the answer.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<Mutex<Vec<Value>>>);

impl Steps {
    pub(super) fn observer(&self, context: &Context) -> Observer {
        let (steps, output) = (Arc::clone(&self.0), context.output);
        Arc::new(move |step, reason, phase| {
            if phase == StepPhase::Done {
                output.remark(format_args!("{step}\n    {reason}"));
                let done = json!({ "done": step, "what": step.to_string(), "why": reason });
                steps.lock().unwrap_or_else(PoisonError::into_inner).push(done);
            }
        })
    }

    fn taken(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A rotator that tells its steps.
pub(super) fn rotator(context: &Context, services: &Services, settings: &Settings) -> anyhow::Result<(Rotator, Steps)> {
    let steps = Steps::default();
    Ok((services.operators_rotator(settings, steps.observer(context))?, steps))
}

fn show_plan(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let (value, text) = context.with_services(async |services, settings| {
        let (rotator, _) = rotator(context, &services, &settings)?;
        let mut plans = Vec::new();
        for config in filter.of(&settings)? {
            let forecast = foretell(&rotator, &config).await?;
            plans.push((config.ring, forecast));
        }
        let value: Vec<Value> =
            plans.iter().map(|(ring, forecast)| json!({ "ring": ring, "plan": forecast })).collect();
        let texts: Vec<String> = plans.iter().map(|(ring, forecast)| as_text(ring, forecast)).collect();
        Ok((value, texts.join("\n\n")))
    })?;
    context.output.answer(&value, text)?;
    Ok(ExitCode::SUCCESS)
}

/// What `rotate run` would do.
async fn foretell(rotator: &Rotator, config: &RotationConfig) -> anyhow::Result<plan::Forecast> {
    let mut snapshot = rotator.observe(config).await?.snapshot;
    if snapshot.goal == Goal::Idle {
        snapshot.goal = Goal::Rotating;
    }
    Ok(plan::forecast(&snapshot))
}

fn run(context: &Context, ring: &RingName, wait: bool, yes: bool) -> anyhow::Result<ExitCode> {
    if context.output.json && !yes {
        context.output.remark("--json asks nobody: add --yes");
        return Ok(ExitCode::from(2));
    }
    let (next, steps) = context.with_services(async |services, settings| {
        let config = config_of(&settings, ring)?;
        let (rotator, steps) = rotator(context, &services, &settings)?;
        if !yes {
            context.output.remark(as_text(ring, &foretell(&rotator, &config).await?));
            if !agreed("Go on? [y/N] ")? {
                bail!("nothing was changed");
            }
        }
        if rotator.load_recorded(&config).await?.snapshot.goal == Goal::Idle {
            rotator.begin(&config, "asked for at the command line").await?;
        }
        Ok((work(&rotator, &config, if wait { Patience::Endless } else { Patience::Short }).await?, steps))
    })?;
    finish(context, ring, &next, &steps)
}

/// How long what goes away by itself is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as it takes.
    Endless,
    /// Some seconds, for nodes to load a key.
    Short,
}

/// Drives a ring, beside a service that may do the same.
pub(super) async fn work(rotator: &Rotator, config: &RotationConfig, patience: Patience) -> anyhow::Result<Next> {
    let mut left = 12;
    loop {
        let next = match rotator.reconcile(config).await {
            // The service is at it.
            Err(RotateError::Busy(_)) => plan::next(&rotator.observe(config).await?.snapshot),
            next => next?,
        };
        let pause = match &next {
            Next::Idle { .. } => return Ok(next),
            Next::Do { .. } => Duration::from_millis(500),
            Next::Wait { blockers, until } => {
                let quick = blockers.iter().any(|blocker| matches!(blocker, Blocker::Nodes { .. }));
                if patience == Patience::Short && !quick {
                    return Ok(next);
                }
                let span = until.map_or(Duration::from_secs(5), |until| until.since(rotator.clock.now()));
                span.clamp(Duration::from_millis(500), Duration::from_secs(if quick { 1 } else { 30 }))
            }
        };
        left -= 1;
        if patience == Patience::Short && left == 0 {
            return Ok(next);
        }
        tokio::time::sleep(pause).await;
    }
}

fn agreed(question: &str) -> anyhow::Result<bool> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
}

/// The answer of a command that drove a ring.
pub(super) fn finish(context: &Context, ring: &RingName, next: &Next, steps: &Steps) -> anyhow::Result<ExitCode> {
    let mut value = next_as_json(next);
    value["ring"] = json!(ring);
    value["steps"] = Value::Array(steps.taken());
    context.output.answer(&value, next_as_text(next))?;
    Ok(exit_code(next))
}

fn exit_code(next: &Next) -> ExitCode {
    match next {
        Next::Idle { .. } => ExitCode::SUCCESS,
        Next::Wait { blockers, .. } if blockers.iter().any(|blocker| matches!(blocker, Blocker::Silent { .. })) => {
            ExitCode::from(EXIT_NOT_READY)
        }
        Next::Wait { .. } | Next::Do { .. } => ExitCode::from(EXIT_WARNINGS),
    }
}

#[derive(Clone, Copy)]
enum Word {
    Abort,
    Rollback,
}

fn command(context: &Context, ring: &RingName, command: Word) -> anyhow::Result<ExitCode> {
    let (next, steps) = context.with_services(async |services, settings| {
        let config = config_of(&settings, ring)?;
        let (rotator, steps) = rotator(context, &services, &settings)?;
        match command {
            Word::Abort => rotator.abort(&config, "given up at the command line").await?,
            Word::Rollback => rotator.roll_back(&config, "rolled back at the command line").await?,
        }
        Ok((work(&rotator, &config, Patience::Short).await?, steps))
    })?;
    finish(context, ring, &next, &steps)
}

fn status(context: &Context, filter: &RingFilter) -> anyhow::Result<ExitCode> {
    let (values, texts, code) = context.with_services(async |services, settings| {
        let (rotator, _) = rotator(context, &services, &settings)?;
        let (mut values, mut texts, mut code) = (Vec::new(), Vec::new(), ExitCode::SUCCESS);
        for config in filter.of(&settings)? {
            let snapshot = rotator.observe(&config).await?.snapshot;
            let audit_log = services.store.audit_log(Some(&config.ring), 10).await?;
            let next = plan::next(&snapshot);
            if snapshot.goal != Goal::Idle {
                code = exit_code(&next);
            }
            let mut value = next_as_json(&next);
            value["ring"] = json!(config.ring);
            value["goal"] = json!(snapshot.goal);
            value["keys"] = snapshot.keys.iter().map(key_as_json).collect();
            value["nodes"] =
                snapshot.nodes.iter().map(|node| json!({ "node": node.node, "loaded": node.loaded })).collect();
            value["audit_log"] = json!(audit_log);
            values.push(value);
            texts.push(status_text(&config.ring, &snapshot, &next, &audit_log));
        }
        Ok((values, texts, code))
    })?;
    context.output.answer(&values, texts.join("\n\n"))?;
    Ok(code)
}
