//! Cost of the access line: CPU time of a token with `log.requests = "all"`, beside `"none"`.

use super::{
    client::Call,
    figures::{median, spread},
    load::closed_loop,
    raw,
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

/// Connections of the closed loop, as in the summary.
const CLIENTS: usize = 64;

/// A service with one setting of its log, and its CPU time for each token: in seconds, and in raw signatures.
struct Contender {
    name: &'static str,
    service: Service,
    seconds: Vec<f64>,
    ratios: Vec<f64>,
}

impl Contender {
    /// Starts it; its log is a file, as a container's or a journal's is.
    fn start(name: &'static str, requests: &str, format: &str) -> Self {
        let log = tempfile::tempfile().unwrap();
        let variables = [("COUNTERSIGN_LOG__REQUESTS", requests), ("COUNTERSIGN_LOG__FORMAT", format)];
        let service = Service::start_with(Installation::new(), PATIENT, &variables, Some(log));
        Self { name, service, seconds: Vec::new(), ratios: Vec::new() }
    }

    async fn measure(&mut self, call: &Call) {
        let before = raw::signature();
        let outcome =
            closed_loop(&self.service.process, &self.service.target(APP), CLIENTS, call, settings::round()).await;
        self.seconds.push(outcome.cpu_per_answer());
        self.ratios.push(outcome.cpu_per_answer() / f64::midpoint(before, raw::signature()));
    }
}

/// Measures the settings in turn, five times, for a mint and for a refresh, and prints the medians.
pub async fn run() {
    println!("access line, closed loop, {CLIENTS} connections, {ROUNDS} rounds in turn, medians");
    println!("{:<24} {:>10} {:>7} {:>18} {:>7} {:>18}", "log.requests", "CPU/token", "÷ raw", "", "÷ none", "");
    for (title, call) in [("mint", Call::Mint), ("refresh", Call::Refresh)] {
        let mut contenders = [
            Contender::start("none", "none", "text"),
            Contender::start("all, text", "all", "text"),
            Contender::start("all, json", "all", "json"),
        ];
        for _ in 0..ROUNDS {
            for contender in &mut contenders {
                contender.measure(&call).await;
            }
        }
        print(title, &contenders);
    }
    println!();
}

fn print(title: &str, contenders: &[Contender]) {
    let none = &contenders[0].ratios;
    for Contender { name, seconds, ratios, .. } in contenders {
        let beside: Vec<f64> = ratios.iter().zip(none).map(|(ratio, none)| ratio / none).collect();
        println!(
            "{:<24} {:>7.0} µs {:>7.2} {:>18} {:>7.2} {:>18}",
            format!("{title}, {name}"),
            median(&mut seconds.clone()) * 1e6,
            median(&mut ratios.clone()),
            spread(ratios, 2),
            median(&mut beside.clone()),
            spread(&beside, 2),
        );
    }
}
