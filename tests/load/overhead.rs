//! Overhead of a token: its CPU time beyond the signature itself, in raw single signatures.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    client::Call,
    engines::{self, Engine},
    figures::{Figures, Goal, OVERHEAD_BARE, OVERHEAD_MINT, OVERHEAD_REFRESH, median, spread},
    load::{Outcome, closed_loop},
    raw,
    service::{APP, BARE, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

/// Connections of the closed loop, as in the summary.
const CLIENTS: usize = 64;

/// Kinds of token with a target.
const KINDS: [(&str, &str, Call, &Goal); 3] = [
    ("mint, durable session", APP, Call::Mint, &OVERHEAD_MINT),
    ("mint, no session", BARE, Call::Mint, &OVERHEAD_BARE),
    ("refresh, durable", APP, Call::Refresh, &OVERHEAD_REFRESH),
];

/// Raw costs on the service's processor, in seconds.
struct Raw {
    /// One signature of the single engine.
    single: f64,
    /// One signature of the engine that the service uses where many signatures wait.
    in_use: f64,
}

/// Measurement of one round, in seconds for each token.
struct Round {
    cpu: f64,
    engine: f64,
    single: f64,
    threads: BTreeMap<String, f64>,
}

impl Round {
    fn of(outcome: &Outcome, before: &Raw, after: &Raw) -> Self {
        let tokens = outcome.admitted.count().max(1) as f64;
        let threads = outcome.threads.iter().map(|(name, spent)| (name.clone(), spent.as_secs_f64() / tokens));
        Self {
            cpu: outcome.cpu_per_answer(),
            engine: f64::midpoint(before.in_use, after.in_use),
            single: f64::midpoint(before.single, after.single),
            threads: threads.collect(),
        }
    }

    fn overhead(&self) -> f64 {
        (self.cpu - self.engine) / self.single
    }
}

/// Measures the overhead of each kind of token without access lines, which has a target, and with all of them.
pub async fn run(figures: &mut Figures) {
    let services = ["none", "all"].map(|requests| (requests, start(requests)));
    println!("overhead, closed loop, {CLIENTS} connections, {ROUNDS} rounds in turn, medians");
    println!("engine in use: {}", in_use(&services[0].1).name);
    println!("{:<24} {:<8} {:>10} {:>10} {:>10} {:>9}", "token", "log", "CPU/token", "engine", "÷ raw", "overhead");
    for (title, app, call, goal) in &KINDS {
        let mut rows: [Vec<Round>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for ((requests, service), rows) in services.iter().zip(&mut rows) {
                let before = raw(service);
                let target = service.target(app);
                let outcome = closed_loop(&service.process, &target, CLIENTS, call, settings::round()).await;
                let round = Round::of(&outcome, &before, &raw(service));
                if *requests == "none" {
                    figures.note(goal, round.overhead());
                }
                rows.push(round);
            }
        }
        for ((requests, _), rows) in services.iter().zip(&rows) {
            print(title, requests, rows);
        }
        print_threads(&rows[0]);
    }
    println!();
}

fn start(requests: &str) -> Service {
    let log = tempfile::tempfile().unwrap();
    Service::start_with(Installation::new(), PATIENT, &[("COUNTERSIGN_LOG__REQUESTS", requests)], Some(log))
}

/// Returns the engine that the service chose for its key.
fn in_use(service: &Service) -> Engine {
    if service.signs_in_batches() { engines::batch_reference() } else { engines::reference() }
}

fn raw(service: &Service) -> Raw {
    let batches = service.signs_in_batches();
    let single = raw::signature();
    let in_use = if batches { raw::signature_of(engines::batch_reference) } else { single };
    Raw { single, in_use }
}

fn print(title: &str, requests: &str, rounds: &[Round]) {
    let overheads: Vec<f64> = rounds.iter().map(Round::overhead).collect();
    println!(
        "{title:<24} {requests:<8} {:>7.0} µs {:>7.0} µs {:>10.2} {:>9.2} {}",
        middle(rounds, |round| round.cpu) * 1e6,
        middle(rounds, |round| round.engine) * 1e6,
        middle(rounds, |round| round.cpu / round.single),
        median(&mut overheads.clone()),
        spread(&overheads, 2),
    );
}

/// Prints on which threads a token's time was spent; for signing threads that is the engine and what they do beside it.
fn print_threads(rounds: &[Round]) {
    let names: BTreeSet<&String> = rounds.iter().flat_map(|round| round.threads.keys()).collect();
    for name in names {
        let micros = middle(rounds, |round| round.threads.get(name).copied().unwrap_or_default()) * 1e6;
        if micros >= 0.1 {
            println!("    {name:<20} {micros:>16.1} µs");
        }
    }
}

fn middle(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    median(&mut rounds.iter().map(figure).collect::<Vec<_>>())
}

/// Measures a flush to disk where the service's store is: the time of one page written over an older one, and made
/// durable, as in a commit of the write-ahead log.
pub fn flush(service: &Service) -> Duration {
    let folder = service.installation.config().parent().unwrap().to_owned();
    raw::on_the_measured(move || raw::flush(&folder))
}
