//! Text and attributes of XML: `settings.xml`, `nuget.config`.

use zeroize::Zeroizing;

/// Calls `visit` with the text of every element and the element's name, and with every attribute and its name (or the
/// `key` beside a `value`).
pub(super) fn for_each(text: &str, mut visit: impl FnMut(&str, &str)) {
    let mut rest = text;
    let mut name = "";
    while let Some((before, after)) = rest.split_once('<') {
        visit(name, &unescaped(before));
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
        } else if let Some(data) = after.strip_prefix("![CDATA[") {
            let (data, next) = data.split_once("]]>").unwrap_or((data, ""));
            visit(name, data);
            rest = next;
        } else {
            let (tag, next) = after.split_once('>').unwrap_or((after, ""));
            name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
            attributes(tag, &mut visit);
            rest = next;
        }
    }
}

fn attributes(tag: &str, visit: &mut impl FnMut(&str, &str)) {
    let mut key = Zeroizing::new(String::new());
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.split_whitespace().next_back().unwrap_or_default();
        let after = after.trim_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            rest = after;
            continue;
        };
        let Some((value, next)) = after.split_at(1).1.split_once(quote) else { return };
        let value = unescaped(value);
        match name {
            "key" | "name" => key = value,
            "value" => visit(&key, &value),
            _ => visit(name, &value),
        }
        rest = next;
    }
}

/// With the characters that entities stand for. An unknown entity stays.
fn unescaped(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(entity, next)| Some((character(entity)?, next))) {
            Some((c, next)) => {
                plain.push(c);
                rest = next;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "amp" => Some('&'),
        _ => match entity.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => code(hex.get(1..)?, 16),
            decimal => code(decimal, 10),
        },
    }
}
