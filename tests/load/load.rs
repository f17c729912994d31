//! Closed loops, to find the capacity; open loops, free of coordinated omission: a request's latency counts from when it
//! was due, not from when a connection was free to send it.
//!
//! Every latency is kept, so that percentiles are exact.

use std::{
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
    client::{Call, Client, Door},
    process::Process,
};

/// How fast requests fall due, and over how many connections they go.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: f64,
    pub connections: usize,
}

impl Rate {
    /// When a request is due, after the beginning.
    fn due(self, turn: u64) -> Duration {
        Duration::from_secs_f64(turn as f64 / self.per_second)
    }
}

/// Latencies of one kind of answer.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency that so many per cent of the answers did not exceed.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// What came back.
#[derive(Debug, Default)]
pub struct Outcome {
    pub admitted: Latencies,
    pub refused: Latencies,
    /// Neither a token nor an honest refusal.
    pub failed: usize,
    pub cpu: Duration,
    pub took: Duration,
}

impl Outcome {
    /// Answers with a token, each second.
    pub fn goodput(&self) -> f64 {
        self.admitted.count() as f64 / self.took.as_secs_f64()
    }

    /// Seconds of the server's processor for each answer with a token; refusals are part of the price.
    pub fn cpu_per_answer(&self) -> f64 {
        self.cpu.as_secs_f64() / self.admitted.count().max(1) as f64
    }

    fn note(&mut self, status: &io::Result<u16>, latency: Duration) {
        match status {
            Ok(200) => self.admitted.0.push(latency),
            Ok(503 | 429) => self.refused.0.push(latency),
            _ => self.failed += 1,
        }
    }
}

/// Every connection asks again as soon as it is answered.
pub async fn closed_loop(process: &Process, door: &Door, connections: usize, call: &Call, span: Duration) -> Outcome {
    let clients = clients(door, connections, call).await;
    let measured = Measured::begin(process);
    let mut asking = JoinSet::new();
    for mut client in clients {
        let (outcome, call, begun) = (Arc::clone(&measured.outcome), call.clone(), measured.begun);
        asking.spawn(async move {
            while begun.elapsed() < span {
                let sent = Instant::now();
                let status = client.call(&call).await;
                outcome.lock().unwrap().note(&status, sent.elapsed());
            }
        });
    }
    asking.join_all().await;
    measured.end(process)
}

/// Requests fall due at a rate, whatever the service does; beside them, health is asked for ten times a second.
pub async fn with_health(
    process: &Process,
    door: &Door,
    rate: Rate,
    call: &Call,
    span: Duration,
) -> (Outcome, Outcome) {
    let health = Rate { per_second: 10.0, connections: 4 };
    tokio::join!(open_loop(process, door, rate, call, span), open_loop(process, door, health, &Call::Health, span))
}

/// Requests fall due at a rate, whatever the service does.
pub async fn open_loop(process: &Process, door: &Door, rate: Rate, call: &Call, span: Duration) -> Outcome {
    let clients = clients(door, rate.connections, call).await;
    let total = (rate.per_second * span.as_secs_f64()) as u64;
    let (due, turns) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let measured = Measured::begin(process);
    let mut asking = JoinSet::new();
    asking.spawn(pace(Arc::clone(&due), measured.begun, rate, total));
    for mut client in clients {
        let (outcome, due, turns) = (Arc::clone(&measured.outcome), Arc::clone(&due), Arc::clone(&turns));
        let (call, begun) = (call.clone(), measured.begun);
        asking.spawn(async move {
            loop {
                // The semaphore is fair: whoever takes a turn first is let go first, so at the time of that turn.
                let turn = turns.fetch_add(1, Ordering::Relaxed);
                if turn >= total {
                    return;
                }
                due.acquire().await.unwrap().forget();
                let status = client.call(&call).await;
                let latency = begun.elapsed().saturating_sub(rate.due(turn));
                outcome.lock().unwrap().note(&status, latency);
            }
        });
    }
    asking.join_all().await;
    measured.end(process)
}

/// Lets each request go when it is due. It never sleeps: the runtime's timer counts whole milliseconds, and a thread of its own
/// would have to wait for the processor.
async fn pace(due: Arc<Semaphore>, begun: Instant, rate: Rate, total: u64) {
    for turn in 0..total {
        while begun.elapsed() < rate.due(turn) {
            task::yield_now().await;
        }
        due.add_permits(1);
    }
}

/// Connections that made one call already: the login that a refresh needs, and the warming up.
async fn clients(door: &Door, connections: usize, call: &Call) -> Vec<Client> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::connect(door).await.unwrap();
        let status = client.call(call).await.unwrap();
        assert_eq!(status, 200, "{}", client.answer());
        clients.push(client);
    }
    clients
}

/// A measurement under way.
struct Measured {
    outcome: Arc<Mutex<Outcome>>,
    cpu: Duration,
    begun: Instant,
}

impl Measured {
    fn begin(process: &Process) -> Self {
        Self { outcome: Arc::default(), cpu: process.cpu(), begun: Instant::now() }
    }

    fn end(self, process: &Process) -> Outcome {
        let (took, cpu) = (self.begun.elapsed(), process.cpu().saturating_sub(self.cpu));
        let mut outcome = std::mem::take(&mut *self.outcome.lock().unwrap());
        outcome.admitted.0.sort_unstable();
        outcome.refused.0.sort_unstable();
        Outcome { cpu, took, ..outcome }
    }
}
