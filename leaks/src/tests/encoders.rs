//! How tools write a value. Independent of the code that reads it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::Encoding;
use Encoding::{Base64, Hex, Json, Raw, Shell, UrlEncoded, Utf16, Xml};

pub(super) struct Encoder {
    pub(super) name: &'static str,
    pub(super) encode: fn(&str) -> Vec<u8>,
    /// The encodings that may be reported: many values look the same in several.
    pub(super) encodings: &'static [Encoding],
    /// Bytes around the value that may stay beside `***`: they hold other bytes too.
    pub(super) left: usize,
}

const fn text(name: &'static str, encoding: &'static [Encoding], encode: fn(&str) -> Vec<u8>) -> Encoder {
    Encoder { name, encode, encodings: encoding, left: 0 }
}

const fn partly(
    name: &'static str,
    left: usize,
    encoding: &'static [Encoding],
    encode: fn(&str) -> Vec<u8>,
) -> Encoder {
    Encoder { name, encode, encodings: encoding, left }
}

fn each(value: &str, escape: impl Fn(char) -> Option<String>) -> Vec<u8> {
    value.chars().map(|c| escape(c).unwrap_or_else(|| c.to_string())).collect::<String>().into_bytes()
}

fn bytes(value: &str, escape: impl Fn(u8) -> Option<String>) -> Vec<u8> {
    value.bytes().flat_map(|b| escape(b).map_or(vec![b], String::into_bytes)).collect()
}

fn percent(value: &str, unreserved: &str, upper: bool) -> Vec<u8> {
    bytes(value, |b| {
        let is_free = b.is_ascii_alphanumeric() || unreserved.as_bytes().contains(&b);
        (!is_free).then(|| if upper { format!("%{b:02X}") } else { format!("%{b:02x}") })
    })
}

fn units(c: char, upper: bool) -> String {
    let unit = |unit: &u16| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
    c.encode_utf16(&mut [0; 2]).iter().map(unit).collect()
}

fn json(value: &str, more: impl Fn(char) -> Option<String>) -> Vec<u8> {
    each(value, |c| match c {
        _ if more(c).is_some() => more(c),
        '"' | '\\' => Some(format!("\\{c}")),
        '\n' => Some("\\n".to_owned()),
        c if c < ' ' => Some(units(c, false)),
        _ => None,
    })
}

