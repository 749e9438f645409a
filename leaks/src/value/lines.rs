//! Files of lines: env, INI, properties, npmrc, pypirc, pip.conf, YAML, git-credentials, lists of tokens.

use zeroize::Zeroizing;

use super::{Found, heuristics, json};

impl Found {
    /// Judges what stands behind `=` or `: `, by the name before it; of other lines, those that look like secrets.
    pub(super) fn lines(&mut self, text: &str, depth: usize) {
        let list = is_list(text);
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
                // PuTTY's keys: what follows is in every authorized_keys file too.
                Some(("Public-Lines", count)) => {
                    if let Some(last) = count.parse::<usize>().ok().and_then(|count| count.checked_sub(1)) {
                        lines.nth(last);
                    }
                }
                Some((name, value)) => self.field(name, value, depth),
                None => match parent {
                    Some((_, name)) => self.field(name, item, depth),
                    None => self.bare(item, list, depth),
                },
            }
        }
    }

    fn field(&mut self, name: &str, value: &str, depth: usize) {
        if let Some(quoted) = value.strip_prefix('"') {
            let (plain, after) = json::string(quoted);
            self.judge(name, &plain, depth + 1);
            // A backslash means itself to some readers of env and INI files.
            let literal = quoted.get(..quoted.len() - after.len()).unwrap_or_default();
            let literal = literal.strip_suffix('"').unwrap_or(literal);
            if *plain != *literal && !literal.contains("-----BEGIN ") {
                self.judge(name, literal, depth + 1);
            }
        } else if let Some(quoted) = value.strip_prefix('\'') {
            // YAML doubles a quote to say one.
            let end = quoted.rfind('\'').unwrap_or(quoted.len());
            let literal = quoted.get(..end).unwrap_or_default();
            self.judge(name, literal, depth + 1);
            if literal.contains("''") {
                self.judge(name, &Zeroizing::new(literal.replace("''", "'")), depth + 1);
            }
        } else {
            let plain = value.split(" #").next().unwrap_or_default();
            self.judge(name, plain, depth + 1);
        }
    }

    /// A line without a name.
    fn bare(&mut self, line: &str, list: bool, depth: usize) {
        if self.url(line) || line.contains(char::is_whitespace) {
            return;
        }
        if heuristics::is_token(line) {
            self.judge("", line, depth + 1);
        } else if list && heuristics::is_list_item(line) {
            self.add(line);
        } else if let Some((_, password)) = line.rsplit_once(':')
            && heuristics::is_list_item(password)
        {
            // `user:password`, and PostgreSQL's `host:port:database:user:password`.
            self.add(password);
        }
    }
}

/// Whether every line is one word, so that each may be a secret of its own.
fn is_list(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    text.lines().nth(1).is_some()
        && lines.all(|line| !line.contains(char::is_whitespace) && split(line).is_none())
}

/// Name and value, at the first `=` or `: `. The names of an npmrc hold colons, and URLs do.
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
    // A URL with a query, or base64 with its padding.
    let value = line.get(start..)?.trim();
    if name.contains("://")
        || value.bytes().all(|b| b == b'=') && equals.is_some_and(|(at, _)| at == end) && name.len() >= 8
    {
        return None;
    }
    Some((name.trim_matches(['"', '\'']), value))
}
