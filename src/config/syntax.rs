//! Errors of a file that is not TOML, in the words of an operator.

use super::{errors::ConfigErrors, origins::position};

/// Parts of the parser's messages, with the mistake that each of them means.
const MEANINGS: [(&str, &str); 9] = [
    ("duplicate key", "this name is given twice: keep one of them"),
    ("opening quote", "a quote is missing: name = \"text\""),
    ("invalid basic string", "a quote is missing, or \\ is not written \\\\: name = \"text\""),
    ("invalid literal string", "a quote is missing: name = \"text\""),
    ("unclosed table", "a bracket is not closed: a section is written [section]"),
    ("array", "a comma is missing, or a bracket is not closed: name = [\"one\", \"two\"]"),
    ("inline table", "a comma is missing, or a brace is not closed: name = { per_second = 5, burst = 200 }"),
    ("leading zero", "a number does not begin with 0"),
    ("key with no value", "a setting is written with an equals sign: name = \"text\""),
];

/// Meaning of a bare word. The parser's message depends on the letter that it begins with.
const UNQUOTED: &str = "text needs quotes: name = \"text\"";

const GENERAL: &str = "a setting is written name = value, with text in quotes, and a section [section]";

/// Adds an error of the parser, unless its line has one: what follows a mistake on a line is often no other.
pub(super) fn syntax_error(file: &str, text: &str, why: &toml::de::Error, errors: &mut ConfigErrors) {
    let meaning = if why.span().is_some_and(|span| lacks_quotes(line_at(text, span.start))) {
        UNQUOTED
    } else {
        MEANINGS.iter().find(|(part, _)| why.message().contains(part)).map_or(GENERAL, |(_, meaning)| meaning)
    };
    let place = why.span().map_or_else(|| file.to_owned(), |span| position(file, text, span.start));
    let line = place.rsplit_once(':').map_or(place.as_str(), |(line, _)| line).to_owned();
    if !errors.iter().any(|error| error.place.starts_with(&format!("{line}:"))) {
        errors.add(place, format!("not TOML: {meaning}"));
    }
}

fn line_at(text: &str, at: usize) -> &str {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let from = before.rfind('\n').map_or(0, |end| end + 1);
    let to = after.find('\n').map_or(text.len(), |end| before.len() + end);
    text.get(from..to).unwrap_or_default()
}

/// Returns true for a line whose value is a bare word, and no number.
fn lacks_quotes(line: &str) -> bool {
    let value = line.split_once('=').map(|(_, value)| value.trim_start()).unwrap_or_default();
    let word = value.split([' ', '\t', '#', ',']).next().unwrap_or_default();
    word.starts_with(|c: char| c.is_alphanumeric() || ['/', '.', '~'].contains(&c)) && word.parse::<f64>().is_err()
}
