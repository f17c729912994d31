//! Closed loops, to measure the capacity, and open loops without coordinated omission: a request's latency counts
//! from its due time, not from the time at which a connection was free.
//!
//! Every latency is kept, so that percentiles are exact.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{self, JoinSet},
};

use super::{
    client::{Call, Client, Target},
    process::Process,
};

/// Rate of requests, and the number of their connections.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: f64,
    pub connections: usize,
}

impl Rate {
    /// Returns the due time of a request, after the beginning.
    fn due(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

/// Latencies of one kind of answer.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the latency that `percent` of the answers did not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Answers of a measurement.
#[derive(Debug, Default)]
pub struct Outcome {
    pub admitted: Latencies,
    pub refused: Latencies,
    /// Errors, and answers that are neither the expected one nor a refusal for overload.
    pub failed: usize,
    pub cpu: Duration,
    /// The server's CPU time by the names of its threads.
    pub threads: BTreeMap<String, Duration>,
    pub took: Duration,
}

impl Outcome {
    /// Returns the number of tokens a second.
    pub fn goodput(&self) -> f64 {
        self.admitted.count() as f64 / self.took.as_secs_f64()
    }

    /// Returns the server's CPU time for each token, in seconds; the cost of refusals is included.
    pub fn cpu_per_answer(&self) -> f64 {
        self.cpu.as_secs_f64() / self.admitted.count().max(1) as f64
    }

    fn note(&mut self, call: &Call, status: &io::Result<u16>, latency: Duration) {
        match status {
            Ok(status) if *status == call.expected() => self.admitted.0.push(latency),
            Ok(503 | 429) => self.refused.0.push(latency),
            _ => self.failed += 1,
        }
    }
}

/// Runs a closed loop: every connection sends its next request after each answer.
pub async fn closed_loop(
    process: &Process,
    target: &Target,
    connections: usize,
    call: &Call,
    span: Duration,
) -> Outcome {
    let clients = clients(target, connections, call).await;
    let measured = Measured::begin(process);
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (outcome, call, begun) = (Arc::clone(&measured.outcome), call.clone(), measured.begun);
        tasks.spawn(async move {
            while begun.elapsed() < span {
                let sent = Instant::now();
                let status = client.call(&call).await;
                outcome.lock().unwrap().note(&call, &status, sent.elapsed());
            }
        });
    }
    tasks.join_all().await;
    measured.end(process)
}

/// Runs an open loop, and beside it requests for `/healthz`, ten a second.
pub async fn with_health(
    process: &Process,
    target: &Target,
    rate: Rate,
    call: &Call,
    span: Duration,
) -> (Outcome, Outcome) {
    let health = Rate { per_second: 10.0, connections: 4 };
    tokio::join!(open_loop(process, target, rate, call, span), open_loop(process, target, health, &Call::Health, span))
}

/// Runs an open loop: requests fall due at a fixed rate.
pub async fn open_loop(process: &Process, target: &Target, rate: Rate, call: &Call, span: Duration) -> Outcome {
    let clients = clients(target, rate.connections, call).await;
    let total = (rate.per_second * span.as_secs_f64()) as u64;
    let (due, numbers) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let measured = Measured::begin(process);
    let mut tasks = JoinSet::new();
    tasks.spawn(pace(Arc::clone(&due), measured.begun, rate, total));
    for mut client in clients {
        let (outcome, due, numbers) = (Arc::clone(&measured.outcome), Arc::clone(&due), Arc::clone(&numbers));
        let (call, begun) = (call.clone(), measured.begun);
        tasks.spawn(async move {
            loop {
                // The semaphore is fair: requests get their permits in the order of their numbers, each at its due
                // time.
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return;
                }
                due.acquire().await.unwrap().forget();
                let status = client.call(&call).await;
                let latency = begun.elapsed().saturating_sub(rate.due(number));
                outcome.lock().unwrap().note(&call, &status, latency);
            }
        });
    }
    tasks.join_all().await;
    measured.end(process)
}

/// Releases each request at its due time. It never sleeps: the runtime's timer has a resolution of a millisecond, and
/// a separate thread would wait for the processor.
async fn pace(due: Arc<Semaphore>, begun: Instant, rate: Rate, total: u64) {
    for number in 0..total {
        while begun.elapsed() < rate.due(number) {
            task::yield_now().await;
        }
        due.add_permits(1);
    }
}

/// Opens connections and makes one call on each: the login that a refresh needs, and a warm-up.
async fn clients(target: &Target, connections: usize, call: &Call) -> Vec<Client> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::connect(target).await.unwrap();
        let status = client.call(call).await.unwrap();
        assert_eq!(status, call.expected(), "{}", client.answer());
        clients.push(client);
    }
    clients
}

/// A running measurement.
struct Measured {
    outcome: Arc<Mutex<Outcome>>,
    cpu: Duration,
    threads: BTreeMap<String, Duration>,
    begun: Instant,
}

impl Measured {
    fn begin(process: &Process) -> Self {
        let (cpu, threads) = (process.cpu(), process.cpu_by_thread());
        Self { outcome: Arc::default(), cpu, threads, begun: Instant::now() }
    }

    fn end(self, process: &Process) -> Outcome {
        let (took, cpu) = (self.begun.elapsed(), process.cpu().saturating_sub(self.cpu));
        let mut threads = process.cpu_by_thread();
        for (name, spent) in &mut threads {
            *spent = spent.saturating_sub(self.threads.get(name).copied().unwrap_or_default());
        }
        let mut outcome = std::mem::take(&mut *self.outcome.lock().unwrap());
        outcome.admitted.0.sort_unstable();
        outcome.refused.0.sort_unstable();
        Outcome { cpu, threads, took, ..outcome }
    }
}
