//! Quoting: of shells (`set -x`, `printf %q`, `export -p`), and by doubling, as in SQL, CSV, YAML and PowerShell.

use super::{Steps, escapes, marks};

/// A quote at `from`: a doubled one, or `'\''` for a single one.
pub(super) fn quotes(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let (Some(&byte), Some(&quote)) = (value.get(at), input.get(from)) else { return };
    if byte != quote {
        return;
    }
    doubled(at, input, from, out);
    if byte == b'\'' {
        let run = escapes::run(input, from + 1);
        let rest = input.get(from + 1 + run..).unwrap_or_default();
        if (1..4).contains(&run) && rest.starts_with(b"''") {
            out.push(at + 1, from + run + 3, marks::SHELL);
        }
        out.more |= rest.len() < 2 && b"''".starts_with(rest);
    }
}

fn doubled(at: usize, input: &[u8], from: usize, out: &mut Steps) {
    match input.get(from + 1) {
        None => out.more = true,
        next if next == input.get(from) => out.push(at + 1, from + 2, marks::SHELL),
        Some(_) => {}
    }
}

/// Doubled characters, and the escapes of PowerShell (`` ` ``) and cmd (`^`).
pub(super) fn specials(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let (Some(&byte), Some(&first)) = (value.get(at), input.get(from)) else { return };
    if byte == first {
        doubled(at, input, from, out);
    }
    let Some(&next) = input.get(from + 1) else {
        out.more = true;
        return;
    };
    if first == b'`' {
        let letter = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0 => b'0',
            _ if byte.is_ascii_punctuation() || byte == b' ' => byte,
            _ => return,
        };
        if next == letter && byte != b'`' {
            out.push(at + 1, from + 2, marks::SHELL);
        }
    }
    if first == b'^' && next == byte && byte.is_ascii_punctuation() && byte != b'^' {
        out.push(at + 1, from + 2, marks::SHELL);
    }
}

/// Where a shell ends one kind of quotes and begins another, it writes two quotes that stand for nothing: `'"`, `"'`,
/// `'$'`, `''`. It does so only beside characters that a kind of quotes cannot hold.
pub(super) fn joins(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let beside = |at: Option<usize>| at.and_then(|at| value.get(at)).copied();
    let (before, byte) = (beside(at.checked_sub(1)), beside(Some(at)));
    let turns = |byte: Option<u8>| byte.is_some_and(|byte| b"'\"\\!$`".contains(&byte));
    let coded = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_control() || !byte.is_ascii());
    let first = quote(input, from, out);
    let Some((kind, second)) = first else { return };
    if (turns(before) || turns(byte))
        && let Some((other, end)) = quote(input, second, out)
        && other != kind
    {
        out.push(at, end, marks::SHELL);
    }
    if kind != b'\'' {
        return;
    }
    let rest = input.get(second..).unwrap_or_default();
    if coded(byte) || byte == Some(b'\'') {
        if rest.starts_with(b"$'") {
            out.push(at, second + 2, marks::SHELL);
        }
        out.more |= rest.len() < 2 && b"$'".starts_with(rest);
    }
    if coded(before) {
        out.more |= rest.is_empty();
        if rest.starts_with(b"'") {
            out.push(at, second + 1, marks::SHELL);
        }
    }
}

/// A quote at `from`, perhaps with backslashes before it (a double quote in a string of JSON): which, and its end.
fn quote(input: &[u8], from: usize, out: &mut Steps) -> Option<(u8, usize)> {
    let run = escapes::run(input, from);
    match input.get(from + run) {
        None => {
            out.more = true;
            None
        }
        Some(b'\'') if run == 0 => Some((b'\'', from + 1)),
        Some(b'"') if run < 4 => Some((b'"', from + run + 1)),
        Some(_) => None,
    }
}
