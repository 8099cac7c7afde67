//! Asking the node's name servers.

use std::{io, net::SocketAddr, time::Duration};

use hickory_proto::op::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// Time for one server to answer over UDP.
const UDP_WAIT: Duration = Duration::from_millis(1500);
/// Time for one server to answer over TCP, all of it.
const TCP_WAIT: Duration = Duration::from_secs(4);

/// Why no answer could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The node has no name servers.
    #[error("the network gave no name servers")]
    NoServers,
    /// None answered.
    #[error("no name server answered; the last, {server}: {source}")]
    NoAnswer {
        /// The last that was asked.
        server: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Ask one server after the other; the answer and its size in bytes.
pub(crate) async fn ask(servers: &[SocketAddr], request: &Message) -> Result<(Message, usize), UpstreamError> {
    let mut last = UpstreamError::NoServers;
    for server in servers {
        match ask_one(*server, request).await {
            Ok(answer) => return Ok(answer),
            Err(source) => last = UpstreamError::NoAnswer { server: *server, source },
        }
    }
    Err(last)
}

async fn ask_one(server: SocketAddr, request: &Message) -> io::Result<(Message, usize)> {
    let bytes = request.to_vec().map_err(io::Error::other)?;
    let (answer, size) = timeout(UDP_WAIT, over_udp(server, request, &bytes)).await.map_err(|_| late())??;
    if !answer.metadata.truncation {
        return Ok((answer, size));
    }
    timeout(TCP_WAIT, over_tcp(server, request, &bytes)).await.map_err(|_| late())?
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// Is it the answer to what was asked? Others are dropped: they may be forged.
fn belongs(answer: &Message, request: &Message) -> bool {
    answer.metadata.id == request.metadata.id && answer.queries == request.queries
}

async fn over_udp(server: SocketAddr, request: &Message, bytes: &[u8]) -> io::Result<(Message, usize)> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    // A socket of its own for each question: its random port is half of what
    // protects against forged answers.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let size = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_vec(&buffer[..size])
            && belongs(&answer, request)
        {
            return Ok((answer, size));
        }
    }
}

async fn over_tcp(server: SocketAddr, request: &Message, bytes: &[u8]) -> io::Result<(Message, usize)> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let size = usize::from(stream.read_u16().await?);
    let mut buffer = vec![0; size];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if belongs(&answer, request) { Ok((answer, size)) } else { Err(io::Error::other("answer to another question")) }
}
