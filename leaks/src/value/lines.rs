//! Files of lines: env, INI, properties, npmrc, pypirc, pip.conf, YAML, git-credentials, lists of tokens.

use zeroize::Zeroizing;

use super::json;

/// What a line holds.
#[derive(Clone, Copy)]
pub(super) enum Line<'a> {
    Field {
        name: &'a str,
        value: &'a str,
    },
    /// A line without a name. `in_list`: every line of the file is one word, so that each may be a secret of its own.
    Unnamed {
        text: &'a str,
        in_list: bool,
    },
}

/// Calls `visit` with each line, some of them in two readings.
pub(super) fn for_each(text: &str, mut visit: impl FnMut(Line<'_>)) {
    for_each_line(text, &mut visit);
    // Java's properties, env files and scripts continue a line after a backslash. Elsewhere a backslash may be the end of
    // a path, and the next line has a name of its own.
    if text.contains("\\\n") {
        let mut joined = Zeroizing::new(String::with_capacity(text.len()));
        for piece in text.split("\\\n") {
            let is_first = joined.is_empty();
            joined.push_str(if is_first { piece } else { piece.trim_start() });
        }
        for_each_line(&joined, &mut visit);
    }
}

fn for_each_line(text: &str, visit: &mut impl FnMut(Line<'_>)) {
    let in_list = is_list(text);
    // Lines under `key: |` or `key:` belong to that key: its indent and name.
    let mut parent: Option<(usize, &str)> = None;
    let mut lines = text.lines();
    while let Some(full) = lines.next() {
        let line = full.trim();
        let item = line.strip_prefix("- ").map_or(line, str::trim_start);
        if item.is_empty() || item.starts_with(['#', ';', '!', '[']) {
            continue;
        }
        let indent = full.len() - full.trim_start().len();
        if parent.is_some_and(|(of, _)| indent < of || (indent == of && item.len() == line.len())) {
            parent = None;
        }
        match split(item) {
            Some((name, "" | "|" | "|-" | "|+" | ">" | ">-" | ">+")) => parent = Some((indent, name)),
            // PuTTY's keys: these lines are in every authorized_keys file too.
            Some(("Public-Lines", count)) => {
                if let Some(last) = count.parse::<usize>().ok().and_then(|count| count.checked_sub(1)) {
                    lines.nth(last);
                }
            }
            Some((name, value)) => match terminator(value) {
                Some(end) => {
                    let is_last = |line: &&str| line.trim() == end || (end.len() == 3 && line.ends_with(end));
                    let body = lines.by_ref().take_while(|line| !is_last(line)).map(str::trim);
                    body.for_each(|value| visit(Line::Field { name, value }));
                }
                None => field(name, value, visit),
            },
            None => match parent {
                Some((_, name)) => field(name, item, visit),
                None => visit(Line::Unnamed { text: item, in_list }),
            },
        }
    }
}

/// The last line of a value of several lines: a here-document of HCL, or a string of TOML.
fn terminator(value: &str) -> Option<&str> {
    if matches!(value, "\"\"\"" | "'''") {
        return Some(value);
    }
    let word = value.strip_prefix("<<")?.trim_start_matches(['-', '~']).trim_matches(['"', '\'']);
    (!word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(word)
}

fn field(name: &str, value: &str, visit: &mut impl FnMut(Line<'_>)) {
    let mut visit = |value: &str| visit(Line::Field { name, value });
    if let Some(quoted) = value.strip_prefix('"') {
        let (plain, after) = json::string(quoted);
        visit(&plain);
        // Some readers of env and INI files take a backslash literally.
        let literal = quoted.get(..quoted.len() - after.len()).unwrap_or_default();
        let literal = literal.strip_suffix('"').unwrap_or(literal);
        if *plain != *literal && !literal.contains("-----BEGIN ") {
            visit(literal);
        }
    } else if let Some(quoted) = value.strip_prefix('\'') {
        // YAML writes a quote within quotes as two.
        let end = quoted.rfind('\'').unwrap_or(quoted.len());
        let literal = quoted.get(..end).unwrap_or_default();
        visit(literal);
        if literal.contains("''") {
            visit(&Zeroizing::new(literal.replace("''", "'")));
        }
    } else {
        let value = value.split(" #").next().unwrap_or_default();
        visit(value);
        // Java's properties and unquoted words of a shell.
        if value.contains('\\') {
            visit(&json::string(value).0);
        }
    }
}

/// Whether every line is one word.
fn is_list(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    text.lines().nth(1).is_some()
        && lines.all(|line| !line.contains(char::is_whitespace) && split(line).is_none())
}

/// Name and value, split at the first `=` or `: `; a colon alone may be in a name of an npmrc, or in a URL.
fn split(line: &str) -> Option<(&str, &str)> {
    let equals = line.find('=').map(|at| (at, at + 1));
    let colon = match line.find(": ") {
        Some(at) => Some((at, at + 2)),
        None => line.ends_with(':').then(|| (line.len() - 1, line.len())),
    };
    let (end, start) = match (equals, colon) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b)?,
    };
    let name = line.get(..end)?.split_whitespace().next_back()?;
    // Not a URL with a query, nor base64 with its padding.
    let value = line.get(start..)?.trim();
    if name.contains("://")
        || value.bytes().all(|b| b == b'=') && equals.is_some_and(|(at, _)| at == end) && name.len() >= 8
    {
        return None;
    }
    Some((name.trim_matches(['"', '\'']), value))
}
