//! Sample data for the console: a service and a local Braze of their own live through a week in virtual time.
//!
//! Nothing is inserted into tables: devices log in, refresh and report, Braze judges their tokens, reports are
//! diagnosed, and keys are rotated, by the same functions as in use. Only the clock is another one, which is moved from
//! one action to the next. At the end of the week it is the present, and runs.

mod clock;
mod console;
mod devices;
mod installation;
mod random;
mod story;
mod traffic;

use std::{sync::Arc, time::Duration};

use self::{
    clock::SampleClock,
    devices::Device,
    installation::Installation,
    random::SeededNumbers,
    story::Story,
    traffic::{DeviceAction, PlannedDevice, SampleApp, TrafficPlan, days_since},
};
use super::requests::Failure;
use crate::{
    app::SteppedBackground,
    clock::{Clock, UnixMillis},
};

pub(super) use console::SampleConsole;

/// Length of the sample in days.
pub(super) const DAYS: u64 = 7;
/// Seed of all that happens.
const SEED: u64 = 2_026;

const WEEK: Duration = Duration::from_hours(24 * DAYS);
const MINUTE: Duration = Duration::from_mins(1);
/// Time between two rounds of background work while nothing special happens.
const QUIET_PACE: Duration = Duration::from_mins(30);
/// End of the week in which each minute counts, because the console shows it by the minute.
const LAST_HOUR: Duration = Duration::from_hours(1);
/// Devices that go on to send events after the week.
const DEVICES_IN_USE: usize = 60;

/// Makes the week, opens the console, and lets the users go on. It never returns; a fault is shown by the console.
pub(super) async fn run(console: Arc<SampleConsole>) {
    match week(&console).await {
        Ok(sample) => {
            let mut background = sample.installation.wiring.start();
            console.open(&sample.installation.wiring, &sample.installation.token);
            tokio::select! {
                () = sample.go_on() => {}
                ended = background.ended() => console.fail(ended.to_string()),
            }
        }
        Err(why) => console.fail(why),
    }
    std::future::pending::<()>().await;
}

/// Installation after its week.
struct FinishedWeek {
    installation: Installation,
    clock: Arc<SampleClock>,
    devices: Vec<Device>,
}

async fn week(console: &SampleConsole) -> Result<FinishedWeek, Failure> {
    let clock = Arc::new(SampleClock::ago(WEEK));
    let begin = clock.now();
    let installation = Installation::open(Arc::clone(&clock)).await?;
    let (end, story) = (begin.plus(WEEK), Story::of_week(begin));
    let mut plan = TrafficPlan::new(SEED, begin, end, &story);
    let mut devices: Vec<Device> = plan.devices.drain(..).map(Device::new).collect();
    let mut acts = story.acts().into_iter().peekable();
    let mut background = SteppedBackground::new(Arc::clone(&installation.wiring));
    let mut round = begin;
    loop {
        while let Some(planned) = plan.next_until(round) {
            clock.hold(planned.at);
            if let Some(device) = devices.get_mut(planned.device) {
                device.act(planned.action, &installation.endpoints, planned.at).await?;
            }
        }
        clock.hold(round);
        background.step().await;
        if let Some((_, act)) = acts.next_if(|(at, _)| *at <= round) {
            installation.act(act).await?;
        }
        console.set_days(days_since(begin, round));
        if round >= end {
            break;
        }
        let pace = if story.is_eventful(round) || round >= end.minus(LAST_HOUR) { MINUTE } else { QUIET_PACE };
        round = next_round(round, pace, [Some(end), Some(end.minus(LAST_HOUR)), acts.peek().map(|(at, _)| *at)]);
    }
    clock.release();
    // Making the week has taken some time: nodes report at the present.
    background.step().await;
    let in_use = devices.len().saturating_sub(DEVICES_IN_USE);
    Ok(FinishedWeek { installation, clock, devices: devices.split_off(in_use) })
}

/// Returns the time of the next round: after a pace, but not later than any of these that is to come.
fn next_round(round: UnixMillis, pace: Duration, bounds: [Option<UnixMillis>; 3]) -> UnixMillis {
    let to_come = bounds.into_iter().flatten().filter(|bound| *bound > round);
    to_come.fold(round.plus(pace), UnixMillis::min)
}

impl FinishedWeek {
    /// Lets the users go on, in the time that passes by itself.
    async fn go_on(mut self) {
        let mut random = SeededNumbers::of(SEED);
        let mut ticks = tokio::time::interval(MINUTE / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let count = self.devices.len().max(1);
        loop {
            ticks.tick().await;
            let place = usize::try_from(random.below(u64::try_from(count).unwrap_or(1))).unwrap_or_default();
            let Some(device) = self.devices.get_mut(place) else { continue };
            if random.percent(40) {
                let app = if random.percent(25) { SampleApp::Ios } else { SampleApp::Web };
                let user = format!("{}-{}", app.name(), random.below(traffic::USERS));
                *device = Device::new(PlannedDevice { app, user });
                self.act(place, DeviceAction::Login).await;
            }
            self.act(place, DeviceAction::Event).await;
        }
    }

    async fn act(&mut self, place: usize, action: DeviceAction) {
        let Some(device) = self.devices.get_mut(place) else { return };
        // Whoever tries the console may stop the service's key: a refused device is part of what he sees.
        if let Err(why) = device.act(action, &self.installation.endpoints, self.clock.now()).await {
            tracing::debug!(%why, "a device of the sample was refused");
        }
    }
}
