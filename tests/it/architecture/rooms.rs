//! Imports between rooms, against the exact table of who may import whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Source, assert_none, made,
    modules::{Modules, leaves_the_room, module_of, room_of},
    sources,
};

/// A room, and the rooms that it imports.
type Row = (&'static str, &'static [&'static str]);

/// Every room with exactly the rooms that its files import.
const TABLE: &[Row] = &[
    ("clock", &[]),
    ("secret", &[]),
    ("telemetry", &[]),
    ("address", &[]),
    ("files", &["domain", "secret"]),
    ("domain", &["clock", "secret"]),
    ("custody", &["domain", "files", "clock", "secret", "telemetry"]),
    ("store", &["domain", "files", "clock", "secret", "telemetry"]),
    ("braze", &["domain", "clock", "secret"]),
    ("identity", &["domain", "clock", "secret", "address"]),
    ("listener", &["address", "clock", "telemetry"]),
    ("keyring", &["custody", "domain"]),
    ("outage", &["store", "domain", "clock", "telemetry"]),
    ("issue", &["keyring", "store", "outage", "identity", "domain", "clock", "secret", "telemetry"]),
    ("audit", &["store", "domain", "clock", "secret"]),
    ("failures", &["store", "domain", "clock", "secret", "telemetry", "address"]),
    ("rotate", &["custody", "store", "braze", "domain", "clock", "telemetry"]),
    (
        "node",
        &[
            "audit",
            "keyring",
            "custody",
            "store",
            "outage",
            "rotate",
            "failures",
            "domain",
            "clock",
            "secret",
            "telemetry",
        ],
    ),
    (
        "operate",
        &["audit", "rotate", "issue", "failures", "outage", "store", "custody", "braze", "domain", "clock", "secret"],
    ),
    // A stand-in for Braze: it knows nothing of the service that it is there to test.
    ("sandbox", &["domain", "clock"]),
    ("demo", &["app", "operate", "config", "sandbox", "domain", "clock"]),
    ("http", &["issue", "failures", "identity", "domain", "clock", "secret", "telemetry", "address"]),
    ("ops", &["operate", "http", "listener", "domain", "clock", "telemetry", "address"]),
    (
        "config",
        &[
            "audit",
            "clock",
            "listener",
            "http",
            "store",
            "custody",
            "braze",
            "rotate",
            "node",
            "failures",
            "telemetry",
            "domain",
            "files",
            "secret",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "audit",
            "operate",
            "failures",
            "config",
            "sandbox",
            "demo",
            "domain",
            "files",
            "clock",
            "secret",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "config",
            "http",
            "ops",
            "listener",
            "node",
            "audit",
            "operate",
            "issue",
            "failures",
            "outage",
            "identity",
            "rotate",
            "keyring",
            "custody",
            "store",
            "braze",
            "domain",
            "files",
            "clock",
            "secret",
            "telemetry",
        ],
    ),
];

/// Re-exports of one room's names by another room that are wanted: the room and the path as written there. Whoever
/// names such a re-export imports both rooms.
const RE_EXPORTS: &[(&str, &str)] = &[];

/// Places at which a room imports another, by the two rooms.
type Imports = BTreeMap<(String, String), Vec<String>>;

fn imports(sources: &[Source]) -> Imports {
    let modules = Modules::of(sources);
    let mut found = Imports::new();
    for source in sources {
        let Some(room) = source.room() else { continue };
        for named in &source.named {
            let trace = modules.trace(&module_of(source, named), named);
            let mut imported: BTreeSet<String> = trace.unknown;
            imported.extend(rooms(&trace.holders));
            for target in trace.ends.iter().filter(|end| named.glob && room_of(end) != Some(&room)) {
                imported.extend(rooms(&modules.trace_public_names(target).holders));
            }
            imported.remove(&room);
            for other in imported {
                let at = format!("{}:{}: {}", source.path, named.line, named.path.join("::"));
                found.entry((room.clone(), other)).or_default().push(at);
            }
        }
    }
    found
}

fn rooms(modules: &BTreeSet<String>) -> BTreeSet<String> {
    modules.iter().filter_map(|module| room_of(module)).map(str::to_owned).collect()
}

/// Imports that the table lacks.
fn forbidden(sources: &[Source], table: &[Row]) -> Vec<String> {
    let allows = |from: &str, to: &str| table.iter().any(|(room, row)| *room == from && row.contains(&to));
    let found = imports(sources).into_iter().filter(|((from, to), _)| !allows(from, to));
    found.map(|((from, to), at)| format!("{from} imports {to}:\n    {}", at.join("\n    "))).collect()
}

/// Permissions of the table that no file uses.
fn unused(sources: &[Source], table: &[Row]) -> Vec<String> {
    let found = imports(sources);
    let permissions = table.iter().flat_map(|(room, row)| row.iter().map(move |other| (*room, *other)));
    permissions
        .filter(|(room, other)| !found.contains_key(&((*room).to_owned(), (*other).to_owned())))
        .map(|(room, other)| format!("{room} may import {other}, and does not"))
        .collect()
}

/// Rooms without a row, and rows without a room.
fn unmatched(sources: &[Source], table: &[Row]) -> Vec<String> {
    let rooms: BTreeSet<String> = sources.iter().filter_map(Source::room).collect();
    let rows: BTreeSet<String> = table.iter().map(|(room, _)| (*room).to_owned()).collect();
    let without_row = rooms.difference(&rows).map(|room| format!("src/{room} has no row"));
    let without_room = rows.difference(&rooms).map(|room| format!("the row of {room} has no room"));
    let twice = (rows.len() < table.len()).then(|| "a room has two rows".to_owned());
    without_row.chain(without_room).chain(twice).collect()
}

/// Re-exports of other rooms' names, as room, path and place.
fn re_exports(sources: &[Source]) -> Vec<(String, String, String)> {
    let modules = Modules::of(sources);
    let mut found = Vec::new();
    for source in sources {
        let Some(room) = source.room() else { continue };
        for named in source.named.iter().filter(|named| leaves_the_room(named)) {
            let trace = modules.trace(&module_of(source, named), named);
            if rooms(&trace.holders).iter().any(|other| *other != room) {
                let place = format!("{}:{}", source.path, named.line);
                found.push((room.clone(), named.path.join("::"), place));
            }
        }
    }
    found
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    assert_none(&forbidden(sources(), TABLE));
}

#[test]
fn rooms_use_each_permission() {
    assert_none(&unused(sources(), TABLE));
}

#[test]
fn rooms_and_rows_are_the_same() {
    assert_none(&unmatched(sources(), TABLE));
}

#[test]
fn rooms_re_export_no_other_room() {
    let found = re_exports(sources());
    let listed = |room: &str, path: &str| RE_EXPORTS.contains(&(room, path));
    let mut faults: Vec<String> = found
        .iter()
        .filter(|(room, path, _)| !listed(room, path))
        .map(|(room, path, at)| format!("{at}: {room} re-exports {path}"))
        .collect();
    let absent = RE_EXPORTS.iter().filter(|(room, path)| !found.iter().any(|(r, p, _)| r == room && p == path));
    faults.extend(absent.map(|(room, path)| format!("{room} does not re-export {path}")));
    assert_none(&faults);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: [(&str, &str); 3] =
        [("src/lib.rs", "pub mod a; pub mod b; pub mod c;"), ("src/b.rs", "pub struct X;"), ("src/c.rs", "")];

    /// Rooms that room `a` imports, when its file `src/a/d/mod.rs` has this text.
    fn imported(text: &str) -> Vec<String> {
        let sources = made(&[&ROOMS[..], &[("src/a/mod.rs", "mod d;"), ("src/a/d/mod.rs", text)]].concat());
        imports(&sources).into_keys().filter(|(from, _)| from == "a").map(|(_, to)| to).collect()
    }

    #[test]
    fn every_way_to_write_an_import_is_seen() {
        assert_eq!(imported("use crate::{b::X as Y, a::d, c};"), ["b", "c"]);
        assert_eq!(imported("fn e() -> crate::b::X { super::super::c::f() }"), ["b", "c"]);
        assert_eq!(imported("use crate::b::*;"), ["b"]);
        assert_eq!(imported("use crate as e; use e::b as f; fn g(_: f::X) {}"), ["b"]);
        assert_eq!(imported("#[cfg(test)] mod tests { use super::super::super::b::X; }"), ["b"]);
        assert_eq!(imported("#[serde(with = \"crate::c\")] struct E;"), ["c"]);
        assert_eq!(imported("use crate::*;"), ["*"]);
        assert_eq!(imported("fn e() { crate::unheard_of!() }"), ["unheard_of"]);
    }

    #[test]
    fn two_globs_of_one_module_do_not_lead_in_a_circle() {
        assert_eq!(imported("mod tests { use super::*; use proptest::prelude::*; use crate::b::X; }"), ["b"]);
    }

    #[test]
    fn what_is_no_import_is_not_seen() {
        let text = "//! [`crate::b`]\nuse b::X; use ::c::Y; mod b {} // crate::c\nconst E: &str = \"crate::c\";";
        assert!(imported(text).is_empty());
        assert!(imported("use self::e::X; use super::d::e; mod e { use super::super::d; }").is_empty());
    }

    #[test]
    fn re_exports_are_imports_of_both_rooms() {
        for text in ["pub use crate::b::X;", "use crate::b; pub use b::{X as Z, X};", "pub use super::b::*;"] {
            for user in ["use crate::a::X;", "use crate::a; fn d(_: a::X) {}", "use crate::a::*;"] {
                let sources = made(&[&ROOMS[..2], &[("src/a.rs", text), ("src/c.rs", user)]].concat());
                let found: Vec<_> = imports(&sources).into_keys().filter(|(from, _)| from == "c").collect();
                let expected = [("c".to_owned(), "a".to_owned()), ("c".to_owned(), "b".to_owned())];
                assert_eq!(found, expected, "{text} {user}");
                assert!(!re_exports(&sources).is_empty(), "{text}");
            }
        }
        let sources = made(&[&ROOMS[..], &[("src/a.rs", "pub(super) use c::Y; pub use d::Y; mod d {}")]].concat());
        assert!(re_exports(&sources).is_empty());
    }

    #[test]
    fn the_table_must_be_exact() {
        let sources = made(&[&ROOMS[..], &[("src/a.rs", "use crate::b::X;")]].concat());
        assert_none(&forbidden(&sources, &[("a", &["b"])]));
        assert_none(&unused(&sources, &[("a", &["b"])]));
        assert_none(&unmatched(&sources, &[("a", &[]), ("b", &[]), ("c", &[])]));
        assert_eq!(forbidden(&sources, &[("a", &["c"])]).len(), 1);
        assert_eq!(unused(&sources, &[("a", &["c"])]), ["a may import c, and does not"]);
        let faults = unmatched(&sources, &[("a", &[]), ("b", &[]), ("d", &[]), ("a", &[])]);
        assert_eq!(faults, ["src/c has no row", "the row of d has no room", "a room has two rows"]);
    }
}
