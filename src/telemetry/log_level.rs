//! Value of `log.level`. A filter of `tracing` takes any word as the name of a target: with a mistyped level it would
//! match nothing, and silence errors too.

use tracing_subscriber::filter::{LevelFilter, Targets};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Names of levels in other programs, with the level that is meant.
const ELSEWHERE: [(&str, &str); 9] = [
    ("critical", "error"),
    ("fatal", "error"),
    ("none", "error"),
    ("off", "error"),
    ("warning", "warn"),
    ("information", "info"),
    ("notice", "info"),
    ("verbose", "debug"),
    ("all", "trace"),
];

/// Name of this crate, which begins the targets of its own events.
const OURS: &str = "countersign";

/// Second part of the targets of this crate's events: its modules, and the targets that have a name of their own. A
/// test compares them with the modules.
const MODULES: &[&str] = &[
    "access",
    "address",
    "app",
    "audit",
    "braze",
    "cli",
    "clock",
    "config",
    "custody",
    "demo",
    "domain",
    "failures",
    "files",
    "http",
    "identity",
    "issue",
    "keyring",
    "listener",
    "node",
    "operate",
    "ops",
    "outage",
    "request",
    "rotate",
    "sandbox",
    "secret",
    "store",
    "telemetry",
];

/// Other crates that have events.
const CRATES: [&str; 10] = [
    "axum",
    "hyper",
    "hyper_util",
    "mio",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "tokio",
    "tower",
    "tower_http",
];

/// Greatest distance of a word that is suggested.
const CLOSE: usize = 2;

/// Returns the error of each entry of a level that cannot be used.
pub(super) fn errors(level: &str) -> Vec<String> {
    entries(level).filter_map(|(target, level)| error_of(target, level)).collect()
}

/// Returns the filter of a level without errors. Where the list has no level for the targets that it does not name, their
/// errors are logged.
pub(super) fn filter(level: &str) -> Targets {
    let errors_of_others = Targets::new().with_default(LevelFilter::ERROR);
    entries(level).fold(errors_of_others, |filter, (target, level)| {
        let level = level.parse().unwrap_or(LevelFilter::ERROR);
        match target {
            Some(target) => filter.with_target(target, level),
            None => filter.with_default(level),
        }
    })
}

/// Returns target and level of each entry of a list.
fn entries(list: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    list.split(',').map(|entry| match entry.split_once('=') {
        Some((target, level)) => (Some(target.trim()), level.trim()),
        None => (None, entry.trim()),
    })
}

fn error_of(target: Option<&str>, level: &str) -> Option<String> {
    if LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
        return target.and_then(unknown_target);
    }
    let meant = ELSEWHERE.iter().find(|(name, _)| name.eq_ignore_ascii_case(level)).map(|(_, meant)| *meant);
    let meant = meant.or_else(|| closest(&level.to_ascii_lowercase(), &LEVELS));
    let hint = match (target, meant) {
        (None, None) if level.split("::").next() == Some(OURS) => format!("; did you mean \"info,{level}=debug\"?"),
        (_, Some(meant)) => format!("; did you mean \"{meant}\"?"),
        _ => String::new(),
    };
    Some(format!(
        "{level:?} is no level: use error, warn, info, debug or trace, or a list like \"info,{OURS}::http=debug\"{hint}"
    ))
}

fn unknown_target(target: &str) -> Option<String> {
    let mut parts = target.split("::");
    let (name, module) = (parts.next().unwrap_or_default(), parts.next());
    let meant = match module {
        Some(module) if name == OURS => {
            if MODULES.contains(&module) {
                return None;
            }
            closest(module, MODULES).map(|meant| format!("{OURS}::{meant}"))
        }
        _ if name == OURS || CRATES.contains(&name) => return None,
        // `http` alone is a module of this crate, as people name it.
        _ if MODULES.contains(&name) => Some(format!("{OURS}::{name}")),
        _ => closest(name, &[&CRATES[..], &[OURS]].concat()).map(str::to_owned),
    };
    let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Some(format!("no event has the target {target:?}: write it like \"info,{OURS}::http=debug\"{hint}"))
}

fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|other| (strsim::damerau_levenshtein(word, other), *other));
    distances.filter(|(distance, _)| *distance <= CLOSE).min().map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_and_lists_of_targets_are_taken() {
        for level in ["error", "warn", "info", "debug", "trace", "INFO", "info,countersign::http=debug"] {
            assert!(errors(level).is_empty(), "{level}");
        }
        for list in ["countersign=trace", "warn, hyper_util=debug", "info,countersign::store::sqlite=trace"] {
            assert!(errors(list).is_empty(), "{list}");
        }
    }

    #[test]
    fn each_wrong_entry_is_an_error() {
        assert_eq!(errors("warning,countersign::htp=debug,info").len(), 2);
        assert_eq!(errors("").len(), 1);
    }

    #[test]
    fn errors_of_targets_that_a_list_does_not_name_are_logged() {
        let shown = |list| {
            let filter = filter(list);
            let of_ours = filter.would_enable("countersign::http", &Level::DEBUG);
            let of_others = [Level::ERROR, Level::WARN].map(|level| filter.would_enable("mio", &level));
            (of_ours, of_others)
        };
        assert_eq!(shown("countersign::http=debug"), (true, [true, false]));
        assert_eq!(shown(" INFO , countersign=Trace"), (true, [true, true]));
        assert_eq!(shown("warn,countersign::httpd=debug"), (false, [true, true]));
    }

    #[test]
    fn the_modules_are_those_of_this_crate() {
        let lib = include_str!("../lib.rs");
        let named = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let mut expected: Vec<&str> = named.chain(["access", "request"]).collect();
        expected.sort_unstable();
        assert_eq!(MODULES.to_vec(), expected);
    }
}
