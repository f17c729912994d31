//! Story of the sample's week: two accidents, at the busiest hour of their days.

use std::time::Duration;

use crate::clock::UnixMillis;

const DAY: Duration = Duration::from_hours(24);
/// Hour of a day (UTC) at which an accident begins.
const BUSY_HOUR: i64 = 14;
/// Length of the time in which every minute counts: that of a rotation.
const WINDOW: Duration = Duration::from_hours(2);

/// Time that a key signs before the next rotation begins.
pub(super) const ROTATE_EVERY: Duration = Duration::from_hours(4 * 24);

/// Act of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperatorAct {
    /// Pastes the key of `ios` without its first line into Braze's dashboard, and confirms it.
    PasteWrongly,
    /// Pastes the whole key, and deletes the wrong one.
    PasteRightly,
    /// Begins a rotation of the key of `web`.
    Rotate,
    /// Deletes the previous key of `web` at Braze, while tokens that it signed are valid.
    DeletePreviousKey,
}

/// Times of the story.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    begin: UnixMillis,
    /// `ios` is put into use, with a key that was pasted wrongly.
    pub(super) launched: UnixMillis,
    /// The key is pasted anew.
    pub(super) mended: UnixMillis,
    /// An operator begins a rotation.
    pub(super) rotated: UnixMillis,
    /// The previous key is deleted at Braze.
    pub(super) withdrawn: UnixMillis,
}

impl Story {
    /// Story of a week that begins then.
    pub(super) fn of_week(begin: UnixMillis) -> Self {
        let (launched, rotated) = (busy_hour_after(begin.plus(DAY)), busy_hour_after(begin.plus(5 * DAY)));
        let (mended, withdrawn) = (launched.plus(Duration::from_mins(25)), rotated.plus(Duration::from_mins(20)));
        Self { begin, launched, mended, rotated, withdrawn }
    }

    /// Returns the acts with their times, the first one first.
    pub(super) fn acts(&self) -> [(UnixMillis, OperatorAct); 4] {
        [
            (self.launched, OperatorAct::PasteWrongly),
            (self.mended, OperatorAct::PasteRightly),
            (self.rotated, OperatorAct::Rotate),
            (self.withdrawn, OperatorAct::DeletePreviousKey),
        ]
    }

    /// Returns true while an accident or a rotation is in progress.
    pub(super) fn is_eventful(&self, now: UnixMillis) -> bool {
        let begins = [self.launched, self.begin.plus(ROTATE_EVERY), self.rotated];
        begins.iter().any(|from| (*from..from.plus(WINDOW)).contains(&now))
    }
}

fn busy_hour_after(time: UnixMillis) -> UnixMillis {
    let (hour, day) = (3600, 24 * 3600);
    let wait = (BUSY_HOUR * hour - time.seconds()).rem_euclid(day);
    time.plus(Duration::from_secs(wait.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_accidents_are_over_before_the_week_is() {
        for hour in 0..24 {
            let begin = UnixMillis(1_795_000_000_000).plus(Duration::from_hours(hour));
            let story = Story::of_week(begin);
            let acts = story.acts();
            assert!(acts.windows(2).all(|pair| pair[0].0 < pair[1].0), "{acts:?}");
            let scheduled = begin.plus(ROTATE_EVERY);
            assert!(story.mended < scheduled && scheduled.plus(WINDOW) < story.rotated, "{acts:?}");
            assert!(story.rotated.plus(WINDOW) < begin.plus(7 * DAY), "{acts:?}");
            assert_eq!(story.launched.seconds() / 3600 % 24, BUSY_HOUR);
        }
    }
}
