//! Faults of time and of users: codes 21, 22 and 28.

use std::time::Duration;

use countersign::domain::failure::{Cause, Platform};

use super::{
    faults::{ANY, Fault, fault},
    world::{HOUR, MINUTE, World},
};

pub const FAULTS: &[Fault] = &[
    fault("22: away for long", Cause::ExpiredOffline, ANY, |world| {
        let away = Duration::from_mins(world.random.within(15..4000));
        ended(world, away, 60);
    }),
    fault("22: away for minutes", Cause::ExpiredOffline, ANY, |world| {
        let away = Duration::from_secs(world.random.within(130..590));
        ended(world, away, 60);
    }),
    fault("22: it waits for the refusal", Cause::NeverRefreshed, ANY, |world| {
        let late = Duration::from_secs(world.random.within(1..20));
        ended(world, late, 101);
    }),
    fault("22: it reports and never refreshes", Cause::NeverRefreshed, ANY, |world| {
        let late = Duration::from_mins(world.random.within(5..600));
        let life = world.lifetime();
        hold(world, life + late, life + late, 0);
        world.device.with_refresh = false;
    }),
    fault("22: tokens of minutes", Cause::LifetimeTooShort, ANY, |world| {
        world.policy().lifetime = Duration::from_secs(world.random.within(60..240));
        let late = Duration::from_secs(world.random.within(1..50));
        ended(world, late, 110);
    }),
    fault("22: a timer slower than the lifetime", Cause::LifetimeTooShort, ANY, |world| {
        let share = u32::try_from(world.random.within(150..300)).unwrap();
        let interval = world.lifetime() * share / 100;
        let refreshes = world.random.within(4..30);
        hold(world, interval, interval * u32::try_from(refreshes + 1).unwrap(), refreshes);
    }),
    fault("22: our clock is behind, and another shows it", Cause::ClockBehind, ANY, |world| {
        behind(world);
        world.clock_offset = Some(-world.braze_ahead);
    }),
    fault("22: our clock is behind, by the token", Cause::ClockBehind, ANY, |world| {
        behind(world);
        world.clock_offset = None;
        world.device.judged = true;
    }),
    fault("22: our clock is behind, and nothing shows it", Cause::ClockBehind, ANY, |world| {
        behind(world);
        world.clock_offset = None;
        world.device.judged = false;
    }),
    fault("22: an old token set again", Cause::StaleTokenSet, ANY, |world| {
        stale(world);
        world.device.judged = true;
    }),
    fault("22: an old token set again, without it", Cause::StaleTokenSet, ANY, |world| {
        stale(world);
        world.device.judged = false;
    }),
    fault("22: an SDK that keeps the old token", Cause::SdkTooOld, ANY, |world| {
        stale(world);
        let old = [(Platform::Android, "32.1.0"), (Platform::Ios, "8.2.1"), (Platform::Web, "3.4.1")];
        let (platform, version) = world.random.one(&old);
        (world.device.platform, world.device.sdk_version) = (platform, Some(version.to_owned()));
        world.device.judged = false;
    }),
    fault("21: in another case", Cause::UserIdCase, ANY, |world| user(world, "User-7")),
    fault("21: with a space", Cause::UserIdWhitespace, ANY, |world| user(world, "user-7 ")),
    fault("21: without its zeros", Cause::UserIdNumeric, ANY, |world| {
        "007".clone_into(&mut world.user);
        user(world, "7");
    }),
    fault("21: as a number that the wrapper loses", Cause::UserIdNumeric, ANY, |world| {
        "007".clone_into(&mut world.user);
        user(world, "7");
        world.device.platform = Platform::Flutter;
        world.device.reported_user = Some(Some(String::new()));
    }),
    fault("21: another id since the login", Cause::UserIdDiffers, ANY, |world| {
        let (age, refreshes) = (world.random.within(1..60), world.random.within(0..9));
        let age = Duration::from_secs(age);
        hold(world, age, age + Duration::from_secs(12) * u32::try_from(refreshes).unwrap(), refreshes);
        "anna@example.com".clone_into(&mut world.device.sdk_user);
    }),
    fault("21: switched, with the token before", Cause::UserSwitched, ANY, |world| {
        live(world);
        "user-8".clone_into(&mut world.device.sdk_user);
    }),
    fault("21: the token of the user before set again", Cause::StaleTokenSet, ANY, |world| {
        live(world);
        let issued = world.ago(10 * MINUTE);
        let (token, _) = world.token_for("user-8", 0, issued);
        world.device.sends = Some(token);
    }),
    fault("28: several users in one request", Cause::MixedBatch, ANY, |world| {
        live(world);
        world.device.rows = vec![Some("user-7".to_owned()), Some("user-8".to_owned())];
    }),
    fault("28: events of nobody", Cause::MixedBatch, ANY, |world| {
        live(world);
        world.device.rows = vec![Some("user-7".to_owned()), None];
    }),
    fault("28: switched while events waited", Cause::UserSwitched, ANY, |world| {
        let age = Duration::from_secs(world.random.within(1..250));
        hold(world, age, age, 0);
        "user-8".clone_into(&mut world.device.sdk_user);
        world.device.rows = vec![Some("user-7".to_owned()), Some("user-8".to_owned())];
    }),
    fault("28: an SDK that mixes users at the login", Cause::SdkTooOld, ANY, |world| {
        hold(world, 5 * (MINUTE / 12), 5 * (MINUTE / 12), 0);
        world.device.rows = vec![Some("user-7".to_owned()), None];
        (world.device.platform, world.device.sdk_version) = (Platform::Android, Some("39.0.0".to_owned()));
    }),
];

/// The first key's newest token was issued so long ago.
fn hold(world: &mut World, issued: Duration, login: Duration, refreshes: u64) {
    let kid = world.keys[0].kid.clone();
    world.holds(&kid, issued, login, refreshes);
}

fn live(world: &mut World) {
    let kid = world.keys[0].kid.clone();
    let age = Duration::from_secs(world.random.within(5..1500));
    world.lives(&kid, age + 6 * MINUTE);
}

/// The newest token ended so long ago, after refreshes at this share of the lifetime, in percent.
fn ended(world: &mut World, late: Duration, share: u32) {
    let issued = world.lifetime() + late + Duration::from_secs(1);
    let refreshes = world.random.within(2..30);
    let interval = world.lifetime() * share / 100;
    hold(world, issued, issued + interval * u32::try_from(refreshes).unwrap(), refreshes);
}

/// Braze's clock is hours ahead of ours, so that each token is expired when it arrives; the app tries again.
fn behind(world: &mut World) {
    world.braze_ahead = i64::try_from(world.random.within(61..400) * 60_000).unwrap();
    let (age, refreshes) = (world.random.within(1..20), world.random.within(0..8));
    let age = Duration::from_secs(age);
    hold(world, age, age + Duration::from_secs(14) * u32::try_from(refreshes).unwrap(), refreshes);
}

/// The SDK sends a token that ended, minutes after the app got a newer one.
fn stale(world: &mut World) {
    let kid = world.keys[0].kid.clone();
    let age = Duration::from_mins(world.random.within(4..50));
    world.lives(&kid, age);
    world.clock_offset = Some(i64::try_from(world.random.within(0..2000)).unwrap() - 1000);
    let before = world.ago(age + 2 * HOUR);
    let user = world.user.clone();
    let (token, _) = world.token_for(&user, 0, before);
    world.device.sends = Some(token);
}

/// The app gives `changeUser` another text than the login.
fn user(world: &mut World, id: &str) {
    live(world);
    id.clone_into(&mut world.device.sdk_user);
}
