//! Files that are named on the command line.

use std::path::Path;

use anyhow::Context as _;

use super::context::Context;
use crate::{
    files::{MAX_SECRET_BYTES, Rule, Use, User, read_given, text},
    secret::Secret,
};

/// Reads a file that holds a secret, or stdin for `-`. A file that others may open is a warning: they may have the
/// secret already.
pub(super) fn secret(context: &Context, file: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let (bytes, breaches) = read_given(file, MAX_SECRET_BYTES, &Rule::new(User::owner_of(file), false), Use::Secret)
        .with_context(|| file.display().to_string())?;
    for breach in breaches.0 {
        context.output.remark(format_args!("warning: {breach} (who could read it may have the secret)"));
    }
    Ok(bytes)
}

/// Reads a passphrase: the file's first line.
pub(super) fn passphrase(context: &Context, file: &Path) -> anyhow::Result<Secret<String>> {
    first_line(context, file, "passphrase")
}

/// Reads a password: the file's first line.
pub(super) fn password(context: &Context, file: &Path) -> anyhow::Result<Secret<String>> {
    first_line(context, file, "password")
}

fn first_line(context: &Context, file: &Path, what: &str) -> anyhow::Result<Secret<String>> {
    let bytes = secret(context, file)?;
    let text = text(bytes.expose()).with_context(|| file.display().to_string())?;
    let line = text.lines().next().filter(|line| !line.is_empty());
    let line = line.with_context(|| format!("{}: holds no {what}", file.display()))?;
    Ok(Secret::new(line.to_owned()))
}

/// Reads a text that everybody may know, such as a public key, or stdin for `-`.
pub(super) fn public_text(file: &Path) -> anyhow::Result<String> {
    let (bytes, _) = read_given(file, MAX_SECRET_BYTES, &Rule::of_process(false), Use::Configuration)
        .with_context(|| file.display().to_string())?;
    Ok(text(bytes.expose()).with_context(|| file.display().to_string())?.to_owned())
}
