//! Against a real HTTP server on loopback that misbehaves on purpose.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use skerry_formats::Sha256Digest;
use skerry_plan::lock::Archive;

use super::*;

/// What the server does with one request for a file.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Behave {
    /// Sends what was asked for, ranges too.
    Well,
    /// Ignores ranges.
    NoRanges,
    /// Claims the whole length and drops the connection after so many bytes.
    DropAfter(usize),
    /// Sends so many bytes and says that this is all.
    CutTo(usize),
    /// Sends the right number of wrong bytes.
    WrongBytes,
    /// Sends one byte too many.
    OneTooMany,
    /// Answers with this status.
    Status(u16),
    /// Answers a range with another range.
    OtherRange,
    /// Takes the request and says nothing.
    Silence,
}

/// Plain sockets instead of a framework: frameworks do not let go of a
/// connection in the middle of a body.
struct Server {
    url: String,
    /// `path [range]` of every request.
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Files {
    content: HashMap<String, Vec<u8>>,
    /// Behaviours by path; each request takes the next, the last stays.
    behave: HashMap<String, Vec<Behave>>,
}

impl Server {
    fn start(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/debian", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped, files) = (requests.clone(), stop.clone(), Arc::new(Mutex::new(files)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (log, files) = (log.clone(), files.clone());
                std::thread::spawn(move || {
                    let _ = answer(stream, &log, &files);
                });
            }
        });
        Self { url, requests, stop }
    }

    fn mirrors(&self) -> Mirrors {
        Mirrors::at(&self.url, &self.url)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://").split('/').next().unwrap());
    }
}

fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>, files: &Mutex<Files>) -> std::io::Result<()> {
    let mut head = Vec::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let path =
        head.first().and_then(|l| l.split(' ').nth(1)).unwrap_or("").trim_start_matches("/debian/").replace("%2b", "+");
    let range = head.iter().find_map(|l| l.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_string));
    log.lock().unwrap().push(format!("{path} {}", range.clone().unwrap_or_default()).trim().to_string());
    let (content, behave) = {
        let mut files = files.lock().unwrap();
        let behave = files.behave.entry(path.clone()).or_insert_with(|| vec![Behave::Well]);
        let behave = if behave.len() > 1 { behave.remove(0) } else { behave[0] };
        (files.content.get(&path).cloned(), behave)
    };
    let Some(mut content) = content else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let start: usize =
        range.and_then(|r| r.trim_end_matches('-').parse().ok()).filter(|_| behave != Behave::NoRanges).unwrap_or(0);
    let total = content.len();
    let mut respond = |status: u16, start: usize, body: &[u8], length: usize| {
        let range = if status == 206 {
            format!("Content-Range: bytes {start}-{}/{total}\r\n", total - 1)
        } else {
            String::new()
        };
        write!(stream, "HTTP/1.1 {status} X\r\n{range}Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
        stream.write_all(body)?;
        stream.flush()
    };
    let ok = if start > 0 { 206 } else { 200 };
    match behave {
        Behave::Well | Behave::NoRanges => respond(ok, start, &content[start..], total - start),
        Behave::DropAfter(n) => respond(ok, start, &content[start..(start + n).min(total)], total - start),
        Behave::CutTo(n) => respond(200, 0, &content[..n], n),
        Behave::WrongBytes => {
            content.iter_mut().for_each(|b| *b ^= 1);
            respond(ok, start, &content[start..], total - start)
        }
        Behave::OneTooMany => {
            content.push(0);
            respond(200, 0, &content, total + 1)
        }
        Behave::Status(status) => respond(status, 0, b"", 0),
        Behave::OtherRange => respond(206, 0, &content, total),
        Behave::Silence => {
            std::thread::sleep(Duration::from_secs(3));
            Ok(())
        }
    }
}

fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(300_000).enumerate().map(|(i, b)| b ^ (i / 7) as u8).collect()
}

fn package(name: &str) -> LockedPackage {
    let content = content(name);
    LockedPackage {
        name: name.into(),
        version: "1.0+b1".into(),
        arch: "amd64".into(),
        source: format!("{name}=1.0"),
        size: content.len() as u64,
        sha256: Sha256Digest::of(&content),
        path: path(name),
        suite: "trixie".into(),
        archive: Archive::Main,
        boards: vec![],
    }
}

fn path(name: &str) -> String {
    format!("pool/main/{name}_1.0+b1.deb")
}

fn server(files: &[(&str, &[Behave])]) -> Server {
    let mut all = Files::default();
    for (name, behave) in files {
        all.content.insert(path(name), content(name));
        all.behave.insert(path(name), behave.to_vec());
    }
    Server::start(all)
}

fn patience() -> Policy {
    Policy {
        attempts_max: 3,
        attempts_total_max: 20,
        first_pause: Duration::from_millis(1),
        silence_max: Duration::from_millis(500),
    }
}

fn get(names: &[&str], server: &Server, dir: &Path) -> Result<Vec<FetchedDeb>, FetchError> {
    let packages: Vec<_> = names.iter().map(|n| package(n)).collect();
    fetch_with(&packages, &server.mirrors(), &Cache::new(dir), &Progress::none(), patience())
}

fn assert_whole(debs: &[FetchedDeb]) {
    for deb in debs {
        assert_eq!(std::fs::read(&deb.path).unwrap(), content(&deb.package.name), "{}", deb.package.name);
    }
}

/// No package became visible, whatever lies in `debs/part`.
fn assert_nothing_visible(dir: &Path) {
    let visible = std::fs::read_dir(dir.join("debs/sha256")).map(|d| d.count()).unwrap_or(0);
    assert_eq!(visible, 0);
}

