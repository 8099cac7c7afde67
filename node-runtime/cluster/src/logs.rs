//! Log files of containers as clients ask for them.

use std::path::Path;

use skerry_api::LogRequest;
use skerry_machinery::ApiError;
use tokio::sync::mpsc;

/// The lines of one run.
pub(crate) async fn read(path: &Path, request: &LogRequest) -> Result<mpsc::Receiver<Vec<u8>>, ApiError> {
    let text =
        tokio::fs::read_to_string(path).await.map_err(|e| ApiError::internal(format!("{}: {e}", path.display())))?;
    let (to, from) = mpsc::channel(4);
    let lines: Vec<String> = text.lines().filter_map(|l| Some(l.splitn(4, ' ').nth(3)?.to_owned())).collect();
    let skip = request.tail_lines.map_or(0, |n| lines.len().saturating_sub(n as usize));
    let piece = lines[skip..].iter().map(|l| format!("{l}\n")).collect::<String>().into_bytes();
    tokio::spawn(async move {
        let _ = to.send(piece).await;
    });
    Ok(from)
}
