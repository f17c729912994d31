//! Callers: API keys of backends. A new key is shown once; a revocation needs the typed name of its client.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};

use super::{
    form::version_of,
    html::{Markup, ShownTime},
    overview::plural,
    page::{Condition, Page, StateSentence, render, render_as},
    visit::{Visit, see_other},
};
use crate::{
    clock::{UnixMillis, parse_duration},
    domain::{
        api_key::ApiKeyId,
        ids::{AppName, ClientName},
    },
    operate::{ClientApiKey, CreatedClient, OperationError, OperationErrorKind},
};

/// Keys on a page.
const SHOWN: usize = 50;
const PATH: &str = "/console/callers";

struct KeyRow {
    id: String,
    client: String,
    apps: String,
    created: ShownTime,
    expires: Option<ShownTime>,
    last_used: Option<ShownTime>,
    mark: Markup,
    is_live: bool,
}

/// Form that makes a key, as it was filled in.
#[derive(Default)]
struct CreateForm {
    client: String,
    lifetime: String,
    chosen: Vec<String>,
    client_error: Option<String>,
    lifetime_error: Option<String>,
    apps_error: Option<String>,
    error: Option<String>,
}

impl CreateForm {
    fn has(&self, app: &str) -> bool {
        self.chosen.iter().any(|chosen| chosen == app)
    }
}

#[derive(askama::Template)]
#[template(path = "callers.html")]
struct Callers {
    page: Page,
    rows: Vec<KeyRow>,
    apps: Vec<String>,
    form: CreateForm,
    filter: String,
    /// Number of the page with more keys.
    more: Option<usize>,
}

#[derive(askama::Template)]
#[template(path = "caller.html")]
struct CallerPage {
    page: Page,
    row: KeyRow,
    version: String,
    error: Option<&'static str>,
}

#[derive(askama::Template)]
#[template(path = "caller_created.html")]
struct CreatedPage {
    page: Page,
    created: CreatedClient,
}

/// Shows the keys, or one of them with the form that revokes it.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    match visit.query.trimmed("key") {
        "" => list(&visit, CreateForm::default(), StatusCode::OK).await,
        id => {
            let key = find(&visit, id).await?;
            Ok(one(&visit, &key, None))
        }
    }
}

async fn list(visit: &Visit, form: CreateForm, status: StatusCode) -> Result<Response, OperationError> {
    let mut keys = visit.operations.clients().await?;
    let live = keys.iter().filter(|key| is_live(key, visit.now)).count();
    let filter = visit.query.trimmed("client").to_owned();
    keys.retain(|key| filter.is_empty() || key.client.as_str().contains(&filter));
    keys.sort_by(|one, other| {
        let order = |key: &ClientApiKey| (is_live(key, visit.now), key.created);
        order(other).cmp(&order(one))
    });
    let number: usize = visit.query.trimmed("page").parse().unwrap_or(0);
    let (first, count) = (number.saturating_mul(SHOWN), keys.len());
    let configuration = visit.operations.configuration().await?;
    let apps = configuration.json.get("apps").and_then(|apps| apps.as_object());
    let sentence = format!("{live} API {} may ask for tokens.", plural("key", live));
    Ok(render_as(
        status,
        &Callers {
            page: visit.page("Callers", StateSentence::new(Condition::Neutral, sentence, visit.now)),
            rows: keys.iter().skip(first).take(SHOWN).map(|key| row(key, visit.now)).collect(),
            apps: apps.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
            form,
            filter,
            more: (first.saturating_add(SHOWN) < count).then(|| number.saturating_add(1)),
        },
    ))
}

fn is_live(key: &ClientApiKey, now: UnixMillis) -> bool {
    key.revoked.is_none() && key.expires.is_none_or(|end| now < end)
}

