//! User ids on the command line. Some begin with `-`, as those of Firebase do.

use clap::Args;

use crate::domain::{
    ids::{UserId, UserIdRules},
    shell::quoted,
};

/// User that a command concerns.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct UserArgument {
    /// User id, as given to changeUser
    #[arg(value_name = "USER", allow_hyphen_values = true, value_parser = not_an_option)]
    positional: Option<String>,
    /// The same, for a user id that looks like an option: --user=--id
    #[arg(long, value_name = "USER", allow_hyphen_values = true)]
    user: Option<String>,
}

impl UserArgument {
    /// Parses the user id, by the most permissive rules that an app may have.
    ///
    /// # Errors
    /// The user id breaks one of them.
    pub(super) fn parse(&self) -> anyhow::Result<UserId> {
        user_id(self.positional.as_deref().or(self.user.as_deref()).unwrap_or_default())
    }
}

/// Refuses a mistyped option, which would otherwise be the id of a user whom nobody knows.
pub(super) fn not_an_option(text: &str) -> Result<String, String> {
    if text.starts_with("--") || (text.starts_with('-') && text.chars().count() == 2) {
        let text = quoted(text);
        return Err(format!("there is no such option; a user id that looks like one is given as --user={text}"));
    }
    Ok(text.to_owned())
}

/// Parses a user id that an operator gives, by the most permissive rules that an app may have.
///
/// # Errors
/// The user id breaks one of them.
pub(super) fn user_id(text: &str) -> anyhow::Result<UserId> {
    UserId::parse(text, UserIdRules::WIDEST).map_err(|bad| anyhow::anyhow!("the user id {bad}"))
}
