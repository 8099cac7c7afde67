//! The other side of the seam for tests: objects are JSON files in a folder,
//! what comes out is written to another.
#![allow(clippy::unwrap_used)]

use std::{fs, io::Write, path::Path, sync::Arc, time::Duration};

use skerry_orchestrator::{
    Config, Handle, baked_input,
    input::{Input, Output},
    log_path,
    logs::Request,
};
use tokio::sync::{mpsc, watch};

/// Run the orchestrator with the objects in `DIR/objects`, until it is killed.
pub fn run(config: Config, dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = dir.to_owned();
    runtime.block_on(async move {
        let (sender, input) = watch::channel(Arc::new(read(&config, &dir)));
        let (output, outputs) = mpsc::channel(64);
        tokio::spawn(follow(sender, config.clone(), dir.clone()));
        let handle = Handle::new(&config);
        tokio::spawn(write(outputs, handle.clone(), config.clone(), dir));
        skerry_orchestrator::serve_with(config, input, Some(output), handle).await.unwrap();
    });
}

async fn follow(sender: watch::Sender<Arc<Input>>, config: Config, dir: std::path::PathBuf) {
    let mut last = String::new();
    loop {
        let now = contents(&dir);
        if now != last {
            sender.send(Arc::new(read(&config, &dir))).unwrap();
            last = now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let all = fs::read_dir(dir.join("objects")).unwrap().flatten();
    let text = |e: fs::DirEntry| Some((e.file_name().into_string().ok()?, fs::read_to_string(e.path()).ok()?));
    let mut all: Vec<_> = all.filter_map(text).filter(|(n, _)| n.ends_with(".json")).collect();
    all.sort();
    all
}

fn contents(dir: &Path) -> String {
    files(dir).into_iter().map(|(n, t)| n + &t).collect()
}

fn read(config: &Config, dir: &Path) -> Input {
    let mut input = baked_input(config).unwrap();
    for (name, text) in files(dir) {
        if name.starts_with("pod-") {
            let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_str(&text).unwrap();
            let mut pod = pod;
            // The store keeps the status that came out before.
            let stored = fs::read(dir.join("out").join(pod.metadata.name.clone().unwrap())).ok();
            pod.status = stored.and_then(|b| serde_json::from_slice(&b).ok());
            input.pods.push(Arc::new(pod));
        } else {
            let map: k8s_openapi::api::core::v1::ConfigMap = serde_json::from_str(&text).unwrap();
            let key = (map.metadata.namespace.clone().unwrap(), map.metadata.name.clone().unwrap());
            input.config_maps.insert(key, Arc::new(map));
        }
    }
    input
}

/// A client of the pod `echo`: follows its log, attaches, says something.
async fn talk(handle: Handle, config: Config, out: std::path::PathBuf, uid: String, id: String) {
    let path = log_path(&config, "default", "echo", &uid, "echo", 0);
    let request = Request { follow: true, ..Request::default() };
    let log = handle.log(path.parent().unwrap(), &request).unwrap();
    let mut attached = handle.attach(&id).unwrap();
    let stdin = attached.stdin.take().unwrap();
    stdin.send(b"hello\nwor".to_vec()).await.unwrap();
    stdin.send(b"ld\n".to_vec()).await.unwrap();
    drop(stdin);
    let (seen, logged, code) = tokio::join!(all(attached.stdout), all(log), handle.wait(&id));
    let text = format!("attached:\n{seen}log:\n{logged}status {}\n", code.unwrap());
    fs::write(out.join("echo.talk"), text).unwrap();
}

async fn all(mut pieces: mpsc::Receiver<Vec<u8>>) -> String {
    let mut text = vec![];
    while let Some(piece) = pieces.recv().await {
        text.extend(piece);
    }
    String::from_utf8(text).unwrap()
}

async fn write(mut outputs: mpsc::Receiver<Output>, handle: Handle, config: Config, dir: std::path::PathBuf) {
    let out = dir.join("out");
    let mut talked = false;
    while let Some(o) = outputs.recv().await {
        match o {
            Output::Status { name, uid, status, .. } => {
                let first = status.container_statuses.as_ref().and_then(|c| c.first()?.container_id.clone());
                let id = first.and_then(|id| Some(id.strip_prefix("containerd://")?.to_owned()));
                if let Some(id) = id.filter(|_| name == "echo" && !talked) {
                    talked = true;
                    tokio::spawn(talk(handle.clone(), config.clone(), out.clone(), uid, id));
                }
                fs::write(out.join(format!("{name}.new")), serde_json::to_vec(&status).unwrap()).unwrap();
                fs::rename(out.join(format!("{name}.new")), out.join(name)).unwrap();
            }
            Output::Event(e) => {
                let mut log = fs::File::options().append(true).create(true).open(out.join("events")).unwrap();
                writeln!(log, "{} {} {}", e.pod, e.reason, e.message.replace('\n', " ")).unwrap();
            }
            Output::Deleted { name, .. } => fs::write(out.join(format!("{name}.deleted")), "").unwrap(),
        }
    }
}