fn row(key: &ClientApiKey, now: UnixMillis) -> KeyRow {
    let is_live = is_live(key, now);
    let (condition, word) = match key.revoked {
        Some(_) => (Condition::Neutral, "revoked"),
        None if is_live => (Condition::Serving, "live"),
        None => (Condition::Neutral, "expired"),
    };
    KeyRow {
        id: key.id.to_string(),
        client: key.client.to_string(),
        apps: key.apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        created: ShownTime(key.created),
        expires: key.expires.map(ShownTime),
        last_used: key.last_used.map(ShownTime),
        mark: Markup(StateSentence::mark(condition, word)),
        is_live,
    }
}

async fn find(visit: &Visit, id: &str) -> Result<ClientApiKey, OperationError> {
    let found = visit.operations.clients().await?.into_iter().find(|key| key.id.as_str() == id);
    found.ok_or_else(|| OperationError::new(OperationErrorKind::NotFound, "There is no API key with this id."))
}

/// Version of a key in a form. Uses of the key do not change it.
fn version(key: &ClientApiKey) -> String {
    let revoked = key.revoked.map_or_else(String::new, |at| at.to_string());
    let expires = key.expires.map_or_else(String::new, |at| at.to_string());
    version_of([key.id.as_str(), key.client.as_str(), &revoked, &expires])
}

fn one(visit: &Visit, key: &ClientApiKey, error: Option<&'static str>) -> Response {
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let state = StateSentence::neutral(format!("API key of the backend {}.", key.client));
    let page = visit.page("API key", state);
    render_as(status, &CallerPage { page, version: version(key), row: row(key, visit.now), error })
}

/// Makes a key, and shows it once.
pub(super) async fn create(visit: Visit) -> Result<Response, OperationError> {
    let form = &visit.form;
    let mut filled = CreateForm {
        client: form.trimmed("client").to_owned(),
        lifetime: form.trimmed("lifetime").to_owned(),
        chosen: form.all("app").into_iter().map(str::to_owned).collect(),
        ..CreateForm::default()
    };
    let client = filled.client.parse::<ClientName>().map_err(|error| filled.client_error = Some(error.to_string()));
    let apps: Vec<AppName> = filled.chosen.iter().filter_map(|app| app.parse().ok()).collect();
    if apps.is_empty() {
        filled.apps_error = Some("choose at least one app".to_owned());
    }
    let lifetime = lifetime(&filled.lifetime).map_err(|error| filled.lifetime_error = Some(error));
    let (Ok(client), Ok(lifetime), false) = (client, lifetime, apps.is_empty()) else {
        return list(&visit, filled, StatusCode::UNPROCESSABLE_ENTITY).await;
    };
    match visit.operations.create_client(client, apps, lifetime).await {
        Ok(created) => {
            let state = StateSentence::neutral("The key is made. It is shown now, and never again.");
            Ok(render(&CreatedPage { page: visit.page("New API key", state), created }))
        }
        Err(error) if matches!(error.kind, OperationErrorKind::Conflict | OperationErrorKind::NotFound) => {
            filled.error = Some(error.message);
            list(&visit, filled, StatusCode::CONFLICT).await
        }
        Err(error) => Err(error),
    }
}

fn lifetime(text: &str) -> Result<Option<Duration>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse_duration(text).map(Some).map_err(|error| error.to_string())
}

/// Revokes a key.
pub(super) async fn revoke(visit: Visit) -> Result<Response, OperationError> {
    let key = find(&visit, visit.form.trimmed("key")).await?;
    if visit.form.text("version") != version(&key) {
        let now = row(&key, visit.now);
        let revoked = if now.is_live { "is live" } else { "is not live any more" };
        return Ok(visit.outdated(vec![format!("API key {} of {} {revoked}.", now.id, now.client)]));
    }
    if visit.form.trimmed("confirm") != key.client.as_str() {
        return Ok(one(&visit, &key, Some("type the name of the backend exactly")));
    }
    let id: ApiKeyId = key.id.clone();
    visit.operations.revoke_client(&id).await?;
    Ok(see_other(PATH))
}
