//! First words of doc comments: a doc comment begins with the thing, not with a question word.

use super::{
    Source, assert_none,
    lexer::{Kind, Token},
    made, sources,
};

const QUESTION_WORDS: &[&str] = &["What", "How", "Whether", "Who", "Whom", "Where", "Which", "When", "Whose"];

/// Doc comments of a thousand that begin with a question word, from which on it is a fault.
const LIMIT: usize = 30;

/// First lines of the doc comments of a file, with their line numbers. Lines in a row are one comment.
fn openings(source: &Source) -> Vec<(usize, &str)> {
    let docs: Vec<&Token> = source.tokens.iter().filter(|token| token.kind == Kind::Doc).collect();
    let mut found = Vec::new();
    for (index, doc) in docs.iter().enumerate() {
        let goes_on = index > 0 && docs[index - 1].line + 1 == doc.line && marker(docs[index - 1]) == marker(doc);
        if !goes_on {
            found.push((doc.line, doc.text[3..].trim()));
        }
    }
    found
}

fn marker(doc: &Token) -> &str {
    &doc.text[..3]
}

fn asks(opening: &str) -> bool {
    let word = opening.trim_start_matches(|c: char| !c.is_alphabetic()).split(|c: char| !c.is_alphabetic()).next();
    word.is_some_and(|word| QUESTION_WORDS.contains(&word))
}

/// The share and each question, when the share reaches the limit.
fn questions(sources: &[Source]) -> Vec<String> {
    let all: Vec<(&str, usize, &str)> = sources
        .iter()
        .flat_map(|source| openings(source).into_iter().map(|(line, opening)| (source.path.as_str(), line, opening)))
        .collect();
    let asking: Vec<_> = all.iter().filter(|(_, _, opening)| asks(opening)).collect();
    if asking.len() * 1000 < LIMIT * all.len().max(1) {
        return Vec::new();
    }
    let share = asking.len() * 1000 / all.len();
    let head = format!("{}.{} % of {} doc comments begin with a question word", share / 10, share % 10, all.len());
    let lines = asking.iter().map(|(path, line, opening)| format!("{path}:{line}: {opening}"));
    std::iter::once(head).chain(lines).collect()
}

#[test]
fn doc_comments_begin_with_the_thing() {
    assert_none(&questions(sources()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_words_are_counted_once_a_comment() {
        let text =
            "//! What it is.\n//! Who asks.\n\n/// Whatever it is.\nstruct A {\n    /// Whether: it is.\n    b: u8,\n}";
        let faults = questions(&made(&[("src/a.rs", text)]));
        assert_eq!(faults[0], "66.6 % of 3 doc comments begin with a question word");
        assert_eq!(faults[1..], ["src/a.rs:1: What it is.", "src/a.rs:6: Whether: it is."]);
    }

    #[test]
    fn the_limit_is_a_fault() {
        let text = |others: usize| "/// When.\n\n".to_owned() + &"/// Time.\n\n".repeat(others);
        assert_eq!(questions(&made(&[("src/a.rs", &text(32))])).len(), 2);
        assert_none(&questions(&made(&[("src/a.rs", &text(33))])));
    }

    #[test]
    fn comments_and_strings_are_not_counted() {
        let text = "// How.\n//// How.\nconst A: &str = \"\n/// How.\n\"; /// Time. How.\nstruct B;";
        assert_none(&questions(&made(&[("src/a.rs", text)])));
    }
}
