//! Names that the code no longer has.

use std::path::Path;

use super::{
    assert_none, contents, files,
    items::{Home, items},
    lexer::{Kind, Language, Token, tokens},
};

/// Names that stand nowhere, comments included.
const NOWHERE: &[&str] = &[
    "House",
    "Keeper",
    "take_up",
    "Rotor",
    "founding",
    "furnish",
    "Sighting",
    "note_down",
    "Deed",
    "Farewell",
    "Spoilt",
    "waits_for_leave",
    "turn_away",
    "hand_out",
    "Desk",
    "Mover",
    "spell_out",
    "forget_the_quiet",
    "misfit",
    "RingWhich",
    "KeyView",
    "AppView",
    "NodeView",
];

/// Names that stand nowhere in code; in a comment they may be plain English.
const NOT_IN_CODE: &[&str] =
    &["imagine", "Lent", "Doubt", "Mistake", "Mistakes", "Foreign", "Bench", "World", "Stage", "trail"];

/// Names that no type has.
const NO_TYPE: &[&str] = &[
    "View", "Word", "Turn", "Moment", "Act", "Place", "Places", "Which", "One", "Span", "Public", "Watch", "Site",
    "Look",
];

/// Migrations that are applied already, and so cannot change.
const APPLIED: &[&str] = &["0001_", "0002_", "0003_"];

/// Old names in a file, each with its place.
fn old_names(path: &str, text: &str) -> Vec<String> {
    let Some(language) = language(path) else { return Vec::new() };
    let found = tokens(text, language);
    let mut faults = Vec::new();
    for token in &found {
        match token.kind {
            Kind::Name if NOWHERE.contains(&token.text.as_str()) || NOT_IN_CODE.contains(&token.text.as_str()) => {
                faults.push(format!("{path}:{}: {}", token.line, token.text));
            }
            Kind::Comment | Kind::Doc => faults.extend(in_comment(path, token)),
            _ => {}
        }
    }
    faults.extend(old_types(path, found, language));
    faults
}

fn in_comment(path: &str, comment: &Token) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in comment.text.lines().enumerate() {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| NOWHERE.contains(word));
        faults.extend(words.map(|word| format!("{path}:{}: {word}, in a comment", comment.line + index)));
    }
    faults
}

fn old_types(path: &str, mut found: Vec<Token>, language: Language) -> Vec<String> {
    found.retain(|token| token.kind != Kind::Comment);
    let names: Vec<&Token> = match language {
        Language::Rust => rust_types(&found),
        Language::Script => script_types(&found),
        Language::Sql => Vec::new(),
    };
    let old = names.into_iter().filter(|name| NO_TYPE.contains(&name.text.as_str()));
    old.map(|name| format!("{path}:{}: type {}", name.line, name.text)).collect()
}

fn rust_types(found: &[Token]) -> Vec<&Token> {
    let types = items(found).into_iter().filter(|item| {
        let defines = ["struct", "enum", "union", "trait", "type"].contains(&item.keyword.as_str());
        defines && (item.home == Home::Module || item.home == Home::Body)
    });
    types.map(|item| &found[item.from + 1]).collect()
}

fn script_types(found: &[Token]) -> Vec<&Token> {
    let pairs = found.windows(3).filter(|three| {
        let alias = three[0].is("type") && (three[2].is("=") || three[2].is("<"));
        three[1].kind == Kind::Name && (["class", "interface", "enum"].iter().any(|word| three[0].is(word)) || alias)
    });
    pairs.map(|three| &three[1]).collect()
}

fn language(path: &str) -> Option<Language> {
    match Path::new(path).extension()?.to_str()? {
        "rs" => Some(Language::Rust),
        "sql" => Some(Language::Sql),
        "mjs" | "ts" => Some(Language::Script),
        _ => None,
    }
}

fn is_applied_migration(path: &str) -> bool {
    let name = path.strip_prefix("src/store/migrations/sqlite/");
    name.is_some_and(|name| APPLIED.iter().any(|number| name.starts_with(number)))
}

#[test]
fn old_names_are_gone() {
    let mut faults = Vec::new();
    for path in files(Path::new("src")).into_iter().chain(files(Path::new("tests"))) {
        let name = path.to_string_lossy();
        if !is_applied_migration(&name) {
            faults.extend(old_names(&name, &contents(&path)));
        }
    }
    assert_none(&faults);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_found_in_code_and_comments() {
        let faults =
            old_names("a.rs", "// The Desk of a Foreign clerk.\nfn take_up(a: Foreign) { imagine(\"Rotor\") }");
        assert_eq!(faults, ["a.rs:1: Desk, in a comment", "a.rs:2: take_up", "a.rs:2: Foreign", "a.rs:2: imagine"]);
        assert_eq!(old_names("a.mjs", "a(`${House}`) // 'trail'\nlet trail"), ["a.mjs:1: House", "a.mjs:2: trail"]);
        assert_eq!(
            old_names("a.sql", "-- trail\nDROP TABLE trail; -- 'Deed'"),
            ["a.sql:2: trail", "a.sql:2: Deed, in a comment"]
        );
        assert!(old_names("a.rs", "fn take_up_all(worlds: KeyViews) {}").is_empty());
    }

    #[test]
    fn old_types_are_found_where_they_are_defined() {
        let text =
            "enum View {} pub type Span = u8; fn a() { struct Word; } impl B for C { type One = u8; } use D::Act;";
        assert_eq!(old_names("a.rs", text), ["a.rs:1: type View", "a.rs:1: type Span", "a.rs:1: type Word"]);
        let faults = old_names("a.ts", "class Look {}\nimport { type Turn } from 'a'\nexport type Watch = string");
        assert_eq!(faults, ["a.ts:1: type Look", "a.ts:3: type Watch"]);
    }

    #[test]
    fn applied_migrations_are_exempt() {
        assert!(is_applied_migration("src/store/migrations/sqlite/0002_rotation.sql"));
        assert!(!is_applied_migration("src/store/migrations/sqlite/0004_next.sql"));
    }
}
