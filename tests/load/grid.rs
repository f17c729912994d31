//! Every kind of call, at several loads, over several numbers of connections.

use super::{
    client::Call,
    load::{Latencies, Outcome, Rate, open_loop},
    raw,
    service::{APP, Installation, SHEDDING, Service},
    settings,
    summary::capacity,
};

const CALLS: [(&str, Call); 3] = [("mint", Call::Mint), ("refresh", Call::Refresh), ("mix", Call::Mix)];
const CONNECTIONS: [usize; 3] = [16, 64, 512];
const LOADS: [f64; 4] = [0.5, 0.8, 1.0, 2.0];

/// Measures every cell, with raw signatures before and after it; measures the capacity again before each row of four
/// cells.
pub async fn run() {
    let service = Service::start(Installation::new(), SHEDDING);
    println!("open loop; latencies in ms, from when a request was due; capacity: closed loop before each four rows");
    println!(
        "{:<8} {:>5} {:>5} {:>9} {:>9} {:>10} {:>6} {:>23} {:>8} {:>23} {:>7}",
        "call",
        "conns",
        "load",
        "offered/s",
        "tokens/s",
        "CPU/token",
        "÷ raw",
        "admitted p50/p99/p99.9",
        "refused",
        "refused p50/p99/p99.9",
        "memory"
    );
    for (name, call) in CALLS {
        for connections in CONNECTIONS {
            let capacity = capacity(&service, &call).await;
            let mut before = raw::signature();
            for load in LOADS {
                let rate = Rate { per_second: load * capacity, connections };
                let outcome = open_loop(&service.process, &service.target(APP), rate, &call, settings::cell()).await;
                let after = raw::signature();
                print(name, load, rate, &outcome, f64::midpoint(before, after), service.process.resident());
                before = after;
            }
        }
    }
    println!();
}

fn print(name: &str, load: f64, rate: Rate, outcome: &Outcome, raw: f64, resident: f64) {
    println!(
        "{name:<8} {:>5} {:>3.0} % {:>9.0} {:>9.0} {:>7.0} µs {:>6.2} {:>23} {:>8} {:>23} {resident:>4.0} MB{}",
        rate.connections,
        load * 100.0,
        rate.per_second,
        outcome.goodput(),
        outcome.cpu_per_answer() * 1e6,
        outcome.cpu_per_answer() / raw,
        percentiles(&outcome.admitted),
        outcome.refused.count(),
        percentiles(&outcome.refused),
        if outcome.failed == 0 { String::new() } else { format!("  {} failed", outcome.failed) },
    );
}

fn percentiles(latencies: &Latencies) -> String {
    if latencies.count() == 0 {
        return "–".to_owned();
    }
    [50.0, 99.0, 99.9].map(|percent| format!("{:.1}", latencies.percentile(percent).as_secs_f64() * 1e3)).join(" / ")
}
