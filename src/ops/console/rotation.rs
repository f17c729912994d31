//! Rotation: the steps of a ring, live; run, abort, roll back, compromise; the dry run beside.

use axum::{http::StatusCode, response::Response};

use super::{
    braze_answers::BrazeQuestions,
    html::{Prose, ShellCommand, ShortId, ShownTime},
    keys::first_eight,
    page::{Condition, Page, StateSentence, render_as},
    rotation_steps::{ListedStep, dry_run, rounded, steps},
    shown::ShownLines,
    visit::{Visit, see_other},
};
use crate::{
    clock::UnixMillis,
    domain::{
        ids::{Kid, RingName},
        key::KeyState,
        rotation::Goal,
    },
    operate::{CompromiseForecast, KeyStatus, OperationError, OperationErrorKind, RingStatus, RotationAct},
};

/// Largest number of keys with a form that declares them compromised.
const COMPROMISE_FORMS: usize = 20;

#[derive(askama::Template)]
#[template(path = "rotation.html")]
struct RotationPage {
    page: Page,
    ring: RingName,
    rings: Vec<RingName>,
    steps: Vec<ListedStep>,
    dry: Vec<ListedStep>,
    is_idle: bool,
    may_abort: bool,
    may_roll_back: bool,
    keys: Vec<LiveKey>,
    /// Number of keys that are held and not among `keys`.
    keys_left_out: usize,
    shown: ShownLines,
    /// Time at which Braze was asked.
    asked: ShownTime,
}

/// Key that can be declared compromised.
struct LiveKey {
    kid: ShortId,
    id: String,
    first: String,
    state: &'static str,
    /// Consequences, as they are forecast.
    forecast: Vec<Prose>,
    /// Error about the form of this key, with what was typed.
    error: Option<&'static str>,
    why: String,
}

/// Empty page, where no app is configured.
#[derive(askama::Template)]
#[template(path = "rotation_none.html")]
struct NoRotation {
    page: Page,
}

/// Error about the confirmation of a compromise.
struct WrongConfirmation {
    kid: String,
    why: String,
}

/// Shows the page.
pub(super) async fn show(visit: Visit) -> Result<Response, OperationError> {
    show_with(visit, None).await
}

async fn show_with(visit: Visit, wrong: Option<WrongConfirmation>) -> Result<Response, OperationError> {
    let rings = visit.operations.rings(None).await?;
    let asked = if wrong.is_some() { visit.form.trimmed("ring") } else { visit.query.trimmed("ring") };
    let Some(ring) = (if asked.is_empty() { rings.first().cloned() } else { Some(ring_of(asked)?) }) else {
        let page = visit.page("Rotation", StateSentence::neutral("No app is configured, so that nothing is rotated."));
        return Ok(render_as(StatusCode::OK, &NoRotation { page }));
    };
    let records = visit.operations.keys().await?;
    let mut questions = BrazeQuestions::new(&visit, &records);
    let status = questions.status(&ring).await?;
    let plan = questions.plan(&ring).await?;
    let asked = ShownTime(questions.asked());
    let mut held: Vec<&KeyStatus> = status.keys.iter().filter(|key| key.state.is_held()).collect();
    // Keys that signed come before those that have not: there may be many of the latter.
    held.sort_by_key(|key| key.state == KeyState::Pending);
    let mut keys = Vec::new();
    for key in held.iter().take(COMPROMISE_FORMS) {
        keys.push(live_key(&visit, &ring, key, wrong.as_ref()).await?);
    }
    let shown_status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = RotationPage {
        page: visit.page("Rotation", state(&status, visit.now)),
        steps: steps(&status, visit.now),
        dry: dry_run(&plan, visit.now),
        is_idle: status.goal == Goal::Idle,
        may_abort: status.goal == Goal::Rotating,
        may_roll_back: status.keys.iter().any(|key| key.state == KeyState::Retiring),
        keys_left_out: held.len() - keys.len(),
        keys,
        shown: shown(&status),
        asked,
        ring,
        rings,
    };
    Ok(render_as(shown_status, &page))
}

/// Forecast of a key's compromise. Of a key that has not signed, nothing needs to be asked for: there may be many.
async fn forecast(
    visit: &Visit,
    ring: &RingName,
    key: &KeyStatus,
) -> Result<Option<CompromiseForecast>, OperationError> {
    if matches!(key.state, KeyState::Active | KeyState::Retiring) {
        return visit.operations.forecast_compromise(key.kid.as_str()).await;
    }
    let by_hand = visit.operations.apps_by_hand(ring).await?;
    Ok(Some(CompromiseForecast { signs: false, takes_over: None, tokens_until: None, by_hand, live_sessions: None }))
}

