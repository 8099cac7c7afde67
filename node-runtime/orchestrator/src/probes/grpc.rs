//! `grpc.health.v1.Health/Check`, over the gRPC client that speaks with
//! containerd too.

use std::{net::Ipv4Addr, time::Duration};

use containerd_client::tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tokio::time::timeout;
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SERVING` of `HealthCheckResponse.ServingStatus`.
const SERVING: i32 = 1;

/// `Ok` if the service says that it serves.
pub(super) async fn check(ip: Ipv4Addr, port: u16, service: &str, limit: Duration) -> Result<(), String> {
    match timeout(limit, ask(ip, port, service)).await {
        Err(_) => Err(format!("timeout: failed to connect service \"{ip}:{port}\" within {} s", limit.as_secs())),
        Ok(Err(e)) => Err(format!("error: health rpc failed: {e}")),
        Ok(Ok(SERVING)) => Ok(()),
        Ok(Ok(other)) => Err(format!("service unhealthy (responded with status {other})")),
    }
}

async fn ask(ip: Ipv4Addr, port: u16, service: &str) -> Result<i32, String> {
    let status = |s: Status| s.message().to_owned();
    let endpoint = Endpoint::from_shared(format!("http://{ip}:{port}")).map_err(|e| e.to_string())?;
    let channel = endpoint.connect().await.map_err(|e| e.to_string())?;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|e| e.to_string())?;
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let request = Request::new(HealthCheckRequest { service: service.into() });
    let codec: ProstCodec<HealthCheckRequest, HealthCheckResponse> = ProstCodec::default();
    Ok(grpc.unary(request, path, codec).await.map_err(status)?.into_inner().status)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn what_does_not_speak_grpc_is_not_healthy() {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(async move { drop(listener.accept().await) });
            let got = check(Ipv4Addr::LOCALHOST, port, "", Duration::from_secs(30)).await;
            assert!(got.unwrap_err().starts_with("error: health rpc failed"));
            server.await.unwrap();
        });
    }
}
