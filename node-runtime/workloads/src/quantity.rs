//! Kubernetes resource quantities (`250m`, `64Mi`).
//!
//! Source: Kubernetes API conventions, `resource.Quantity`: decimal number,
//! then a decimal suffix (n u m k M G T P E), a binary one (Ki … Ei) or an
//! exponent (`1e3`).

/// Value in thousandths, rounded up as Kubernetes does; `None`: no quantity, or
/// negative, or too large.
pub fn millis(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (factor_num, factor_den) = factor(suffix)?;
    let (whole, fraction) = number.strip_prefix('+').unwrap_or(number).split_once('.').unwrap_or((number, ""));
    let whole = whole.strip_prefix('+').unwrap_or(whole);
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 12 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let num = digits.checked_mul(factor_num)?.checked_mul(1000)?;
    let den = scale.checked_mul(factor_den)?;
    u64::try_from(num.div_ceil(den)).ok()
}

/// Value in whole units (bytes), rounded up.
pub fn units(text: &str) -> Option<u64> {
    millis(text).map(|m| m.div_ceil(1000))
}

fn factor(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        e => {
            let exp: i32 = e.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10u128.checked_pow(exp.unsigned_abs().min(30))?;
            if exp >= 0 { (power, 1) } else { (1, power) }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quantities() {
        for (text, want) in [
            ("1", 1000),
            ("250m", 250),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("+2", 2000),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1e3", 1_000_000),
            ("1E-3", 1),
            ("1n", 1),
            ("0", 0),
        ] {
            assert_eq!(millis(text), Some(want), "{text}");
        }
        assert_eq!(units("64Mi"), Some(64 << 20));
        assert_eq!(units("100M"), Some(100_000_000));
        for bad in ["", "m", "-1", "1x", "1 Mi", "1.2.3", "99999999999E", "1mi", "0x10"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }
}
