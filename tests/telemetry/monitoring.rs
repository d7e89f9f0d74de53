//! The dashboard and the alert rules: what they ask for is there to be asked.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::metrics::{Kind, Metric, TABLE};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector};
use serde::Deserialize;
use serde_json::Value;

use crate::promtool;

const DASHBOARD: &str = include_str!("../../examples/monitoring/portcullis.dashboard.json");
const RULES: &str = include_str!("../../examples/monitoring/portcullis.rules.yml");
const RULES_TEST: &str = include_str!("../../examples/monitoring/portcullis.rules.test.yml");

/// Labels that Prometheus adds to what it scrapes.
const SCRAPED: [&str; 2] = ["instance", "job"];

/// The row that a series in a query is of, and the labels that it has.
#[track_caller]
fn row_of(name: &str) -> (&'static Metric, BTreeSet<&'static str>) {
    let row = TABLE.iter().find(|row| match row.kind {
        Kind::Histogram => name
            .strip_prefix(row.name)
            .is_some_and(|suffix| ["_bucket", "_count", "_sum"].contains(&suffix)),
        _ => name == row.name,
    });
    let row = row.unwrap_or_else(|| panic!("no such metric: {name}"));
    let bound = name.ends_with("_bucket").then_some("le");
    (row, row.labels.iter().copied().chain(SCRAPED).chain(bound).collect())
}

/// The metrics that one query asks for.
type Asked = BTreeSet<&'static str>;

#[track_caller]
fn check(query: &str) -> Asked {
    let query = query.replace("$__rate_interval", "5m");
    let expr = parser::parse(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut asked = Asked::new();
    visit(&expr, &mut asked);
    assert!(!asked.is_empty(), "{query} asks for nothing");
    asked
}

/// Checks the selectors of `expr`; the labels that all of them have.
fn visit(expr: &Expr, asked: &mut Asked) -> Option<BTreeSet<&'static str>> {
    let both = |a: Option<BTreeSet<_>>, b: Option<BTreeSet<_>>| match (a, b) {
        (Some(a), Some(b)) => Some(&a & &b),
        (a, b) => a.or(b),
    };
    match expr {
        Expr::Aggregate(aggregate) => {
            let labels = visit(&aggregate.expr, asked);
            let Some(by) = &aggregate.modifier else { return Some(BTreeSet::new()) };
            let (by, mut labels) = (&by.labels().labels, labels.unwrap_or_default());
            for label in by {
                let there = labels.contains(label.as_str());
                assert!(there, "{expr} goes by {label}, which it has not");
            }
            labels.retain(|label| by.iter().any(|by| by == label));
            Some(labels)
        }
        Expr::Unary(unary) => visit(&unary.expr, asked),
        Expr::Binary(binary) => both(visit(&binary.lhs, asked), visit(&binary.rhs, asked)),
        Expr::Paren(paren) => visit(&paren.expr, asked),
        Expr::Subquery(subquery) => visit(&subquery.expr, asked),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => None,
        Expr::VectorSelector(selector) => Some(select(selector, asked)),
        Expr::MatrixSelector(selector) => Some(select(&selector.vs, asked)),
        Expr::Call(call) => {
            let arguments = call.args.args.iter();
            arguments.fold(None, |labels, argument| both(labels, visit(argument, asked)))
        }
        Expr::Extension(_) => panic!("not a query of Prometheus: {expr}"),
    }
}

fn select(selector: &VectorSelector, asked: &mut Asked) -> BTreeSet<&'static str> {
    let name = selector.name.as_deref().expect("a series is asked for by its name");
    let (row, labels) = row_of(name);
    asked.insert(row.name);
    assert!(selector.matchers.or_matchers.is_empty());
    for matcher in &selector.matchers.matchers {
        assert!(labels.contains(matcher.name.as_str()), "{name} has no label {}", matcher.name);
        for value in values(matcher) {
            assert!(
                is_free(&matcher.name) || is_word(value),
                "{name}: no {} is ever {value:?}",
                matcher.name
            );
        }
    }
    labels
}

/// The words that a matcher asks for.
fn values(matcher: &Matcher) -> Vec<&str> {
    match &matcher.op {
        _ if matcher.value.starts_with('$') => Vec::new(),
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    }
}

