//! JSON: configs and manifests. Each value is searched unescaped, and has a path: `config.Env[2]`,
//! `history[7].created_by`.
//!
//! It is not parsed into a tree, which for a hostile document takes a hundred times its length.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::collector::{Content, Location, Scan};
use crate::limits::{MAX_DOCUMENT_PARTS, MAX_PATH, WORK_PER_DOCUMENT_BYTE, WORK_PER_TEXT};
use crate::manifest::{MEMBERS, folded, is_of_image};
use crate::packed::Found;
use crate::search::Finder;
use crate::unread::Unread;

/// Searches the values of `document`, and keeps those of `found`, the matches in its bytes, whose secret is in no value. Keeps
/// the document if it is a manifest, an index or a config.
pub(crate) fn scan<F: Finder>(
    scan: &Scan<'_, F>,
    blob: &str,
    document: Vec<u8>,
    mut found: Found,
) -> io::Result<Content> {
    scan.budget.spend(WORK_PER_DOCUMENT_BYTE * document.len() as u64)?;
    let mut in_values = BTreeSet::new();
    let mut visit = |text: &str, path: &str| {
        // An error comes after the document, which is short.
        let _ = scan.budget.spend(WORK_PER_TEXT);
        let found = scan.search_bytes(&[text.as_bytes()]);
        in_values.extend(found.matches.iter().map(|found| found.matched.key.clone()));
        scan.keep(blob, || Location::Value(path.chars().take(MAX_PATH / 4).collect()), found);
    };
    let mut shape = Shape::default();
    let mut json = serde_json::Deserializer::from_slice(&document);
    let walk = Walk { path: &mut String::new(), visit: &mut visit, shape: &mut shape };
    let is_valid = walk.deserialize(&mut json).and_then(|()| json.end()).is_ok();
    found.matches.retain(|found| !in_values.contains(&found.matched.key));
    scan.keep(blob, || Location::Bytes, found);
    scan.budget.spend(0)?;
    if !is_valid {
        return Ok(Content::Bytes { is_json: true, format: None });
    }
    Ok(match shape {
        Shape { is_of_image: false, .. } => Content::Document,
        Shape { parts, .. } if parts > MAX_DOCUMENT_PARTS => Content::Unread(Unread::TooManyParts),
        Shape { has_member_twice: true, .. } => Content::Unread(Unread::MemberTwice),
        Shape { .. } => match scan.collected().keep_document(blob, document) {
            true => Content::Document,
            false => Content::Unread(Unread::TooManyDocuments),
        },
    })
}

/// What a document consists of.
#[derive(Default)]
struct Shape {
    /// It is a manifest, an index or a config.
    is_of_image: bool,
    /// Number of names and values.
    parts: usize,
    /// An object that says which layers there are has one of its members twice. Readers of JSON differ in which one they
    /// use, and whether case matters.
    has_member_twice: bool,
}

/// Calls `visit` with every name and string, and its path. serde_json bounds the depth.
struct Walk<'w, V> {
    path: &'w mut String,
    visit: &'w mut V,
    shape: &'w mut Shape,
}

impl<'de, V: FnMut(&str, &str)> DeserializeSeed<'de> for Walk<'_, V> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.shape.parts += 1;
        deserializer.deserialize_any(self)
    }
}

impl<'de, V: FnMut(&str, &str)> Visitor<'de> for Walk<'_, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        (self.visit)(text, self.path);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { path, visit, shape } = self;
        let length = path.len();
        for index in 0usize.. {
            path.push_str(&format!("[{index}]"));
            let item = items.next_element_seed(Walk { path, visit, shape })?;
            path.truncate(length);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { path, visit, shape } = self;
        let length = path.len();
        let says_layers = !path.contains('.');
        let mut seen = [false; MEMBERS.len()];
        while let Some(name) = members.next_key::<String>()? {
            shape.parts += 1;
            if says_layers {
                let folded = folded(&name);
                shape.is_of_image |= is_of_image(path, &folded);
                let known = MEMBERS.iter().position(|member| *member == folded);
                if let Some(seen) = known.and_then(|index| seen.get_mut(index)) {
                    shape.has_member_twice |= std::mem::replace(seen, true);
                }
            }
            if length > 0 {
                path.push('.');
            }
            // Cut: only a hostile document has longer names.
            path.extend(name.chars().take(MAX_PATH / 4));
            visit(&name, path);
            members.next_value_seed(Walk { path, visit, shape })?;
            path.truncate(length);
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
