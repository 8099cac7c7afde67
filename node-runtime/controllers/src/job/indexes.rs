//! Completion indexes of an Indexed Job: `0-2,5`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use crate::run::Obj;

/// Annotation and label of a pod.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Index of a pod.
pub(super) fn of(pod: &Obj<Pod>) -> Option<i32> {
    pod.meta().annotations.get(INDEX)?.parse().ok()
}

pub(super) fn parse(text: &str) -> BTreeSet<i32> {
    let mut out = BTreeSet::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<i32>(), to.parse::<i32>()) {
            out.extend(from..=to.min(from.saturating_add(100_000)));
        }
    }
    out
}

pub(super) fn format(indexes: &BTreeSet<i32>) -> String {
    let mut ranges: Vec<(i32, i32)> = vec![];
    for i in indexes {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == *i => *to = *i,
            _ => ranges.push((*i, *i)),
        }
    }
    let text = ranges.iter().map(|(from, to)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    });
    text.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for text in ["", "0", "0,1", "0-2", "0-2,5", "1,3-6,8,9"] {
            assert_eq!(format(&parse(text)), text);
        }
    }
}
