//! Cost of the layers around every request: answers without a signature, beside a route of axum with nothing around it.

use std::process::Command;

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};

use super::{
    client::{Call, Client, Target},
    figures::{BARE_HEALTH, BARE_JWKS, BARE_MINT, BARE_REFRESH, Figures, Goal, median, spread},
    load::closed_loop,
    process::Process,
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

/// Argument that makes this program serve the bare route only.
const SERVE: &str = "--serve-bare-route";

/// Connections of the closed loop, as in the summary.
const CLIENTS: usize = 64;

/// Serves `GET /healthz` until killed, and returns true, if the argument is `--serve-bare-route`: the answer of the
/// service, with the service's runtime and socket options, and no layer.
pub fn serve_only(arguments: &[String]) -> bool {
    if arguments.get(1).is_none_or(|argument| argument != SERVE) {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use axum::serve::ListenerExt as _;
        let routes = Router::new().route("/healthz", get(|| async { Json(json!({ "status": "alive" })) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, routes).await.unwrap();
    });
    true
}

/// A call of a server, its measurements, and its CPU time for an answer divided by the bare route's.
struct Row<'a> {
    name: &'static str,
    process: &'a Process,
    target: Target,
    call: Call,
    goal: Option<&'static Goal>,
    rounds: Vec<Round>,
    ratios: Vec<f64>,
}

/// CPU time of an answer, in seconds, and the share of the time in which the server was busy.
#[derive(Clone, Copy)]
struct Round {
    seconds: f64,
    busy: f64,
}

impl<'a> Row<'a> {
    fn of(name: &'static str, process: &'a Process, target: Target, call: Call, goal: Option<&'static Goal>) -> Self {
        Self { name, process, target, call, goal, rounds: Vec::new(), ratios: Vec::new() }
    }
}

/// Measures the calls in turn, five times, with `log.requests = "none"` and `"all"`, and prints the medians. The bare
/// route is measured before and after each.
pub async fn run(figures: &mut Figures) {
    let (bare, address) = start_bare();
    let target = Target { address, api_key: String::new(), app: String::new() };
    let [quiet, logging] = ["none", "all"].map(start);
    let mut rows = rows(&quiet, true).await;
    rows.extend(self::rows(&logging, false).await);
    let mut bare_rounds = Vec::new();
    for _ in 0..ROUNDS {
        for row in &mut rows {
            let before = measure(&bare, &target, &Call::Health).await;
            let round = measure(row.process, &row.target, &row.call).await;
            let after = measure(&bare, &target, &Call::Health).await;
            row.ratios.push(round.seconds / f64::midpoint(before.seconds, after.seconds));
            row.rounds.push(round);
            bare_rounds.extend([before, after]);
        }
    }
    print(&rows, &bare_rounds);
    for row in &rows {
        if let Some(goal) = row.goal {
            row.ratios.iter().for_each(|ratio| figures.note(goal, *ratio));
        }
    }
}

fn start_bare() -> (Process, std::net::SocketAddr) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(SERVE);
    let (process, line) = Process::start(&command, None).unwrap();
    (process, line.trim().parse().unwrap())
}

fn start(requests: &str) -> Service {
    let variables = [("COUNTERSIGN_LOG__REQUESTS", requests)];
    Service::start_with(Installation::new(), PATIENT, &variables, Some(tempfile::tempfile().unwrap()))
}

/// Returns the calls of a service: the cheapest ones, and what junk costs.
async fn rows(service: &Service, is_quiet: bool) -> Vec<Row<'_>> {
    let (process, target) = (&service.process, service.target(APP));
    let row = |[quiet, logging]: [&'static str; 2], call, goal| {
        let (name, goal) = if is_quiet { (quiet, Some(goal)) } else { (logging, None) };
        Row::of(name, process, target.clone(), call, goal)
    };
    let forged = forged_refresh_token(&target).await;
    vec![
        row(["/healthz", "/healthz, log all"], Call::Health, &BARE_HEALTH),
        row(["JWKS", "JWKS, log all"], Call::KeySet, &BARE_JWKS),
        row(["refused refresh", "refused refresh, log all"], Call::ForgedRefresh(forged.into()), &BARE_REFRESH),
        row(["refused mint", "refused mint, log all"], Call::UnknownKey, &BARE_MINT),
    ]
}

/// Returns a refresh token of which one character was changed: it decodes, and its seal is wrong.
pub async fn forged_refresh_token(target: &Target) -> String {
    let mut client = Client::connect(target).await.unwrap();
    assert_eq!(client.call(&Call::Mint).await.unwrap(), 200, "{}", client.answer());
    let (_, body) = client.answer().split_once("\r\n\r\n").unwrap();
    let answer: Value = serde_json::from_str(body).unwrap();
    let token = answer["refresh_token"].as_str().unwrap();
    let (start, end) = token.split_at(token.len() / 2);
    let other = if end.starts_with('A') { 'B' } else { 'A' };
    format!("{start}{other}{}", &end[1..])
}

async fn measure(process: &Process, target: &Target, call: &Call) -> Round {
    let outcome = closed_loop(process, target, CLIENTS, call, settings::round() / 3).await;
    let busy = outcome.cpu.as_secs_f64() / outcome.took.as_secs_f64();
    Round { seconds: outcome.cpu_per_answer(), busy }
}

fn print(rows: &[Row<'_>], bare: &[Round]) {
    println!("answers without a signature, closed loop, {CLIENTS} connections, {ROUNDS} rounds in turn, medians");
    println!("{:<26} {:>11} {:>6} {:>7}", "", "CPU/answer", "busy", "÷ bare");
    line("bare route of axum", bare, &[1.0]);
    for Row { name, rounds, ratios, .. } in rows {
        line(name, rounds, ratios);
    }
    println!();
}

fn line(name: &str, rounds: &[Round], ratios: &[f64]) {
    let of = |figure: fn(&Round) -> f64| median(&mut rounds.iter().map(figure).collect::<Vec<f64>>());
    let (micros, busy) = (of(|round| round.seconds * 1e6), of(|round| round.busy * 100.0));
    let (ratio, range) = (median(&mut ratios.to_vec()), spread(ratios, 2));
    println!("{name:<26} {micros:>8.1} µs {busy:>4.0} % {ratio:>7.2} {range:>18}");
}
