//! A node on the bench: its disk as a folder, its boot loader, its health.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use skerry_formats::{
    ObjectDigest, Sequence,
    baked::{HealthCheck, HealthConfig, NodeConfig, Reserved, UpdateConfig},
    fsverity_digest,
    index::{Index, Role},
    layout::{BootCounter, ORCHESTRATOR_STATUS, UPDATER_STATUS, UkiName},
    release::Release,
    sign::public_key_text,
    status::{OrchestratorStatus, UpdaterStatus, WorkloadStatus},
    versioned::Document as _,
};
use skerry_updater::{
    Config,
    daemon::{Daemon, Turn},
    facilities::Facilities as _,
    status,
};

use super::{
    machine::Fake,
    publisher::{BOARD, CHANNEL, Made, PRODUCT, Publisher},
};

/// How a release behaves when it boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    Healthy,
    NeverReady,
    Panics,
}

pub struct Node {
    pub root: PathBuf,
    pub fake: Fake,
    pub url: String,
    pub conduct: Box<dyn Fn(Sequence) -> Conduct>,
    pub checks: Vec<HealthCheck>,
    pub boots: Vec<Sequence>,
}

impl Node {
    /// A node with release `made` as the image holds it: blessed.
    pub fn flash(root: &Path, publisher: &Publisher, made: &Made, url: &str) -> Self {
        for d in ["esp/EFI/Linux", "sysroot/staging", "usr/lib/skerry", "var/lib/skerry/updater"] {
            fs::create_dir_all(root.join(d)).unwrap();
        }
        let uki = &made.objects[&made.release.uki.object];
        let sequence = made.release.sequence;
        fs::write(root.join("esp/EFI/Linux").join(UkiName::blessed(sequence).render()), uki).unwrap();
        let record = root.join("sysroot/releases").join(sequence.padded());
        fs::create_dir_all(&record).unwrap();
        fs::write(record.join("release.json"), &made.release_bytes).unwrap();
        fs::write(record.join("release.json.sig"), &made.sig_bytes).unwrap();
        fs::write(record.join("index.skx"), &made.index_bytes).unwrap();
        for e in made.index.entries().iter().filter(|e| e.role != Role::Uki) {
            let at = root.join("sysroot/objects").join(e.digest.object_path());
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, &made.objects[&e.digest]).unwrap();
            fs::set_permissions(&at, Permissions::from_mode(0o1444)).unwrap();
        }
        fs::copy(publisher.root_json(), root.join("usr/lib/skerry/root.json")).unwrap();
        let key = public_key_text(&publisher.release_key.verifying_key());
        fs::write(root.join("usr/lib/skerry/release.pub"), key).unwrap();
        let mut node = Self {
            root: root.into(),
            fake: Fake::new(root),
            url: url.into(),
            conduct: Box::new(|_| Conduct::Healthy),
            checks: vec![],
            boots: vec![],
        };
        node.boot();
        node
    }

    /// A node whose disk is at `root`, going on in the boot it was in.
    pub fn revive(root: &Path, url: &str, clock: (u64, u64, u32)) -> Self {
        let fake = Fake::new(root);
        fake.set_clock(clock);
        let mut node = Self {
            root: root.into(),
            fake,
            url: url.into(),
            conduct: Box::new(|_| Conduct::Healthy),
            checks: vec![],
            boots: vec![],
        };
        let baked = NodeConfig::parse(&fs::read(root.join("usr/lib/skerry/node.json")).unwrap()).unwrap();
        node.boots.push(baked.sequence);
        node
    }

    /// Like [`Node::run`]; the name says that the first boot is an old one.
    pub async fn resume(&mut self, enough: impl Fn(&UpdaterStatus) -> bool) {
        self.run(enough).await;
    }

    pub fn config(&self) -> Config {
        let mut c = Config::new(&self.root);
        c.sync_every_bytes = 64 << 10;
        c
    }

    /// What systemd-boot does, then init: choose, count, check, run. Panicking
    /// releases reset the machine until one stays up.
    pub fn boot(&mut self) -> Sequence {
        for _ in 0..10 {
            let chosen = self.choose();
            self.check_release(chosen.sequence);
            self.boots.push(chosen.sequence);
            self.fake.power_on();
            if (self.conduct)(chosen.sequence) != Conduct::Panics {
                self.bake(chosen.sequence);
                return chosen.sequence;
            }
        }
        panic!("nothing boots: {:?}", self.boots);
    }

    pub fn entries(&self) -> Vec<UkiName> {
        let mut out: Vec<_> = fs::read_dir(self.root.join("esp/EFI/Linux"))
            .unwrap()
            .filter_map(|e| UkiName::parse(e.unwrap().file_name().to_str().unwrap()))
            .collect();
        out.sort_by_key(|e| e.sequence);
        out
    }

    fn choose(&self) -> UkiName {
        let dead = |e: &UkiName| e.counter.is_some_and(|c| c.left == 0);
        let best = self.entries().into_iter().max_by_key(|e| (!dead(e), e.sequence)).expect("a boot entry");
        if let Some(BootCounter { left, done }) = best.counter.filter(|c| c.left > 0) {
            let next = UkiName { counter: Some(BootCounter { left: left - 1, done: done + 1 }), ..best };
            let dir = self.root.join("esp/EFI/Linux");
            fs::rename(dir.join(best.render()), dir.join(next.render())).unwrap();
            return next;
        }
        best
    }

    /// The invariant of invariants: what boots is complete.
    pub fn check_release(&self, sequence: Sequence) {
        let record = self.root.join("sysroot/releases").join(sequence.padded());
        let release = Release::parse(&fs::read(record.join("release.json")).unwrap()).unwrap();
        let index = Index::parse(&fs::read(record.join("index.skx")).unwrap()).unwrap();
        assert_eq!(release.sequence, sequence);
        assert!(record.join("release.json.sig").exists());
        let name = self.entries().into_iter().find(|e| e.sequence == sequence).unwrap();
        let uki = fs::read(self.root.join("esp/EFI/Linux").join(name.render())).unwrap();
        assert_eq!(fsverity_digest(&uki), release.uki.object, "kernel image of {sequence}");
        for e in index.entries().iter().filter(|e| e.role != Role::Uki) {
            assert!(self.sealed(&e.digest), "release {sequence} boots without object {}", e.digest);
        }
    }

    pub fn object(&self, digest: &ObjectDigest) -> PathBuf {
        self.root.join("sysroot/objects").join(digest.object_path())
    }

    pub fn sealed(&self, digest: &ObjectDigest) -> bool {
        self.fake.measure(&self.object(digest)).ok().flatten() == Some(*digest)
    }

    /// Every file under an object's name is that object.
    pub fn check_objects(&self) {
        for dir in fs::read_dir(self.root.join("sysroot/objects")).unwrap().flatten() {
            for file in fs::read_dir(dir.path()).unwrap().flatten() {
                let (d, f) = (dir.file_name(), file.file_name());
                if let Ok(name) = ObjectDigest::from_object_path(d.to_str().unwrap(), f.to_str().unwrap()) {
                    assert!(self.sealed(&name), "{} is not what it says", file.path().display());
                }
            }
        }
    }

    fn bake(&self, sequence: Sequence) {
        let node = NodeConfig {
            format: NodeConfig::header(),
            product: PRODUCT.into(),
            board: BOARD.into(),
            version: format!("1.{sequence}"),
            sequence,
            update: Some(UpdateConfig { url: self.url.clone(), channel: CHANNEL.into(), check_interval_secs: 600 }),
            health: HealthConfig { timeout_secs: 300, stable_secs: 20, checks: self.checks.clone() },
            status_listen: None,
            api: None,
            images: Default::default(),
            reserved: Reserved { memory_bytes: 0, cpu_millis: 0 },
            apps: vec![],
        };
        fs::write(self.root.join("usr/lib/skerry/node.json"), node.to_bytes()).unwrap();
    }

    /// What the orchestrator would say now.
    pub fn speak(&self, sequence: Sequence) {
        let ready = u32::from((self.conduct)(sequence) == Conduct::Healthy);
        let w = WorkloadStatus {
            kind: "Deployment".into(),
            namespace: "default".into(),
            name: "hello".into(),
            desired: 1,
            ready,
            message: if ready == 1 { String::new() } else { "readiness probe: status 500".into() },
            restarts: 0,
        };
        let doc = OrchestratorStatus {
            format: OrchestratorStatus::header(),
            node: "bench".into(),
            heartbeat_secs: self.fake.now().boot_secs,
            containerd_error: None,
            manifest_errors: vec![],
            workloads: vec![w],
            events: vec![],
        };
        status::publish(&self.root.join(ORCHESTRATOR_STATUS.trim_start_matches('/')), &doc.to_bytes()).unwrap();
    }

    pub fn status(&self) -> UpdaterStatus {
        status::read(&self.root.join(UPDATER_STATUS.trim_start_matches('/'))).unwrap()
    }

    /// Run daemon and reboots until `enough` or the power goes.
    pub async fn run(&mut self, enough: impl Fn(&UpdaterStatus) -> bool) {
        for _ in 0..20 {
            if self.one_boot(&enough).await {
                return;
            }
            self.boot();
        }
        panic!("no end: {:?}\n{:#?}", self.fake.lines(), self.status());
    }

    /// Run the daemon; `true`: enough or no power, `false`: a reboot is due.
    async fn one_boot(&mut self, enough: &impl Fn(&UpdaterStatus) -> bool) -> bool {
        let running = *self.boots.last().unwrap();
        let Ok(mut daemon) = Daemon::start(Arc::new(self.config()), Arc::new(self.fake.clone())) else {
            assert!(self.fake.dead(), "the daemon does not start");
            return true;
        };
        for _ in 0..5000 {
            self.speak(running);
            let turn = daemon.turn().await;
            if self.fake.dead() {
                return true;
            }
            if self.fake.take_reboot() {
                return false;
            }
            match turn.unwrap() {
                Turn::Acted => {}
                Turn::Idle(_) if enough(&self.status()) => return true,
                Turn::Idle(secs) => self.fake.pass(secs),
            }
        }
        panic!("no end: {:?}\n{:#?}", self.fake.lines(), self.status());
    }
}

/// Idle, blessed, running that release.
pub fn settled(sequence: u32) -> impl Fn(&UpdaterStatus) -> bool {
    move |s| s.running.sequence == Sequence(sequence) && s.state == "idle" && s.blessed
}

/// Idle after a failed attempt.
pub fn stopped(s: &UpdaterStatus) -> bool {
    s.state == "idle" && s.last_error.is_some()
}
