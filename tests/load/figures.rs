//! Figures: medians and ranges of pairs, and the table of those that have targets.

use Bound::{AtLeast, AtMost};

use super::engines;

/// Bound of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Bound {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
            Self::Below(bound) => figure < bound,
        }
    }

    fn show(self, goal: &Goal) -> String {
        let (sign, bound) = match self {
            Self::AtLeast(bound) => ("≥", bound),
            Self::AtMost(bound) => ("≤", bound),
            Self::Below(bound) => ("<", bound),
        };
        format!("{sign} {bound:.*}{}", goal.digits, goal.unit)
    }
}

/// A figure that has a target.
#[derive(Debug)]
pub struct Goal {
    name: &'static str,
    unit: &'static str,
    digits: usize,
    with_batch: Bound,
    without: Bound,
}

const fn ratio(name: &'static str, with_batch: Bound, without: Bound) -> Goal {
    Goal { name, unit: "", digits: 2, with_batch, without }
}

const fn thousandths(name: &'static str, bound: f64) -> Goal {
    Goal { name, unit: "", digits: 3, with_batch: Bound::AtMost(bound), without: Bound::AtMost(bound) }
}

const fn below(name: &'static str, unit: &'static str, bound: f64) -> Goal {
    Goal { name, unit, digits: 0, with_batch: Bound::Below(bound), without: Bound::Below(bound) }
}

pub static PEER: Goal = ratio("tokens/s ÷ best peer's, no sessions", AtLeast(3.0), AtLeast(1.05));
pub static LARGE: Goal = ratio("refresh in the large store ÷ with 10,000 sessions", AtMost(1.15), AtMost(1.15));
pub static POSTGRES: Goal = ratio("refresh on PostgreSQL ÷ on SQLite: CPU", AtMost(1.25), AtMost(1.25));
pub static POSTGRES_LARGE: Goal = ratio("on PostgreSQL, large ÷ 10,000 sessions", AtMost(1.2), AtMost(1.2));
pub static POSTGRES_FLUSHES: Goal = ratio("on PostgreSQL: flushes for a refresh", AtMost(0.2), AtMost(0.2));
pub static POSTGRES_STATEMENTS: Goal = ratio("on PostgreSQL: statements for a refresh", AtMost(0.2), AtMost(0.2));
pub static POSTGRES_HOT: Goal = ratio("on PostgreSQL: updates without an index", AtLeast(0.95), AtLeast(0.95));
pub static P99_AT_80: Goal = below("at 80 %: p99 of admitted ÷ raw", "", 39.0);
pub static GOODPUT: Goal = ratio("at 200 %: goodput ÷ capacity", AtLeast(0.90), AtLeast(0.90));
pub static P99_ADMITTED: Goal = below("at 200 %: p99 of admitted ÷ raw", "", 235.0);
pub static P99_REFUSED: Goal = below("at 200 %: p99 of refused", " ms", 20.0);
pub static P99_HEALTH: Goal = below("at 200 %: p99 of /healthz", " ms", 20.0);
/// For a disk whose flush takes less than half a raw signature; on others it is not measured.
pub static ONE: Goal = ratio("one at a time, durable session: p50 ÷ raw", AtMost(1.8), AtMost(1.8));
pub static ONE_BARE: Goal = ratio("one at a time, no session: p50 ÷ raw", AtMost(1.6), AtMost(1.6));
pub static MEMORY: Goal = below("memory under load", " MB", 60.0);
pub static START: Goal = below("start to ready, existing key", " ms", 100.0);
pub static OVERHEAD_MINT: Goal = ratio("overhead of a mint with a session, 64 clients", AtMost(0.22), AtMost(0.22));
pub static OVERHEAD_BARE: Goal = ratio("overhead of a mint without a session", AtMost(0.15), AtMost(0.15));
pub static OVERHEAD_REFRESH: Goal = ratio("overhead of a durable refresh", AtMost(0.22), AtMost(0.22));

