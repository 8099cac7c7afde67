//! `hello`: the demo product's app. A small HTTP server that says which version
//! of it runs, on which node, under which labels.
//!
//! It runs as PID 1 of its container, so it installs its own handling of
//! SIGTERM: the kernel does not apply the default action to PID 1.

mod answers;
mod http;
mod server;

use std::{
    net::TcpListener,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::{SigSet, Signal};

use crate::{answers::App, server::Server};

/// Longest time that requests in flight may take after SIGTERM.
const DRAIN_MAX: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "0.0.0.0:8080".into());
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTERM);
    stop.add(Signal::SIGINT);
    // Blocked before any thread exists, so that every thread inherits it and
    // only `wait` below sees the signal.
    stop.thread_block().map_err(|e| format!("cannot block SIGTERM: {e}"))?;

    let app = Arc::new(App::from_env(std::env::vars(), host_name(), Instant::now()));
    let listener =
        TcpListener::bind(&listen).map_err(|e| format!("cannot listen on {listen}: {e}; set LISTEN=ADDRESS:PORT"))?;
    println!("hello {} listens on {listen}", app.version());
    let server = Server::start(listener, app).map_err(|e| format!("cannot start threads: {e}"))?;

    let signal = stop.wait().map_err(|e| format!("cannot wait for signals: {e}"))?;
    println!("hello: {signal}, finishing requests");
    server.drain(DRAIN_MAX);
    Ok(())
}

fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_default()
}
