//! Names defined once, small files and functions, documented items, private keys in custody only.

use std::collections::BTreeMap;

use super::{
    Source, assert_none,
    circles::{is_within, test_modules},
    items::{Home, Item, Visibility},
    made, sources,
};

/// Type names that the crate has once.
const ONCE: &[&str] = &["Keys", "Refusal", "Code", "Finding", "Document"];

/// Type names that a room has once.
const ONCE_A_ROOM: &[&str] = &["Config"];

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 60;

/// Type names that are defined more often than they may be.
fn homonyms(sources: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for source in sources {
        for item in source.items.iter().filter(|item| defines_type(item)) {
            let room = match item.name.as_str() {
                name if ONCE.contains(&name) => String::new(),
                name if ONCE_A_ROOM.contains(&name) => source.room().unwrap_or_default(),
                _ => continue,
            };
            places.entry((room, &item.name)).or_default().push(place(source, item));
        }
    }
    let twice = places.into_iter().filter(|(_, places)| places.len() > 1);
    twice.map(|((_, name), places)| format!("{name}: {}", places.join(", "))).collect()
}

fn defines_type(item: &Item) -> bool {
    let defines = ["struct", "enum", "union", "trait", "type"].contains(&item.keyword.as_str());
    defines && matches!(item.home, Home::Module | Home::Body)
}

fn place(source: &Source, item: &Item) -> String {
    format!("{}:{}", source.path, source.line(item))
}

/// Files that are too long.
fn long_files(sources: &[Source]) -> Vec<String> {
    let lines = sources.iter().map(|source| (&source.path, source.text.lines().count()));
    lines.filter(|(_, lines)| *lines > FILE_LINES).map(|(path, lines)| format!("{path}: {lines} lines")).collect()
}

/// Functions that are too long, from the line of `fn` to the closing brace; unit tests are left out.
fn long_functions(sources: &[Source]) -> Vec<String> {
    let tests = test_modules(sources);
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| !is_within(&source.module(), &tests)) {
        for item in source.items.iter().filter(|item| item.keyword == "fn" && !item.test) {
            let lines = source.tokens[item.to].line + 1 - source.line(item);
            if lines > FUNCTION_LINES {
                faults.push(format!("{}: {} has {lines} lines", place(source, item), item.name));
            }
        }
    }
    faults
}

/// Public items without a doc comment; unit tests, and the modules that `lib.rs` and a `mod.rs` declare, are left out.
fn undocumented(sources: &[Source]) -> Vec<String> {
    let tests = test_modules(sources);
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| !is_within(&source.module(), &tests)) {
        let is_parent = source.path.ends_with("/lib.rs") || source.path.ends_with("/mod.rs");
        let needs_docs = |item: &&Item| {
            let skipped = item.keyword == "use" || (item.keyword == "mod" && is_parent) || item.test;
            item.visibility == Visibility::Public && matches!(item.home, Home::Module | Home::Inherent) && !skipped
        };
        let bare = source.items.iter().filter(needs_docs).filter(|item| !item.documented);
        faults.extend(bare.map(|item| format!("{}: {} {}", place(source, item), item.keyword, item.name)));
    }
    faults
}

#[test]
fn names_are_defined_once() {
    assert_none(&homonyms(sources()));
}

#[test]
fn files_stay_small() {
    assert_none(&long_files(sources()));
}

#[test]
fn functions_stay_small() {
    assert_none(&long_functions(sources()));
}

#[test]
fn public_items_are_documented() {
    assert_none(&undocumented(sources()));
}

/// `rsa` 0.10 calls the type `PrivateKey`; its old name still exists, and `pkcs1` has one like it.
fn names_private_key(line: &str) -> bool {
    line.contains("RsaPrivateKey") || (line.contains("rsa::") && line.contains("PrivateKey"))
}

#[test]
fn private_keys_are_named_in_custody_only() {
    let outside = sources().iter().filter(|source| source.room().as_deref() != Some("custody"));
    let faults: Vec<String> = outside
        .filter(|source| source.text.lines().any(names_private_key))
        .map(|source| format!("{} names a private key of `rsa`", source.path))
        .collect();
    assert_none(&faults);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_defined_twice_are_found() {
        let sources = made(&[
            ("src/a/b.rs", "struct Code; pub struct Config; impl C for D { type Document = u8; }"),
            ("src/a/mod.rs", "type Code = u8; enum Config {} trait Keys {}"),
            ("src/d.rs", "struct Config; struct Document; use crate::a::Keys;"),
        ]);
        assert_eq!(homonyms(&sources), ["Code: src/a/b.rs:1, src/a/mod.rs:1", "Config: src/a/b.rs:1, src/a/mod.rs:1"]);
    }

    #[test]
    fn long_files_and_functions_are_found() {
        let body = |lines: usize| "\n".repeat(lines - 1);
        let text = format!("fn a() {{{}}}\nfn b() {{{}}}", body(60), body(61));
        let faults = long_functions(&made(&[("src/a.rs", &text)]));
        assert_eq!(faults, ["src/a.rs:61: b has 61 lines"]);
        let tested = format!("#[cfg(test)] mod tests {{ {text} }} #[cfg(test)] mod more;");
        assert_none(&long_functions(&made(&[("src/a/mod.rs", &tested), ("src/a/more.rs", &text)])));
        let files = made(&[("src/a.sql", &"\n".repeat(400)), ("src/b.rs", &"\n".repeat(401))]);
        assert_eq!(long_files(&files), ["src/b.rs: 401 lines"]);
    }

    #[test]
    fn undocumented_items_are_found() {
        let text = "/// A.\n#[derive(B)]\npub struct A { pub a: u8 }
            impl A { pub const fn b() {} #[must_use]\npub async fn c() {} }
            impl D for A { fn e() {} } pub(crate) fn f() {} pub use g::H; pub const I: u8 = 0; pub mod j { //! J.\n }
            #[cfg(test)] mod tests { pub fn k() {} } pub mod l;";
        let names = |path: &str| {
            let faults = undocumented(&made(&[(path, text)]));
            faults.iter().map(|fault| fault.split(": ").nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("src/a.rs"), ["fn b", "fn c", "const I", "mod l"]);
        assert_eq!(names("src/a/mod.rs"), ["fn b", "fn c", "const I"]);
    }
}
