//! Operands of commands that are printed for people to copy into a shell.

use std::{borrow::Cow, path::Path};

/// Quotes a text for a POSIX shell, where it needs quotes.
pub fn quoted(text: &str) -> String {
    // Only a NUL cannot be quoted, and no argument of a program has one.
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Quotes a path as [`quoted`] does. One that begins with `-` gets `./`, so that no command takes it for an option.
pub fn quoted_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') { quoted(&format!("./{text}")) } else { quoted(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_operand_of_a_shell() {
        for (path, operand) in [
            ("/etc/countersign/countersign.toml", "/etc/countersign/countersign.toml"),
            ("my keys/a.toml", "'my keys/a.toml'"),
            ("-c", "./-c"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", "\"it's\""),
        ] {
            assert_eq!(quoted_path(Path::new(path)), operand);
            assert_eq!(shlex::split(operand).unwrap().len(), 1);
        }
    }
}
