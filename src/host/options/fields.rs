//! The fields of an option that has several, `id=KEY,src=FILE`.

use crate::usage::UsageError;

/// Fields between commas; a field in double quotes may contain commas, and a doubled quote is one (RFC 4180, as
/// BuildKit reads it).
///
/// # Errors
/// [`UsageError::Option`] without the text: it may be a secret.
pub(crate) fn fields(option: &'static str, text: &str) -> Result<Vec<String>, UsageError> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    if quoted { Err(UsageError::option(option, "unclosed quote")) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_in_quotes_may_contain_commas_and_quotes() {
        let parsed = |text| fields("--option", text).map_err(|error| error.to_string());
        assert_eq!(parsed("a,,b=c").unwrap(), ["a", "", "b=c"]);
        assert_eq!(parsed(r#"a,"cmd=x ""y"", z",b"#).unwrap(), ["a", r#"cmd=x "y", z"#, "b"]);
        assert_eq!(parsed(r#"a"b,c"#).unwrap(), [r#"a"b"#, "c"]);
        assert_eq!(parsed(r#"a,"hunter2"#).unwrap_err(), "invalid --option: unclosed quote");
    }
}
