//! What a label key and a label value may look like (apimachinery
//! `IsQualifiedName`, `IsValidLabelValue`).

const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                    alphanumeric character";

/// Checks a label key: `[prefix/]name`.
///
/// # Errors
/// What a key must look like.
pub fn check_label_key(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, name)) => {
            check_prefix(prefix)?;
            name
        }
    };
    match name {
        "" => Err("name part must be non-empty".into()),
        name if name.len() > 63 => Err("name part must be no more than 63 bytes".into()),
        name if !name_like(name) => Err(format!("name part {NAME} (e.g. 'my.name' or '123-abc')")),
        _ => Ok(()),
    }
}

/// Checks a label value: empty or like a name.
///
/// # Errors
/// What a value must look like.
pub fn check_label_value(value: &str) -> Result<(), String> {
    match value {
        "" => Ok(()),
        value if value.len() > 63 => Err("must be no more than 63 bytes".into()),
        value if !name_like(value) => Err(format!("a valid label must be an empty string or {}", &NAME[5..])),
        _ => Ok(()),
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if prefix.is_empty() {
        return Err("prefix part must be non-empty".into());
    }
    let label = |part: &str| {
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        !part.is_empty() && part.as_bytes().iter().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    if prefix.len() > 253 || !prefix.split('.').all(label) {
        return Err("prefix part must be a lowercase DNS subdomain (e.g. 'example.com')".into());
    }
    Ok(())
}

fn name_like(text: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.iter().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_and_values() {
        for key in ["a", "a.b-c_D9", "example.com/name", "app.kubernetes.io/name"] {
            assert_eq!(check_label_key(key), Ok(()), "{key}");
        }
        let long = "a".repeat(64);
        for key in ["", "/a", "a/", "a/b/c", "-a", "a-", "a b", "EXAMPLE.com/a", "x..y/a", &long] {
            assert!(check_label_key(key).is_err(), "{key:?}");
        }
        for value in ["", "a", "1.2.3", "A_b"] {
            assert_eq!(check_label_value(value), Ok(()), "{value}");
        }
        for value in ["-", "a b", ".a", "ä", &long] {
            assert!(check_label_value(value).is_err(), "{value:?}");
        }
        assert!(check_label_value("-").unwrap_err().starts_with("a valid label must be an empty string or consist of"));
    }
}