/// Whether a label takes values of no list.
fn is_free(label: &str) -> bool {
    ["engine", "key", "le"].contains(&label) || SCRAPED.contains(&label)
}

/// Whether the manual, or one of the lists that it names, has a label's value.
fn is_word(value: &str) -> bool {
    let lists = [
        include_str!("../../src/audit/class.rs"),
        include_str!("../../src/audit/operation.rs"),
        include_str!("../../src/backend/mod.rs"),
        include_str!("../../src/engine/mod.rs"),
    ];
    let manual = include_str!("../../src/manual/metrics.rs");
    let quoted = format!("\"{value}\"");
    manual.contains(&format!("`{value}`")) || lists.iter().any(|list| list.contains(&quoted))
}

/// Every string under a field of this name, at any depth.
fn strings<'v>(value: &'v Value, field: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value.as_str() {
                    Some(text) if name == field => found.push(text),
                    _ => strings(value, field, found),
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| strings(value, field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_dashboard_asks_for_every_metric_and_for_nothing_that_is_not_there() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    strings(&dashboard, "expr", &mut queries);
    let asked: BTreeSet<_> = queries.iter().flat_map(|query| check(query)).collect();
    let all: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(asked, all);
    // `label_values(series, label)` is Grafana's own.
    let mut variables = Vec::new();
    strings(&dashboard, "definition", &mut variables);
    assert_eq!(variables.len(), 2);
    for variable in variables {
        let inside = variable.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
        let (series, label) = inside.unwrap().rsplit_once(", ").unwrap();
        let [metric] = check(series).into_iter().collect::<Vec<_>>()[..] else {
            panic!("{variable} asks for one metric");
        };
        assert!(row_of(metric).1.contains(label), "{variable}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let legends = panel["targets"].as_array().into_iter().flatten();
        for (query, legend) in legends.map(|t| (t["expr"].as_str(), t["legendFormat"].as_str())) {
            let (query, legend) = (query.unwrap(), legend.unwrap());
            let named = legend.split("{{").skip(1).map(|rest| rest.split_once("}}").unwrap().0);
            let mut asked = Asked::new();
            let query = query.replace("$__rate_interval", "5m");
            let there = visit(&parser::parse(&query).unwrap(), &mut asked).unwrap();
            for label in named {
                assert!(there.contains(label), "{query} shows {label}, which it has not");
            }
        }
    }
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    #[expect(dead_code, reason = "named so that other fields are refused")]
    pending: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    input_series: Vec<Input>,
    alert_rule_test: Vec<Expected>,
}

#[derive(Deserialize)]
struct Input {
    series: String,
}

#[derive(Deserialize)]
struct Expected {
    alertname: String,
    exp_alerts: Vec<serde_yaml_ng::Value>,
}

#[test]
fn every_alert_asks_for_what_is_there_says_what_to_do_and_fires_once() {
    let rules: Rules = serde_yaml_ng::from_str(RULES).unwrap();
    let tests: Tests = serde_yaml_ng::from_str(RULES_TEST).unwrap();
    let mut alerts = BTreeSet::new();
    for group in &rules.groups {
        assert!(group.name.starts_with("portcullis-"));
        for rule in &group.rules {
            check(&rule.expr);
            assert!(alerts.insert(rule.alert.as_str()), "{} is there twice", rule.alert);
            assert!(["critical", "warning"].contains(&rule.labels["severity"].as_str()));
            assert!(!rule.annotations["summary"].is_empty());
            assert!(rule.annotations["description"].ends_with('.'), "{}", rule.alert);
        }
    }
    let mut fired = BTreeSet::new();
    for test in &tests.tests {
        test.input_series.iter().for_each(|input| drop(check(&input.series)));
        let fires = |expected: &&Expected| !expected.exp_alerts.is_empty();
        let names = test.alert_rule_test.iter().filter(fires).map(|it| it.alertname.as_str());
        fired.extend(names);
    }
    assert_eq!(alerts, fired, "each fires in the test of the rules");
    promtool::run(&["check", "rules", "portcullis.rules.yml"], "");
    promtool::run(&["test", "rules", "portcullis.rules.test.yml"], "");
}
