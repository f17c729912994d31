//! Operands of commands that are printed for people to copy into a shell.

use std::path::Path;

/// Quotes a path for a POSIX shell, where it needs quotes. One that begins with `-` gets `./`, so that no command takes
/// it for an option.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    // No path contains the NUL that cannot be quoted.
    shlex::try_quote(&text).map_or_else(|_| text.clone(), std::borrow::Cow::into_owned)
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
            assert_eq!(quoted(Path::new(path)), operand);
            assert_eq!(shlex::split(operand).unwrap().len(), 1);
        }
    }
}