pub static BARE_HEALTH: Goal = ratio("/healthz: CPU ÷ a bare route's", AtMost(1.5), AtMost(1.5));
pub static BARE_JWKS: Goal = ratio("JWKS: CPU ÷ a bare route's", AtMost(1.5), AtMost(1.5));
pub static BARE_REFRESH: Goal = ratio("refused refresh: CPU ÷ a bare route's", AtMost(2.0), AtMost(2.0));
pub static BARE_MINT: Goal = ratio("refused mint: CPU ÷ a bare route's", AtMost(2.0), AtMost(2.0));

pub static REPORT: Goal = thousandths("report, diagnosed: CPU ÷ raw", 0.15);
pub static REPORT_REPEATED: Goal = thousandths("report, repeated: CPU ÷ raw", 0.15);
pub static REPORT_JUNK: Goal = thousandths("report, forged token: CPU ÷ raw", 0.15);
pub static REPORT_AT_FAULT: Goal = thousandths("report, faulty members: CPU ÷ raw", 0.15);
pub static REPORT_MINTS: Goal = thousandths("mints lost to a report ÷ raw", 0.15);
pub static REPORT_OVER: Goal = thousandths("report over its session's quota: CPU ÷ raw", 0.05);
pub static REPORT_OVER_JUNK: Goal = thousandths("report over the failures' quota: CPU ÷ raw", 0.05);
pub static REPORT_OVER_MINTS: Goal = thousandths("mints lost to a report over quota ÷ raw", 0.05);

const GOALS: [&Goal; 31] = [
    &PEER,
    &LARGE,
    &POSTGRES,
    &POSTGRES_LARGE,
    &POSTGRES_FLUSHES,
    &POSTGRES_STATEMENTS,
    &POSTGRES_HOT,
    &P99_AT_80,
    &GOODPUT,
    &P99_ADMITTED,
    &P99_REFUSED,
    &P99_HEALTH,
    &ONE,
    &ONE_BARE,
    &MEMORY,
    &START,
    &BARE_HEALTH,
    &BARE_JWKS,
    &BARE_REFRESH,
    &BARE_MINT,
    &OVERHEAD_MINT,
    &OVERHEAD_BARE,
    &OVERHEAD_REFRESH,
    &REPORT,
    &REPORT_REPEATED,
    &REPORT_JUNK,
    &REPORT_AT_FAULT,
    &REPORT_MINTS,
    &REPORT_OVER,
    &REPORT_OVER_JUNK,
    &REPORT_OVER_MINTS,
];

/// Measurements of the figures that have targets.
#[derive(Default)]
pub struct Figures(Vec<(&'static Goal, Vec<f64>)>);

impl Figures {
    /// Adds a measurement of a figure.
    pub fn note(&mut self, goal: &'static Goal, figure: f64) {
        match self.0.iter_mut().find(|(known, _)| std::ptr::eq(*known, goal)) {
            Some((_, figures)) => figures.push(figure),
            None => self.0.push((goal, vec![figure])),
        }
    }

    /// Prints each figure with its target, median and range. Nothing is asserted: a busy machine misses any target.
    pub fn print(&self) {
        let has_batch = engines::has_batch();
        println!("targets {} the batch engine", if has_batch { "with" } else { "without" });
        println!("{:<50} {:>10} {:>10} {:>22}  ", "figure", "target", "median", "range");
        for goal in GOALS {
            let bound = if has_batch { goal.with_batch } else { goal.without };
            let target = bound.show(goal);
            let Some((_, figures)) = self.0.iter().find(|(known, _)| std::ptr::eq(*known, goal)) else {
                println!("{:<50} {target:>10} {:>10}", goal.name, "–");
                continue;
            };
            let middle = median(&mut figures.clone());
            let (shown, range) = (format!("{middle:.*}{}", goal.digits, goal.unit), spread(figures, goal.digits));
            let verdict = if bound.is_met(middle) { "met" } else { "missed" };
            println!("{:<50} {target:>10} {shown:>10} {range:>22}  {verdict}", goal.name);
        }
    }
}

/// Returns the median.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Formats the minimum and the maximum.
pub fn spread(figures: &[f64], digits: usize) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("({least:.digits$} to {most:.digits$})")
}
