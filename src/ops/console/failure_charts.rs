//! Charts of reported failures: counts by family of causes and by code over time. Pure.

use super::svg::{ChartMarker, ChartShape, Onset, Palette, Series, TimeChart, day_and_time};
use crate::{
    clock::{UnixMillis, human_duration::HumanDuration},
    domain::{
        audit::{AuditAction, AuditEvent, AuditOutcome},
        failure::{Cause, ReportedCode},
        verdict::ErrorCode,
    },
};

/// Span of time that the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShownSpan {
    /// Name in the address.
    pub(super) name: &'static str,
    pub(super) hours: u64,
    /// Seconds of one bar.
    bar: i64,
}

/// Spans from which the reader chooses. Each has between 45 and 60 bars.
pub(super) const SPANS: [ShownSpan; 4] = [
    ShownSpan { name: "1h", hours: 1, bar: 60 },
    ShownSpan { name: "24h", hours: 24, bar: 1_800 },
    ShownSpan { name: "7d", hours: 7 * 24, bar: 3 * 3_600 },
    ShownSpan { name: "90d", hours: 90 * 24, bar: 2 * 86_400 },
];

/// Reports of one kind in a minute or an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountedReports {
    pub(super) at: UnixMillis,
    pub(super) cause: Cause,
    pub(super) code: ReportedCode,
    pub(super) reports: u64,
}

/// Family of causes: what they have in common, and their colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) colour: Palette,
}

const FAMILIES: [Family; 7] = [
    Family { name: "keys", colour: Palette::One },
    Family { name: "expiry", colour: Palette::Two },
    Family { name: "the app's tokens", colour: Palette::Three },
    Family { name: "user ids", colour: Palette::Four },
    Family { name: "foreign tokens", colour: Palette::Five },
    Family { name: "configuration", colour: Palette::Six },
    Family { name: "unknown", colour: Palette::Other },
];

/// Codes that have a series of their own; the others are one.
const CODES: [(ErrorCode, Palette); 6] = [
    (ErrorCode::NoMatchingPublicKeys, Palette::One),
    (ErrorCode::Expired, Palette::Two),
    (ErrorCode::MissingToken, Palette::Three),
    (ErrorCode::SubjectMismatch, Palette::Four),
    (ErrorCode::DecodingError, Palette::Five),
    (ErrorCode::PublicKeyError, Palette::Six),
];

/// Returns the family of a cause.
pub(super) fn family(cause: Cause) -> Family {
    let index = match cause {
        Cause::KeyNotPublished
        | Cause::KeyWithdrawnTooEarly
        | Cause::KeyAtAnotherApp
        | Cause::KeyNotPropagated
        | Cause::OtherEnvironment
        | Cause::KeyCompromised
        | Cause::KeyPastedWrongly => 0,
        Cause::ExpiredOffline | Cause::LifetimeTooShort | Cause::NeverRefreshed | Cause::ClockBehind => 1,
        Cause::StaleTokenSet | Cause::TokenMissing | Cause::SdkFlagOff | Cause::SdkTooOld | Cause::WrongTokenGiven => 2,
        Cause::UserSwitched
        | Cause::UserIdCase
        | Cause::UserIdWhitespace
        | Cause::UserIdNumeric
        | Cause::UserIdDiffers
        | Cause::MixedBatch => 3,
        Cause::NotOurToken | Cause::TokenTampered | Cause::WrongAlgorithm | Cause::PayloadNotOurs => 4,
        Cause::ClaimRefused => 5,
        Cause::Unknown => 6,
    };
    FAMILIES[index]
}

/// Axis of time of a chart: its ends and its bars.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bars {
    from: UnixMillis,
    length: i64,
    number: usize,
    /// Number of the first bar in which this installation could count.
    known_from: usize,
}

impl Bars {
    /// Bars of a span that ends now. Before `begun`, nothing was counted.
    pub(super) fn new(span: ShownSpan, now: UnixMillis, begun: Option<UnixMillis>) -> Self {
        let length = span.bar * 1000;
        let until = now.0.div_euclid(length).saturating_add(1).saturating_mul(length);
        let number = usize::try_from(span.hours * 3600).unwrap_or(0) / usize::try_from(span.bar).unwrap_or(1);
        let bars = i64::try_from(number).unwrap_or(0);
        let from = until.saturating_sub(bars.saturating_mul(length));
        let known_from = begun.map_or(0, |begun| begun.0.saturating_sub(from).div_euclid(length).clamp(0, bars));
        Self { from: UnixMillis(from), length, number, known_from: usize::try_from(known_from).unwrap_or(0) }
    }

    fn until(&self) -> UnixMillis {
        let bars = i64::try_from(self.number).unwrap_or(0);
        UnixMillis(self.from.0.saturating_add(bars.saturating_mul(self.length)))
    }

    /// Bar of a time; `None` where it is on none.
    fn of(&self, at: UnixMillis) -> Option<usize> {
        usize::try_from(at.0.saturating_sub(self.from.0).div_euclid(self.length)).ok().filter(|bar| *bar < self.number)
    }

