//! Countersign beside its peers: the same contract, key, processor and clients.

use super::{
    client::{Call, Target},
    figures::{Figures, PEER, median, spread},
    load::{Outcome, closed_loop},
    peers::{self, Missing, Peer},
    process::Process,
    raw,
    service::{BARE, DURABLE, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
    show,
};

/// Connections of the closed loop.
const CONNECTIONS: usize = 32;

/// A server in the table, and its measurements.
struct Contender<'a> {
    name: &'static str,
    process: &'a Process,
    target: Target,
    rounds: Vec<Round>,
}

struct Round {
    outcome: Outcome,
    raw: f64,
    resident: f64,
}

/// Measures the servers in turn, five times, and prints the medians; returns the peers that could not be started.
pub async fn run(figures: &mut Figures) -> Vec<Missing> {
    let service = Service::start(Installation::new(), PATIENT);
    let (mut running, mut missing) = (Vec::new(), Vec::new());
    for peer in peers::start_all(&service.installation).await {
        match peer {
            Ok(peer) => running.push(peer),
            Err(peer) => missing.push(peer),
        }
    }
    peers::check(&service.target(BARE), &service.installation).await;
    let mut contenders = contenders(&service, &running);
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            contender.measure().await;
        }
    }
    note_ratios(&contenders, figures);
    print(&contenders, &missing);
    missing
}

fn contenders<'a>(service: &'a Service, peers: &'a [Peer]) -> Vec<Contender<'a>> {
    let ours =
        |name, app| Contender { name, process: &service.process, target: service.target(app), rounds: Vec::new() };
    let theirs = |peer: &'a Peer| Contender {
        name: peer.name,
        process: &peer.process,
        target: peer.target.clone(),
        rounds: Vec::new(),
    };
    let ours = [ours("Countersign, no session", BARE), ours("Countersign, durable session", DURABLE)];
    ours.into_iter().chain(peers.iter().map(theirs)).collect()
}

impl Contender<'_> {
    async fn measure(&mut self) {
        let before = raw::signature();
        let outcome = closed_loop(self.process, &self.target, CONNECTIONS, &Call::Mint, settings::round()).await;
        let raw = f64::midpoint(before, raw::signature());
        self.rounds.push(Round { outcome, raw, resident: self.process.resident() });
    }

    fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(&mut self.rounds.iter().map(figure).collect::<Vec<f64>>())
    }
}

/// Notes, for each round, the goodput of the first contender divided by that of the fastest peer.
fn note_ratios(contenders: &[Contender<'_>], figures: &mut Figures) {
    let [ours, _, peers @ ..] = contenders else { return };
    for (number, round) in ours.rounds.iter().enumerate() {
        let best = peers.iter().map(|peer| peer.rounds[number].outcome.goodput()).fold(0.0, f64::max);
        if best > 0.0 {
            figures.note(&PEER, round.outcome.goodput() / best);
        }
    }
}

fn print(contenders: &[Contender<'_>], missing: &[Missing]) {
    println!("the same contract, closed loop, {CONNECTIONS} connections, {ROUNDS} rounds in turn, medians");
    println!(
        "{:<30} {:>9} {:>10} {:>7} {:>16} {:>9} {:>9} {:>7} {:>10}",
        "", "tokens/s", "CPU/token", "÷ raw", "", "p50", "p99", "memory", "ours ÷ it"
    );
    let ours = contenders[0].median(|round| round.outcome.goodput());
    for contender in contenders {
        let goodput = contender.median(|round| round.outcome.goodput());
        let ratios: Vec<f64> =
            contender.rounds.iter().map(|round| round.outcome.cpu_per_answer() / round.raw).collect();
        println!(
            "{:<30} {goodput:>9.0} {:>7.0} µs {:>7.2} {:>16} {:>9} {:>9} {:>4.0} MB {:>10.2}{}",
            contender.name,
            contender.median(|round| round.outcome.cpu_per_answer() * 1e6),
            median(&mut ratios.clone()),
            spread(&ratios, 2),
            show::millis(contender.median(|round| round.outcome.admitted.percentile(50.0).as_secs_f64())),
            show::millis(contender.median(|round| round.outcome.admitted.percentile(99.0).as_secs_f64())),
            contender.median(|round| round.resident),
            ours / goodput,
            show::not_admitted(contender.rounds.iter().map(|round| &round.outcome)),
        );
    }
    for Missing { name, why } in missing {
        println!("{name:<30} missing: {why}");
    }
    println!();
}
