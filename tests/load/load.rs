//! Closed loops, to find the capacity; open loops, free of coordinated omission: a request's latency counts from when it
//! was due, not from when a connection was free to send it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    client::{Call, Client},
    process::Pinned,
};

/// How fast requests fall due, and over how many connections they go.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: f64,
    pub connections: usize,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Summary {
    pub admitted: Vec<Duration>,
    pub refused: Vec<Duration>,
    pub failed: usize,
    pub cpu: Duration,
    pub took: Duration,
}

impl Summary {
    /// Answers with a token, each second.
    pub fn goodput(&self) -> f64 {
        self.admitted.len() as f64 / self.took.as_secs_f64()
    }

    /// Seconds of the service's processor for each answer with a token.
    pub fn cpu_per_answer(&self) -> f64 {
        self.cpu.as_secs_f64() / self.admitted.len().max(1) as f64
    }

    pub fn percentile(&self, percent: f64) -> Duration {
        percentile(&self.admitted, percent)
    }

    pub fn refused_percentile(&self, percent: f64) -> Duration {
        percentile(&self.refused, percent)
    }

    fn note(&mut self, status: &std::io::Result<u16>, latency: Duration) {
        match status {
            Ok(200) => self.admitted.push(latency),
            Ok(503 | 429) => self.refused.push(latency),
            _ => self.failed += 1,
        }
    }
}

fn percentile(latencies: &[Duration], percent: f64) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

impl Pinned {
    /// Every connection asks again as soon as it is answered.
    pub async fn saturate(&self, connections: usize, call: Call, span: Duration) -> Summary {
        let summary = Arc::new(Mutex::new(Summary::default()));
        let mut clients = Vec::new();
        for number in 0..connections {
            let mut client = Client::connect(self.address, &self.api_key, number).await;
            // The first call is the login that a refresh needs; it also warms the connection up.
            client.call(call).await.unwrap();
            clients.push(client);
        }
        let (cpu, begun) = (self.cpu(), Instant::now());
        let mut asking = tokio::task::JoinSet::new();
        for mut client in clients {
            let summary = Arc::clone(&summary);
            asking.spawn(async move {
                while begun.elapsed() < span {
                    let sent = Instant::now();
                    let status = client.call(call).await;
                    summary.lock().unwrap().note(&status, sent.elapsed());
                }
            });
        }
        asking.join_all().await;
        let (took, cpu) = (begun.elapsed(), self.cpu().checked_sub(cpu).unwrap());
        Summary { cpu, took, ..Arc::into_inner(summary).unwrap().into_inner().unwrap() }
    }

    /// Requests fall due at a rate, whatever the service does; beside them, health is asked for ten times a second.
    pub async fn overload(&self, rate: Rate, call: Call, span: Duration) -> (Summary, Summary) {
        let health = Rate { per_second: 10.0, connections: 4 };
        tokio::join!(self.open_loop(rate, call, span), self.open_loop(health, Call::Health, span))
    }

    async fn open_loop(&self, rate: Rate, call: Call, span: Duration) -> Summary {
        let summary = Arc::new(Mutex::new(Summary::default()));
        let due = Arc::new(Mutex::new(0u32));
        let mut clients = Vec::new();
        for number in 0..rate.connections {
            clients.push(Client::connect(self.address, &self.api_key, number).await);
        }
        let (cpu, begun) = (self.cpu(), Instant::now());
        let mut asking = tokio::task::JoinSet::new();
        for mut client in clients {
            let (summary, due) = (Arc::clone(&summary), Arc::clone(&due));
            asking.spawn(async move {
                loop {
                    let turn = take_turn(&due);
                    let at = begun + Duration::from_secs_f64(f64::from(turn) / rate.per_second);
                    if at.duration_since(begun) >= span {
                        return;
                    }
                    tokio::time::sleep_until(at.into()).await;
                    let status = client.call(call).await;
                    summary.lock().unwrap().note(&status, at.elapsed());
                }
            });
        }
        asking.join_all().await;
        let (took, cpu) = (begun.elapsed(), self.cpu().checked_sub(cpu).unwrap());
        Summary { cpu, took, ..Arc::into_inner(summary).unwrap().into_inner().unwrap() }
    }
}

fn take_turn(due: &Mutex<u32>) -> u32 {
    let mut next = due.lock().unwrap();
    let turn = *next;
    *next += 1;
    turn
}
