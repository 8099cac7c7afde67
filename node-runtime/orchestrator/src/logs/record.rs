//! The line format of log files: `TIME STREAM F|P TEXT`. Pure.

/// Longer lines are written in parts.
pub(super) const TEXT_BYTES_MAX: usize = 16 << 10;
/// No record has a longer head than this: time, stream, tag, spaces.
pub(super) const HEAD_BYTES_MAX: usize = 64;

/// An output of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line of a log file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) time: &'a str,
    pub(super) stream: Stream,
    /// Ends a line of the app?
    pub(super) full: bool,
    pub(super) text: &'a [u8],
}

/// Read one line of a log file, without its line feed.
pub(super) fn parse(line: &[u8]) -> Option<Record<'_>> {
    let mut fields = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let stream = match fields.next()? {
        b"stdout" => Stream::Out,
        b"stderr" => Stream::Err,
        _ => return None,
    };
    let full = match fields.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Record { time, stream, full, text: fields.next().unwrap_or_default() })
}

/// Write what an app wrote as records. A line whose end is not there yet
/// becomes a part; its end comes with what is written next.
pub(super) fn records(time: &str, stream: Stream, data: &[u8], mut out: impl FnMut(&[&[u8]])) {
    let stream: &[u8] = if stream == Stream::Out { b" stdout " } else { b" stderr " };
    let mut put = |tag: &[u8], text: &[u8]| out(&[time.as_bytes(), stream, tag, text, b"\n"]);
    for piece in data.split_inclusive(|b| *b == b'\n') {
        let (mut text, tag): (&[u8], &[u8]) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, b"F "),
            None => (piece, b"P "),
        };
        while text.len() > TEXT_BYTES_MAX {
            let (part, rest) = text.split_at(TEXT_BYTES_MAX);
            put(b"P ", part);
            text = rest;
        }
        put(tag, text);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn written(portions: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![];
        for p in portions {
            records("2026-01-01T00:00:00Z", Stream::Err, p, |r| r.iter().for_each(|b| file.extend_from_slice(b)));
        }
        file
    }

    #[test]
    fn lines_in_any_portions() {
        let portions = ["a", "b\nc\n\nd", "\ne"].map(|p| p.as_bytes().to_vec());
        let text = String::from_utf8(written(&portions)).unwrap();
        let got: Vec<&str> = text.lines().map(|l| l.split_once("stderr ").unwrap().1).collect();
        assert_eq!(got, ["P a", "F b", "F c", "F ", "P d", "F ", "P e"]);
    }

    #[test]
    fn a_line_that_is_none_of_ours_is_not_read() {
        for line in ["", "x", "t stdout", "t stdin F x", "t stdout X x"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        assert!(parse(b"t stdout F").is_some_and(|r| r.text.is_empty()));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(portions in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab \n".to_vec()), 0..50), 0..20)) {
            let file = written(&portions);
            let mut back = vec![];
            for r in file.split(|b| *b == b'\n').filter_map(parse) {
                back.extend_from_slice(r.text);
                back.extend_from_slice(if r.full { b"\n" } else { b"" });
            }
            prop_assert_eq!(back, portions.concat());
        }
    }

    #[test]
    fn long_lines_come_in_parts() {
        let file = written(&[vec![b'x'; 40_000]]);
        let sizes: Vec<usize> = file.split(|b| *b == b'\n').filter_map(parse).map(|r| r.text.len()).collect();
        assert_eq!(sizes, [TEXT_BYTES_MAX, TEXT_BYTES_MAX, 40_000 - 2 * TEXT_BYTES_MAX]);
    }
}
