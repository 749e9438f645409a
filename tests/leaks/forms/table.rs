//! The table in docs/LEAKS.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::tools::Written;

const DOCUMENT: &str = "docs/LEAKS.md";
/// In the document, before and after the table.
const BEGIN: &str = "<!-- the table: written by the test, see below -->\n";
const END: &str = "<!-- the end of the table -->\n";

/// Writes the table into the document instead of comparing.
const WRITE: &str = "SECRETS_BRIDGE_WRITE_TABLE";

/// Most forms of which not every text is found and masked. docs/LEAKS.md says why.
const MAX_MISSED: usize = 4;

/// What became of one file.
pub(super) struct Row<'a> {
    pub(super) file: &'a Written,
    pub(super) leaked: bool,
    pub(super) scanned: bool,
    /// `None` for what is compressed.
    pub(super) masked: Option<bool>,
}

/// The texts that were missed in one column. `None` if it does not apply.
type Cell = Option<BTreeSet<String>>;

#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<(String, String), [Cell; 3]>,
    /// For each form the shortest file that was missed.
    examples: BTreeMap<(String, String), Vec<u8>>,
}

impl Table {
    pub(super) fn add(&mut self, row: Row<'_>) {
        let form = (row.file.tool.clone(), row.file.form.clone());
        let columns = [Some(row.leaked), Some(row.scanned), row.masked];
        if columns.contains(&Some(false)) {
            let example = self.examples.entry(form.clone()).or_insert_with(|| row.file.bytes.clone());
            if row.file.bytes.len() < example.len() {
                example.clone_from(&row.file.bytes);
            }
        }
        let cells = self.rows.entry(form).or_default();
        for (cell, noticed) in cells.iter_mut().zip(columns) {
            let Some(noticed) = noticed else { continue };
            let missed = cell.get_or_insert_default();
            if !noticed {
                missed.insert(row.file.text.clone());
            }
        }
    }

    /// # Panics
    /// If the document has another table, or too much is missed. The message has the `keys`.
    pub(super) fn compare(&self, keys: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        let document = fs::read_to_string(&path).unwrap();
        let (before, rest) = document.split_once(BEGIN).expect(BEGIN);
        let (table, after) = rest.split_once(END).expect(END);
        let now = self.text();
        if env::var_os(WRITE).is_some() {
            fs::write(&path, format!("{before}{BEGIN}{now}{END}{after}")).unwrap();
        } else {
            assert!(
                table == now,
                "the table in {DOCUMENT} is not what the tools show ({WRITE}=1 writes it):\n{now}\nmissed:\n{}\n{keys}",
                self.missed()
            );
        }
        let missed = self.rows.values().filter(|cells| !is_complete(cells)).count();
        assert!(missed <= MAX_MISSED, "{missed} forms are missed:\n{}\n{keys}", self.missed());
    }

    /// One line for each tool and result.
    fn text(&self) -> String {
        let mut lines: BTreeMap<(bool, &str, [&str; 3]), Vec<&str>> = BTreeMap::new();
        for ((tool, form), cells) in &self.rows {
            let words = cells.each_ref().map(word);
            lines.entry((!is_complete(cells), tool, words)).or_default().push(form);
        }
        let mut text = "| tool | form | leak check | `scan` | masked |\n|---|---|---|---|---|\n".to_owned();
        for ((_, tool, words), forms) in lines {
            let forms = forms.iter().map(|form| format!("`{form}`")).collect::<Vec<_>>().join(", ");
            writeln!(text, "| {tool} | {forms} | {} |", words.join(" | ")).unwrap();
        }
        text
    }

    /// Form by form, which texts were missed, with the shortest example.
    fn missed(&self) -> String {
        let mut text = String::new();
        for (form, cells) in self.rows.iter().filter(|(_, cells)| !is_complete(cells)) {
            write!(text, "{}: {}:", form.0, form.1).unwrap();
            let mut columns: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (cell, column) in cells.iter().zip(["leak check", "scan", "masked"]) {
                let Some(missed) = cell.as_ref().filter(|missed| !missed.is_empty()) else { continue };
                let missed: Vec<&str> = missed.iter().map(String::as_str).collect();
                columns.entry(missed.join(" ")).or_default().push(column);
            }
            for (missed, columns) in columns {
                write!(text, " [{}: {missed}]", columns.join(", ")).unwrap();
            }
            let example = &self.examples[form];
            writeln!(text, " e.g. {}", example[..example.len().min(160)].escape_ascii()).unwrap();
        }
        text
    }
}

fn is_complete(cells: &[Cell; 3]) -> bool {
    cells.iter().flatten().all(BTreeSet::is_empty)
}

fn word(cell: &Cell) -> &'static str {
    match cell {
        None => "–",
        Some(missed) if missed.is_empty() => "yes",
        Some(_) => "no",
    }
}
