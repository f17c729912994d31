//! Traffic of the sample: who logs in when, and when the SDK of that device sends events. It is planned before it
//! happens, and is the same at each start at the same hour.

use std::{collections::VecDeque, time::Duration};

use super::{random::SeededNumbers, story::Story};
use crate::clock::UnixMillis;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Logins in each hour of a day (UTC).
const LOGINS: [u64; 24] = [1, 1, 0, 0, 0, 1, 2, 3, 5, 6, 6, 7, 8, 8, 7, 6, 6, 7, 9, 9, 8, 6, 4, 2];
/// Users that log in now and then.
pub(super) const USERS: u64 = 240;
/// Devices in use before the key is withdrawn too early, and on the day on which `ios` begins: more than the least
/// number of sessions from which a rise counts.
const CROWD: u64 = 48;

/// App of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleApp {
    Web,
    Ios,
}

impl SampleApp {
    /// Name in the configuration and in the sandbox.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Ios => "ios",
        }
    }
}

/// Device with its app and user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedDevice {
    pub(super) app: SampleApp,
    pub(super) user: String,
}

/// Action of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeviceAction {
    /// The user logs in: the backend asks for a token.
    Login,
    /// The SDK sends an event; the client has refreshed the token where that was due.
    Event,
    /// The SDK sends an event right after the device woke up, before the client refreshes.
    EventAfterSleep,
}

/// Action of a device at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PlannedAction {
    pub(super) at: UnixMillis,
    /// Place in [`TrafficPlan::devices`].
    pub(super) device: usize,
    pub(super) action: DeviceAction,
}

/// Every device, and its actions, the first one first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TrafficPlan {
    pub(super) devices: Vec<PlannedDevice>,
    pub(super) actions: VecDeque<PlannedAction>,
}

impl TrafficPlan {
    /// Plans the time between two instants, with the crowds that the story needs.
    pub(super) fn new(seed: u64, begin: UnixMillis, end: UnixMillis, story: &Story) -> Self {
        let mut planner = Planner { random: SeededNumbers::of(seed), devices: Vec::new(), actions: Vec::new() };
        planner.rhythm(begin, end, story);
        planner.crowds(story);
        planner.last_hour(end);
        planner.actions.retain(|planned| planned.at < end);
        planner.actions.sort();
        Self { devices: planner.devices, actions: planner.actions.into() }
    }

    /// Takes the next action, if it is not later than this.
    pub(super) fn next_until(&mut self, until: UnixMillis) -> Option<PlannedAction> {
        self.actions.pop_front_if(|planned| planned.at <= until)
    }
}

struct Planner {
    random: SeededNumbers,
    devices: Vec<PlannedDevice>,
    actions: Vec<PlannedAction>,
}

impl Planner {
    /// Logins by the hour of the day. `ios` has users from its repair on.
    fn rhythm(&mut self, begin: UnixMillis, end: UnixMillis, story: &Story) {
        let mut hour = begin;
        while hour < end {
            let of_day = usize::try_from(hour.seconds() / 3600 % 24).unwrap_or_default();
            for _ in 0..LOGINS.get(of_day).copied().unwrap_or_default() {
                let at = hour.plus(self.random.between(Duration::ZERO, HOUR));
                let app = if at > story.mended && self.random.percent(25) { SampleApp::Ios } else { SampleApp::Web };
                self.visit(app, at);
            }
            hour = hour.plus(HOUR);
        }
    }

    /// Visit of some user: a login, and events until he leaves.
    fn visit(&mut self, app: SampleApp, at: UnixMillis) {
        let device = self.device(app);
        self.plan(device, at, DeviceAction::Login);
        self.plan(device, at.plus(4 * SECOND), DeviceAction::Event);
        if self.random.percent(5) {
            let wakes = at.plus(self.random.between(2 * HOUR, 9 * HOUR));
            self.plan(device, wakes, DeviceAction::EventAfterSleep);
        } else if self.random.percent(40) {
            for tokens in 1..=1 + u32::try_from(self.random.below(2)).unwrap_or_default() {
                let later = at.plus(tokens * self.random.between(47 * MINUTE, 58 * MINUTE));
                self.plan(device, later, DeviceAction::Event);
            }
        }
    }