#[test]
fn packages_arrive_in_order_and_the_second_time_without_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..20).map(|i| format!("p{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let s = server(&names.iter().map(|n| (*n, &[Behave::Well][..])).collect::<Vec<_>>());
    let debs = get(&names, &s, dir.path()).unwrap();
    assert_eq!(debs.iter().map(|d| d.package.name.as_str()).collect::<Vec<_>>(), names);
    assert_whole(&debs);
    assert_eq!(s.requests().len(), 20);
    let packages: Vec<_> = names.iter().map(|n| package(n)).collect();
    let nowhere = crate::packages::MirrorArgs { mirror: Some("not a url".into()), security_mirror: None }.find();
    assert_whole(&fetch(&packages, &nowhere, &Cache::new(dir.path()), &Progress::none()).unwrap());
    assert!(std::fs::read_dir(dir.path().join("debs/part")).unwrap().next().is_none());
}

#[test]
fn a_package_named_twice_is_fetched_once() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("a", &[Behave::Well])]);
    assert_eq!(get(&["a", "a"], &s, dir.path()).unwrap().len(), 2);
    assert_eq!(s.requests().len(), 1);
}

#[test]
fn dropped_connections_go_on_where_they_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("a", &[Behave::DropAfter(100_000), Behave::DropAfter(50_000), Behave::Well])]);
    assert_whole(&get(&["a"], &s, dir.path()).unwrap());
    assert_eq!(s.requests(), [path("a"), format!("{} 100000-", path("a")), format!("{} 150000-", path("a"))]);
}

#[test]
fn a_later_run_goes_on_where_the_earlier_one_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("a", &[Behave::DropAfter(100_000), Behave::Status(503)])]);
    assert!(matches!(get(&["a"], &s, dir.path()), Err(FetchError::Network { .. })));
    assert_nothing_visible(dir.path());
    let s = server(&[("a", &[Behave::Well])]);
    assert_whole(&get(&["a"], &s, dir.path()).unwrap());
    assert_eq!(s.requests(), [format!("{} 100000-", path("a"))]);
}

#[test]
fn servers_without_ranges_start_again() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("a", &[Behave::DropAfter(100_000), Behave::NoRanges])]);
    assert_whole(&get(&["a"], &s, dir.path()).unwrap());
    let s = server(&[("b", &[Behave::DropAfter(100_000), Behave::OtherRange, Behave::Well])]);
    assert_whole(&get(&["b"], &s, dir.path()).unwrap());
}

#[test]
fn a_part_longer_than_the_package_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let part = Cache::new(dir.path()).part(&package("a").sha256);
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, vec![0; 400_000]).unwrap();
    let s = server(&[("a", &[Behave::Well])]);
    assert_whole(&get(&["a"], &s, dir.path()).unwrap());
}

#[test]
fn a_part_with_wrong_bytes_is_fetched_anew_once() {
    let dir = tempfile::tempdir().unwrap();
    let part = Cache::new(dir.path()).part(&package("a").sha256);
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, vec![0; 1000]).unwrap();
    let s = server(&[("a", &[Behave::Well])]);
    assert_whole(&get(&["a"], &s, dir.path()).unwrap());
    assert_eq!(s.requests(), [format!("{} 1000-", path("a")), path("a")]);
}

#[test]
fn wrong_content_never_becomes_visible() {
    for behave in [Behave::WrongBytes, Behave::OneTooMany] {
        let dir = tempfile::tempdir().unwrap();
        let s = server(&[("a", &[behave])]);
        let error = get(&["a"], &s, dir.path()).unwrap_err();
        assert!(matches!(error, FetchError::Content { .. }), "{behave:?}: {error}");
        assert_nothing_visible(dir.path());
        let part = std::fs::read(Cache::new(dir.path()).part(&package("a").sha256)).unwrap();
        assert!(part.is_empty(), "{behave:?}: wrong bytes must not be resumed");
    }
}

#[test]
fn truncated_and_silent_servers_are_given_up() {
    for behave in [Behave::CutTo(1000), Behave::Silence, Behave::Status(500), Behave::Status(403)] {
        let dir = tempfile::tempdir().unwrap();
        let s = server(&[("a", &[behave])]);
        let error = get(&["a"], &s, dir.path()).unwrap_err();
        assert!(matches!(error, FetchError::Network { .. }), "{behave:?}: {error}");
        assert_nothing_visible(dir.path());
        assert!(s.requests().len() <= 20, "{behave:?}");
    }
}

#[test]
fn passing_failures_are_overcome() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("a", &[Behave::Status(503), Behave::Silence, Behave::Well])]);
    assert_whole(&get(&["a"], &s, dir.path()).unwrap());
}

#[test]
fn all_packages_that_are_gone_are_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("b", &[Behave::Well])]);
    let error = get(&["c", "b", "a"], &s, dir.path()).unwrap_err().for_spec("harbour.toml");
    let text = error.to_string();
    assert!(text.starts_with(&format!("2 packages are no longer in the archive at {}:", s.url)), "{text}");
    assert!(text.contains("\n  a 1.0+b1 (amd64)\n  c 1.0+b1 (amd64)\n"), "{text}");
    assert!(text.ends_with("skerry lock harbour.toml"), "{text}");
    // What is there was fetched nevertheless.
    assert!(Cache::new(dir.path()).deb(&package("b").sha256).exists());
}

#[test]
fn two_builds_share_one_download() {
    let dir = tempfile::tempdir().unwrap();
    let s = server(&[("a", &[Behave::Well])]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_whole(&get(&["a"], &s, dir.path()).unwrap()));
        }
    });
    assert_eq!(s.requests().len(), 1);
}
