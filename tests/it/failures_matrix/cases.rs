//! Cases of the matrix: every fault several times, and more that a seed draws. Nothing here knows of the rules that are
//! judged: the cause of a case is the fault that was put into the model.

use countersign::domain::{failure::Cause, verdict::ErrorCode};

use super::{faults::Fault, key_faults, observed::Observed, random::Random, time_faults, token_faults};

/// Cases of each fault that are the same in every run.
const FIXED: u64 = 4;

/// Cases in a hundred that the seed draws.
const DRAWN_PERCENT: u64 = 30;

/// Case: what was observed, and the cause that it has.
pub struct Case {
    pub name: String,
    pub cause: Cause,
    pub observed: Observed,
}

impl Case {
    pub fn code(&self) -> ErrorCode {
        self.observed.code
    }
}

fn faults() -> impl Iterator<Item = &'static Fault> {
    [key_faults::FAULTS, token_faults::FAULTS, time_faults::FAULTS].into_iter().flatten()
}

fn case(fault: &Fault, seed: u64) -> Case {
    Case { name: format!("{} (seed {seed})", fault.name), cause: fault.cause, observed: fault.world(seed).observe() }
}

/// Fixed cases, then those that the seed draws.
pub fn cases(seed: u64) -> Vec<Case> {
    let of_fault = |(number, fault)| (0..FIXED).map(move |turn| case(fault, number * 100 + turn));
    let mut cases: Vec<Case> = (0_u64..).zip(faults()).flat_map(of_fault).collect();
    let all: Vec<&Fault> = faults().collect();
    let mut random = Random::of(seed);
    let drawn = (cases.len() as u64 * DRAWN_PERCENT).div_ceil(100 - DRAWN_PERCENT);
    cases.extend((0..drawn).map(|_| case(random.one(&all), random.next())));
    cases
}
