//! Ring that apps use and that has no active key: advice to an operator.

use super::ids::RingName;

/// Greatest number of typing mistakes between a ring's name and the name that was meant.
const MISTAKES: usize = 2;

/// Returns the reason, the command that mends it, and the ring that was perhaps meant: one of `others` with nearly the
/// same name.
pub fn advice<'a>(ring: &RingName, others: impl IntoIterator<Item = &'a RingName>) -> String {
    let mends = format!("has no active key: `countersign rotate run --ring {ring}` brings one");
    match similar(ring, others) {
        Some(meant) => format!("{mends}; or did you mean ring {meant}? Then set `ring = \"{meant}\"` for its app"),
        None => mends,
    }
}

/// Returns the other ring whose name differs by a typing mistake.
pub fn similar<'a>(ring: &RingName, others: impl IntoIterator<Item = &'a RingName>) -> Option<&'a RingName> {
    let letters = |name: &RingName| name.as_str().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let distances = others.into_iter().filter(|other| *other != ring).filter_map(|other| {
        let distance = strsim::damerau_levenshtein(ring.as_str(), other.as_str());
        // `ios-1` and `ios-2` are two rings, and of short names a large part would be mistaken.
        let is_mistake = distance <= MISTAKES && 2 * distance < ring.as_str().len() && letters(ring) != letters(other);
        is_mistake.then_some((distance, other))
    });
    distances.min().map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(ring: &str, others: &[&str]) -> Option<String> {
        let others: Vec<RingName> = others.iter().map(|name| name.parse().unwrap()).collect();
        similar(&ring.parse().unwrap(), &others).map(ToString::to_string)
    }

    #[test]
    fn a_typing_mistake_is_recognised_and_a_number_is_none() {
        for mistyped in ["mian", "maim", "man", "mains", "main-"] {
            assert_eq!(meant(mistyped, &["ios", "main"]).as_deref(), Some("main"), "{mistyped}");
        }
        for (other, known) in [("main2", "main"), ("ios-1", "ios-2"), ("ios", "web"), ("a", "b"), ("main", "main")] {
            assert_eq!(meant(other, &[known]), None, "{other}");
        }
    }
}
