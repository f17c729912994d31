//! Text format of the metrics: the one that the scraper asks for.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::telemetry::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// Text format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own format, version 0.0.4, which every scraper reads.
    PrometheusText,
}

impl Exposition {
    /// Chooses by `Accept` (RFC 9110 §12.5.1): OpenMetrics where it is named, and not less wanted than plain text.
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let ranges: Vec<MediaRange<'_>> = lines.flat_map(|line| line.split(',')).map(MediaRange::parse).collect();
        let weight = |essence: &str, version: &str| {
            let named = ranges.iter().filter(|range| range.essence.eq_ignore_ascii_case(essence));
            let fitting = named.filter(|range| range.version.is_none_or(|asked| asked == version));
            fitting.map(|range| range.weight).fold(0.0, f32::max)
        };
        let open_metrics = weight(OPEN_METRICS, "1.0.0");
        if open_metrics > 0.0 && open_metrics >= weight("text/plain", "0.0.4") {
            Self::OpenMetrics
        } else {
            Self::PrometheusText
        }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
        })
    }

    pub(super) fn encode(self, metrics: &Metrics) -> String {
        match self {
            Self::OpenMetrics => metrics.encode(),
            Self::PrometheusText => metrics.encode_prometheus_text(),
        }
    }
}

/// Media range of an `Accept` header.
struct MediaRange<'a> {
    essence: &'a str,
    version: Option<&'a str>,
    weight: f32,
}

impl<'a> MediaRange<'a> {
    fn parse(range: &'a str) -> Self {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let parameter = |name: &str| parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|own| own.1);
        let weight = parameter("q").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        Self { essence, version: parameter("version").map(|version| version.trim_matches('"')), weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(accept: &[&'static str]) -> Exposition {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(line));
        }
        Exposition::asked_for(&headers)
    }

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        for accept in [
            // Prometheus 3, Prometheus 2.45, and shorter ones.
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8, */*",
        ] {
            assert_eq!(asked_for(&[accept]), Exposition::OpenMetrics, "{accept}");
        }
        assert_eq!(asked_for(&["text/html", "application/openmetrics-text"]), Exposition::OpenMetrics);
    }

    #[test]
    fn everybody_else_gets_the_text_format() {
        assert_eq!(asked_for(&[]), Exposition::PrometheusText);
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0.2, text/plain;version=0.0.4;q=0.5",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            ";;=,,",
        ] {
            assert_eq!(asked_for(&[accept]), Exposition::PrometheusText, "{accept}");
        }
    }
}
