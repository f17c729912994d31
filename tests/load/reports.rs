//! Cost of reports of failures: CPU time of a report ÷ a raw signature, and what mints lose to reports beside them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use super::{
    bare::forged_refresh_token,
    client::{Call, Client, Target},
    figures::{
        Figures, Goal, REPORT, REPORT_AT_FAULT, REPORT_JUNK, REPORT_MINTS, REPORT_OVER, REPORT_OVER_JUNK,
        REPORT_OVER_MINTS, REPORT_REPEATED, median, spread,
    },
    load::{Outcome, closed_loop},
    raw,
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

/// Connections of each closed loop, as in the summary.
const CLIENTS: usize = 64;

/// Braze's codes: a session counts once with each in five minutes.
const CODES: [u8; 11] = [10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 99];

/// Sessions whose reports are measured, for each second of a figure: a report of each code is diagnosed, and at most
/// some 40,000 a second are sent.
const SESSIONS_PER_SECOND: f64 = 3_500.0;

/// Quotas that only reports of one session, and refused refresh tokens, exceed.
const QUOTAS: [(&str, &str); 4] = [
    ("COUNTERSIGN_LIMITS__ENABLED", "true"),
    ("COUNTERSIGN_LIMITS__PER_ADDRESS", "{ per_second = 1000000, burst = 1000000 }"),
    ("COUNTERSIGN_LIMITS__PER_CLIENT", "{ per_second = 1000000, burst = 1000000 }"),
    ("COUNTERSIGN_LOG__LEVEL", "error"),
];

/// Refresh tokens that are reported in turn, each with every code.
pub struct Reporters {
    tokens: Vec<String>,
    next: AtomicUsize,
}

impl Reporters {
    async fn new(target: &Target, sessions: usize) -> Self {
        let mut tokens = Vec::with_capacity(sessions);
        let mut client = Client::connect(target).await.unwrap();
        for _ in 0..sessions {
            tokens.push(minted(&mut client).await);
        }
        Self { tokens, next: AtomicUsize::new(0) }
    }

    /// Returns the body of the next report.
    pub fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let token = &self.tokens[number % self.tokens.len()];
        body(token, CODES[number / self.tokens.len() % CODES.len()])
    }
}

/// Kind of report, its figure, and the figure of the mints beside it.
struct Row<'a> {
    name: &'static str,
    service: &'a Service,
    call: Call,
    goal: &'static Goal,
    beside: &'static Goal,
    micros: Vec<f64>,
    ratios: Vec<f64>,
    lost: Vec<f64>,
}

/// Measures each kind of report, alone and beside mints, five times in turn, and prints the medians.
pub async fn run(figures: &mut Figures) {
    let open = Service::start(Installation::new(), PATIENT);
    let limited = Service::start_with(Installation::new(), PATIENT, &QUOTAS, None);
    let mut rows = rows(&open, &limited).await;
    let mut signatures = Vec::new();
    for _ in 0..ROUNDS {
        for row in &mut rows {
            let before = raw::signature();
            let alone = measure(row.service, &row.call).await;
            let raw = f64::midpoint(before, raw::signature());
            let mints = measure(row.service, &Call::Mint).await;
            let (beside, reports) = tokio::join!(measure(row.service, &Call::Mint), measure(row.service, &row.call));
            row.micros.push(alone.cpu_per_answer() * 1e6);
            row.ratios.push(alone.cpu_per_answer() / raw);
            row.lost.push((1.0 - beside.goodput() / mints.goodput()) / (reports.goodput() * raw));
            signatures.push(raw);
        }
    }
    println!("reports of failures, closed loop, {CLIENTS} connections, {ROUNDS} rounds in turn, medians");
    println!(
        "raw signature {:.0} µs; lost: share of the mints ÷ reports a second, in raw signatures",
        median(&mut signatures) * 1e6
    );
    println!("{:<28} {:>11} {:>6} {:>16} {:>6}", "", "CPU/report", "÷ raw", "", "lost");
    for Row { name, goal, beside, micros, ratios, lost, .. } in &mut rows {
        for ratio in ratios.iter() {
            figures.note(goal, *ratio);
        }
        for lost in lost.iter() {
            figures.note(beside, *lost);
        }
        let (cost, range) = (median(micros), spread(ratios, 3));
        println!(
            "{name:<28} {cost:>8.1} µs {:>6.3} {range:>16} {:>6.3} {}",
            median(ratios),
            median(lost),
            spread(lost, 3)
        );
    }
    println!();
}

async fn rows<'a>(open: &'a Service, limited: &'a Service) -> Vec<Row<'a>> {
    let target = open.target(APP);
    let sessions = (settings::seconds().as_secs_f64() * SESSIONS_PER_SECOND) as usize;
    let reporters = Reporters::new(&target, sessions).await;
    let mut client = Client::connect(&target).await.unwrap();
    let repeated = body(&minted(&mut client).await, 27);
    let junk = body(&forged_refresh_token(&target).await, 27);
    let limited_target = limited.target(APP);
    let mut client = Client::connect(&limited_target).await.unwrap();
    let over = body(&minted(&mut client).await, 27);
    let over_junk = body(&forged_refresh_token(&limited_target).await, 27);
    let row = |name, service, call, goal, beside| Row {
        name,
        service,
        call,
        goal,
        beside,
        micros: Vec::new(),
        ratios: Vec::new(),
        lost: Vec::new(),
    };
    let taken = |body: String| Call::Reported(body.into(), 204);
    let refused = |body: String| Call::Reported(body.into(), 429);
    let at_fault = Call::Reported(r#"{"refreshtoken":"junk","failures":[1,2,3]}"#.into(), 400);
    vec![
        row("valid, diagnosed", open, Call::Report(Arc::new(reporters)), &REPORT, &REPORT_MINTS),
        row("valid, repeated", open, taken(repeated), &REPORT_REPEATED, &REPORT_MINTS),
        row("junk: forged token", open, taken(junk), &REPORT_JUNK, &REPORT_MINTS),
        row("junk: faulty members", open, at_fault, &REPORT_AT_FAULT, &REPORT_MINTS),
        row("over the session's quota", limited, refused(over), &REPORT_OVER, &REPORT_OVER_MINTS),
        row("over the failures' quota", limited, refused(over_junk), &REPORT_OVER_JUNK, &REPORT_OVER_MINTS),
    ]
}

async fn measure(service: &Service, call: &Call) -> Outcome {
    closed_loop(&service.process, &service.target(APP), CLIENTS, call, settings::round()).await
}

async fn minted(client: &mut Client) -> String {
    assert_eq!(client.call(&Call::Mint).await.unwrap(), 200, "{}", client.answer());
    let (_, body) = client.answer().split_once("\r\n\r\n").unwrap();
    let answer: Value = serde_json::from_str(body).unwrap();
    answer["refresh_token"].as_str().unwrap().to_owned()
}

/// Returns a report as the Web SDK's callback has it.
fn body(token: &str, code: u8) -> String {
    format!(
        r#"{{"refresh_token":"{token}","failure":{{"errorCode":{code},"reason":"EXPIRED","userId":"user-1","platform":"web","sdk_version":"6.2.0"}}}}"#
    )
}
