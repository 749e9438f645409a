//! JSON: configs and manifests. Each value is searched as it reads, and named: `config.Env[2]`, `history[7].created_by`.

use serde_json::Value;

use crate::collector::{Scan, Spot};
use crate::limits::MAX_PATH;
use crate::manifest;
use crate::search::{Finder, Found};

/// Searches the values of `document`. `found` is what was found in its bytes: all of it is kept that no value explains.
/// Returns whether the document says something about images.
pub(crate) fn scan<F: Finder>(scan: &Scan<'_, F>, blob: &str, document: &[u8], found: Vec<Found>) -> bool {
    let (mut explained, mut is_of_image) = (Vec::new(), false);
    if let Ok(value) = serde_json::from_slice(document) {
        is_of_image = manifest::is_of_image(&value);
        let mut visit = |text: &str, place: &str| {
            let found = scan.search_bytes(&[text.as_bytes()]);
            explained.extend(found.iter().map(|found| found.key.clone()));
            scan.keep(blob, || Spot::Value(place.to_owned()), found);
        };
        walk(&value, &mut String::new(), &mut visit);
    }
    let rest = found.into_iter().filter(|found| !explained.contains(&found.key)).collect();
    scan.keep(blob, || Spot::Bytes, rest);
    is_of_image
}

/// Calls `visit` with every name and string. serde_json has bounded the depth.
fn walk(value: &Value, place: &mut String, visit: &mut impl FnMut(&str, &str)) {
    let length = place.len();
    match value {
        Value::String(text) => visit(text, place),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                place.push_str(&format!("[{index}]"));
                walk(item, place, visit);
                place.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if length > 0 {
                    place.push('.');
                }
                // Names are short but for those that somebody made up to be long.
                place.extend(name.chars().take(MAX_PATH / 4));
                visit(name, place);
                walk(member, place, visit);
                place.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
