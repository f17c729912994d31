//! Cost of an exchange beside a generate: the verification of the credential, as CPU time ÷ a raw signature.

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;

use super::{
    client::Call,
    credentials::{Algorithm, Credentials},
    figures::{median, spread},
    jwt::{TestProvider, published},
    load::closed_loop,
    raw,
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

/// Connections of the closed loop, as in the summary.
const CLIENTS: usize = 64;

/// Target: what an exchange costs more than a generate, in raw signatures.
const TARGET: f64 = 0.35;

struct Contender {
    name: &'static str,
    call: Call,
    /// CPU time of the verification alone.
    verification: f64,
    seconds: Vec<f64>,
    /// CPU time that an exchange costs more than a generate, in raw signatures.
    more: Vec<f64>,
}

impl Contender {
    async fn new(provider: &TestProvider, name: &'static str, algorithm: Algorithm) -> Self {
        let credentials = Arc::new(Credentials::new(provider, algorithm));
        let keys =
            reqwest::get(format!("{}/jwks.json", provider.issuer)).await.unwrap().json::<JwkSet>().await.unwrap();
        let verification = credentials.raw_verification(&keys);
        Self { name, call: Call::Exchange(credentials), verification, seconds: Vec::new(), more: Vec::new() }
    }
}

/// Measures generate, and an exchange of each algorithm, in turn, five times, and prints the medians.
pub async fn run() {
    let provider = TestProvider::start(&published()).await;
    let mut contenders = [
        Contender::new(&provider, "RS256", Algorithm::Rs256).await,
        Contender::new(&provider, "ES256", Algorithm::Es256).await,
    ];
    let service = Service::start(Installation::with(&provider.config(APP)), PATIENT);
    let cost = async |call: &Call| {
        let outcome = closed_loop(&service.process, &service.target(APP), CLIENTS, call, settings::round()).await;
        assert_eq!(outcome.failed, 0, "answers that are neither a token nor a refusal");
        outcome.cpu_per_answer()
    };
    let (mut raws, mut generates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            let before = raw::signature();
            let generate = cost(&Call::Mint).await;
            let exchange = cost(&contender.call).await;
            let raw = f64::midpoint(before, raw::signature());
            contender.seconds.push(exchange);
            contender.more.push((exchange - generate) / raw);
            raws.push(raw);
            generates.push(generate);
        }
    }
    println!("exchange, closed loop, {CLIENTS} connections, {ROUNDS} rounds in turn, medians");
    println!("raw signature {:.0} µs, generate {:.0} µs", median(&mut raws) * 1e6, median(&mut generates) * 1e6);
    println!("{:<10} {:>10} {:>14} {:>24} {:>18}", "credential", "CPU/token", "verification", "(– generate) ÷ raw", "");
    for Contender { name, verification, seconds, more, .. } in &mut contenders {
        let (cost, verification, middle) = (median(seconds) * 1e6, *verification * 1e6, median(more));
        let verdict = if middle <= TARGET { "met" } else { "missed" };
        println!(
            "{name:<10} {cost:>7.0} µs {verification:>11.1} µs {middle:>24.2} {:>18}  ≤ {TARGET} {verdict}",
            spread(more, 2)
        );
    }
    println!();
}
