//! Ways to sign in to an app with the credential of a session that its users already have: `[[apps.<name>.sign_in]]`.
//!
//! A preset is expanded to the settings of `kind = "oidc"` first, so that the rules are checked, and shown, in one form.

mod fields;
mod given;
mod preset_values;
mod presets;
mod resolve;
mod secrets;
mod urls;
mod user_ids;

use std::collections::HashMap;

use super::{
    app_section::AppSection,
    notes::Notes,
    secret_files::SecretFiles,
    sections::Sections,
    sign_in_section::{Form, Kind, SignInSection},
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
            Form::Preset(preset) => {
                preset_values::check(preset, &mut given);
                presets::expand(preset, &mut given)
            }
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

/// Returns warnings: settings that are allowed, but probably not intended.
pub(super) fn warnings(sections: &Sections) -> Vec<String> {
    let all = sections
        .apps
        .iter()
        .flat_map(|(name, app)| app.sign_in.iter().enumerate().map(move |(number, section)| (name, number, section)));
    let is_open = |section: &SignInSection| section.kind == Some(Kind::Introspection) && section.audience.is_none();
    all.filter(|(_, _, section)| is_open(section))
        .map(|(name, number, _)| {
            format!(
                "apps.{name}.sign_in[{number}]: has no audience, so a token that any other app of the provider got signs its user in: set audience to what the endpoint answers as aud for your app (audience_claim names another member, like \"client_id\")"
            )
        })
        .collect()
}
