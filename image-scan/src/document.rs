//! JSON: configs and manifests. Each value is searched unescaped, and has a path: `config.Env[2]`,
//! `history[7].created_by`.

use serde_json::Value;

use crate::collector::{Location, Scan};
use crate::limits::MAX_PATH;
use crate::manifest::is_of_image;
use crate::packed::Found;
use crate::search::Finder;

/// Searches the values of `document`, and keeps those of `found`, the matches in its bytes, whose secret is in no value.
/// Returns whether the document is a manifest, an index or a config.
pub(crate) fn scan<F: Finder>(scan: &Scan<'_, F>, blob: &str, document: &[u8], mut found: Found) -> bool {
    let (mut in_values, mut of_image) = (Vec::new(), false);
    if let Ok(value) = serde_json::from_slice(document) {
        of_image = is_of_image(&value);
        let mut visit = |text: &str, path: &str| {
            let found = scan.search_bytes(&[text.as_bytes()]);
            in_values.extend(found.matches.iter().map(|found| found.matched.key.clone()));
            scan.keep(blob, || Location::Value(path.to_owned()), found);
        };
        walk(&value, &mut String::new(), &mut visit);
    }
    found.matches.retain(|found| !in_values.contains(&found.matched.key));
    scan.keep(blob, || Location::Bytes, found);
    of_image
}

/// Calls `visit` with every name and string, and its path. serde_json bounds the depth.
fn walk(value: &Value, path: &mut String, visit: &mut impl FnMut(&str, &str)) {
    let length = path.len();
    match value {
        Value::String(text) => visit(text, path),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(item, path, visit);
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if length > 0 {
                    path.push('.');
                }
                // Cut: only a hostile document has longer names.
                path.extend(name.chars().take(MAX_PATH / 4));
                visit(name, path);
                walk(member, path, visit);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