async fn live_key(
    visit: &Visit,
    ring: &RingName,
    key: &KeyStatus,
    wrong: Option<&WrongConfirmation>,
) -> Result<LiveKey, OperationError> {
    let id = key.kid.as_str();
    let forecast = forecast(visit, ring, key).await?;
    let wrong = wrong.filter(|wrong| wrong.kid == id);
    let mut lines = Vec::new();
    if let Some(forecast) = forecast {
        lines.push(match (forecast.signs, &forecast.takes_over) {
            (true, Some(next)) => format!("It signs now; key {} takes over in the same moment.", first_eight(next)),
            (true, None) => {
                "It signs now, and no key is ready: nothing is signed until a new one is at Braze.".to_owned()
            }
            (false, _) => "It does not sign now.".to_owned(),
        });
        lines.extend(
            forecast
                .tokens_until
                .map(|until| format!("Tokens of it live until {until}; they are refused once Braze has deleted it.")),
        );
        lines.extend(
            forecast
                .live_sessions
                .filter(|_| forecast.signs)
                .map(|live| format!("{live} live sessions get their next token from another key.")),
        );
        lines.extend(
            forecast.by_hand.iter().map(|app| format!("People change the keys of app {app} in the Braze dashboard.")),
        );
    }
    Ok(LiveKey {
        kid: ShortId(id.to_owned()),
        id: id.to_owned(),
        first: first_eight(&key.kid).to_owned(),
        state: key.state.as_str(),
        forecast: lines.into_iter().map(Prose).collect(),
        error: wrong.map(|_| "This is not the beginning of the key's id: nothing was done."),
        why: wrong.map_or_else(String::new, |wrong| wrong.why.clone()),
    })
}

fn state(status: &RingStatus, now: UnixMillis) -> StateSentence {
    let ring = &status.ring;
    let active = status.keys.iter().find(|key| key.state == KeyState::Active);
    let faults = status.waits().iter().filter(|wait| wait.is_fault).count();
    let Some(active) = active else {
        return StateSentence::new(Condition::Stopped, format!("no key signs for ring {ring}."), now);
    };
    if status.goal == Goal::Idle {
        let due = status.due().map_or_else(
            || "operators begin the next rotation".to_owned(),
            |due| format!("the next rotation is due in {}", rounded(now, due)),
        );
        let sentence = format!("{} signs for ring {ring}; {due}.", first_eight(&active.kid));
        return StateSentence::new(Condition::Serving, sentence, now);
    }
    if faults > 0 {
        return StateSentence::new(Condition::Attention, format!("the rotation of ring {ring} cannot go on."), now);
    }
    let doing =
        if status.goal == Goal::Rotating { "a rotation is in progress" } else { "other keys are being removed" };
    let sentence = format!("{} signs for ring {ring}; {doing}.", first_eight(&active.kid));
    StateSentence::new(Condition::Serving, sentence, now)
}

/// Lines that the forms are about.
fn shown(status: &RingStatus) -> ShownLines {
    let goal = format!("ring {}: {}", status.ring, status.goal.as_str().replace('_', " "));
    let live = status.keys.iter().filter(|key| key.state != KeyState::Retired);
    let keys = live.map(|key| format!("key {}: {} since {}", first_eight(&key.kid), key.state.as_str(), key.since));
    ShownLines::new(std::iter::once(goal).chain(keys))
}

fn ring_of(name: &str) -> Result<RingName, OperationError> {
    let unknown = |_| OperationError::new(OperationErrorKind::NotFound, format!("there is no ring {name:?}"));
    name.parse().map_err(unknown)
}

/// Begins or continues a rotation.
pub(super) async fn run(visit: Visit) -> Result<Response, OperationError> {
    rotate(visit, RotationAct::Run).await
}

/// Aborts the rotation.
pub(super) async fn abort(visit: Visit) -> Result<Response, OperationError> {
    rotate(visit, RotationAct::Abort).await
}

/// Switches back to the previous key.
pub(super) async fn roll_back(visit: Visit) -> Result<Response, OperationError> {
    rotate(visit, RotationAct::RollBack).await
}

async fn rotate(visit: Visit, act: RotationAct) -> Result<Response, OperationError> {
    let ring = ring_of(visit.form.trimmed("ring"))?;
    if let Err(difference) = shown(&visit.operations.rotation_status(&ring).await?).check(&visit) {
        return Ok(visit.outdated(difference));
    }
    let done = visit.operations.rotate(&ring, act).await;
    visit.console.braze.forget();
    done?;
    Ok(back_to(&ring))
}

/// Declares a key compromised, after its id's first eight characters were typed.
pub(super) async fn compromise(visit: Visit) -> Result<Response, OperationError> {
    let ring = ring_of(visit.form.trimmed("ring"))?;
    let status = visit.operations.rotation_status(&ring).await?;
    if let Err(difference) = shown(&status).check(&visit) {
        return Ok(visit.outdated(difference));
    }
    let (id, why) = (visit.form.trimmed("kid").to_owned(), visit.form.trimmed("why").to_owned());
    let key = status.keys.iter().map(|key| &key.kid).find(|kid| kid.as_str() == id);
    let unknown = || OperationError::new(OperationErrorKind::NotFound, format!("ring {ring} has no key with this id"));
    let key: Kid = key.cloned().ok_or_else(unknown)?;
    if visit.form.trimmed("confirmation") != first_eight(&key) {
        return show_with(visit, Some(WrongConfirmation { kid: id, why })).await;
    }
    let why = if why.is_empty() { "declared in the console" } else { &why };
    let declared = visit.operations.compromise(key.as_str(), why).await;
    visit.console.braze.forget();
    declared?;
    let done = visit.operations.rotate(&ring, RotationAct::FollowUp).await;
    visit.console.braze.forget();
    done?;
    Ok(back_to(&ring))
}

fn back_to(ring: &RingName) -> Response {
    see_other(&format!("/console/rotation?ring={ring}"))
}
