//! Diagnosis against a model in which a fault was injected: the cause that is found is the fault's.

mod cases;
mod faults;
mod key_faults;
mod observed;
mod properties;
mod random;
mod time_faults;
mod token_faults;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use countersign::{
    domain::{
        failure::{Cause, Confidence},
        verdict::ErrorCode,
    },
    failures::{Diagnosis, diagnose},
};
use strum::VariantArray;

use self::cases::{Case, cases};

/// Seed of the cases that are drawn: of this run, or of the run to repeat (`FAILURES_SEED`).
fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    std::env::var("FAILURES_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap())
}

/// Number of cases by code, injected cause and found cause.
type Confusion = BTreeMap<(i64, Cause, Cause), usize>;

fn confusion(judged: &[(Case, Diagnosis)]) -> Confusion {
    let mut table = Confusion::new();
    for (case, diagnosis) in judged {
        *table.entry((case.code().number(), case.cause, diagnosis.cause)).or_default() += 1;
    }
    table
}

fn print(table: &Confusion) {
    println!("code  injected                found                   cases");
    for ((code, cause, found), count) in table {
        let mark = if cause == found { "" } else { "  WRONG" };
        println!("{code:<6}{:<24}{:<24}{count}{mark}", cause.as_str(), found.as_str());
    }
}

/// Number of cases that are right where each code has one answer, its most frequent one.
fn right_by_code_alone(table: &Confusion) -> usize {
    let mut causes: BTreeMap<i64, BTreeMap<Cause, usize>> = BTreeMap::new();
    for ((code, cause, _), count) in table {
        *causes.entry(*code).or_default().entry(*cause).or_default() += count;
    }
    causes.values().filter_map(|causes| causes.values().max()).sum()
}

fn percent(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part * 1000 / whole).unwrap()) / 10.0
}

#[test]
fn the_injected_fault_is_found() {
    let seed = seed();
    println!("FAILURES_SEED={seed}");
    let diagnosed = |case: Case| {
        let diagnosis = diagnose(&case.observed.evidence());
        (case, diagnosis)
    };
    let judged: Vec<(Case, Diagnosis)> = cases(seed).into_iter().map(diagnosed).collect();
    let all = judged.len();
    let table = confusion(&judged);
    print(&table);
    let is_right = |(case, diagnosis): &&(Case, Diagnosis)| case.cause == diagnosis.cause;
    let is_sure = |(_, diagnosis): &&(Case, Diagnosis)| diagnosis.confidence == Confidence::High;
    for (case, diagnosis) in judged.iter().filter(|judged| !is_right(judged)) {
        println!("{}: {} by {:?}: {}", case.name, diagnosis.cause.as_str(), diagnosis.confidence, diagnosis.sentence);
    }
    let right = judged.iter().filter(is_right).count();
    let sure = judged.iter().filter(is_sure).count();
    let by_code = right_by_code_alone(&table);
    println!(
        "{all} cases: {} % right, {} % sure; {} % right by the code alone",
        percent(right, all),
        percent(sure, all),
        percent(by_code, all)
    );
    assert!(all >= 200, "{all} cases");
    assert!(judged.iter().filter(is_sure).all(|judged| is_right(&judged)), "a high confidence was wrong (seed {seed})");
    assert!(right * 100 >= all * 95, "{right} of {all} are right (seed {seed})");
    assert!(sure * 100 >= all * 70, "{sure} of {all} are sure (seed {seed})");
    assert!(by_code * 100 < all * 50, "{by_code} of {all} are right by the code alone (seed {seed})");
}

#[test]
fn every_code_has_three_causes_or_more() {
    let mut causes: BTreeMap<ErrorCode, BTreeSet<Cause>> = BTreeMap::new();
    for case in cases(1) {
        causes.entry(case.code()).or_default().insert(case.cause);
    }
    for code in ErrorCode::VARIANTS {
        let found = causes.get(code).map_or(0, BTreeSet::len);
        assert!(found >= 3, "{}: {found} causes", code.reason());
    }
}

/// What makes the cases must not know the rules that are judged.
#[test]
fn the_cases_are_made_without_the_rules() {
    for source in [
        include_str!("cases.rs"),
        include_str!("faults.rs"),
        include_str!("key_faults.rs"),
        include_str!("observed.rs"),
        include_str!("random.rs"),
        include_str!("time_faults.rs"),
        include_str!("token_faults.rs"),
        include_str!("world.rs"),
    ] {
        for name in ["diagnos", "Confidence", "Conclusion"] {
            assert!(!source.to_lowercase().contains(&name.to_lowercase()), "{name}: {}", &source[..80]);
        }
    }
}
