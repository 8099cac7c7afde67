//! The app of the test: one HTTP server without dependencies, so that it can
//! be compiled to a single static file.
use std::{
    io::{Read, Write},
    net::TcpListener,
};

fn main() {
    println!("serving");
    let listener = TcpListener::bind("0.0.0.0:8080").expect("port 8080 is free");
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
            _ => "ok\n".to_owned(),
        };
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
}
