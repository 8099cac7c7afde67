//! What clients get of logs: last lines, times, renamed files, following.

#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, Mutex},
};

use super::*;
use crate::logs::write::LogFile;

fn log_of(lines: impl IntoIterator<Item = (u64, &'static str, String)>) -> String {
    let mut text = String::new();
    for (second, head, line) in lines {
        let time = Timestamp::from_second(1_700_000_000 + second as i64).unwrap();
        writeln!(text, "{time} {head} {line}").unwrap();
    }
    text
}

/// Numbers in two files, `0..split` in the renamed one.
fn numbers(dir: &Path, split: u64, all: u64) {
    let part = |range: std::ops::Range<u64>| log_of(range.map(|i| (i, "stdout F", format!("line {i}"))));
    fs::write(dir.join("3.log.1"), part(0..split)).unwrap();
    fs::write(dir.join("3.log"), part(split..all)).unwrap();
}

async fn all(mut pieces: mpsc::Receiver<Vec<u8>>) -> String {
    let mut text = vec![];
    while let Some(piece) = pieces.recv().await {
        assert!(piece.len() <= PIECE_BYTES + LINE_BYTES_MAX + TEXT_BYTES_MAX);
        text.extend(piece);
    }
    String::from_utf8(text).unwrap()
}

async fn ask(dir: &Path, request: Request) -> String {
    all(read(dir, &request, |_| None).unwrap()).await
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|i| format!("line {i}\n")).collect()
}

#[tokio::test]
async fn the_last_lines_across_files_and_blocks() {
    let d = tempfile::tempdir().unwrap();
    for (split, count) in [(0, 5), (2, 5), (5, 5), (9_000, 20_000)] {
        numbers(d.path(), split, count);
        for tail in [0, 1, 2, 3, 4, 5, 6, 1400, 5000, 11_000, 11_001, 19_999, 30_000] {
            let got = ask(d.path(), Request { tail_lines: Some(tail), ..Request::default() }).await;
            assert!(got == lines(count.saturating_sub(tail)..count), "{split} {count} {tail}: {:.80}", got);
        }
        assert!(ask(d.path(), Request::default()).await == lines(0..count), "{split} {count}");
    }
}

#[tokio::test]
async fn parts_are_one_line() {
    let d = tempfile::tempdir().unwrap();
    let long = "x".repeat(TEXT_BYTES_MAX);
    let text = log_of([
        (0, "stdout F", "first".into()),
        (1, "stdout P", long.clone()),
        (2, "stderr F", "between".into()),
        (3, "stdout F", "end".into()),
        (4, "stdout P", "open".into()),
    ]);
    fs::write(d.path().join("0.log"), text).unwrap();
    let want = format!("first\nbetween\n{long}end\nopen");
    assert_eq!(ask(d.path(), Request::default()).await, want);
    let got = ask(d.path(), Request { tail_lines: Some(1), timestamps: true, ..Request::default() }).await;
    assert_eq!(got, "2023-11-14T22:13:24Z open");
    let got = ask(d.path(), Request { tail_lines: Some(3), ..Request::default() }).await;
    assert_eq!(got, format!("between\n{long}end\nopen"));
}

#[tokio::test]
async fn by_time_and_size() {
    let d = tempfile::tempdir().unwrap();
    numbers(d.path(), 50, 100);
    let since = Some(Timestamp::from_second(1_700_000_000 + 97).unwrap());
    assert_eq!(ask(d.path(), Request { since, ..Request::default() }).await, lines(97..100));
    let got = ask(d.path(), Request { since, tail_lines: Some(2), ..Request::default() }).await;
    assert_eq!(got, lines(98..100), "the last lines, of those the late ones");
    let got = ask(d.path(), Request { limit_bytes: Some(10), ..Request::default() }).await;
    assert_eq!(got, "line 0\nlin");
    let got = ask(d.path(), Request { timestamps: true, limit_bytes: Some(28), ..Request::default() }).await;
    assert_eq!(got, "2023-11-14T22:13:20Z line 0\n");
}

#[tokio::test]
async fn runs() {
    let d = tempfile::tempdir().unwrap();
    for run in ["4", "10"] {
        fs::write(d.path().join(format!("{run}.log")), format!("t stdout F run {run}\n")).unwrap();
    }
    for (run, previous, want) in [
        (None, false, Some("run 10\n")),
        (None, true, None),
        (Some(4), false, Some("run 4\n")),
        (Some(5), true, Some("run 4\n")),
        (Some(0), true, None),
        (Some(7), false, None),
    ] {
        let request = Request { run, previous, ..Request::default() };
        match read(d.path(), &request, |_| None) {
            Ok(pieces) => assert_eq!(Some(all(pieces).await.as_str()), want, "{request:?}"),
            Err(ReadError::NotFound(_)) => assert_eq!(want, None, "{request:?}"),
            Err(e) => panic!("{e}"),
        }
    }
    assert!(read(&d.path().join("none"), &Request::default(), |_| None).is_err());
}

#[tokio::test]
async fn what_is_no_record_is_left_out() {
    let d = tempfile::tempdir().unwrap();
    fs::write(d.path().join("0.log"), "garbage\n\0\0\nt stdout F a\nt stdout F cut").unwrap();
    assert_eq!(ask(d.path(), Request::default()).await, "a\n");
    fs::write(d.path().join("0.log"), vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(ask(d.path(), Request { tail_lines: Some(3), ..Request::default() }).await, "");
}

/// Written at full speed and renamed again and again, read slowly or not: what
/// is still there comes once and in order, and the end is seen.
#[tokio::test]
async fn follows_renames_until_the_run_ends() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("0.log");
    let (sender, progress) = watch::channel(());
    let log = Arc::new(Mutex::new(LogFile::open(&path).unwrap()));
    let request = Request { follow: true, ..Request::default() };
    let mut pieces = read(d.path(), &request, |file| (file == path).then_some(progress)).unwrap();
    let writer = tokio::spawn(async move {
        for i in 0..20_000 {
            log.lock().unwrap().append("t", Stream::Out, format!("line {i}\n").as_bytes(), 50_000);
            sender.send_replace(());
            if i % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut text = vec![];
    while let Some(piece) = pieces.recv().await {
        text.extend(piece);
    }
    writer.await.unwrap();
    assert!(String::from_utf8(text).unwrap() == lines(0..20_000), "every line once");
}

#[tokio::test]
async fn follow_ends_with_whoever_reads() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("0.log");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"t stdout F a\n").unwrap();
    let (sender, progress) = watch::channel(());
    let request = Request { follow: true, ..Request::default() };
    let mut pieces = read(d.path(), &request, |_| Some(progress)).unwrap();
    assert_eq!(pieces.recv().await.unwrap(), b"a\n");
    drop(pieces);
    sender.closed().await;
}
