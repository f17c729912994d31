//! Faults of keys: codes 20, 25 and 27.

use std::time::Duration;

use countersign::domain::{failure::Cause, ids::Kid};

use super::{
    faults::{ANY, BY_HAND, Fault, LISTED, fault},
    model::{DAY, FOREIGN, HOUR, MINUTE, Model, NO_KEY, PAIRS},
};

pub const FAULTS: &[Fault] = &[
    fault("activated before it was published", Cause::KeyNotPublished, ANY, never_published),
    fault("activated while Braze was asked", Cause::KeyNotPublished, LISTED, asked_only),
    fault("deleted while its tokens were valid", Cause::KeyWithdrawnTooEarly, ANY, withdrawn_early),
    fault("deleted in the dashboard", Cause::KeyWithdrawnTooEarly, LISTED, deleted_by_hand),
    fault("deleted in the dashboard, and not yet seen", Cause::KeyWithdrawnTooEarly, ANY, deleted_unseen),
    fault("published for one app of two", Cause::KeyAtAnotherApp, LISTED, at_other_app),
    fault("confirmed, and pasted at another app", Cause::KeyAtAnotherApp, BY_HAND, pasted_at_other_app),
    fault("used before Braze uses it everywhere", Cause::KeyNotPropagated, LISTED, not_propagated),
    fault("the app moved to another ring", Cause::OtherEnvironment, LISTED, moved_ring),
    fault("a build with another SDK API key", Cause::OtherEnvironment, LISTED, other_build),
    fault("two installations with one sealing secret", Cause::OtherEnvironment, LISTED, other_installation),
    fault("compromised", Cause::KeyCompromised, ANY, compromised),
    fault("away until its key was deleted", Cause::ExpiredOffline, ANY, away_until_deleted),
    fault("20: activated before it was published", Cause::KeyNotPublished, ANY, |model| {
        never_published(model);
        model.twenty = true;
    }),
    fault("20: deleted while its tokens were valid", Cause::KeyWithdrawnTooEarly, ANY, |model| {
        withdrawn_early(model);
        model.twenty = true;
    }),
    fault("20: published for one app of two", Cause::KeyAtAnotherApp, LISTED, |model| {
        at_other_app(model);
        model.twenty = true;
    }),
    fault("25: pasted without its lines", Cause::KeyPastedWrongly, BY_HAND, pasted_wrongly),
    fault("25: never published, beside what is no key", Cause::KeyNotPublished, ANY, |model| {
        never_published(model);
        only_no_key(model);
    }),
    fault("25: deleted, beside what is no key", Cause::KeyWithdrawnTooEarly, LISTED, |model| {
        withdrawn_early(model);
        only_no_key(model);
    }),
    fault("25: at another app, beside what is no key", Cause::KeyAtAnotherApp, LISTED, |model| {
        at_other_app(model);
        only_no_key(model);
    }),
];

fn app(model: &Model) -> String {
    model.app.to_string()
}

fn first(model: &Model) -> Kid {
    model.keys[0].kid.clone()
}

/// Age of the newest token, a valid one.
fn age(model: &mut Model) -> Duration {
    Duration::from_secs(model.random.within(5..1500))
}

/// The device logged in minutes ago, and refreshes since then because Braze refuses each token.
fn refused_since_login(model: &mut Model, kid: &Kid) {
    let (age, refreshes) = (model.random.within(1..40), model.random.within(0..12));
    let age = Duration::from_secs(age);
    model.holds(kid, age, age + Duration::from_secs(22) * u32::try_from(refreshes).unwrap(), refreshes);
}

/// The device logged in since the fault, or has its first token since then.
fn meets(model: &mut Model, kid: &Kid) {
    if model.random.percent(50) {
        return refused_since_login(model, kid);
    }
    let age = age(model);
    model.lives(kid, age);
}

fn never_published(model: &mut Model) {
    let kid = model.create("main", 1, HOUR);
    model.activate(&kid, 50 * MINUTE);
    meets(model, &kid);
}

fn asked_only(model: &mut Model) {
    let kid = model.create("main", 1, HOUR);
    model.ask(&app(model), &kid, 55 * MINUTE);
    model.activate(&kid, 50 * MINUTE);
    meets(model, &kid);
}