fn string(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn utf16(value: &str, big: bool) -> Vec<u8> {
    let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
    value.encode_utf16().flat_map(unit).collect()
}

fn wrapped(text: &str, columns: usize, line_end: &str) -> Vec<u8> {
    let lines: Vec<&str> =
        text.as_bytes().chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(line_end).into_bytes()
}

fn hex(value: &str, separator: &str) -> String {
    value.bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(separator)
}

/// `units` in lines of at most `columns`, without the `soft` line ends.
fn folded(units: impl Iterator<Item = String>, columns: usize, soft: &str) -> Vec<u8> {
    let (mut all, mut column) = (String::new(), 0);
    for unit in units {
        let is_line_end = unit.ends_with('\n');
        if !is_line_end && column + unit.len() > columns {
            all += soft;
            column = 0;
        }
        column = if is_line_end { 0 } else { column + unit.len() };
        all += &unit;
    }
    all.into_bytes()
}

fn quoted_printable(value: &str, columns: usize, soft: &str, line_end: &str) -> Vec<u8> {
    let unit = |byte| match byte {
        b'\n' => line_end.to_owned(),
        b' '..0x7f if byte != b'=' => char::from(byte).to_string(),
        _ => format!("={byte:02X}"),
    };
    folded(value.bytes().map(unit), columns, soft)
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./,:@=".contains(c)
}

const TEXT: &[Encoding] = &[Raw, UrlEncoded, Json, Shell, Xml];

pub(super) const ENCODERS: &[Encoder] = &[
    text("raw", &[Raw], |v| v.as_bytes().to_vec()),
    text("lines of Windows", &[Raw], |v| v.replace('\n', "\r\n").into_bytes()),
    text("indented", &[Raw], |v| v.replace('\n', "\n        ").into_bytes()),
    text("percent-encoded by RFC 3986", &[Raw, UrlEncoded], |v| percent(v, "-._~", true)),
    text("percent-encoded in lower case", &[Raw, UrlEncoded], |v| percent(v, "-._~", false)),
    text("percent-encoded as by JavaScript", &[Raw, UrlEncoded], |v| percent(v, "-._~!*'()", true)),
    text("percent-encoded but for a few", &[Raw, UrlEncoded], |v| percent(v, "/$&+,;=:@'", true)),
    text("percent-encoded, no punctuation free", &[Raw, UrlEncoded], |v| percent(v, "", true)),
    text("percent-encoded as a form", &[Raw, UrlEncoded], |v| {
        string(percent(v, "-._* ", true)).replace(' ', "+").into_bytes()
    }),
    text("percent-encoded twice", &[Raw, UrlEncoded], |v| {
        percent(&string(percent(v, "-._~", true)), "-._~", true)
    }),
    text("every byte percent-encoded", &[UrlEncoded], |v| bytes(v, |b| Some(format!("%{b:02X}")))),
    text("JSON", &[Raw, Json], |v| json(v, |_| None)),
    text("JSON of Python", &[Raw, Json], |v| json(v, |c| (!c.is_ascii()).then(|| units(c, false)))),
    text("JSON of PHP", TEXT, |v| {
        json(v, |c| if c == '/' { Some("\\/".to_owned()) } else { (!c.is_ascii()).then(|| units(c, false)) })
    }),
    text("JSON of Go", &[Raw, Json], |v| json(v, |c| "<>&".contains(c).then(|| units(c, false)))),
    text("JSON of .NET", &[Raw, Json], |v| {
        json(v, |c| ("<>&'\"+`".contains(c) || !c.is_ascii()).then(|| units(c, true)))
    }),
    text("JSON in JSON", TEXT, |v| json(&string(json(v, |_| None)), |_| None)),
    text("JSON of PHP in JSON of PHP", TEXT, |v| {
        let slash = |c| (c == '/').then(|| "\\/".to_owned());
        json(&string(json(v, slash)), slash)
    }),
    text("JSON of Python in JSON", TEXT, |v| {
        json(&string(json(v, |c| (!c.is_ascii()).then(|| units(c, false)))), |_| None)
    }),
    text("every character as \\u", &[Json], |v| each(v, |c| Some(units(c, false)))),
    text("every byte as \\x", &[Json], |v| bytes(v, |b| Some(format!("\\x{b:02x}")))),
    text("octal", TEXT, |v| {
        bytes(v, |b| (!(b' '..0x7f).contains(&b) || b"'\"\\".contains(&b)).then(|| format!("\\{b:03o}")))
    }),
    text("every byte octal", &[Json], |v| bytes(v, |b| Some(format!("\\{b:03o}")))),
    text("repr of Python", TEXT, |v| {
        bytes(v, |b| match b {
            b'\n' => Some("\\n".to_owned()),
            b'\'' | b'\\' => Some(format!("\\{}", char::from(b))),
            0x80.. => Some(format!("\\x{b:02x}")),
            _ => None,
        })
    }),
    text("ascii() of Python", TEXT, |v| {
        each(v, |c| match u32::from(c) {
            10 => Some("\\n".to_owned()),
            0x80..0x100 => Some(format!("\\x{:02x}", u32::from(c))),
            0x100..0x10000 => Some(format!("\\u{:04x}", u32::from(c))),
            0x10000.. => Some(format!("\\U{:08x}", u32::from(c))),
            _ if c == '\'' || c == '\\' => Some(format!("\\{c}")),
            _ => None,
        })
    }),
    text("escapes of Rust", TEXT, |v| {
        each(v, |c| {
            (!c.is_ascii() || "'\"\\\n".contains(c)).then(|| match c {
                '\n' => "\\n".to_owned(),
                c if c.is_ascii() => format!("\\{c}"),
                c => format!("\\u{{{:x}}}", u32::from(c)),
            })
        })
    }),
    text("XML", &[Raw, Xml], |v| {
        each(v, |c| match c {
            '&' => Some("&amp;".to_owned()),
            '<' => Some("&lt;".to_owned()),
            '>' => Some("&gt;".to_owned()),
            '"' => Some("&quot;".to_owned()),
            '\'' => Some("&apos;".to_owned()),
            _ => None,
        })
    }),
    text("HTML of PHP and Python", &[Raw, Xml], |v| {
        each(v, |c| match c {
            '&' => Some("&amp;".to_owned()),
            '<' => Some("&lt;".to_owned()),
            '>' => Some("&gt;".to_owned()),
            '"' => Some("&#34;".to_owned()),
            '\'' => Some("&#039;".to_owned()),
            _ => None,
        })
    }),
    text("HTML, all punctuation hexadecimal", &[Raw, Xml], |v| {
        each(v, |c| (!c.is_ascii_alphanumeric()).then(|| format!("&#x{:x};", u32::from(c))))
    }),
    text("HTML, all punctuation decimal", &[Raw, Xml], |v| {
        each(v, |c| (!c.is_ascii_alphanumeric()).then(|| format!("&#{};", u32::from(c))))
    }),
    text("XML in XML", &[Raw, Xml], |v| {
        each(v, |c| match c {
            '&' => Some("&amp;amp;".to_owned()),
            '<' => Some("&amp;lt;".to_owned()),
            '"' => Some("&amp;quot;".to_owned()),
            '\'' => Some("&amp;#39;".to_owned()),
            _ => None,
        })
    }),
    text("XML in JSON of Go", TEXT, |v| {
        each(v, |c| match c {
            '&' => Some("\\u0026amp;".to_owned()),
            '<' => Some("\\u0026lt;".to_owned()),
            '>' => Some("\\u0026gt;".to_owned()),
            '\\' => Some("\\\\".to_owned()),
            '\n' => Some("\\n".to_owned()),
            '"' => Some("\\u0026#34;".to_owned()),
            _ => None,
        })
    }),
    text("every character as an entity", &[Xml], |v| each(v, |c| Some(format!("&#{};", u32::from(c))))),
    text("HTML with names of Latin-1", &[Raw, Xml], |v| {
        each(v, |c| match c {
            'ä' => Some("&auml;".to_owned()),
            'ö' => Some("&ouml;".to_owned()),
            'Ü' => Some("&Uuml;".to_owned()),
            'ï' => Some("&iuml;".to_owned()),
            'é' => Some("&eacute;".to_owned()),
            _ => None,
        })
    }),
    text("XML of Java, characters as two", &[Raw, Xml], |v| {
        let half = |unit: &u16| format!("&#x{unit:x};");
        each(v, |c| (c > '\u{ffff}').then(|| c.encode_utf16(&mut [0; 2]).iter().map(half).collect()))
    }),
    text("strings of Perl", TEXT, |v| {
        each(v, |c| match c {
            '\n' => Some("\\n".to_owned()),
            '"' | '\\' | '$' | '@' => Some(format!("\\{c}")),
            c => (!c.is_ascii()).then(|| format!("\\x{{{:x}}}", u32::from(c))),
        })
    }),
    text("YAML, in the next line after each escape", TEXT, |v| {
        let written = each(v, |c| match c {
            '"' | '\\' => Some(format!("\\{c}\\\n    ")),
            '\n' => Some("\\n\\\n    ".to_owned()),
            c => (!c.is_ascii()).then(|| format!("{}\\\n    ", units(c, true))),
        });
        // A blank at the start of a line is protected.
        string(written).replace("\\\n     ", "\\\n    \\ ").into_bytes()
    }),
    text("quoted-printable of mail", &[Raw, UrlEncoded], |v| quoted_printable(v, 75, "=\r\n", "\r\n")),
    text("quoted-printable of Python", &[Raw, UrlEncoded], |v| quoted_printable(v, 75, "=\n", "\n")),
    text("quoted-printable of PHP", &[Raw, UrlEncoded], |v| quoted_printable(v, 73, "=\r\n", "=0A")),
    text("quoted-printable in short lines", &[Raw, UrlEncoded], |v| quoted_printable(v, 11, "=\n", "\n")),
    text("a string that goes on in the next line", TEXT, |v| {
        folded(v.chars().map(|c| string(json(&c.to_string(), |_| None))), 29, "\\\n")
    }),
    text("single quotes of bash", &[Raw, Shell], |v| v.replace('\'', "'\\''").into_bytes()),
    text("single quotes of busybox", &[Raw, Shell], |v| v.replace('\'', "'\"'\"'").into_bytes()),
    text("single quotes of dash", &[Raw, Shell], |v| {
        v.replace("''", "\0").replace('\'', "'\"'\"'").replace('\0', "'\"''\"'").into_bytes()
    }),
    text("double quotes of a shell", TEXT, |v| each(v, |c| "\"\\$`".contains(c).then(|| format!("\\{c}")))),
    text("printf %q of bash", TEXT, |v| {
        each(v, |c| match c {
            '\n' => None,
            c if is_safe(c) || !c.is_ascii() => None,
            c => Some(format!("\\{c}")),
        })
    }),
    text("$'…' of bash", TEXT, |v| {
        bytes(v, |b| match b {
            b'\n' => Some("\\n".to_owned()),
            b'\'' | b'\\' => Some(format!("\\{}", char::from(b))),
            0x80.. => Some(format!("\\{b:03o}")),
            _ => None,
        })
    }),
    text("quotes of zsh", TEXT, |v| {
        each(v, |c| match c {
            '\'' => Some("'\\''".to_owned()),
            '\n' => Some("'$'\\n''".to_owned()),
            _ => None,
        })
    }),
    text("single quotes of bash in JSON", TEXT, |v| json(&v.replace('\'', "'\\''"), |_| None)),
    text("JSON in single quotes of bash", TEXT, |v| {
        string(json(v, |_| None)).replace('\'', "'\\''").into_bytes()
    }),
    text("JSON in double quotes of a shell", TEXT, |v| {
        each(&string(json(v, |_| None)), |c| "\"\\$`".contains(c).then(|| format!("\\{c}")))
    }),
    text("doubled single quotes", &[Raw, Shell], |v| v.replace('\'', "''").into_bytes()),
    text("doubled double quotes", &[Raw, Shell], |v| v.replace('"', "\"\"").into_bytes()),
    text("double quotes of PowerShell", &[Raw, Shell], |v| {
        each(v, |c| "\"$`".contains(c).then(|| format!("`{c}")))
    }),
    text("UTF-16, little-endian", &[Utf16], |v| utf16(v, false)),
    text("UTF-16, big-endian", &[Utf16], |v| utf16(v, true)),
    text("UTF-16 with lines of Windows", &[Utf16], |v| utf16(&v.replace('\n', "\r\n"), false)),
    text("base64", &[Base64], |v| STANDARD.encode(v).into_bytes()),
    text("base64 without padding", &[Base64], |v| STANDARD_NO_PAD.encode(v).into_bytes()),
    text("base64 for URLs", &[Base64], |v| URL_SAFE_NO_PAD.encode(v).into_bytes()),
    text("base64 of a file", &[Base64], |v| wrapped(&STANDARD.encode(format!("{v}\n")), 76, "\n")),
    text("base64 of a file of Windows", &[Base64], |v| STANDARD.encode(format!("{v}\r\n")).into_bytes()),
    text("base64 in lines of 64", &[Base64], |v| wrapped(&STANDARD.encode(v), 64, "\n")),
    text("base64 in lines of Windows", &[Base64], |v| wrapped(&STANDARD.encode(v), 64, "\r\n")),
    text("base64 in lines of 5", &[Base64], |v| wrapped(&STANDARD.encode(v), 5, "\n")),
    text("base64 in lines of 7, indented", &[Base64], |v| wrapped(&STANDARD.encode(v), 7, "\n      ")),
    text("base64 in lines of 20, indented", &[Base64], |v| wrapped(&STANDARD.encode(v), 20, "\n\t")),
    text("base64 in lines in JSON", &[Base64], |v| wrapped(&STANDARD.encode(v), 9, "\\n")),
    text("base64 in lines of Windows in JSON", &[Base64], |v| wrapped(&STANDARD.encode(v), 11, "\\r\\n")),
    text("base64 in JSON of PHP", &[Base64], |v| STANDARD.encode(v).replace('/', "\\/").into_bytes()),
    text("base64 in JSON of .NET", &[Base64], |v| STANDARD.encode(v).replace('+', "\\u002B").into_bytes()),
    text("base64 in a URL", &[Base64], |v| percent(&STANDARD.encode(v), "-._~", true)),
    partly("base64 after one byte", 12, &[Base64], |v| STANDARD.encode(format!("u{v}")).into_bytes()),
    partly("base64 after two bytes, wrapped", 24, &[Base64], |v| {
        wrapped(&STANDARD.encode(format!("u:{v} more")), 13, "\n")
    }),
    partly("base64 within a file", 40, &[Base64], |v| {
        wrapped(&STANDARD.encode(format!("user = me\n{v}\nmore")), 76, "\n")
    }),
    text("base64 of UTF-16", &[Base64], |v| STANDARD.encode(utf16(v, false)).into_bytes()),
    text("hexadecimal", &[Hex], |v| hex(v, "").into_bytes()),
    text("hexadecimal, upper case", &[Hex], |v| hex(v, "").to_uppercase().into_bytes()),
    text("hexadecimal with colons", &[Hex], |v| hex(v, ":").into_bytes()),
    text("hexadecimal with blanks", &[Hex], |v| hex(v, " ").into_bytes()),
    text("hexadecimal of .NET", &[Hex], |v| hex(v, "-").to_uppercase().into_bytes()),
    partly("hexadecimal of C", 2, &[Hex], |v| format!("0x{}", hex(v, ", 0x")).into_bytes()),
    partly("hexadecimal of xxd -i", 2, &[Hex], |v| {
        let all: Vec<String> = v.bytes().map(|b| format!("0x{b:02x}")).collect();
        all.chunks(12).map(|line| line.join(", ")).collect::<Vec<_>>().join(",\n  ").into_bytes()
    }),
    text("hexadecimal of xxd -p", &[Hex], |v| wrapped(&hex(v, ""), 60, "\n")),
    text("hexadecimal in short lines", &[Hex], |v| wrapped(&hex(v, ""), 10, "\n")),
    text("hexadecimal of od", &[Hex], |v| {
        let all: Vec<String> = v.bytes().map(|b| format!("{b:02x}")).collect();
        all.chunks(16).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n ").into_bytes()
    }),
    partly("hexadecimal of xxd", 40, &[Hex], |v| columns(v, true)),
    partly("hexadecimal of hexdump -C", 40, &[Hex], |v| columns(v, false)),
];

/// As `xxd` and `hexdump -C` print it.
fn columns(value: &str, xxd: bool) -> Vec<u8> {
    let mut all = String::new();
    for (number, line) in value.as_bytes().chunks(16).enumerate() {
        let text: String =
            line.iter().map(|b| if (b' '..0x7f).contains(b) { char::from(*b) } else { '.' }).collect();
        if xxd {
            let groups: Vec<String> =
                line.chunks(2).map(|two| two.iter().map(|b| format!("{b:02x}")).collect()).collect();
            all += &format!("{:08x}: {:<39}  {text}\n", number * 16, groups.join(" "));
        } else {
            let halves: Vec<String> = line
                .chunks(8)
                .map(|half| half.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "))
                .collect();
            all += &format!("{:08x}  {:<48}  |{text}|\n", number * 16, halves.join("  "));
        }
    }
    all.into_bytes()
}
