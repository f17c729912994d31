//! Who may import whom: reads the `use crate::…` lines of every file and holds the house plan's table.

use std::{collections::BTreeSet, fs, path::Path};

/// A room, and the rooms it may import.
const TABLE: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("clock", &[]),
    ("secret", &[]),
    ("telemetry", &[]),
    ("domain", &["clock", "secret"]),
    ("custody", &["domain", "clock", "secret", "telemetry"]),
    ("store", &["domain", "clock", "secret", "telemetry"]),
    ("braze", &["domain", "clock", "secret", "telemetry"]),
    ("identity", &["domain", "clock", "secret", "telemetry"]),
    ("listener", &["address", "clock", "telemetry"]),
    ("keyring", &["custody", "domain", "clock"]),
    ("issue", &["keyring", "store", "identity", "domain", "clock", "secret"]),
    ("rotate", &["keyring", "custody", "store", "braze", "domain", "clock", "secret"]),
    // A stand-in for Braze: it knows nothing of the service that it is there to test.
    ("sandbox", &["domain", "clock"]),
    ("http", &["address", "issue", "rotate", "identity", "domain", "clock", "secret", "telemetry"]),
    ("ops", &["issue", "rotate", "identity", "domain", "clock", "telemetry"]),
    ("config", &["domain", "clock", "secret", "custody", "store", "braze", "rotate", "http", "listener", "telemetry"]),
    ("cli", &["app", "config", "sandbox", "domain", "clock", "secret", "telemetry"]),
    (
        "app",
        &[
            "clock",
            "secret",
            "telemetry",
            "domain",
            "custody",
            "store",
            "braze",
            "identity",
            "listener",
            "keyring",
            "issue",
            "rotate",
            "http",
            "ops",
            "config",
            "sandbox",
        ],
    ),
];

/// The room a file belongs to.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Every Rust file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The rooms that a file names behind `crate::`, in `use` lines, nested ones too, and in paths.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(top_level_names(list)),
            None => drop(rooms.insert(leading_name(rest))),
        }
    }
    rooms
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first segment of each entry in `{a::b, c::{d, e}, f}`.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                names.push(leading_name(&list[at..]));
                start = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn rooms_import_what_the_plan_allows() {
    let mut broken = Vec::new();
    for file in files(Path::new("src")) {
        let from = room(&file);
        if from == "lib" || from == "main" {
            continue;
        }
        let (_, allowed) =
            TABLE.iter().find(|(name, _)| *name == from).unwrap_or_else(|| panic!("{from} is no room of the plan"));
        let text = fs::read_to_string(&file).unwrap();
        for to in imports(&text) {
            if to != from && !allowed.contains(&to.as_str()) {
                broken.push(format!("{}: {from} imports {to}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_them_all() {
    let text = "use crate::{clock::{Clock, UnixMillis}, domain::ids::AppName, secret}; // crate::nothing\nfn f() { crate::store::open() }";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["clock", "domain", "secret", "store"]);
}

#[test]
fn files_stay_small() {
    let long: Vec<String> = files(Path::new("src"))
        .into_iter()
        .filter(|file| fs::read_to_string(file).unwrap().lines().count() > 420)
        .map(|file| file.display().to_string())
        .collect();
    assert!(long.is_empty(), "these files have a second subject by now: {long:?}");
}

#[test]
fn private_keys_are_named_in_custody_only() {
    for file in files(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        if room(&file) != "custody" {
            assert!(!text.contains("RsaPrivateKey"), "{}", file.display());
        }
    }
}
