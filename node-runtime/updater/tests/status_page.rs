//! The status page and the user checks, over real connections.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use skerry_formats::{
    baked::HealthCheck,
    layout::ORCHESTRATOR_STATUS,
    status::{NodeStatus, OrchestratorStatus},
    versioned::Document as _,
};
use skerry_updater::{Config, health, status, web};

async fn serve(cfg: &Config) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = web::router(Arc::new(cfg.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn check(url: String, expect_status: u16) -> HealthCheck {
    HealthCheck { name: "page".into(), url, expect_status, timeout_secs: 5 }
}

#[tokio::test]
async fn page_is_served_with_and_without_documents() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = Config::new(dir.path());
    let url = serve(&cfg).await;
    let answer = reqwest::get(format!("{url}/status")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let s = NodeStatus::parse(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!((s.updater, s.orchestrator), (None, None));
    assert_eq!(reqwest::get(format!("{url}/healthz")).await.unwrap().status(), 503);

    let doc = OrchestratorStatus {
        format: OrchestratorStatus::header(),
        node: "n".into(),
        heartbeat_secs: s.uptime_secs as u64,
        containerd_error: None,
        manifest_errors: vec![],
        workloads: vec![],
        events: vec![],
    };
    status::publish(&cfg.path(ORCHESTRATOR_STATUS), &doc.to_bytes()).unwrap();
    assert_eq!(reqwest::get(format!("{url}/healthz")).await.unwrap().text().await.unwrap(), "ok\n");
    let post = reqwest::Client::new().post(format!("{url}/status")).send().await.unwrap();
    assert_eq!(post.status(), 405, "read-only");
}

#[tokio::test]
async fn user_checks_pass_on_the_expected_status_only() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve(&Config::new(dir.path())).await;
    let page = format!("{url}/status");
    assert_eq!(health::user_checks(&[check(page.clone(), 200)]).await, Ok(()));
    let p = health::user_checks(&[check(page.clone(), 200), check(page, 204)]).await.unwrap_err();
    assert_eq!((p.what.as_str(), p.why.as_str()), ("health check page: not passing", "status 200 instead of 204"));
    let nobody = check("http://127.0.0.1:1/".into(), 200);
    assert!(health::user_checks(&[nobody]).await.is_err());
}