/// Rotates to the second key so long ago.
fn rotate(model: &mut Model, ago: Duration) {
    let old = first(model);
    let kid = model.begin("main", 1, ago);
    assert_ne!(old, kid);
}

fn withdrawn_early(model: &mut Model) {
    let old = first(model);
    rotate(model, 60 * MINUTE);
    let age = model.random.within(41..55);
    model.lives(&old, Duration::from_mins(age));
    let ago = model.random.within(1..38);
    model.withdraw(&app(model), &old, Duration::from_mins(ago));
}

fn deleted_by_hand(model: &mut Model) {
    let kid = first(model);
    model.vanish(&app(model), &kid);
    let age = age(model);
    model.lives(&kid, age);
}

/// The publication stays on record until Braze is asked again.
fn deleted_unseen(model: &mut Model) {
    let kid = first(model);
    model.take(&app(model), &kid);
    let age = age(model);
    model.lives(&kid, age);
}

fn at_other_app(model: &mut Model) {
    let other = if model.app.as_str() == "web" { "ios" } else { "web" };
    let kid = model.create("main", 1, 5 * HOUR);
    model.publish(other, &kid, 4 * HOUR);
    model.activate(&kid, 3 * HOUR);
    refused_since_login(model, &kid);
}

fn pasted_at_other_app(model: &mut Model) {
    let kid = model.create("main", 1, 5 * HOUR);
    for listed in LISTED {
        model.publish(listed, &kid, 4 * HOUR);
    }
    model.record_publication("kiosk", &kid, 4 * HOUR);
    model.activate(&kid, 3 * HOUR);
    refused_since_login(model, &kid);
}

fn not_propagated(model: &mut Model) {
    let ago = Duration::from_secs(model.random.within(20..280));
    let kid = model.create("main", 1, ago + MINUTE);
    for app in ["web", "ios", "kiosk"] {
        model.publish(app, &kid, ago);
    }
    // The list has it, and what verifies tokens does not yet.
    model.take(&app(model), &kid);
    model.activate(&kid, ago.saturating_sub(Duration::from_secs(10)));
    let age = Duration::from_secs(model.random.within(1..9));
    model.lives(&kid, age);
}

fn moved_ring(model: &mut Model) {
    let (app, staging) = (app(model), model.keys[1].kid.clone());
    model.vanish(&app, &first(model));
    model.publications.retain(|known| known.app.as_str() != app);
    let of_app = Some(app.parse().unwrap());
    model.events.retain(|event| event.target.app != of_app);
    model.publish(&app, &staging, 30 * DAY);
    let (kid, age) = (first(model), age(model));
    model.lives(&kid, age);
}

fn other_build(model: &mut Model) {
    "elsewhere".clone_into(&mut model.device.braze_app);
    model.braze.insert("elsewhere".to_owned(), vec![PAIRS[FOREIGN].public_pem()]);
    let kid = first(model);
    refused_since_login(model, &kid);
}

fn other_installation(model: &mut Model) {
    let kid = model.create("main", FOREIGN, 10 * DAY);
    let age = age(model) + MINUTE;
    model.lives(&kid, age);
    model.forget(&kid);
}

fn compromised(model: &mut Model) {
    let old = first(model);
    rotate(model, 60 * MINUTE);
    let age = model.random.within(41..55);
    model.lives(&old, Duration::from_mins(age));
    model.compromise(&old, 30 * MINUTE);
    model.withdraw(&app(model), &old, 29 * MINUTE);
}

fn away_until_deleted(model: &mut Model) {
    let old = first(model);
    rotate(model, 2 * DAY);
    let age = Duration::from_hours(model.random.within(49..90));
    model.lives(&old, age);
    for app in ["web", "ios", "kiosk"] {
        model.withdraw(app, &old, 46 * HOUR);
    }
    model.retire(&old, 45 * HOUR);
}

fn only_no_key(model: &mut Model) {
    model.braze.insert(app(model), vec![NO_KEY.to_owned()]);
}

fn pasted_wrongly(model: &mut Model) {
    let kid = model.create("main", 1, 5 * HOUR);
    for listed in LISTED {
        model.publish(listed, &kid, 4 * HOUR);
    }
    model.record_publication("kiosk", &kid, 4 * HOUR);
    only_no_key(model);
    model.activate(&kid, 3 * HOUR);
    refused_since_login(model, &kid);
}