    /// Series of the counts that belong to it.
    fn series(
        &self,
        name: &str,
        colour: Palette,
        counts: &[CountedReports],
        belongs: impl Fn(&CountedReports) -> bool,
    ) -> Series {
        let mut sums: Vec<Option<u64>> = (0..self.number).map(|bar| (bar >= self.known_from).then_some(0)).collect();
        for count in counts.iter().filter(|count| belongs(count)) {
            if let Some(sum) = self.of(count.at).and_then(|bar| sums.get_mut(bar)) {
                *sum = Some(sum.unwrap_or(0).saturating_add(count.reports));
            }
        }
        Series { name: name.to_owned(), label: label(name), colour, counts: sums }
    }

    /// Chart of these series; those without a report are left out.
    fn chart(&self, id: &'static str, title: &str, series: impl IntoIterator<Item = Series>) -> TimeChart {
        let has_reports = |series: &Series| series.counts.iter().flatten().any(|count| *count > 0);
        TimeChart {
            id,
            title: title.to_owned(),
            shape: ChartShape::StackedBars,
            from: self.from,
            until: self.until(),
            bars: self.number,
            series: series.into_iter().filter(has_reports).collect(),
            markers: Vec::new(),
            onset: None,
        }
    }

    /// Draws counts by family of causes.
    pub(super) fn by_cause(&self, counts: &[CountedReports]) -> TimeChart {
        let series =
            FAMILIES.iter().map(|one| self.series(one.name, one.colour, counts, |count| family(count.cause) == *one));
        self.chart("by-cause", "Failures by family of causes", series)
    }

    /// Draws counts by code.
    pub(super) fn by_code(&self, counts: &[CountedReports]) -> TimeChart {
        let series = CODES.iter().map(|(code, colour)| {
            let name = format!("{} {}", code.label(), code.reason());
            self.series(&name, *colour, counts, |count| count.code == ReportedCode::Braze(*code))
        });
        let is_other = |count: &CountedReports| !CODES.iter().any(|(code, _)| count.code == ReportedCode::Braze(*code));
        let other = self.series("other", Palette::Other, counts, is_other);
        self.chart("by-code", "Failures by code", series.chain([other]))
    }
}

/// Name of a series beside the chart: a code without the words that its number says.
fn label(name: &str) -> String {
    name.to_lowercase().replace('_', " ").replace(" public keys", " keys")
}

/// Markers of the acts that tokens depend on.
pub(super) fn markers<'a>(events: impl Iterator<Item = &'a AuditEvent>) -> Vec<ChartMarker> {
    let marker = |event: &AuditEvent| {
        let word = word_of(event.action).filter(|_| event.outcome == AuditOutcome::Done)?;
        Some(ChartMarker {
            at: event.at,
            word,
            title: format!("{}, {} UTC", noun_of(event, word), day_and_time(event.at)),
        })
    };
    let mut markers: Vec<ChartMarker> = events.filter_map(marker).collect();
    markers.sort_by_key(|marker| marker.at);
    markers
}

/// Word of an act that a chart marks.
fn word_of(action: AuditAction) -> Option<&'static str> {
    match action {
        AuditAction::Activated => Some("activation"),
        AuditAction::Withdrawn => Some("withdrawal"),
        AuditAction::Compromised => Some("compromise"),
        _ => None,
    }
}

fn noun_of(event: &AuditEvent, word: &str) -> String {
    let kid = event.target.kid.as_ref().and_then(|kid| kid.as_str().get(..4)).unwrap_or("?");
    let app = event.target.app.as_ref().map_or_else(String::new, |app| format!(" at app {app}"));
    format!("{word} of {kid}…{app}")
}

