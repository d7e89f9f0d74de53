//! The text that Prometheus scrapes.

use std::collections::BTreeSet;

use portcullis::envelope::DataKeySpec;
use portcullis::metrics::prometheus::Exporter;
use portcullis::metrics::{BUCKETS, Kind, TABLE};

use crate::harness::{Fixture, context};
use crate::promtool;

/// The metric of a line, and its labels' names.
fn parse(line: &str) -> (&str, Vec<&str>) {
    let (series, _) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
    (name, labels.map(|label| label.split_once('=').unwrap().0).collect())
}

#[tokio::test]
async fn guideline_m2_what_is_scraped_is_the_table_and_prometheus_reads_it() {
    let exporter = Exporter::new();
    let fixture = Fixture::telling(exporter.options().with_interval(None)).await;
    let (kms, key) = (&fixture.kms, &fixture.key);
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context("a")).await.unwrap();
    assert!(kms.decrypt_data_key(&made.wrapped, &context("b")).await.is_err());
    kms.rotate_key(key).await.unwrap();
    let text = exporter.render([kms]);
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, labels) = parse(line);
        let row = TABLE.iter().find(|row| match row.kind {
            Kind::Histogram => name
                .strip_prefix(row.name)
                .is_some_and(|suffix| ["_bucket", "_count", "_sum"].contains(&suffix)),
            _ => name == row.name,
        });
        let row = row.unwrap_or_else(|| panic!("not in the table: {line}"));
        seen.insert(row.name);
        for label in labels {
            let is_bound = label == "le" && name.ends_with("_bucket");
            assert!(is_bound || row.labels.contains(&label), "{label} in {line}");
        }
    }
    // Without Vault there is nothing to tell of it.
    let rows = || TABLE.iter().filter(|row| !row.name.starts_with("portcullis_vault_"));
    assert_eq!(seen, rows().map(|row| row.name).collect());
    for row in rows() {
        let kind = format!("# TYPE {} {}", row.name, row.kind.name());
        assert!(text.lines().any(|line| line == kind), "{kind}");
        assert!(text.contains(&format!("# HELP {} {}", row.name, row.help)), "{}", row.name);
    }
    let bounds = |line: &&str| {
        line.starts_with("portcullis_handling_seconds_bucket") && line.contains("lane=\"backend\"")
    };
    assert_eq!(text.lines().filter(bounds).count(), BUCKETS.len() + 1);
    promtool::run(&["check", "metrics"], &text);
    // Counted once, however often it is read.
    let count = |text: &str| text.lines().find(|line| is_generated(line)).map(str::to_owned);
    assert_eq!(count(&exporter.render([kms])), count(&text));
}

fn is_generated(line: &str) -> bool {
    line.contains("operation=\"generate-data-key\"") && line.ends_with(" 1")
}
