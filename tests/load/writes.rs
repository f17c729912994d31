//! Writes to the disk for a login, a refresh and a logout, as the kernel counts them for the store's device.

use std::{fs, os::unix::fs::MetadataExt};

use procfs::DiskStat;
use rustix::fs::{major, minor};

use super::{
    client::Call,
    figures::{median, spread},
    load::closed_loop,
    service::{APP, Installation, PATIENT, Service},
    settings::{self, ROUNDS},
};

const KINDS: [(&str, Call); 3] =
    [("login", Call::Mint), ("refresh", Call::Refresh), ("login or logout", Call::LoginAndLogout)];

/// Measures write requests and flushes of the whole device: what others write to it meanwhile counts, too.
pub async fn run() {
    let service = Service::start(Installation::new(), PATIENT);
    if device(&service).is_none() {
        println!("writes: the store is on no device that the kernel counts writes of\n");
        return;
    }
    println!("writes of the store's device for each call, {ROUNDS} rounds, medians");
    println!("{:<24} {:>8} {:>24} {:>24}", "call", "clients", "writes", "flushes");
    for clients in [1, 64] {
        for (title, call) in &KINDS {
            let (mut writes, mut flushes) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let before = device(&service).unwrap();
                let outcome =
                    closed_loop(&service.process, &service.target(APP), clients, call, settings::round()).await;
                let after = device(&service).unwrap();
                let calls = outcome.admitted.count().max(1) as f64;
                writes.push((after.writes - before.writes) as f64 / calls);
                flushes
                    .extend(after.flushes.zip(before.flushes).map(|(after, before)| (after - before) as f64 / calls));
            }
            println!("{title:<24} {clients:>8} {:>24} {:>24}", show(&writes), show(&flushes));
        }
    }
    println!();
}

/// Returns the counts of the device on which the store is.
fn device(service: &Service) -> Option<DiskStat> {
    let device = fs::metadata(service.installation.config()).unwrap().dev();
    let is_it = |stat: &DiskStat| (stat.major, stat.minor) == (major(device) as i32, minor(device) as i32);
    procfs::diskstats().unwrap().into_iter().find(is_it)
}

/// Median and range; kernels before 5.5 count no flushes.
fn show(figures: &[f64]) -> String {
    if figures.is_empty() {
        "–".to_owned()
    } else {
        format!("{:.2} {}", median(&mut figures.to_vec()), spread(figures, 2))
    }
}
