//! Figures that have targets, each from five pairs measured in turn.

use super::{
    client::Call,
    figures::{
        Figures, GOODPUT, Goal, MEMORY, ONE, ONE_BARE, P99_ADMITTED, P99_AT_80, P99_HEALTH, P99_REFUSED, START, median,
        spread,
    },
    load::{Latencies, Outcome, Rate, closed_loop, open_loop, with_health},
    overhead, raw,
    service::{APP, BARE, Installation, PATIENT, SHEDDING, Service},
    settings::{self, ROUNDS},
    show,
};

/// Connections of the open loop below the capacity.
const CLIENTS: usize = 64;

/// Connections of the closed loops that measure the capacity: few enough that no request is shed.
pub const CALM: usize = 24;

/// Connections of the open loop at twice the capacity.
const CROWD: usize = 512;

/// Measures all of them.
pub async fn run(figures: &mut Figures) {
    for _ in 0..ROUNDS {
        figures.note(&START, Service::start(Installation::new(), SHEDDING).start_to_ready.as_secs_f64() * 1e3);
    }
    let patient = Service::start(Installation::new(), PATIENT);
    println!("memory, idle: {:.0} MB", patient.process.resident());
    let (flush, signature) = (overhead::flush(&patient), raw::signature());
    let flush = flush.as_secs_f64() / signature;
    println!("a flush: {:.0} µs, {flush:.2} raw signatures", flush * signature * 1e6);
    if flush < 0.5 {
        one_at_a_time(&patient, APP, &ONE, figures).await;
    } else {
        println!("one at a time with a session has no target here: a flush takes half a raw signature or longer");
    }
    one_at_a_time(&patient, BARE, &ONE_BARE, figures).await;
    drop(patient);
    let shedding = Service::start(Installation::new(), SHEDDING);
    almost_full(&shedding, figures).await;
    overloaded(&shedding, figures).await;
    println!("memory, after overload: {:.0} MB\n", shedding.process.resident());
}

async fn one_at_a_time(service: &Service, app: &str, goal: &'static Goal, figures: &mut Figures) {
    for _ in 0..ROUNDS {
        let before = raw::signature();
        let outcome = closed_loop(&service.process, &service.target(app), 1, &Call::Mint, settings::round()).await;
        let raw = f64::midpoint(before, raw::signature());
        figures.note(goal, outcome.admitted.percentile(50.0).as_secs_f64() / raw);
    }
}

async fn almost_full(service: &Service, figures: &mut Figures) {
    let mut milliseconds = Vec::new();
    for _ in 0..ROUNDS {
        let rate = Rate { per_second: 0.8 * capacity(service, &Call::Mint).await, connections: CLIENTS };
        let before = raw::signature();
        let outcome = open_loop(&service.process, &service.target(APP), rate, &Call::Mint, settings::round()).await;
        let raw = f64::midpoint(before, raw::signature());
        milliseconds.push(p99_ms(&outcome.admitted));
        figures.note(&P99_AT_80, p99_ms(&outcome.admitted) / 1e3 / raw);
        tell(&outcome);
    }
    print_p99("at 80 %", &milliseconds);
}

async fn overloaded(service: &Service, figures: &mut Figures) {
    let mut milliseconds = Vec::new();
    for _ in 0..ROUNDS {
        let capacity = capacity(service, &Call::Mint).await;
        let rate = Rate { per_second: 2.0 * capacity, connections: CROWD };
        let before = raw::signature();
        let (over, health) =
            with_health(&service.process, &service.target(APP), rate, &Call::Mint, settings::round()).await;
        let raw = f64::midpoint(before, raw::signature());
        figures.note(&GOODPUT, over.goodput() / capacity);
        milliseconds.push(p99_ms(&over.admitted));
        figures.note(&P99_ADMITTED, p99_ms(&over.admitted) / 1e3 / raw);
        figures.note(&P99_REFUSED, p99_ms(&over.refused));
        figures.note(&P99_HEALTH, p99_ms(&health.admitted));
        figures.note(&MEMORY, service.process.resident());
        assert_eq!(over.failed + health.failed, 0, "answers that are neither a token nor a refusal");
    }
    print_p99("at 200 %", &milliseconds);
}

/// Prints what a user waits; the target is a multiple of a signature, since that is what a machine decides.
fn print_p99(load: &str, milliseconds: &[f64]) {
    let (middle, range) = (median(&mut milliseconds.to_vec()), spread(milliseconds, 1));
    println!("{load}: p99 of admitted {middle:.1} ms {range}");
}

/// Measures the tokens a second of a closed loop.
pub async fn capacity(service: &Service, call: &Call) -> f64 {
    closed_loop(&service.process, &service.target(APP), CALM, call, settings::round()).await.goodput()
}

fn p99_ms(latencies: &Latencies) -> f64 {
    latencies.percentile(99.0).as_secs_f64() * 1e3
}

/// Prints a line if requests failed.
fn tell(outcome: &Outcome) {
    let text = show::not_admitted([outcome].into_iter());
    if !text.is_empty() {
        println!("in a round that should have none:{text}");
    }
}
