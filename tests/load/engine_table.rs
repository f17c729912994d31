//! The table of engines: CPU time and cycles of one signature, at every size.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    engines::{self, Engine, SIZES},
    figures::{median, spread},
    raw,
    settings::{self, ROUNDS},
};

/// Argument that makes this program sign only, so that `perf stat` counts the cycles of signing.
const SIGN: &str = "--sign";

/// Number of signatures over which cycles are counted.
const COUNTED: u32 = 200;

/// Measures every engine in turn, five times, and prints the medians.
pub fn run() {
    println!("raw engines, one processor (µs of CPU for a signature; cycles by `perf stat`)");
    println!("{:<6} {:<14} {:>9} {:>20} {:>12} {:>12}", "bits", "engine", "µs", "", "÷ aws-lc-rs", "cycles");
    for bits in SIZES {
        let (rows, no_batch) = raw::on_the_measured(move || measured(bits));
        let reference = rows[0].median;
        for row in &rows {
            let cycles = row.cycles.map_or("–".to_owned(), |cycles| format!("{cycles:.0}"));
            let (micros, ratio) = (row.median * 1e6, row.median / reference);
            println!("{bits:<6} {:<14} {micros:>9.1} {:>20} {ratio:>12.2} {cycles:>12}", row.name, row.range);
        }
        if let Some(why) = no_batch {
            println!("{bits:<6} {:<14} {why}", "crypto_mb");
        }
    }
    println!();
}

struct Row {
    name: &'static str,
    median: f64,
    range: String,
    cycles: Option<f64>,
}

/// Returns a row for each engine, and the reason if the batch engine has none.
fn measured(bits: u32) -> (Vec<Row>, Option<&'static str>) {
    let key = engines::new_key(bits);
    let mut engines = engines::engines(&key);
    agree(&mut engines);
    let span = settings::round() / 10;
    let mut rounds = vec![Vec::new(); engines.len()];
    for _ in 0..ROUNDS {
        for (engine, figures) in engines.iter_mut().zip(&mut rounds) {
            figures.push(raw::cpu_per_signature(engine, span.max(Duration::from_millis(20))));
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &key).unwrap();
    let row = |(engine, mut figures): (&Engine, Vec<f64>)| {
        let micros: Vec<f64> = figures.iter().map(|seconds| seconds * 1e6).collect();
        let range = spread(&micros, 0);
        Row { name: engine.name, median: median(&mut figures), range, cycles: cycles(engine.name, file.path()) }
    };
    (engines.iter().zip(rounds).map(row).collect(), engines::crypto_mb(&key).err())
}

/// Checks that all engines make the same signature: RSASSA-PKCS1-v1_5 is deterministic (RFC 8017 §8.2).
fn agree(engines: &mut [Engine]) {
    let signatures: Vec<Vec<u8>> = engines.iter_mut().map(|engine| (engine.sign)(&raw::MESSAGE)).collect();
    assert!(signatures.iter().all(|signature| *signature == signatures[0]), "the engines do not agree");
}

/// Returns the cycles of one signature, in user space: runs this program twice under `perf stat`, once without
/// signing. Returns `None` if the machine does not count cycles, as most virtual machines.
fn cycles(engine: &str, key: &Path) -> Option<f64> {
    let counted = |signatures: u32| {
        let report = tempfile::NamedTempFile::new().ok()?;
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", "cycles:u", "-o"]).arg(report.path());
        command.arg("--").arg(std::env::current_exe().ok()?).args([SIGN, engine, &signatures.to_string()]).arg(key);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let report = fs::read_to_string(report.path()).ok().filter(|_| status.success())?;
        report.lines().find_map(|line| line.split(',').next()?.parse::<f64>().ok())
    };
    Some((counted(COUNTED)? - counted(0)?) / f64::from(COUNTED))
}

/// Signs only, and returns true, if the arguments are `--sign ENGINE COUNT KEY`.
pub fn sign_only(arguments: &[String]) -> bool {
    let [_, sign, name, count, key] = arguments else { return false };
    if sign != SIGN {
        return false;
    }
    let mut engines = engines::engines(&fs::read(key).unwrap());
    let engine = engines.iter_mut().find(|engine| engine.name == name).expect("an engine of that name");
    for _ in 0..count.parse::<u32>().unwrap() / engine.lanes {
        (engine.sign)(&raw::MESSAGE);
    }
    true
}
