//! Values of options that are keys of the project file too.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use bridge_host::{AllowFrom, AuditTarget, Listen, MIN_MEMORY};

use crate::usage::UsageError;

/// `300` (seconds), `5m`, `1h30m`; 0 for no limit.
pub(crate) fn timeout(value: &str) -> Result<Option<Duration>, UsageError> {
    let duration = match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(value).ok(),
    };
    match duration {
        Some(duration) if duration.is_zero() => Ok(None),
        // Beyond what a conf's expiry or a clock can say.
        Some(duration) if duration > Duration::from_secs(10 * 365 * 86_400) => {
            Err(UsageError::option("--timeout", "at most ten years"))
        }
        Some(duration) => Ok(Some(duration)),
        None => Err(UsageError::option("--timeout", "must be a number of seconds, or like 5m, 1h, 1h30m")),
    }
}

/// `:9100`, `:9100-9199`, `127.0.0.1:0`, `[::1]:9100`, or an address alone.
pub(crate) fn listen(value: Option<&str>) -> Result<Listen, UsageError> {
    let wrong = || {
        UsageError::option(
            "--listen",
            "must be [ADDRESS]:PORT or [ADDRESS]:FIRST-LAST, with IPv6 in brackets",
        )
    };
    let Some(value) = value else { return Ok(Listen { address: None, ports: 0..=0 }) };
    if let Ok(address) = value.parse() {
        return Ok(Listen { address: Some(address), ports: 0..=0 });
    }
    let (address, ports) = value.rsplit_once(':').ok_or_else(wrong)?;
    let address = match address.trim_start_matches('[').trim_end_matches(']') {
        "" | "*" => None,
        "localhost" => Some([127, 0, 0, 1].into()),
        address => Some(address.parse().map_err(|_| wrong())?),
    };
    Ok(Listen { address, ports: port_range(ports).ok_or_else(wrong)? })
}

/// A number of sessions, at least 1.
pub(crate) fn max_sessions(value: &str) -> Result<u32, UsageError> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| UsageError::option("--max-sessions", "must be a number, at least 1"))
}

/// A number of sessions at once, at least 1.
pub(crate) fn max_concurrent(value: &str) -> Result<u32, UsageError> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| UsageError::option("--max-concurrent", "must be a number, at least 1"))
}

/// A number of bytes, or of KiB, MiB or GiB (`256M`), at least [`MIN_MEMORY`].
pub(crate) fn max_memory(value: &str) -> Result<u64, UsageError> {
    let wrong = |reason| UsageError::option("--max-memory", reason);
    let (number, unit) = match value.as_bytes().last() {
        Some(b'K') => (value.strip_suffix('K'), 1 << 10),
        Some(b'M') => (value.strip_suffix('M'), 1 << 20),
        Some(b'G') => (value.strip_suffix('G'), 1 << 30),
        _ => (Some(value), 1),
    };
    let bytes = number.and_then(|number| number.parse::<u64>().ok()?.checked_mul(unit));
    match bytes {
        Some(bytes) if bytes >= MIN_MEMORY => Ok(bytes),
        Some(_) => Err(wrong("must be at least 8M")),
        None => Err(wrong("must be a number of bytes, or like 256M or 1G")),
    }
}

/// A file, `fifo:` and a FIFO, or `-` for standard error.
pub(crate) fn audit(value: &Path) -> AuditTarget {
    let text = value.to_str().unwrap_or_default();
    match text.strip_prefix("fifo:") {
        Some(fifo) => AuditTarget::Fifo(fifo.into()),
        None if text == "-" => AuditTarget::Stderr,
        None => AuditTarget::File(value.to_owned()),
    }
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.parse().ok()?..=last.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// `CIDR,CIDR,…` or addresses; `all` for every peer.
pub(crate) fn allow_from(values: &[String]) -> Result<AllowFrom, UsageError> {
    if values.is_empty() {
        return Ok(AllowFrom::Near);
    }
    let mut ranges = Vec::new();
    for value in values.iter().flat_map(|value| value.split(',')).map(str::trim) {
        if value == "all" {
            ranges.extend(["0.0.0.0/0", "::/0"].iter().filter_map(|all| all.parse::<ipnet::IpNet>().ok()));
        } else if let Ok(range) = value.parse() {
            ranges.push(range);
        } else if let Ok(address) = value.parse::<std::net::IpAddr>() {
            ranges.push(address.into());
        } else {
            return Err(UsageError::option(
                "--allow-from",
                "must be a list such as 172.16.0.0/12,fd00::/8, or all",
            ));
        }
    }
    Ok(AllowFrom::Ranges(ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_is_seconds_or_has_units() {
        for (text, seconds) in [("300", 300), ("5m", 300), ("1h", 3600), ("1h30m", 5400)] {
            assert_eq!(timeout(text).ok().flatten(), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert!(matches!(timeout("0"), Ok(None)));
        for text in ["", "-1", "5 minuets", "1000000000000h"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_a_number_of_bytes_or_has_a_unit() {
        for (text, bytes) in [("256M", 256 << 20), ("1G", 1 << 30), ("8192K", 8 << 20), ("8388608", 8 << 20)]
        {
            assert_eq!(max_memory(text).ok(), Some(bytes), "{text}");
        }
        for text in ["", "M", "7M", "0", "-1M", "1.5G", "256m", "256 M", "256MB", "99999999999G"] {
            assert!(max_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listen_accepts_addresses_ports_and_ranges() {
        let parsed = |text| listen(Some(text)).map(|listen| listen.to_string()).ok();
        assert_eq!(parsed(":9100-9199").as_deref(), Some("*:9100-9199"));
        assert_eq!(parsed("127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(parsed("[::1]:9100").as_deref(), Some("[::1]:9100"));
        assert_eq!(parsed("10.0.0.1").as_deref(), Some("10.0.0.1:0"));
        for wrong in ["9100", "x:1", ":9199-9100", ":70000", ":"] {
            assert!(parsed(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn ranges_addresses_and_all_may_be_mixed() {
        let from = allow_from(&["10.0.0.0/8,192.0.2.7".to_owned()]).unwrap();
        let admits = |peer: [u8; 4]| from.admits(peer.into(), &[]);
        assert!(admits([10, 1, 2, 3]) && admits([192, 0, 2, 7]) && !admits([127, 0, 0, 1]));
        assert!(allow_from(&["everyone".to_owned()]).is_err());
    }
}