/// Beginning of a rise, with the newest change before it: `since 10:02, 4 min after activation of 4f2a…`.
pub(super) fn onset(since: UnixMillis, now: UnixMillis, markers: &[ChartMarker]) -> Onset {
    const HOUR: i64 = 3_600_000;
    const MINUTE: i64 = 60_000;
    // What is recorded within the minute in which the rise begins may be its cause, too.
    let is_near = |marker: &&ChartMarker| (since.0 - HOUR..=since.0 + MINUTE).contains(&marker.at.0);
    let cause = markers.iter().filter(is_near).max_by_key(|marker| marker.at).map(|marker| {
        let (noun, _) = marker.title.split_once(", ").unwrap_or((&marker.title, ""));
        let minutes = since.since(marker.at).as_secs().div_ceil(60) * 60;
        match minutes {
            0 => format!(", with {noun}"),
            seconds => format!(", {} after {noun}", HumanDuration(std::time::Duration::from_secs(seconds))),
        }
    });
    let is_of_another_day = now.0.saturating_sub(since.0) >= 24 * HOUR;
    Onset { at: since, is_of_another_day, change: cause.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;
    use crate::domain::{
        audit::{Actor, AuditTarget},
        ids::Kid,
    };

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn ago(minutes: i64) -> UnixMillis {
        UnixMillis(NOW.0 - minutes * 60_000)
    }

    fn reports(minutes: i64, cause: Cause, code: ErrorCode, reports: u64) -> CountedReports {
        CountedReports { at: ago(minutes), cause, code: ReportedCode::Braze(code), reports }
    }

    fn event(minutes: i64, action: AuditAction) -> AuditEvent {
        let target = AuditTarget { kid: Some(Kid::from_thumbprint(&[7; 32])), ..AuditTarget::default() };
        let (actor, outcome) = (Actor::service(), AuditOutcome::Done);
        AuditEvent { at: ago(minutes), actor, action, target, outcome, why: String::new() }
    }

    #[test]
    fn every_span_ends_after_now_and_has_at_most_sixty_bars() {
        for span in SPANS {
            let bars = Bars::new(span, NOW, None);
            assert!((45..=60).contains(&bars.number), "{span:?}");
            assert_eq!(bars.of(NOW), Some(bars.number - 1));
            assert_eq!(bars.of(bars.from), Some(0));
            assert_eq!(bars.of(UnixMillis(bars.from.0 - 1)), None);
        }
    }

    #[test]
    fn counts_are_summed_in_their_bar_and_their_family() {
        let counts = [
            reports(0, Cause::KeyNotPublished, ErrorCode::NoMatchingPublicKeys, 2),
            reports(0, Cause::KeyCompromised, ErrorCode::PublicKeyError, 3),
            reports(5, Cause::ExpiredOffline, ErrorCode::Expired, 7),
            reports(500, Cause::Unknown, ErrorCode::Expired, 9),
        ];
        let bars = Bars::new(SPANS[0], NOW, None);
        let chart = bars.by_cause(&counts);
        let named: Vec<_> = chart.series.iter().map(|series| (series.name.as_str(), series.colour)).collect();
        assert_eq!(named, [("keys", Palette::One), ("expiry", Palette::Two)]);
        assert_eq!(chart.series[0].counts[59], Some(5));
        assert_eq!(chart.series[1].counts[54], Some(7));
        let codes: Vec<String> = bars.by_code(&counts).series.iter().map(|series| series.name.clone()).collect();
        assert_eq!(codes, ["27 NO_MATCHING_PUBLIC_KEYS", "22 EXPIRED", "25 PUBLIC_KEY_ERROR"]);
    }

    #[test]
    fn time_before_the_installation_is_a_gap() {
        let bars = Bars::new(SPANS[0], NOW, Some(ago(10)));
        let counts = [reports(0, Cause::Unknown, ErrorCode::Expired, 1)];
        let series = &bars.by_cause(&counts).series[0];
        assert_eq!(series.counts.iter().filter(|count| count.is_none()).count(), 49);
        assert_eq!(series.counts[49], Some(0));
    }

    #[test]
    fn a_chart_has_six_series_and_other_at_most() {
        let every = Cause::VARIANTS.iter().map(|cause| reports(1, *cause, ErrorCode::Expired, 1));
        let every: Vec<CountedReports> = every.collect();
        let bars = Bars::new(SPANS[1], NOW, None);
        let chart = bars.by_cause(&every);
        assert_eq!(chart.series.len(), 7);
        assert_eq!(chart.series.last().map(|series| series.colour), Some(Palette::Other));
        let every = [10, 20, 21, 22, 23, 24, 25, 26, 27, 28]
            .map(|number| reports(1, Cause::Unknown, ErrorCode::from_number(number).unwrap(), 1));
        let chart = bars.by_code(&every);
        assert_eq!(chart.series.len(), 7);
        assert_eq!(chart.series[6].counts.iter().flatten().sum::<u64>(), 4, "10, 23, 24, 28 are other");
    }

    #[test]
    fn an_onset_names_the_newest_change_before_it() {
        let events =
            [event(100, AuditAction::Withdrawn), event(34, AuditAction::Activated), event(5, AuditAction::Withdrawn)];
        let markers = markers(events.iter());
        let kid = Kid::from_thumbprint(&[7; 32]);
        let four = &kid.as_str()[..4];
        let clock_time = |at: UnixMillis| at.to_string()[11..16].to_owned();
        let text = onset(ago(30), NOW, &markers).text();
        assert_eq!(text, format!("since {}, 4m after activation of {four}…", clock_time(ago(30))));
        assert_eq!(onset(ago(300), NOW, &markers).text(), format!("since {}", clock_time(ago(300))));
        assert!(onset(ago(3000), NOW, &markers).text().contains("Nov"), "the day, where it is another one");
    }

    #[test]
    fn only_acts_that_were_done_are_marked() {
        let refused = AuditEvent { outcome: AuditOutcome::Refused, ..event(3, AuditAction::Activated) };
        let events = [refused, event(2, AuditAction::Begun), event(1, AuditAction::Compromised)];
        let words: Vec<&str> = markers(events.iter()).iter().map(|marker| marker.word).collect();
        assert_eq!(words, ["compromise"]);
    }
}