    /// Devices that are in use when one of the two accidents happens.
    fn crowds(&mut self, story: &Story) {
        for _ in 0..CROWD {
            let device = self.device(SampleApp::Ios);
            let login = story.launched.plus(self.random.between(MINUTE, 20 * MINUTE));
            self.plan(device, login, DeviceAction::Login);
            self.plan(device, login.plus(3 * SECOND), DeviceAction::Event);
            let again = story.mended.plus(self.random.between(MINUTE, 10 * MINUTE));
            self.plan(device, again, DeviceAction::Event);
        }
        for place in 0..CROWD {
            let device = self.device(SampleApp::Web);
            let login = story.rotated.minus(self.random.between(MINUTE, 20 * MINUTE));
            self.plan(device, login, DeviceAction::Login);
            self.plan(device, login.plus(4 * SECOND), DeviceAction::Event);
            let most = if place % 2 == 0 { 50 * SECOND } else { 4 * MINUTE };
            let after = story.withdrawn.plus(self.random.between(3 * SECOND, most));
            self.plan(device, after, DeviceAction::Event);
        }
    }

    /// Traffic of each minute of the last hour, which a page of the console shows by the minute.
    fn last_hour(&mut self, end: UnixMillis) {
        for ago in 1..60_u32 {
            let minute = end.minus(ago * MINUTE);
            for _ in 0..=self.random.below(2) {
                let app = if self.random.percent(25) { SampleApp::Ios } else { SampleApp::Web };
                let at = minute.plus(self.random.between(Duration::ZERO, MINUTE));
                self.visit(app, at);
            }
        }
        for _ in 0..60 {
            let device = self.device(SampleApp::Web);
            let at = end.minus(self.random.between(48 * MINUTE, 106 * MINUTE));
            self.plan(device, at, DeviceAction::Login);
            self.plan(device, at.plus(47 * MINUTE), DeviceAction::Event);
        }
    }

    fn device(&mut self, app: SampleApp) -> usize {
        let user = format!("{}-{}", app.name(), self.random.below(USERS));
        self.devices.push(PlannedDevice { app, user });
        self.devices.len() - 1
    }

    fn plan(&mut self, device: usize, at: UnixMillis, action: DeviceAction) {
        self.actions.push(PlannedAction { at, device, action });
    }
}

/// Days that have passed since an instant.
pub(super) fn days_since(begin: UnixMillis, now: UnixMillis) -> u64 {
    now.since(begin).as_secs() / DAY.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: UnixMillis = UnixMillis(1_795_000_000_000);

    fn plan(seed: u64) -> TrafficPlan {
        let begin = END.minus(7 * DAY);
        TrafficPlan::new(seed, begin, END, &Story::of_week(begin))
    }

    #[test]
    fn a_seed_makes_the_same_plan_each_time() {
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn a_week_is_some_hundred_logins_in_order_with_busy_days_and_quiet_nights() {
        let plan = plan(7);
        assert!(plan.actions.iter().zip(plan.actions.iter().skip(1)).all(|(one, next)| one.at <= next.at));
        let logins = plan.actions.iter().filter(|planned| planned.action == DeviceAction::Login);
        let hours: Vec<i64> = logins.map(|planned| planned.at.seconds() / 3600 % 24).collect();
        assert!((700..1500).contains(&hours.len()), "{}", hours.len());
        let (night, day) =
            (hours.iter().filter(|hour| (2..5).contains(*hour)), hours.iter().filter(|hour| (12..15).contains(*hour)));
        assert!(night.count() * 3 < day.count());
    }
}
