//! Refreshes in a store with millions of sessions, beside one with ten thousand.

use std::{sync::Arc, time::Instant};

use rusqlite::{Connection, OpenFlags};

use super::{
    client::Call,
    figures::{Figures, LARGE, median, spread},
    load::closed_loop,
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
    show,
    stored::Stored,
};

/// Sessions in the small store.
const FEW: usize = 10_000;

const CLIENTS: usize = 64;

/// A service whose store was filled before its start.
struct Filled {
    service: Service,
    stored: Arc<Stored>,
    /// CPU time of a refresh, in microseconds.
    rounds: Vec<f64>,
}

/// Refreshes sessions throughout both stores in turn, five times, and prints the medians.
pub async fn run(figures: &mut Figures) {
    let mut small = Filled::new(FEW).await;
    let mut large = Filled::new(settings::sessions()).await;
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
        println!(
            "refresh with {:>9} sessions, {CLIENTS} connections: {:>4.0} µs of CPU {}, {:.0} MB",
            filled.stored.count(),
            median(&mut filled.rounds.clone()),
            spread(&filled.rounds, 0),
            filled.service.process.resident(),
        );
        filled.prove_rotations();
    }
    println!();
}

impl Filled {
    async fn new(sessions: usize) -> Self {
        let (installation, begun) = (Installation::new(), Instant::now());
        let stored = Stored::fill(&installation.config(), sessions).await;
        println!("{sessions} sessions created through the store in {:.0} s", begun.elapsed().as_secs_f64());
        Self { service: Service::start(installation, PATIENT), stored, rounds: Vec::new() }
    }

    async fn measure(&mut self) {
        let (service, call) = (&self.service, Call::Stored(Arc::clone(&self.stored)));
        let outcome = closed_loop(&service.process, &service.target(APP), CLIENTS, &call, settings::round()).await;
        let odd = show::not_admitted([&outcome].into_iter());
        assert!(odd.is_empty(), "every refresh is of a session that lives:{odd}");
        self.rounds.push(outcome.cpu_per_answer() * 1e6);
    }

    /// Checks that each answer advanced one row by one: no refresh was repeated, none was answered before its write.
    fn prove_rotations(&self) {
        let store =
            Connection::open_with_flags(self.service.installation.store(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let written: i64 = store.query_row("SELECT sum(counter) FROM sessions", [], |row| row.get(0)).unwrap();
        assert_eq!(written, self.stored.rotations() as i64, "rows moved on, and tokens answered");
    }
}
