//! What servers take for the same.

/// The ASCII character for which some server could take `c`: that of its compatibility decomposition, or of Windows'
/// best-fit tables.
pub(crate) fn looks_like(c: char) -> Option<char> {
    Some(match c {
        '\u{ff01}'..='\u{ff5e}' => return char::from_u32(u32::from(c) - 0xfee0),
        '\u{2024}' | '\u{2025}' | '\u{2026}' | '\u{fe52}' | '\u{fe19}' | '\u{fe30}' | '\u{3002}'
        | '\u{ff61}' => '.',
        '\u{2044}' | '\u{2215}' | '\u{2571}' | '\u{29f8}' | '\u{2100}' | '\u{2101}' | '\u{2105}'
        | '\u{2106}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' | '\u{a5}' | '\u{20a9}' => '\\',
        '\u{37e}' | '\u{fe14}' | '\u{fe54}' => ';',
        '\u{2a74}' | '\u{2236}' | '\u{fe13}' | '\u{fe55}' => ':',
        '\u{2047}' | '\u{2048}' | '\u{2049}' | '\u{203d}' | '\u{fe16}' | '\u{fe56}' => '?',
        '\u{fe5f}' => '#',
        '\u{66a}' | '\u{2030}' | '\u{fe6a}' => '%',
        _ => return None,
    })
}

/// A form of `segment` that is the same for all segments that a server could take for one another: without regard to
/// case, without what follows a `;` or `:`, without final dots and spaces, without a final `.git`.
pub(super) fn fold(segment: &str) -> String {
    // Some servers take a `+` for a space in paths, too.
    let plain: String =
        segment.chars().map(|c| looks_like(c).unwrap_or(c)).map(|c| if c == '+' { ' ' } else { c }).collect();
    let name = plain.split([';', ':']).next().unwrap_or_default();
    // First to upper case: the long s and the Kelvin sign have no lower case of their own.
    let folded = name.to_uppercase().to_lowercase();
    let mut rest = folded.trim();
    loop {
        let shorter = rest.trim_end_matches(['.', ' ']);
        let shorter = shorter.strip_suffix(".git").unwrap_or(shorter);
        if shorter == rest {
            return rest.to_owned();
        }
        rest = shorter;
    }
}
