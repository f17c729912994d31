//! Memory and time for what has ended: 30 million sessions go into filters, as a node reads them at its start.
//!
//! `cargo bench --bench ended_sessions` feeds ids from a source without a database, and prints the resident memory before,
//! at its peak and after, the bytes of a key, and the time (docs/scale.md). `ENDED_SESSIONS` is their number,
//! `ENDED_MEMORY` the setting `store.outage_memory_mib`. It fails where the memory exceeds that.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program to measure with, which rounds for people"
)]

use std::{
    env, fs,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use countersign::{
    clock::UnixMillis,
    domain::{
        ids::{AppName, SessionId, UserHash},
        session::Ended,
    },
    outage::{EndedSessions, Standing, Taken},
    store::End,
};

const START: UnixMillis = UnixMillis(1_795_000_000_000);
const DAYS_180: Duration = Duration::from_hours(180 * 24);

fn main() {
    // `cargo test` starts this program, too.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let sessions: u64 = setting("ENDED_SESSIONS", 30_000_000);
    let memory = setting("ENDED_MEMORY", 128);
    let ended = EndedSessions::new(NonZeroU32::new(u32::try_from(memory).unwrap()).unwrap());
    let before = resident("VmRSS");
    let begin = Instant::now();
    read_all(&ended, sessions);
    let took = begin.elapsed();
    let (keys, _) = ended.size();
    let (peak, after) = (resident("VmHWM"), resident("VmRSS"));
    println!("{sessions} ended sessions, store.outage_memory_mib = {memory}");
    println!("in filters          {keys}, {}", format_args!("{:?}", ended.coverage()));
    println!(
        "read and built in   {:.1} s, {:.0} ns a key",
        took.as_secs_f64(),
        took.as_nanos() as f64 / sessions as f64
    );
    println!("resident before     {:.1} MiB", mib(before));
    println!("resident at peak    {:.1} MiB more", mib(peak - before));
    println!(
        "resident after      {:.1} MiB more, {:.2} bytes a key",
        mib(after - before),
        (after - before) as f64 / keys as f64
    );
    ask(&ended, sessions);
    fill_exact(&ended, sessions);
    println!("resident at peak    {:.1} MiB more, with recent ends", mib(resident("VmHWM") - before));
    assert!(mib(resident("VmHWM") - before) <= memory as f64, "the memory exceeds the setting");
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Reads a size of this process.
fn resident(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Random bits of session `number`, always the same.
fn random(number: u64) -> u64 {
    let seed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Session `number` of so many, which began evenly over 180 days; others of the same time have another `kind`.
fn session(number: u64, sessions: u64, kind: u8) -> SessionId {
    let at = u128::from(number) * DAYS_180.as_millis() / u128::from(sessions);
    let mut bytes = [kind; 10];
    bytes[2..].copy_from_slice(&random(number).to_be_bytes());
    SessionId::new(START.plus(Duration::from_millis(u64::try_from(at).unwrap())), bytes)
}

/// Reads pages as they come from a store, and builds the filters.
fn read_all(ended: &EndedSessions, sessions: u64) {
    let page = u64::from(ended.page());
    let mut reader = ended.reader(ended.first_range());
    for first in (0..sessions).step_by(usize::try_from(page).unwrap()) {
        let rows: Vec<(SessionId, UnixMillis)> = (first..sessions.min(first + page))
            .map(|number| (session(number, sessions, 0), START.plus(DAYS_180 * 2)))
            .collect();
        for (id, expires) in rows {
            if let Taken::Full(keys) = reader.take(id, expires) {
                ended.put(keys.build());
            }
        }
    }
    ended.put(reader.finish().build());
}

/// Asks for sessions that have ended, and for others.
fn ask(ended: &EndedSessions, sessions: u64) {
    let (user, app): (_, AppName) = (UserHash([7; 32]), "web".parse().unwrap());
    let standing = |id| ended.standing(id, user, &app, None);
    // Evenly over all of them.
    let step = sessions.div_ceil(10_000_000);
    let questions = sessions / step;
    let missed =
        (0..questions).filter(|number| standing(session(*number * step, sessions, 0)) != Standing::Unsure).count();
    assert_eq!(missed, 0, "a session that has ended is taken for live");
    let begin = Instant::now();
    let wrong =
        (0..questions).filter(|number| standing(session(*number * step, sessions, 1)) != Standing::Live).count();
    let each = begin.elapsed().as_nanos() as f64 / questions as f64;
    let (rate, expected) = (wrong as f64 / questions as f64, 1.0 / 65536.0);
    println!(
        "answered falsely    {wrong} of {questions}, 1 in {:.0} (1 in {:.0} is expected)",
        1.0 / rate,
        1.0 / expected
    );
    println!("a question          {each:.0} ns");
}

/// Notes recent ends until some are to go into filters.
fn fill_exact(ended: &EndedSessions, sessions: u64) {
    let mut noted = 0;
    while ended.crowded().is_none() && noted < sessions {
        let id = session(random(noted) % sessions, sessions, 2);
        ended.note(&End::Session { id, why: Ended::Logout, expires: START.plus(DAYS_180 * 2) });
        noted += 1;
    }
    println!("known exactly       {} recent ends", ended.exact());
}
