//! Faults of time and of users: codes 21, 22 and 28.

use std::time::Duration;

use countersign::domain::failure::{Cause, Platform};

use super::{
    faults::{ANY, Fault, fault},
    model::{HOUR, MINUTE, Model},
};

pub const FAULTS: &[Fault] = &[
    fault("22: away for long", Cause::ExpiredOffline, ANY, |model| {
        let away = Duration::from_mins(model.random.within(15..4000));
        ended(model, away, 60);
    }),
    fault("22: away for minutes", Cause::ExpiredOffline, ANY, |model| {
        let away = Duration::from_secs(model.random.within(130..590));
        ended(model, away, 60);
    }),
    fault("22: it waits for the refusal", Cause::NeverRefreshed, ANY, |model| {
        let late = Duration::from_secs(model.random.within(1..20));
        ended(model, late, 101);
    }),
    fault("22: it reports and never refreshes", Cause::NeverRefreshed, ANY, |model| {
        let late = Duration::from_mins(model.random.within(5..600));
        let life = model.lifetime();
        hold(model, life + late, life + late, 0);
        model.device.with_refresh = false;
    }),
    fault("22: tokens of minutes", Cause::LifetimeTooShort, ANY, |model| {
        model.policy().lifetime = Duration::from_secs(model.random.within(60..240));
        let late = Duration::from_secs(model.random.within(1..50));
        ended(model, late, 110);
    }),
    fault("22: a timer slower than the lifetime", Cause::LifetimeTooShort, ANY, |model| {
        let share = u32::try_from(model.random.within(150..300)).unwrap();
        let interval = model.lifetime() * share / 100;
        let refreshes = model.random.within(4..30);
        hold(model, interval, interval * u32::try_from(refreshes + 1).unwrap(), refreshes);
    }),
    fault("22: our clock is behind, and another shows it", Cause::ClockBehind, ANY, |model| {
        behind(model);
        model.clock_offset = Some(-model.braze_ahead);
    }),
    fault("22: our clock is behind, by the token", Cause::ClockBehind, ANY, |model| {
        behind(model);
        model.clock_offset = None;
        model.device.judged = true;
    }),
    fault("22: our clock is behind, and nothing shows it", Cause::ClockBehind, ANY, |model| {
        behind(model);
        model.clock_offset = None;
        model.device.judged = false;
    }),
    fault("22: an old token set again", Cause::StaleTokenSet, ANY, |model| {
        stale(model);
        model.device.judged = true;
    }),
    fault("22: an old token set again, without it", Cause::StaleTokenSet, ANY, |model| {
        stale(model);
        model.device.judged = false;
    }),
    fault("22: an SDK that keeps the old token", Cause::SdkTooOld, ANY, |model| {
        stale(model);
        let old = [(Platform::Android, "32.1.0"), (Platform::Ios, "8.2.1"), (Platform::Web, "3.4.1")];
        let (platform, version) = model.random.one(&old);
        (model.device.platform, model.device.sdk_version) = (platform, Some(version.to_owned()));
        model.device.judged = false;
    }),
    fault("21: in another case", Cause::UserIdCase, ANY, |model| user(model, "User-7")),
    fault("21: with a space", Cause::UserIdWhitespace, ANY, |model| user(model, "user-7 ")),
    fault("21: without its zeros", Cause::UserIdNumeric, ANY, |model| {
        "007".clone_into(&mut model.user);
        user(model, "7");
    }),
    fault("21: as a number that the wrapper loses", Cause::UserIdNumeric, ANY, |model| {
        "007".clone_into(&mut model.user);
        user(model, "7");
        model.device.platform = Platform::Flutter;
        model.device.loses_user_id = true;
    }),
    fault("21: another id since the login", Cause::UserIdDiffers, ANY, |model| {
        let (age, refreshes) = (model.random.within(1..60), model.random.within(0..9));
        let age = Duration::from_secs(age);
        hold(model, age, age + Duration::from_secs(12) * u32::try_from(refreshes).unwrap(), refreshes);
        "anna@example.com".clone_into(&mut model.device.sdk_user);
    }),
    fault("21: switched, with the token before", Cause::UserSwitched, ANY, |model| {
        live(model);
        "user-8".clone_into(&mut model.device.sdk_user);
    }),
    fault("21: the token of the user before set again", Cause::StaleTokenSet, ANY, |model| {
        live(model);
        let issued = model.ago(10 * MINUTE);
        let (token, _) = model.token_for("user-8", 0, issued);
        model.device.sends = Some(token);
    }),
    fault("28: several users in one request", Cause::MixedBatch, ANY, |model| {
        live(model);
        model.device.rows = vec![Some("user-7".to_owned()), Some("user-8".to_owned())];
    }),
    fault("28: events of nobody", Cause::MixedBatch, ANY, |model| {
        live(model);
        model.device.rows = vec![Some("user-7".to_owned()), None];
    }),
    fault("28: switched while events waited", Cause::UserSwitched, ANY, |model| {
        let age = Duration::from_secs(model.random.within(1..250));
        hold(model, age, age, 0);
        "user-8".clone_into(&mut model.device.sdk_user);
        model.device.rows = vec![Some("user-7".to_owned()), Some("user-8".to_owned())];
    }),
    fault("28: an SDK that mixes users at the login", Cause::SdkTooOld, ANY, |model| {
        hold(model, 5 * (MINUTE / 12), 5 * (MINUTE / 12), 0);
        model.device.rows = vec![Some("user-7".to_owned()), None];
        (model.device.platform, model.device.sdk_version) = (Platform::Android, Some("39.0.0".to_owned()));
    }),
];

/// The first key's newest token was issued so long ago.
fn hold(model: &mut Model, issued: Duration, login: Duration, refreshes: u64) {
    let kid = model.keys[0].kid.clone();
    model.holds(&kid, issued, login, refreshes);
}

fn live(model: &mut Model) {
    let kid = model.keys[0].kid.clone();
    let age = Duration::from_secs(model.random.within(5..1500));
    model.lives(&kid, age + 6 * MINUTE);
}

/// The newest token ended so long ago, after refreshes at this share of the lifetime, in percent.
fn ended(model: &mut Model, late: Duration, share: u32) {
    let issued = model.lifetime() + late + Duration::from_secs(1);
    let refreshes = model.random.within(2..30);
    let interval = model.lifetime() * share / 100;
    hold(model, issued, issued + interval * u32::try_from(refreshes).unwrap(), refreshes);
}

/// Braze's clock is hours ahead of ours, so that each token is expired when it arrives; the app tries again.
fn behind(model: &mut Model) {
    model.braze_ahead = i64::try_from(model.random.within(61..400) * 60_000).unwrap();
    let (age, refreshes) = (model.random.within(1..20), model.random.within(0..8));
    let age = Duration::from_secs(age);
    hold(model, age, age + Duration::from_secs(14) * u32::try_from(refreshes).unwrap(), refreshes);
}

/// The SDK sends a token that ended, minutes after the app got a newer one.
fn stale(model: &mut Model) {
    let kid = model.keys[0].kid.clone();
    let age = Duration::from_mins(model.random.within(4..50));
    model.lives(&kid, age);
    model.clock_offset = Some(i64::try_from(model.random.within(0..2000)).unwrap() - 1000);
    let before = model.ago(age + 2 * HOUR);
    let user = model.user.clone();
    let (token, _) = model.token_for(&user, 0, before);
    model.device.sends = Some(token);
}

/// The app gives `changeUser` another text than the login.
fn user(model: &mut Model, id: &str) {
    live(model);
    id.clone_into(&mut model.device.sdk_user);
}
