//! The app of the test: one HTTP server without dependencies, so that it can
//! be compiled to a single static file. With arguments it is something else:
//! a program that ends, waits, asks for a file, eats memory or disk.
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread::sleep,
    time::Duration,
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["touch", path] => fs::write(path, "x").expect("the path can be written"),
        ["exists", path] if fs::exists(path).unwrap_or(false) => {}
        ["exists", path] => {
            println!("{path} is not there");
            std::process::exit(1);
        }
        ["exit", code] => {
            let _ = fs::write("/dev/termination-log", "these are my last words");
            std::process::exit(code.parse().expect("a number"));
        }
        ["eat"] => {
            let mut all = vec![];
            loop {
                all.push(vec![1_u8; 1 << 20]);
            }
        }
        ["count", last, step] => count(last.parse().expect("a number"), step.parse().expect("a number")),
        ["echo"] => {
            for line in std::io::stdin().lines() {
                println!("said {}", line.expect("input can be read"));
            }
            println!("end of input");
        }
        ["wait", path] => {
            fs::write(path, "x").expect("the path can be written");
            forever()
        }
        ["fill", path, mib] => {
            let bytes = vec![1; mib.parse::<usize>().expect("a number") << 20];
            fs::write(path, bytes).expect("the path can be written");
            forever()
        }
        _ => serve(),
    }
}

fn forever() -> ! {
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// Numbers as lines, some of them in two pieces. Each `step` numbers it waits
/// for a file.
fn count(last: u64, step: u64) {
    let mut out = std::io::stdout();
    for n in 0..last {
        let gate = format!("/data/go-{}", n / step);
        while n > 0 && n % step == 0 && !fs::exists(&gate).unwrap_or(false) {
            sleep(Duration::from_millis(1));
        }
        if n % 7 == 0 {
            write!(out, "number").and_then(|()| out.flush()).expect("output can be written");
            sleep(Duration::from_millis(1));
            writeln!(out, " {n}").expect("output can be written");
        } else {
            writeln!(out, "number {n}").expect("output can be written");
        }
        if n % 50 == 0 {
            sleep(Duration::from_millis(10));
        }
    }
}

fn serve() {
    println!("serving");
    // Both address families, where there are two.
    let listener = TcpListener::bind("[::]:8080").or_else(|_| TcpListener::bind("0.0.0.0:8080"));
    let listener = listener.expect("port 8080 is free");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut buf = [0; 1024];
        let n = stream.read(&mut buf).unwrap_or(0);
        let request = String::from_utf8_lossy(&buf[..n]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
        let body = match path.as_str() {
            "/crash" => std::process::exit(3),
            "/env" => std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect(),
            "/status" => std::fs::read_to_string("/proc/self/status").unwrap_or_default(),
            "/write" => format!("{:?} {:?}", std::fs::write("/x", "x").is_ok(), std::fs::write("/tmp/x", "x").is_ok()),
            "/conf" => fs::read_to_string("/etc/conf/greeting").unwrap_or_default(),
            _ => "ok\n".to_owned(),
        };
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
}
