//! Every statement can be prepared, and its header describes its parameters and columns correctly.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::collections::BTreeMap;

use migrations::testing::TestDatabase;
use sqlx::{Column, Connection, Either, Executor, PgConnection, SqlSafeStr, Statement, TypeInfo};
use support::statements;

/// The header's sections by their word, with continuation lines joined.
fn header(text: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::new();
    let mut current = "purpose".to_owned();
    for line in text.lines().take_while(|line| line.starts_with("--")) {
        let line = line.trim_start_matches("--").trim();
        let word = line.split_once(':').map(|(word, _)| word).filter(|w| ["in", "out", "locks", "index"].contains(w));
        let rest = word.map_or(line, |w| {
            w.clone_into(&mut current);
            line[w.len() + 1..].trim()
        });
        let section: &mut String = sections.entry(current.clone()).or_default();
        format!("{section} {rest}").trim().clone_into(section);
    }
    sections
}

/// Types named in a header section, in order: every word that is a type of PostgreSQL.
fn types(section: &str) -> Vec<String> {
    let known = ["uuid", "text", "bytea", "bool", "int2", "int4", "int8", "float8"];
    let words = section.split(|c: char| !(c.is_ascii_alphanumeric() || "[]_$".contains(c)));
    words.filter(|word| known.contains(&word.trim_end_matches("[]"))).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn every_statement_prepares_and_its_header_tells_the_truth() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let all = statements();
    assert!(all.len() >= 20, "the statements are found");
    for (path, text) in all {
        let sections = header(text);
        for word in ["purpose", "in", "out", "locks", "index"] {
            assert!(sections.contains_key(word), "{path} has no line `{word}`");
        }
        let prepared = (&mut connection).prepare(text.into_sql_str()).await.unwrap_or_else(|e| panic!("{path}: {e}"));
        let parameters: Vec<String> = match prepared.parameters() {
            Some(Either::Left(types)) => types.iter().map(|t| t.name().to_lowercase()).collect(),
            _ => Vec::new(),
        };
        assert_eq!(types(&sections["in"]), parameters, "parameters of {path}");
        let columns = prepared.columns().iter().map(|c| c.type_info().name().to_lowercase()).collect::<Vec<_>>();
        let documented = types(&sections["out"]);
        if !documented.is_empty() || !columns.iter().all(|c| c == "text" || c == "void") {
            assert_eq!(documented, columns, "columns of {path}");
        }
        for column in prepared.columns() {
            let is_said = sections["out"].contains(column.name()) || documented.is_empty();
            assert!(is_said, "{path} does not say that it gives {}", column.name());
        }
    }
}

/// Clocks of clients and of API processes differ from the database's. Numbers of milliseconds are places in a list or a log.
#[tokio::test]
async fn no_statement_takes_a_time_from_its_caller() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    for (path, text) in statements() {
        let prepared = (&mut connection).prepare(text.into_sql_str()).await.unwrap();
        let Some(Either::Left(parameters)) = prepared.parameters() else { continue };
        for parameter in parameters {
            let name = parameter.name().to_lowercase();
            assert!(!name.contains("time") && !name.contains("date"), "{path} takes a {name}");
        }
    }
}
