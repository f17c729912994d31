//! Token in the forms in which people have it: a header's value, in quotes, the JSON answer that brought it.

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::domain::{api_key, refresh_token};

/// Returns the token of a text.
///
/// # Errors
/// JSON without a token, or another credential of this service. The text is in no error: it may be a secret.
pub(super) fn token_of(text: &str) -> anyhow::Result<String> {
    let bare = unwrapped(text);
    if bare.starts_with('{') {
        let answer: Value = serde_json::from_str(bare).context("this looks like JSON, and is not")?;
        let token = answer.get("token").and_then(Value::as_str);
        let token = token.context("this is JSON without a member \"token\": give the answer of /v1/token/generate")?;
        return Ok(unwrapped(token).to_owned());
    }
    if bare.starts_with(refresh_token::PREFIX) {
        bail!("this is a refresh token, which Braze never sees: give the member \"token\" of the same answer");
    }
    if bare.starts_with(api_key::PREFIX) {
        bail!("this is an API key of a backend: it belongs in no command line; give the token that it mints");
    }
    Ok(bare.to_owned())
}

/// Takes white space, quotes, `Authorization:` and `Bearer` off a text, in any order.
fn unwrapped(mut text: &str) -> &str {
    loop {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
        let inner = ["authorization:", "bearer "].iter().find_map(|prefix| without_prefix(trimmed, prefix));
        let inner = inner.or_else(|| ['"', '\'', '`'].iter().find_map(|quote| without_quotes(trimmed, *quote)));
        match inner {
            Some(inner) => text = inner,
            None => return trimmed,
        }
    }
}

fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn without_quotes(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_the_forms_in_which_people_have_it() {
        for text in [
            "a.b.c",
            " a.b.c\r\n",
            "\u{FEFF}a.b.c",
            "Bearer a.b.c",
            "bearer  a.b.c\n",
            "\"a.b.c\"",
            "'Bearer a.b.c'",
            "Authorization: Bearer a.b.c",
            "-H 'x'",
            "{\"token\": \"a.b.c\", \"refresh_token\": \"csr1_x\"}\n",
            "'{\"token\": \"Bearer a.b.c\"}'",
        ] {
            let expected = if text == "-H 'x'" { text } else { "a.b.c" };
            assert_eq!(token_of(text).unwrap(), expected, "{text}");
        }
        for text in ["", "\"", "''", "Bearer", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"] {
            assert!(!token_of(text).unwrap().contains('.'), "{text}");
        }
        for text in ["{", "{}", "{\"token\":7}", "csr1_abc", "Bearer csk1_abc"] {
            let error = format!("{:#}", token_of(text).unwrap_err());
            assert!(!error.contains("abc"), "{error}");
        }
    }
}
