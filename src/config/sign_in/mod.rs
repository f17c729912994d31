//! Ways to sign in to an app with the credential of a session that its users already have: `[[apps.<name>.sign_in]]`.
//!
//! A preset is expanded to the settings of `kind = "oidc"` first, so that the rules are checked, and shown, in one form.

mod fields;
mod given;
mod presets;
mod resolve;
mod secrets;
mod urls;
mod user_ids;

use std::collections::HashMap;

use super::{
    app_section::AppSection, notes::Notes, secret_files::SecretFiles, sections::Sections, sign_in_section::Form,
};
use crate::domain::{ids::AppName, sign_in::SignIn};
use given::Given;
pub(super) use urls::is_loopback;

/// Ways to sign in, of each app that has any.
pub(super) type SignInsOfApps = HashMap<AppName, Vec<SignIn>>;

/// Checks the ways to sign in of each app, expands their presets in place, and reads their secrets where `files` are
/// given.
pub(super) fn check(
    sections: &mut Sections,
    notes: &mut Notes<'_>,
    mut files: Option<&mut SecretFiles<'_>>,
) -> SignInsOfApps {
    let mut resolved = SignInsOfApps::new();
    for (name, app) in &mut sections.apps {
        let sign_ins = of_app(name, app, notes, files.as_deref_mut());
        if let (false, Ok(app)) = (sign_ins.is_empty(), name.parse::<AppName>()) {
            resolved.insert(app, sign_ins);
        }
    }
    resolved
}

fn of_app(
    name: &str,
    app: &mut AppSection,
    notes: &mut Notes<'_>,
    mut files: Option<&mut SecretFiles<'_>>,
) -> Vec<SignIn> {
    let mut resolved = Vec::new();
    for (number, section) in app.sign_in.iter_mut().enumerate() {
        let mut given = Given::new(name, number, section, notes);
        let Some(form) = given.form() else { continue };
        fields::check(form, &mut given);
        let expanded = match form {
            Form::Preset(preset) => presets::expand(preset, &mut given),
            Form::Kind(kind) => Some(resolve::with_defaults(kind, section.clone())),
        };
        let Some(expanded) = expanded else { continue };
        let mut given = Given::new(name, number, &expanded, notes);
        resolved.extend(resolve::resolve(&mut given, files.as_deref_mut()));
        *section = expanded;
    }
    user_ids::check(name, app, notes);
    resolved
}
