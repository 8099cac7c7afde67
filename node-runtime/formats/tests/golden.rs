//! Golden bytes of every format, version 1: what was deployed must stay
//! readable, and what is written must not change unnoticed.
//!
//! `SKERRY_BLESS=1 cargo test -p skerry-formats` writes the files anew; a
//! change in a file of an already released version is a bug.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use skerry_formats::{
    FormatError, ObjectDigest, Sequence, Sha256Digest,
    baked::*,
    channel::Channel,
    index::{Index, IndexEntry, Role},
    release::*,
    sign::SignatureFile,
    status::*,
    versioned::Document,
};

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1").join(name);
    if std::env::var_os("SKERRY_BLESS").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn check<D: Document + PartialEq + std::fmt::Debug>(name: &str, doc: &D) {
    let stored = golden(name, &doc.to_bytes());
    assert_eq!(D::parse(&stored).unwrap(), *doc, "reader of {name}");
    assert_eq!(String::from_utf8(stored).unwrap(), String::from_utf8(doc.to_bytes()).unwrap(), "writer of {name}");
}

fn object(b: u8) -> ObjectDigest {
    ObjectDigest([b; 32])
}

fn release() -> Release {
    Release {
        format: Release::header(),
        product: "harbour".into(),
        board: "x86_64-uefi".into(),
        arch: "amd64".into(),
        version: "1.0.0".into(),
        sequence: Sequence(1),
        built_at: 1_789_000_000,
        kernel: "6.12.107+deb13-amd64".into(),
        os: OsTree { composefs: object(1), ostree_commit: Sha256Digest([2; 32]) },
        apps: vec![AppTree {
            name: "hello".into(),
            image: "hello:1".into(),
            manifest_digest: Sha256Digest([3; 32]),
            composefs: object(4),
        }],
        uki: UkiRef { object: object(5), size_bytes: 14_000_000, sha256: Sha256Digest([6; 32]) },
        index: IndexRef { sha256: Sha256Digest([7; 32]), size_bytes: 24 + 52 },
        totals: Totals { objects: 1, bytes: 10, compressed_bytes: 12 },
    }
}

fn node_config() -> NodeConfig {
    NodeConfig {
        format: NodeConfig::header(),
        product: "harbour".into(),
        board: "x86_64-uefi".into(),
        version: "1.0.0".into(),
        sequence: Sequence(1),
        update: Some(UpdateConfig {
            url: "https://updates.example/".into(),
            channel: "stable".into(),
            check_interval_secs: 3600,
        }),
        health: HealthConfig {
            timeout_secs: 300,
            stable_secs: 10,
            checks: vec![HealthCheck {
                name: "web".into(),
                url: "http://127.0.0.1:30080/".into(),
                expect_status: 200,
                timeout_secs: 5,
            }],
        },
        status_listen: Some("0.0.0.0:9180".into()),
        api: None,
        images: ImagesConfig::default(),
        reserved: Reserved { memory_bytes: 160 << 20, cpu_millis: 100 },
        apps: vec![BakedApp {
            name: "hello".into(),
            image: "hello:1".into(),
            manifest_digest: Sha256Digest([3; 32]),
            composefs: object(4),
            config: AppConfig { entrypoint: vec!["/hello".into()], user: "65532:65532".into(), ..Default::default() },
        }],
    }
}

fn updater_status() -> UpdaterStatus {
    let r = |n: u32| ReleaseRef { sequence: Sequence(n), version: format!("{n}.0.0") };
    UpdaterStatus {
        format: UpdaterStatus::header(),
        product: "harbour".into(),
        board: "x86_64-uefi".into(),
        running: r(2),
        blessed: true,
        previous: Some(r(1)),
        candidate: None,
        state: "idle".into(),
        message: "up to date".into(),
        progress: None,
        last_update: Some(LastUpdate { from: r(1), to: r(2), planned_bytes: 1, fetched_bytes: 2, full_bytes: 3 }),
        last_rollback: Some(FailedRelease { release: r(3), reason: "not Ready".into(), at: 1_789_000_100 }),
        failed: vec![],
        last_check: Some(1_789_000_200),
        last_error: None,
    }
}

