//! Vertical scale of a chart.

/// Maximal number of gridlines above 0.
const GRIDLINES: u64 = 4;

/// Vertical scale from 0 to a round number.
pub(super) struct Scale {
    step: u64,
    lines: u64,
    /// Positions of 0 and of the highest line.
    bottom: f64,
    top: f64,
}

impl Scale {
    /// Scale with no more than four gridlines, for numbers up to `most`.
    pub(super) fn up_to(most: u64, bottom: f64, top: f64) -> Self {
        let most = most.max(1);
        let mut unit: u64 = 1;
        loop {
            for factor in [1, 2, 5] {
                let step = unit.saturating_mul(factor);
                let lines = most.div_ceil(step);
                if lines <= GRIDLINES {
                    return Self { step, lines, bottom, top };
                }
            }
            unit = unit.saturating_mul(10);
        }
    }

    /// Values of the gridlines above 0.
    pub(super) fn gridlines(&self) -> impl Iterator<Item = u64> + '_ {
        (1..=self.lines).map(|line| self.step.saturating_mul(line))
    }

    /// Position of a value.
    pub(super) fn y(&self, value: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "positions of pixels need no more")]
        let share = value as f64 / self.step.saturating_mul(self.lines).max(1) as f64;
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }
}

/// Number of at most four characters.
pub(super) fn short_number(value: u64) -> String {
    match value {
        0..1_000 => value.to_string(),
        1_000..1_000_000 => tenths(value / 100, 'k'),
        1_000_000..1_000_000_000 => tenths(value / 100_000, 'M'),
        _ => tenths(value / 100_000_000, 'G'),
    }
}

fn tenths(tenths: u64, unit: char) -> String {
    match tenths % 10 {
        0 => format!("{}{unit}", tenths / 10),
        rest if tenths < 1_000 => format!("{}.{rest}{unit}", tenths / 10),
        _ => format!("{}{unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round_with_four_lines_at_most() {
        for (most, top) in [(0, 1), (1, 1), (3, 3), (4, 4), (5, 6), (9, 10), (17, 20), (399, 400), (401, 600)] {
            let scale = Scale::up_to(most, 236.0, 64.0);
            let lines: Vec<u64> = scale.gridlines().collect();
            assert!(lines.len() <= 4 && lines.last() == Some(&top), "{most}: {lines:?}");
        }
        let most = Scale::up_to(u64::MAX, 236.0, 64.0);
        assert!(most.gridlines().count() <= 4 && most.y(u64::MAX).is_finite());
    }

    #[test]
    fn numbers_on_the_axis_are_short() {
        for (value, text) in [(999, "999"), (1_500, "1.5k"), (20_000, "20k"), (2_500_000, "2.5M"), (250_000, "250k")] {
            assert_eq!(short_number(value), text);
        }
        assert!(short_number(u64::MAX).ends_with('G'));
    }
}
