//! Refreshes in a store with millions of sessions, beside one with ten thousand.

use std::{sync::Arc, time::Instant};

use rusqlite::{Connection, OpenFlags};

use super::{
    client::Call,
    figures::{Figures, LARGE, median, spread},
    load::{Outcome, closed_loop},
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
    show,
    stored::Stored,
};

/// Sessions in the small store.
pub(super) const FEW: usize = 10_000;

pub(super) const CLIENTS: usize = 64;

/// A service whose store was filled before its start.
pub(super) struct Filled {
    pub(super) service: Service,
    pub(super) stored: Arc<Stored>,
    /// CPU time of a refresh, in microseconds.
    pub(super) rounds: Vec<f64>,
}

/// Refreshes sessions throughout both stores in turn, five times, and prints the medians.
pub async fn run(figures: &mut Figures) {
    let mut small = Filled::new(Installation::new(), FEW).await;
    let mut large = Filled::new(Installation::new(), settings::sessions()).await;
    // Pending writes of the filling must not count as the cost of a refresh.
    rustix::fs::sync();
    for round in 0..ROUNDS {
        // The order alternates, so that a drift of the machine favours neither store.
        if round % 2 == 0 {
            small.measure().await;
            large.measure().await;
        } else {
            large.measure().await;
            small.measure().await;
        }
    }
    for (of_large, of_small) in large.rounds.iter().zip(&small.rounds) {
        figures.note(&LARGE, of_large / of_small);
    }
    for filled in [small, large] {
        filled.print("");
        filled.prove_rotations(filled.written());
    }
    println!();
}

impl Filled {
    pub(super) async fn new(installation: Installation, sessions: usize) -> Self {
        let begun = Instant::now();
        let stored = Stored::fill(&installation.config(), sessions).await;
        println!("{sessions} sessions created through the store in {:.0} s", begun.elapsed().as_secs_f64());
        Self { service: Service::start(installation, PATIENT), stored, rounds: Vec::new() }
    }

    /// Refreshes sessions for one round; the answers are not counted among the rounds yet.
    pub(super) async fn refresh(&self) -> Outcome {
        let (service, call) = (&self.service, Call::Stored(Arc::clone(&self.stored)));
        let outcome = closed_loop(&service.process, &service.target(APP), CLIENTS, &call, settings::round()).await;
        let odd = show::not_admitted([&outcome].into_iter());
        assert!(odd.is_empty(), "every refresh is of a session that lives:{odd}");
        outcome
    }

    pub(super) async fn measure(&mut self) {
        let outcome = self.refresh().await;
        self.rounds.push(outcome.cpu_per_answer() * 1e6);
    }

    pub(super) fn print(&self, place: &str) {
        println!(
            "refresh with {:>9} sessions{place}, {CLIENTS} connections: {:>4.0} µs of CPU {}, {:.0} MB",
            self.stored.count(),
            median(&mut self.rounds.clone()),
            spread(&self.rounds, 0),
            self.service.process.resident(),
        );
    }

    /// Returns the sum of the counters in the SQLite file.
    pub(super) fn written(&self) -> i64 {
        let store =
            Connection::open_with_flags(self.service.installation.store(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        store.query_row("SELECT sum(counter) FROM sessions", [], |row| row.get(0)).unwrap()
    }

    /// Checks that each answer advanced one row by one: no refresh was repeated, none was answered before its write.
    pub(super) fn prove_rotations(&self, written: i64) {
        assert_eq!(written, self.stored.rotations() as i64, "rows moved on, and tokens answered");
    }
}