fn node_status() -> NodeStatus {
    NodeStatus {
        format: NodeStatus::header(),
        node: "box".into(),
        uptime_secs: 65.5,
        memory: [("total", 1 << 30), ("available", 900 << 20), ("used", 124 << 20)]
            .map(|(k, v)| (k.to_owned(), v))
            .into(),
        processes: [
            (
                "containerd".to_owned(),
                ProcessUse {
                    count: 1,
                    rss_bytes: 40 << 20,
                    anon_bytes: 15 << 20,
                    pss_bytes: Some(39 << 20),
                    cpu_millis: 2500,
                },
            ),
            ("shim".to_owned(), ProcessUse { count: 2, rss_bytes: 6 << 20, anon_bytes: 2 << 20, ..Default::default() }),
        ]
        .into(),
        updater: Some(updater_status()),
        orchestrator: None,
        api: None,
        boot: [("identity".to_owned(), 3.25)].into(),
    }
}

/// The first writers did not tell processes.
#[test]
fn node_status_without_processes_is_read() {
    let mut v: serde_json::Value = serde_json::from_slice(&node_status().to_bytes()).unwrap();
    v.as_object_mut().unwrap().remove("processes").unwrap();
    let read = NodeStatus::parse(&serde_json::to_vec(&v).unwrap()).unwrap();
    assert_eq!(read, NodeStatus { processes: Default::default(), ..node_status() });
}

#[test]
fn json_documents_read_and_write_as_before() {
    check("release.json", &release());
    check("node.json", &node_config());
    check("updater-status.json", &updater_status());
    check("node-status.json", &node_status());
    check(
        "channel.json",
        &Channel {
            format: Channel::header(),
            channel: "stable".into(),
            product: "harbour".into(),
            board: "x86_64-uefi".into(),
            sequence: Sequence(1),
            version: "1.0.0".into(),
        },
    );
    check(
        "release.json.sig",
        &SignatureFile { format: SignatureFile::header(), keyid: Sha256Digest([8; 32]), signature: "ab".repeat(64) },
    );
}

#[test]
fn index_reads_and_writes_as_before() {
    let entry = |b: u8, role| IndexEntry { digest: object(b), size_bytes: u64::from(b), compressed_bytes: 2, role };
    let index = Index::new(vec![entry(3, Role::Uki), entry(1, Role::Data), entry(2, Role::Erofs)]);
    let stored = golden("index.skx", &index.to_bytes());
    assert_eq!(Index::parse(&stored).unwrap(), index);
    assert_eq!(stored, index.to_bytes());
}

/// What a newer writer may do, and what this reader makes of it.
#[test]
fn newer_writers_against_this_reader() {
    let base: serde_json::Value = serde_json::from_slice(&release().to_bytes()).unwrap();
    let read = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut v = base.clone();
        edit(&mut v);
        Release::parse(&serde_json::to_vec(&v).unwrap())
    };
    assert!(read(&|v| v["new_field"] = 1.into()).is_ok());
    assert!(read(&|v| v["format"]["compatible"] = serde_json::json!(["hints"])).is_ok());
    let refused = read(&|v| v["format"]["incompatible"] = serde_json::json!(["sparse"]));
    assert_eq!(refused, Err(FormatError::Incompatible { format: "skerry-release", features: vec!["sparse".into()] }));
    let refused = read(&|v| v["format"]["version"] = 2.into());
    assert_eq!(refused, Err(FormatError::Version { format: "skerry-release", version: 2, known: 1 }));
    assert!(matches!(read(&|v| v["format"]["name"] = "skerry-channel".into()), Err(FormatError::WrongFormat { .. })));
    assert!(matches!(read(&|v| v["sequence"] = "1".into()), Err(FormatError::Json { .. })));
}
