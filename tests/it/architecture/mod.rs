//! Architecture of the crate, read from the text of its files: imports between rooms, circles among the files of a
//! room, old names, names defined twice, sizes and documentation. A room is the first path component below `src/`.

mod circles;
mod doc_openings;
mod imports;
mod items;
mod lexer;
mod modules;
mod old_names;
mod rooms;
mod shape;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use self::{
    imports::Named,
    items::{Item, items},
    lexer::{Kind, Language, Token, tokens},
};

/// File below `src/` with what was read from it.
struct Source {
    path: String,
    text: String,
    /// Tokens of a Rust file without comments; doc comments are kept.
    tokens: Vec<Token>,
    items: Vec<Item>,
    named: Vec<Named>,
}

impl Source {
    fn read(path: &str, text: String) -> Self {
        let mut tokens = if is_rust(path) { tokens(&text, Language::Rust) } else { Vec::new() };
        tokens.retain(|token| token.kind != Kind::Comment);
        let items = items(&tokens);
        let named = imports::paths(&tokens, &items);
        Self { path: path.to_owned(), text, tokens, items, named }
    }

    fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// Module that the file holds, such as `domain::ids`; empty for `lib.rs`.
    fn module(&self) -> String {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let segments: Vec<&str> = inside.split('/').filter(|segment| *segment != "mod" && *segment != "lib").collect();
        segments.join("::")
    }

    /// Room of the file; none for `lib.rs` and `main.rs`.
    fn room(&self) -> Option<String> {
        let module = self.module();
        let first = module.split("::").next().unwrap_or_default();
        (!first.is_empty() && first != "main").then(|| first.to_owned())
    }

    fn line(&self, item: &Item) -> usize {
        self.tokens[item.from].line
    }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Files below `src/`, read once.
fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
        let paths = files(Path::new("src"));
        paths.iter().map(|path| Source::read(&path.to_string_lossy(), contents(path))).collect()
    });
    &SOURCES
}

/// Sources made of texts, for the tests of the readers.
fn made(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| Source::read(path, (*text).to_owned())).collect()
}

/// Files below a folder in the order of their paths, without build output and installed packages.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
        .into_iter()
        .filter(|path| !path.ends_with("node_modules") && !path.ends_with("target"))
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

fn contents(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// Fails with one fault a line.
#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
