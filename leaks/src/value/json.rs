//! Strings of JSON. Tolerant: what some parsers accept (comments, trailing commas) must not hide a secret. So names need
//! no quotes, and `=` may follow them: tables of TOML, objects of HCL and JavaScript.

use zeroize::Zeroizing;

/// Calls `visit` with every string that is a value, and the name before it.
pub(super) fn for_each(text: &str, mut visit: impl FnMut(&str, &str)) {
    if !text.contains('"') {
        return without_quotes(text, &mut visit);
    }
    let mut name = Zeroizing::new(String::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        if let Some(unquoted) = before.trim_end().strip_suffix([':', '=']) {
            let word = unquoted.trim_end().rsplit(|c: char| c.is_whitespace() || "{,[".contains(c)).next();
            name = Zeroizing::new(word.unwrap_or_default().to_owned());
        }
        let (string, next) = string(after);
        rest = next;
        if let Some(value) = rest.trim_start().strip_prefix([':', '=']) {
            rest = value.strip_prefix('>').unwrap_or(value);
            name = string;
        } else {
            visit(&name, &string);
        }
    }
}

/// `{token: abc, user: 'me'}` of YAML.
fn without_quotes(text: &str, visit: &mut impl FnMut(&str, &str)) {
    for field in text.split([',', '{', '}', '[', ']', '\n']) {
        let (name, value) = field.split_once([':', '=']).unwrap_or(("", field));
        visit(name.trim(), value.trim().trim_matches('\''));
    }
}

/// Reads the string after an opening quote. Returns it unescaped, and the text after its end.
pub(super) fn string(text: &str) -> (Zeroizing<String>, &str) {
    let mut value = Zeroizing::new(String::with_capacity(text.find('"').unwrap_or(text.len()) + 16));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('u') => {
                    let digits = chars.as_str().get(..4).unwrap_or_default();
                    let code = u32::from_str_radix(digits, 16).ok();
                    // Surrogate pairs are too rare in secrets to be worth the code.
                    value.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
                    chars = chars.as_str().get(digits.len()..).unwrap_or_default().chars();
                }
                Some(other) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    (value, chars.as_str())
}
