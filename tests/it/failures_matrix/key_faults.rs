//! Faults of keys: codes 20, 25 and 27.

use std::time::Duration;

use countersign::domain::{failure::Cause, ids::Kid};

use super::{
    faults::{ANY, BY_HAND, Fault, LISTED, fault},
    world::{DAY, FOREIGN, HOUR, MINUTE, NO_KEY, PAIRS, World},
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
    fault("20: activated before it was published", Cause::KeyNotPublished, ANY, |world| {
        never_published(world);
        world.twenty = true;
    }),
    fault("20: deleted while its tokens were valid", Cause::KeyWithdrawnTooEarly, ANY, |world| {
        withdrawn_early(world);
        world.twenty = true;
    }),
    fault("20: published for one app of two", Cause::KeyAtAnotherApp, LISTED, |world| {
        at_other_app(world);
        world.twenty = true;
    }),
    fault("25: pasted without its lines", Cause::KeyPastedWrongly, BY_HAND, pasted_wrongly),
    fault("25: never published, beside what is no key", Cause::KeyNotPublished, ANY, |world| {
        never_published(world);
        only_no_key(world);
    }),
    fault("25: deleted, beside what is no key", Cause::KeyWithdrawnTooEarly, LISTED, |world| {
        withdrawn_early(world);
        only_no_key(world);
    }),
    fault("25: at another app, beside what is no key", Cause::KeyAtAnotherApp, LISTED, |world| {
        at_other_app(world);
        only_no_key(world);
    }),
];

fn app(world: &World) -> String {
    world.app.to_string()
}

fn first(world: &World) -> Kid {
    world.keys[0].kid.clone()
}

/// Age of the newest token, a valid one.
fn age(world: &mut World) -> Duration {
    Duration::from_secs(world.random.within(5..1500))
}

/// The device logged in minutes ago, and refreshes since then because Braze refuses each token.
fn refused_since_login(world: &mut World, kid: &Kid) {
    let (age, refreshes) = (world.random.within(1..40), world.random.within(0..12));
    let age = Duration::from_secs(age);
    world.holds(kid, age, age + Duration::from_secs(22) * u32::try_from(refreshes).unwrap(), refreshes);
}

/// The device logged in since the fault, or has its first token since then.
fn meets(world: &mut World, kid: &Kid) {
    if world.random.percent(50) {
        return refused_since_login(world, kid);
    }
    let age = age(world);
    world.lives(kid, age);
}

fn never_published(world: &mut World) {
    let kid = world.create("main", 1, HOUR);
    world.activate(&kid, 50 * MINUTE);
    meets(world, &kid);
}

fn asked_only(world: &mut World) {
    let kid = world.create("main", 1, HOUR);
    world.ask(&app(world), &kid, 55 * MINUTE);
    world.activate(&kid, 50 * MINUTE);
    meets(world, &kid);
}

/// Rotates to the second key so long ago.
fn rotate(world: &mut World, ago: Duration) {
    let old = first(world);
    let kid = world.begin("main", 1, ago);
    assert_ne!(old, kid);
}

fn withdrawn_early(world: &mut World) {
    let old = first(world);
    rotate(world, 60 * MINUTE);
    let age = world.random.within(41..55);
    world.lives(&old, Duration::from_mins(age));
    let ago = world.random.within(1..38);
    world.withdraw(&app(world), &old, Duration::from_mins(ago));
}

fn deleted_by_hand(world: &mut World) {
    let kid = first(world);
    world.vanish(&app(world), &kid);
    let age = age(world);
    world.lives(&kid, age);
}

/// The publication stays on record until Braze is asked again.
fn deleted_unseen(world: &mut World) {
    let kid = first(world);
    world.take(&app(world), &kid);
    let age = age(world);
    world.lives(&kid, age);
}

fn at_other_app(world: &mut World) {
    let other = if world.app.as_str() == "web" { "ios" } else { "web" };
    let kid = world.create("main", 1, 5 * HOUR);
    world.publish(other, &kid, 4 * HOUR);
    world.activate(&kid, 3 * HOUR);
    refused_since_login(world, &kid);
}

fn pasted_at_other_app(world: &mut World) {
    let kid = world.create("main", 1, 5 * HOUR);
    for listed in LISTED {
        world.publish(listed, &kid, 4 * HOUR);
    }
    world.record_publication("kiosk", &kid, 4 * HOUR);
    world.activate(&kid, 3 * HOUR);
    refused_since_login(world, &kid);
}

fn not_propagated(world: &mut World) {
    let ago = Duration::from_secs(world.random.within(20..280));
    let kid = world.create("main", 1, ago + MINUTE);
    for app in ["web", "ios", "kiosk"] {
        world.publish(app, &kid, ago);
    }
    // The list has it, and what verifies tokens does not yet.
    world.take(&app(world), &kid);
    world.activate(&kid, ago.saturating_sub(Duration::from_secs(10)));
    let age = Duration::from_secs(world.random.within(1..9));
    world.lives(&kid, age);
}

fn moved_ring(world: &mut World) {
    let (app, staging) = (app(world), world.keys[1].kid.clone());
    world.vanish(&app, &first(world));
    world.publications.retain(|known| known.app.as_str() != app);
    let of_app = Some(app.parse().unwrap());
    world.events.retain(|event| event.target.app != of_app);
    world.publish(&app, &staging, 30 * DAY);
    let (kid, age) = (first(world), age(world));
    world.lives(&kid, age);
}

fn other_build(world: &mut World) {
    "elsewhere".clone_into(&mut world.device.braze_app);
    world.braze.insert("elsewhere".to_owned(), vec![PAIRS[FOREIGN].public_pem()]);
    let kid = first(world);
    refused_since_login(world, &kid);
}

fn other_installation(world: &mut World) {
    let kid = world.create("main", FOREIGN, 10 * DAY);
    let age = age(world) + MINUTE;
    world.lives(&kid, age);
    world.forget(&kid);
}

fn compromised(world: &mut World) {
    let old = first(world);
    rotate(world, 60 * MINUTE);
    let age = world.random.within(41..55);
    world.lives(&old, Duration::from_mins(age));
    world.compromise(&old, 30 * MINUTE);
    world.withdraw(&app(world), &old, 29 * MINUTE);
}

fn away_until_deleted(world: &mut World) {
    let old = first(world);
    rotate(world, 2 * DAY);
    let age = Duration::from_hours(world.random.within(49..90));
    world.lives(&old, age);
    for app in ["web", "ios", "kiosk"] {
        world.withdraw(app, &old, 46 * HOUR);
    }
    world.retire(&old, 45 * HOUR);
}

fn only_no_key(world: &mut World) {
    world.braze.insert(app(world), vec![NO_KEY.to_owned()]);
}

fn pasted_wrongly(world: &mut World) {
    let kid = world.create("main", 1, 5 * HOUR);
    for listed in LISTED {
        world.publish(listed, &kid, 4 * HOUR);
    }
    world.record_publication("kiosk", &kid, 4 * HOUR);
    only_no_key(world);
    world.activate(&kid, 3 * HOUR);
    refused_since_login(world, &kid);
}
