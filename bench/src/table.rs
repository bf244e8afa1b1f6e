//! Results as one Markdown table.

use std::fmt;

/// Rows in the order of measuring.
#[derive(Debug)]
pub(crate) struct Table {
    machine: String,
    rows: Vec<(String, String, String)>,
}

impl Table {
    pub(crate) fn new(machine: String) -> Self {
        Self { machine, rows: Vec::new() }
    }

    /// Adds a row and prints it at once, because the whole run takes minutes.
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: impl Into<String>, reach: &str) {
        let (what, measured) = (what.into(), measured.into());
        eprintln!("{what}: {measured}");
        self.rows.push((what, measured, reach.to_owned()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Measured on: {}\n", self.machine)?;
        writeln!(f, "| what | measured | to reach |\n|---|--:|--:|")?;
        for (what, measured, reach) in &self.rows {
            writeln!(f, "| {what} | {measured} | {reach} |")?;
        }
        Ok(())
    }
}
