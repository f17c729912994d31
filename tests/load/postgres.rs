//! Durable refreshes with the store in PostgreSQL, beside SQLite's, and with millions of sessions beside ten thousand; and
//! the database's own work for logins and refreshes.
//!
//! The database runs on the processors of the load, as if on another machine: only the service's CPU time counts as ours.

use std::time::Duration;

use super::{
    client::Call,
    figures::{Figures, POSTGRES, POSTGRES_FLUSHES, POSTGRES_HOT, POSTGRES_LARGE, POSTGRES_STATEMENTS},
    large_store::{CLIENTS, FEW, Filled},
    load::{Outcome, closed_loop},
    server::{Server, Work},
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

/// Memory for a warm store.
const SETTINGS: &str = "shared_buffers = '1GB'\nmax_wal_size = '4GB'\n";

/// Refreshes sessions in the three stores in turn, five times; then counts the work of the database.
pub async fn run(figures: &mut Figures) {
    let server = Server::start_with(SETTINGS);
    let mut stores = [
        Filled::new(Installation::new(), FEW).await,
        Filled::new(installation(&server, "few"), FEW).await,
        Filled::new(installation(&server, "many"), settings::sessions()).await,
    ];
    server.sql("postgres", "CHECKPOINT");
    // It reads every page; alone, because it cannot run in the transaction that several statements are.
    server.sql("many", "VACUUM ANALYZE countersign.sessions");
    rustix::fs::sync();
    // The first round fills caches.
    for store in &stores {
        store.refresh().await;
    }
    for round in 0..ROUNDS {
        if round % 2 == 1 {
            stores.reverse();
        }
        for store in &mut stores {
            store.measure().await;
        }
        if round % 2 == 1 {
            stores.reverse();
        }
    }
    let [sqlite, few, many] = &stores;
    for round in 0..ROUNDS as usize {
        figures.note(&POSTGRES, few.rounds[round] / sqlite.rounds[round]);
        figures.note(&POSTGRES_LARGE, many.rounds[round] / few.rounds[round]);
    }
    sqlite.print(" in SQLite");
    sqlite.prove_rotations(sqlite.written());
    for (store, database) in [(few, "few"), (many, "many")] {
        store.print(" in PostgreSQL");
        let written = server.sql(database, "SELECT sum(counter) FROM countersign.sessions");
        store.prove_rotations(written.trim().parse().unwrap());
    }
    let [_, few, _] = stores;
    count_work(&server, few, figures).await;
    println!();
}

fn installation(server: &Server, database: &str) -> Installation {
    server.sql("postgres", &format!("CREATE DATABASE {database}"));
    Installation::on(&server.url(database))
}

/// Work of a service and of its database for one call.
struct Counted {
    outcome: Outcome,
    database: Duration,
    work: Work,
}

/// Logins and refreshes by a service that is started for each, since the database's counts are complete only without
/// connections.
async fn count_work(server: &Server, few: Filled, figures: &mut Figures) {
    let Filled { service, stored, .. } = few;
    let mut installation = stop(service);
    for (name, call) in [("login", Call::Mint), ("refresh", Call::Stored(stored))] {
        let counted;
        (counted, installation) = count(server, installation, &call).await;
        counted.print(name);
        if let Call::Stored(_) = call {
            let answers = counted.outcome.admitted.count() as f64;
            figures.note(&POSTGRES_FLUSHES, counted.work.flushes / answers);
            figures.note(&POSTGRES_STATEMENTS, counted.work.of_sessions / answers);
            figures.note(&POSTGRES_HOT, counted.work.hot_updates / counted.work.updates);
        }
    }
}

fn stop(service: Service) -> Installation {
    let Service { process, installation, .. } = service;
    drop(process);
    installation
}

async fn count(server: &Server, installation: Installation, call: &Call) -> (Counted, Installation) {
    server.count_anew("few");
    let service = Service::start(installation, PATIENT);
    let before = server.cpu();
    let outcome = closed_loop(&service.process, &service.target(APP), CLIENTS, call, settings::round() * 2).await;
    let database = server.cpu().saturating_sub(before);
    let installation = stop(service);
    (Counted { outcome, database, work: server.work("few") }, installation)
}

impl Counted {
    fn print(&self, name: &str) {
        let answers = self.outcome.admitted.count() as f64;
        let Work { flushes, statements, log_writes, log_bytes, pages, .. } = self.work;
        println!(
            "{name} on PostgreSQL, {CLIENTS} connections: {:.0} µs of CPU of the service, {:.0} µs of the database's; \
             {:.3} flushes, {:.3} writes and {:.0} bytes of its log, {:.3} pages, {:.3} statements; {:.0} a second, \
             p99 {:.1} ms",
            self.outcome.cpu_per_answer() * 1e6,
            self.database.as_secs_f64() * 1e6 / answers,
            flushes / answers,
            log_writes / answers,
            log_bytes / answers,
            pages / answers,
            statements / answers,
            self.outcome.goodput(),
            self.outcome.admitted.percentile(99.0).as_secs_f64() * 1e3,
        );
    }
}
