#!/usr/bin/env python3
"""Prints proto/src/escape/table.rs: python3 proto/src/escape/make_table.py > proto/src/escape/table.rs

General categories come from the package unicodedata2 (`pip install unicodedata2`), whose version is that of Unicode.
"""

import unicodedata2 as unicode

# Controls, format characters, private use, unassigned (noncharacters too), line and paragraph separators, spaces.
# Surrogates (Cs) are no characters of UTF-8.
ESCAPED = {"Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"}

# What Default_Ignorable_Code_Point (DerivedCoreProperties.txt of Unicode 17.0.0) has beside those categories.
IGNORABLE = [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0]
IGNORABLE += [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]

# Drawn as nothing although they are letters or symbols: the empty braille pattern, OBJECT REPLACEMENT CHARACTER, two
# blank hieroglyphs, KHITAN SMALL SCRIPT FILLER, MUSICAL SYMBOL NULL NOTEHEAD.
BLANK = [0x2800, 0xFFFC, 0x13441, 0x13442, 0x16FE4, 0x1D159]

# Drawn over or under the character before them.
MARKS = {"Mn", "Me"}


def is_escaped(code):
    return code != 0x20 and (
        unicode.category(chr(code)) in ESCAPED or code in IGNORABLE or code in BLANK
    )


def ranges(includes):
    found = []
    for code in (code for code in range(0x110000) if not 0xD800 <= code < 0xE000):
        if not includes(code):
            continue
        # The surrogates in between are no `char`s: a range may span them.
        if found and (found[-1][1] + 1 == code or (found[-1][1], code) == (0xD7FF, 0xE000)):
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def table(name, comment, includes):
    print(f"\n/// {comment}\n#[rustfmt::skip]\npub(super) const {name}: &[(char, char)] = &[")
    line = "   "
    for first, last in ranges(includes):
        entry = f" ('\\u{{{first:x}}}', '\\u{{{last:x}}}'),"
        if len(line) + len(entry) > 110:
            print(line)
            line = "   "
        line += entry
    print(f"{line}\n];")


print(f"//! Made by make_table.py from Unicode {unicode.unidata_version}. Ranges are inclusive, and in ascending order.")
table("ESCAPED", "Characters that draw nothing, or move or reorder what is around them.", is_escaped)
table(
    "MARKS",
    "Characters that are drawn over or under the one before, without those in [`ESCAPED`].",
    lambda code: unicode.category(chr(code)) in MARKS and not is_escaped(code),
)
