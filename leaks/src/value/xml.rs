//! Text and attributes of XML: `settings.xml`, `nuget.config`.

use zeroize::Zeroizing;

use super::Found;

impl Found {
    /// Judges the text of every element by the element's name, and attributes by theirs (or by a
    /// `key` beside a `value`).
    pub(super) fn xml(&mut self, text: &str, depth: usize) {
        let mut rest = text;
        let mut name = "";
        while let Some((before, after)) = rest.split_once('<') {
            self.judge(name, &unescaped(before), depth);
            if let Some(comment) = after.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            } else if let Some(data) = after.strip_prefix("![CDATA[") {
                let (data, next) = data.split_once("]]>").unwrap_or((data, ""));
                self.judge(name, data, depth);
                rest = next;
            } else {
                let (tag, next) = after.split_once('>').unwrap_or((after, ""));
                name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
                self.attributes(tag, depth);
                rest = next;
            }
        }
    }

    fn attributes(&mut self, tag: &str, depth: usize) {
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
                "value" => self.judge(&key, &value, depth),
                _ => self.judge(name, &value, depth),
            }
            rest = next;
        }
    }
}

fn unescaped(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(text.to_owned());
    for (entity, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")] {
        if plain.contains(entity) {
            plain = Zeroizing::new(plain.replace(entity, c));
        }
    }
    plain
}
