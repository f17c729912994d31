//! Circles among the files of one room.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Source, assert_none, made,
    modules::{Modules, module_of, room_of},
    sources,
};

/// Modules that a module's file names, each with the lines.
type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<usize>>>;

/// Edges between the files of each room. A `mod.rs` and what lies below it make no edge, in either direction: a parent
/// declares its children. Unit tests make none either.
fn edges(sources: &[Source]) -> Edges {
    let modules = Modules::of(sources);
    let tests = test_modules(sources);
    let file_modules: BTreeMap<&str, String> =
        sources.iter().map(|source| (source.path.as_str(), source.module())).collect();
    let mut found = Edges::new();
    for source in sources.iter().filter(|source| source.room().is_some()) {
        let from = source.module();
        for named in source.named.iter().filter(|named| !named.test && !is_within(&from, &tests)) {
            for holder in modules.trace(&module_of(source, named), named).holders {
                let Some(to) = file_modules.get(modules.path(&holder)) else { continue };
                if room_of(to) == room_of(&from) && !is_below(to, &from) && !is_below(&from, to) {
                    found.entry(from.clone()).or_default().entry(to.clone()).or_default().insert(named.line);
                }
            }
        }
    }
    found
}

/// Modules that are declared under `#[cfg(test)]`.
pub fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let declared = sources.iter().flat_map(|source| {
        let tests = source.items.iter().filter(|item| item.test && item.keyword == "mod");
        tests.map(|item| format!("{}::{}", source.module(), item.name))
    });
    declared.collect()
}

/// Tells whether a module is one of these, or lies below one of them.
pub fn is_within(module: &str, tops: &BTreeSet<String>) -> bool {
    tops.iter().any(|top| is_below(module, top))
}

/// Tells whether a module is this one, or lies below it.
fn is_below(module: &str, top: &str) -> bool {
    module == top || module.strip_prefix(top).is_some_and(|rest| rest.starts_with("::"))
}

/// Groups of files that reach each other, each with the imports that make the circle.
fn circles(edges: &Edges) -> Vec<String> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = edges.keys().map(|from| (from, reached(edges, from))).collect();
    let mut groups = BTreeSet::new();
    for (module, reached) in &reach {
        let group: BTreeSet<&String> = reached
            .iter()
            .copied()
            .filter(|other| reach.get(other).is_some_and(|back| back.contains(*module)))
            .collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.iter().map(|group| describe(edges, group)).collect()
}

fn reached<'a>(edges: &'a Edges, from: &'a String) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        open.extend(edges.get(module).into_iter().flatten().map(|(to, _)| to).filter(|to| found.insert(*to)));
    }
    found
}

fn describe(edges: &Edges, group: &BTreeSet<&String>) -> String {
    let names: Vec<&str> = group.iter().map(|module| module.as_str()).collect();
    let mut lines = vec![names.join(", ")];
    for from in group {
        let inside = edges.get(*from).into_iter().flatten().filter(|(to, _)| group.contains(to));
        lines.extend(inside.map(|(to, at)| format!("    {from} -> {to}, lines {at:?}")));
    }
    lines.join("\n")
}

#[test]
fn files_of_a_room_form_no_circle() {
    assert_none(&circles(&edges(sources())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        circles(&edges(&made(files)))
    }

    #[test]
    fn circles_are_found_in_every_spelling() {
        for there in ["use super::c::C;", "use crate::a::{c};", "fn d() { super::c::e() }", "use super::C;"] {
            let room = ("src/a/mod.rs", "mod b; mod c; pub use c::C;");
            let faults = found(&[room, ("src/a/b.rs", there), ("src/a/c.rs", "pub struct C; use super::b;")]);
            assert_eq!(faults.len(), 1, "{there}");
            assert!(faults[0].starts_with("a::b, a::c\n"), "{faults:?}");
        }
    }

    #[test]
    fn long_circles_through_folders_are_found() {
        let files = [
            ("src/a/mod.rs", ""),
            ("src/a/b/mod.rs", "use super::c::C;"),
            ("src/a/c.rs", "pub struct C; fn e() { crate::a::d::f() }"),
            ("src/a/d.rs", "use super::b::G;"),
        ];
        assert!(found(&files)[0].starts_with("a::b, a::c, a::d\n"));
    }

    #[test]
    fn parents_and_tests_make_no_circle() {
        let files = [
            ("src/a/mod.rs", "mod b; mod c; pub use self::b::B; pub struct A;"),
            ("src/a/b.rs", "pub struct B; use super::A; #[cfg(test)] mod tests { use super::super::c::C; }"),
            ("src/a/c.rs", "pub struct C; use super::b; use super::A;"),
            ("src/d.rs", "use crate::a::B;"),
        ];
        assert_none(&found(&files));
    }
}
