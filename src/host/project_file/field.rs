//! One entry of the TOML with its position in the file, so that errors have a line.

use bridge_host::NamedFile;
use proto::{escape, escape_whole};
use toml::de::{DeTable, DeValue};

use super::paths::{Paths, Purpose};
use crate::usage::UsageError;

#[derive(Debug)]
pub(super) struct FieldError {
    /// Counted from 1.
    pub(super) line: usize,
    /// With the key, escaped.
    pub(super) problem: String,
}

/// A key and its value.
pub(super) struct Field<'t> {
    text: &'t str,
    /// Names of the tables around it, each with a dot after it.
    within: String,
    key: &'t str,
    /// Offset of the key in bytes.
    at: usize,
    value: &'t DeValue<'t>,
}

/// The fields of a table of `text`. `within` names the table.
pub(super) fn fields<'t>(text: &'t str, within: &str, table: &'t DeTable<'t>) -> Vec<Field<'t>> {
    let field = |(key, value): (&'t toml::Spanned<_>, &'t toml::Spanned<_>)| {
        let key_text: &'t std::borrow::Cow<'t, str> = key.get_ref();
        Field { text, within: within.to_owned(), key: key_text, at: key.span().start, value: value.get_ref() }
    };
    table.iter().map(field).collect()
}

impl FieldError {
    pub(super) fn not_text(bytes: &[u8], at: usize) -> Self {
        Self { line: line(bytes, at), problem: "not UTF-8".to_owned() }
    }

    /// The message of the parser without the line of the file: that may contain a secret.
    pub(super) fn not_toml(text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        Self { line: line(text.as_bytes(), at), problem: escape(error.message()) }
    }
}

impl<'t> Field<'t> {
    pub(super) fn key(&self) -> &'t str {
        self.key
    }

    pub(super) fn wrong(&self, problem: &str) -> FieldError {
        let key = escape(&format!("{}{}", self.within, self.key));
        FieldError { line: line(self.text.as_bytes(), self.at), problem: format!("{key}: {problem}") }
    }

    pub(super) fn unknown(&self, known: &[&str]) -> FieldError {
        self.wrong(&format!("unknown key; known keys are {}", known.join(", ")))
    }

    /// Parses the value as `parse` does for an option.
    pub(super) fn parsed<V, T>(
        &self,
        value: V,
        parse: impl FnOnce(V) -> Result<T, UsageError>,
    ) -> Result<T, FieldError> {
        parse(value).map_err(|error| self.wrong(error.problem()))
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn text(&self) -> Result<&'t str, FieldError> {
        self.value.as_str().ok_or_else(|| self.wrong("must be a string, in quotes"))
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, FieldError> {
        let wrong = || self.wrong("must be a list of strings: [\"…\"]");
        let values = self.value.as_array().filter(|values| !values.is_empty()).ok_or_else(wrong)?;
        values.iter().map(|value| value.get_ref().as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    /// Parses each string of a list.
    pub(super) fn each<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, UsageError>,
    ) -> Result<Vec<T>, FieldError> {
        self.texts()?.iter().map(|text| self.parsed(text.as_str(), &parse)).collect()
    }

    pub(super) fn flag(&self) -> Result<bool, FieldError> {
        self.value.as_bool().ok_or_else(|| self.wrong("must be true or false"))
    }

    /// A whole number as text, for the parser of an option, which checks its range.
    pub(super) fn number(&self) -> Result<&'t str, FieldError> {
        let number = self.value.as_integer().filter(|number| number.radix() == 10);
        number.map(|number| number.as_str()).ok_or_else(|| self.wrong("must be a decimal number"))
    }

    pub(super) fn text_or_number(&self) -> Result<&'t str, FieldError> {
        self.text().or_else(|_| self.number()).map_err(|_| self.wrong("must be a string or a number"))
    }

    pub(super) fn path(&self, text: &str, paths: &Paths) -> Result<NamedFile, FieldError> {
        self.path_for(Purpose::Other, text, paths)
    }

    pub(super) fn path_for(
        &self,
        purpose: Purpose,
        text: &str,
        paths: &Paths,
    ) -> Result<NamedFile, FieldError> {
        let key = format!("{}{}", self.within, self.key);
        paths.resolve(key, text, purpose).map_err(|problem| self.wrong(&escape_whole(&problem)))
    }

    pub(super) fn paths(&self, purpose: Purpose, paths: &Paths) -> Result<Vec<NamedFile>, FieldError> {
        self.texts()?.iter().map(|text| self.path_for(purpose, text, paths)).collect()
    }

    pub(super) fn fields(&self) -> Result<Vec<Field<'t>>, FieldError> {
        let table = self.value.as_table().ok_or_else(|| self.wrong("must be a table: { … }"))?;
        Ok(fields(self.text, &format!("{}{}.", self.within, self.key), table))
    }

    /// Applies `parse` to each field of a table whose keys are names.
    pub(super) fn named<T>(
        &self,
        parse: impl Fn(&Field<'t>) -> Result<T, FieldError>,
    ) -> Result<Vec<T>, FieldError> {
        self.fields()?.iter().map(parse).collect()
    }
}

fn line(text: &[u8], at: usize) -> usize {
    text.iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}
