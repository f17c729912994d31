//! Each alarm has a rule of Prometheus and a section of docs/alerts.md, each rule leads to its section, and no section is of
//! a rule that is gone. What the rules do is tested by tests/monitoring.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use countersign::telemetry::Metrics;

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A rule of deploy/prometheus/rules.yml.
struct Rule {
    alert: String,
    expression: String,
    alarm: Option<String>,
    severity: String,
    section: String,
}

fn rules() -> Vec<Rule> {
    let text = document("deploy/prometheus/rules.yml");
    let rules = text.split("- alert: ").skip(1).map(|text| {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
            line.map(str::to_owned)
        };
        let link = value("runbook_url").expect("a link to the runbook");
        let (page, section) = link.split_once('#').expect("a section");
        assert!(page.ends_with("/docs/alerts.md"), "{link}");
        assert!(value("summary").is_some(), "{text}");
        Rule {
            alert: text.lines().next().unwrap().to_owned(),
            expression: text.split("labels:").next().unwrap().to_owned(),
            alarm: value("alarm"),
            severity: value("severity").unwrap(),
            section: section.to_owned(),
        }
    });
    rules.collect()
}

/// The alerts that a section of docs/alerts.md describes, each with its severity, by the section's anchor.
fn sections() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let page = document("docs/alerts.md");
    let sections = page.split("\n### ").skip(1).map(|section| {
        let (title, text) = section.split_once('\n').unwrap();
        let text = text.replace('\n', " ");
        // "**Name**, page." names an alert; a section that names none is of the alert of its title.
        let named = text.split("**Countersign").skip(1).map(|behind| {
            let (name, behind) = behind.split_once("**, ").expect("a severity");
            let severity: String = behind.chars().take_while(char::is_ascii_lowercase).collect();
            (format!("Countersign{name}"), severity)
        });
        let mut alerts: BTreeSet<_> = named.collect();
        if alerts.is_empty() {
            let severity = text.trim().split('.').next().unwrap().to_lowercase();
            alerts.insert((title.to_owned(), severity));
        }
        (title.to_lowercase(), alerts)
    });
    sections.collect()
}

/// The kinds of alarms that the service has.
fn alarms() -> BTreeSet<String> {
    let exposition = Metrics::new().encode();
    let series = exposition.lines().filter_map(|line| line.strip_prefix("countersign_alarms_total{kind=\""));
    series.map(|behind| behind.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn each_alarm_has_a_row_a_rule_and_a_section() {
    let alarms = alarms();
    assert!(alarms.len() >= 11, "{alarms:?}");
    let operator = document("docs/operator.md");
    let rows = operator.lines().filter_map(|row| row.strip_prefix("| [`")?.split_once("`](alerts.md#"));
    let rows: BTreeSet<String> = rows
        .map(|(alarm, behind)| {
            assert!(behind.starts_with(&format!("{alarm}) | ")), "{alarm}: {behind}");
            alarm.to_owned()
        })
        .collect();
    assert_eq!(rows, alarms, "rows of docs/operator.md");
    let rules = rules();
    let of_alarms = rules.iter().filter(|rule| rule.alarm.is_some());
    let named: Vec<String> = of_alarms
        .map(|rule| {
            let alarm = rule.alarm.clone().unwrap();
            let counter = format!("increase(countersign_alarms_total{{kind=\"{alarm}\"}}");
            assert!(rule.expression.contains(&counter), "{}: {}", rule.alert, rule.expression);
            assert_eq!(rule.section, alarm, "{}", rule.alert);
            alarm
        })
        .collect();
    assert_eq!(named.len(), alarms.len(), "{named:?}");
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), alarms, "rules");
}

#[test]
fn each_rule_leads_to_the_section_that_describes_it() {
    let mut of_rules: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for rule in rules() {
        of_rules.entry(rule.section).or_default().insert((rule.alert, rule.severity));
    }
    assert_eq!(sections(), of_rules);
}
