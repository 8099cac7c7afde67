//! QEMU's machine protocol, as far as it is needed: plug the network cable in
//! and out, interrupt the processor, count what was written.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

/// QEMU answers within milliseconds; a busy machine takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Run one command; what it returns.
///
/// # Errors
/// If QEMU cannot be reached, or refuses; with its own words.
pub fn execute(socket: &Path, name: &str, arguments: serde_json::Value) -> std::io::Result<serde_json::Value> {
    let stream = connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut greeting = String::new();
    reader.read_line(&mut greeting)?;
    request(&mut writer, &mut reader, &serde_json::json!({"execute": "qmp_capabilities"}))?;
    request(&mut writer, &mut reader, &serde_json::json!({"execute": name, "arguments": arguments}))
}

/// The socket appears a moment after QEMU starts.
fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let end = Instant::now() + ANSWER_MAX;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(e) if Instant::now() >= end => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn request(
    writer: &mut impl Write,
    reader: &mut impl BufRead,
    message: &serde_json::Value,
) -> std::io::Result<serde_json::Value> {
    writeln!(writer, "{message}")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("QEMU closed its control socket"));
        }
        let mut answer: serde_json::Value = serde_json::from_str(&line)?;
        if let Some(error) = answer.get("error") {
            return Err(std::io::Error::other(format!("QEMU refuses {message}: {error}")));
        }
        // Everything else on the socket is an event.
        if let Some(value) = answer.get_mut("return") {
            return Ok(value.take());
        }
    }
}
