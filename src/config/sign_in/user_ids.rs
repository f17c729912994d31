//! Rules for all ways to sign in to one app: no two of them may give one id to two people.

use crate::config::{
    app_section::AppSection,
    notes::Notes,
    sign_in_section::{Kind, SignInSection},
};

/// Checks the ways to sign in of an app against each other.
pub(super) fn check(name: &str, app: &AppSection, notes: &mut Notes<'_>) {
    let setting = |number: usize, of: &str| format!("apps.{name}.sign_in[{number}].{of}");
    let has_origins = !app.policy.allowed_origins.is_empty() || notes.has(&format!("apps.{name}.allowed_origins"));
    for (number, section) in app.sign_in.iter().enumerate() {
        if section.cookies.as_ref().is_some_and(|cookies| !cookies.0.is_empty()) && !has_origins {
            let text = format_args!(
                "needs the app's allowed_origins, the pages that may send it: set allowed_origins in [apps.{name}], like allowed_origins = [\"https://www.example.com\"]"
            );
            notes.at(&setting(number, "cookies"), text);
        }
        for (other, before) in app.sign_in[..number].iter().enumerate() {
            pair((number, section), (other, before), &setting, notes);
        }
    }
    impersonation(app, &setting, notes);
}

fn pair(
    (number, section): (usize, &SignInSection),
    (other, before): (usize, &SignInSection),
    setting: &impl Fn(usize, &str) -> String,
    notes: &mut Notes<'_>,
) {
    let both = |kind: Kind| section.kind == Some(kind) && before.kind == Some(kind);
    if both(Kind::Oidc) && section.issuer.is_some() && section.issuer == before.issuer {
        let text = format_args!(
            "sign_in[{other}] has the same issuer, {}: an issuer has one sign_in in an app, whose audience is a list",
            section.issuer.as_deref().unwrap_or_default()
        );
        notes.at(&setting(number, "issuer"), text);
    }
    for (kind, named) in [(Kind::Introspection, "introspection"), (Kind::SessionEndpoint, "session_endpoint")] {
        if both(kind) {
            let text = format_args!(
                "sign_in[{other}] is \"{named}\" too: an app has at most one, since an opaque credential does not say whom to ask"
            );
            notes.at(&setting(number, "kind"), text);
        }
    }
    let prefixes = [section, before].map(|section| section.user_id_prefix.as_deref().unwrap_or_default());
    if let [one, two] = prefixes
        && !one.is_empty()
        && !two.is_empty()
        && (one.starts_with(two) || two.starts_with(one))
    {
        let text = format_args!(
            "{one:?} and {two:?} of sign_in[{other}]: none may be the beginning of the other, so that no two people get one user id"
        );
        notes.at(&setting(number, "user_id_prefix"), text);
    }
}

/// Refuses several ways to sign in without a prefix: who has an account at one provider could choose the id of
/// somebody at the other.
fn impersonation(app: &AppSection, setting: &impl Fn(usize, &str) -> String, notes: &mut Notes<'_>) {
    let has_prefix = |section: &SignInSection| section.user_id_prefix.as_ref().is_some_and(|text| !text.is_empty());
    // An id without a prefix may begin with the prefix of another.
    let any_has_prefix = app.sign_in.iter().any(has_prefix);
    let is_open = |section: &SignInSection| {
        let has_form = section.kind.is_some() || section.preset.is_some();
        has_form && !has_prefix(section) && (section.shared_user_ids != Some(true) || any_has_prefix)
    };
    let open = app.sign_in.iter().enumerate().filter(|(_, section)| is_open(section)).map(|(number, _)| number);
    let open: Vec<usize> = open.filter(|number| !notes.has(&setting(*number, "user_id_prefix"))).collect();
    let Some(first) = open.first().filter(|_| app.sign_in.len() > 1) else { return };
    let named: Vec<String> = open.iter().map(|number| format!("sign_in[{number}]")).collect();
    let text = format_args!(
        "is needed in {}, since the app has several: somebody at one provider could have the user id of somebody else at another; give each a prefix of its own, like user_id_prefix = \"google:\", or, where both know the same people by the same ids, set shared_user_ids = true in each",
        named.join(" and ")
    );
    notes.at(&setting(*first, "user_id_prefix"), text);
}
