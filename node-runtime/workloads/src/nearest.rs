//! "Did you mean": the nearest of a few names.

/// The name with the smallest edit distance, if it is small.
pub(crate) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Field names are short; a long word is no typing mistake.
    if word.len() > 64 {
        return None;
    }
    names
        .map(|n| (distance(&word.to_ascii_lowercase(), &n.to_ascii_lowercase()), n))
        .filter(|(d, n)| *d <= 2 && *d < n.len())
        .min()
        .map(|(_, n)| n)
}

/// Levenshtein distance over bytes; field names are ASCII and short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let next = (diagonal + usize::from(ca != cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_only() {
        let names = ["replicas", "selector", "template"];
        for (word, want) in [("replicsa", Some("replicas")), ("Selector", Some("selector")), ("nonsense", None)] {
            assert_eq!(nearest(word, names.into_iter()), want, "{word}");
        }
    }
}
