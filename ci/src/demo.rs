//! The demo: a product's life from keys to a roll-back, measured.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use skerry::deliver::vm::{Accel, probe};
use skerry_formats::status::{NodeStatus, UpdaterStatus};

use crate::{
    http,
    node::{BOOT_MAX, Node, UPDATE_MAX},
    product::{Built, Parts, Product, Variant},
    server::{Rate, UpdateServer},
    tools::Tools,
};

/// Time for the node to come to rest before its memory is measured.
const SETTLE: Duration = Duration::from_secs(10);

/// Time after which the node gives the broken release up.
const BROKEN_SECS: u64 = 90;

/// `result.json`; every value is measured in this run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// What `/` of the app said under release 1.
    pub app_answer_v1: serde_json::Value,
    /// And under release 2.
    pub app_answer_v2: serde_json::Value,
    /// The node runs release 2 and has blessed it.
    pub updated: bool,
    /// The node tried release 3 and went back to release 2.
    pub rolled_back: bool,
    /// Why, in the node's words.
    pub rollback_reason: String,
    /// Size of `disk.img.zst` of release 1.
    pub image_zst_bytes: u64,
    /// Sum of the sizes of all objects of release 1.
    pub installed_bytes: u64,
    /// Bytes that the web server sent from the publication of release 2 until
    /// it was blessed.
    pub update_bytes: u64,
    /// Bytes that a node with nothing would have fetched for release 2.
    pub full_bytes: u64,
    /// From the start of QEMU to the app's first answer.
    pub boot_to_app_secs: f64,
    /// Memory used on the node, with the app running.
    pub mem_used_mib: f64,
    /// Build of release 1 with an empty cache, downloads included.
    pub build_cold_secs: f64,
    /// Build of release 2, disk image included, with the cache filled.
    pub build_warm_secs: f64,
}

/// Run the demo in `out`, which is emptied.
///
/// # Errors
/// If any step does not come out as it should.
pub fn run(out: &Path) -> Result<()> {
    let demo = Demo::prepare(out)?;
    let figures = demo.run()?;
    let path = out.join("result.json");
    let mut text = serde_json::to_string_pretty(&figures)?;
    text.push('\n');
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    print!("{}", table(&figures));
    println!("\n{}", path.display());
    Ok(())
}

struct Demo {
    out: PathBuf,
    product: Product,
    port: u16,
    started: Instant,
}

impl Demo {
    fn prepare(out: &Path) -> Result<Self> {
        let started = Instant::now();
        if out.exists() {
            std::fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
        }
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        let mut tools = Tools::locate()?;
        tools.verbose = true;
        // Of its own, so that the first build is a cold one.
        tools.cache = Some(out.join("cache"));
        let port = http::free_port()?;
        heading(started, "Keys: one for releases, four for the update repository");
        let product = Product::create(&tools, &out.join("product"), port)?;
        Ok(Demo { out: out.to_owned(), product, port, started })
    }

    fn say(&self, text: &str) {
        heading(self.started, text);
    }

    fn run(&self) -> Result<Figures> {
        self.say("Release 1: built from Debian packages, nothing in the cache");
        let v1 = self.build(&Variant::V1)?;
        self.say("Release 2: a new version of the app, packages in the cache");
        let v2 = self.build(&Variant { parts: Parts::All, ..Variant::V2 })?;

        self.say("Update repository: plain files behind nginx, offering release 1");
        let repo = self.out.join("updates");
        self.product.publish(&v1.dir, &repo)?;
        let server = UpdateServer::start(&repo, &self.out.join("nginx"), self.port, Rate::Unlimited)?;

        self.say("Boot: release 1 in a virtual machine with 1 GiB of memory");
        if let (Accel::Tcg, Some(why)) = probe() {
            note(&format!(
                "no KVM: {why}. The machine is emulated, and times are several times longer than on hardware"
            ));
        }
        let mut node = Node::create(&v1.image(), &self.out.join("node"))?;
        node.power_on()?;
        let answer_v1 = node.wait_app(BOOT_MAX)?;
        note(&format!("the app answers after {:.1} s: {}", answer_v1.after.as_secs_f64(), answer_v1.json));
        let status =
            node.wait_updater("release 1 to be blessed", UPDATE_MAX, show, |u| u.running.sequence.0 == 1 && u.blessed)?;
        ensure!(answer_v1.version == Variant::V1.version, "the app tells version {}", answer_v1.version);
        drop(status);
        std::thread::sleep(SETTLE);
        let mem_used_mib = used_mib(&node.status()?)?;
        note(&format!("{mem_used_mib:.0} MiB of memory used"));

        let before = server.bytes_sent()?;
        self.say("Update: release 2 is published; the node finds it by itself");
        self.product.publish(&v2.dir, &repo)?;
        let status =
            node.wait_updater("release 2 to be blessed", UPDATE_MAX, show, |u| u.running.sequence.0 == 2 && u.blessed)?;
        let update_bytes = server.bytes_sent()? - before;
        let answer_v2 = node.wait_app_version(Variant::V2.version, UPDATE_MAX)?;
        note(&format!("the app answers: {}", answer_v2.json));
        let updated = status.updater.is_some_and(|u| u.running.sequence.0 == 2 && u.blessed);

        let rollback_reason = self.roll_back(&mut node, &repo)?;
        let release_1 = v1.release()?;
        Ok(Figures {
            app_answer_v1: answer_v1.json,
            app_answer_v2: answer_v2.json,
            updated,
            rolled_back: true,
            rollback_reason,
            image_zst_bytes: std::fs::metadata(v1.image()).context("measuring the disk image")?.len(),
            installed_bytes: release_1.totals.bytes,
            update_bytes,
            full_bytes: v2.release()?.totals.compressed_bytes,
            boot_to_app_secs: round(answer_v1.after.as_secs_f64()),
            mem_used_mib: round(mem_used_mib),
            build_cold_secs: round(v1.took.as_secs_f64()),
            build_warm_secs: round(v2.took.as_secs_f64()),
        })
    }

    fn build(&self, variant: &Variant) -> Result<Built> {
        let built = self.product.build(variant)?;
        for text in &built.notes {
            note(text);
        }
        note(&format!("built in {:.1} s: {}", built.took.as_secs_f64(), built.dir.display()));
        Ok(built)
    }

    /// Publish a release whose app never becomes Ready; gives the reason that
    /// the node remembers. Fails unless the node is back on release 2.
    fn roll_back(&self, node: &mut Node, repo: &Path) -> Result<String> {
        self.say("Release 3: broken on purpose, its app never becomes Ready");
        // Only this machine runs here, so its orchestrator is not late.
        let v3 = self.build(&Variant { health_timeout_secs: BROKEN_SECS, ..Variant::V3_BROKEN })?;
        self.product.publish(&v3.dir, repo)?;
        let back = |u: &UpdaterStatus| {
            u.running.sequence.0 == 2
                && u.blessed
                && u.last_rollback.as_ref().is_some_and(|r| r.release.sequence.0 == 3)
        };
        let status = node.wait_updater("the node to go back to release 2", UPDATE_MAX, show, back)?;
        let answer = node.wait_app_version(Variant::V2.version, UPDATE_MAX)?;
        note(&format!("the app answers: {}", answer.json));
        let rollback = status.updater.and_then(|u| u.last_rollback).context("the node remembers no roll-back")?;
        ensure!(!rollback.reason.is_empty(), "the node gives no reason for the roll-back");
        Ok(rollback.reason)
    }
}

fn heading(started: Instant, text: &str) {
    println!("\n\x1b[1m[{:5.0} s] {text}\x1b[0m", started.elapsed().as_secs_f64());
}

fn note(text: &str) {
    println!("  {text}");
}

fn show(updater: &UpdaterStatus) {
    note(&format!("node: release {}, {}: {}", updater.running.sequence, updater.state, updater.message));
}

fn used_mib(status: &NodeStatus) -> Result<f64> {
    let used = status.memory.get("used").context("the node tells no memory figures")?;
    Ok(*used as f64 / f64::from(1 << 20))
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The figures for people.
fn table(f: &Figures) -> String {
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let percent = f.update_bytes as f64 * 100.0 / f.full_bytes.max(1) as f64;
    let rows = [
        ("app under release 1", f.app_answer_v1.to_string()),
        ("app under release 2", f.app_answer_v2.to_string()),
        ("updated to release 2", yes(f.updated)),
        ("rolled back from release 3", yes(f.rolled_back)),
        ("  because", f.rollback_reason.clone()),
        ("disk image, compressed", mb(f.image_zst_bytes)),
        ("installed: OS, app, kernel", mb(f.installed_bytes)),
        ("fetched for the update", format!("{} ({percent:.1} % of {})", mb(f.update_bytes), mb(f.full_bytes))),
        ("power-on to app", format!("{:.1} s", f.boot_to_app_secs)),
        ("memory used", format!("{:.0} MiB", f.mem_used_mib)),
        ("build, nothing cached", format!("{:.1} s", f.build_cold_secs)),
        ("build, cached", format!("{:.1} s", f.build_warm_secs)),
    ];
    rows.iter().fold(String::from("\n"), |out, (name, value)| format!("{out}  {name:<28}{value}\n"))
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn result_has_exactly_the_documented_keys() {
        let figures = Figures {
            app_answer_v1: serde_json::json!({"version": "1.0.0"}),
            app_answer_v2: serde_json::json!({"version": "2.0.0"}),
            updated: true,
            rolled_back: true,
            rollback_reason: "not ready".into(),
            image_zst_bytes: 1,
            installed_bytes: 2,
            update_bytes: 250_000,
            full_bytes: 1_000_000,
            boot_to_app_secs: 1.5,
            mem_used_mib: 100.0,
            build_cold_secs: 3.0,
            build_warm_secs: 2.0,
        };
        let json = serde_json::to_value(&figures).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        let want = [
            "app_answer_v1",
            "app_answer_v2",
            "updated",
            "rolled_back",
            "rollback_reason",
            "image_zst_bytes",
            "installed_bytes",
            "update_bytes",
            "full_bytes",
            "boot_to_app_secs",
            "mem_used_mib",
            "build_cold_secs",
            "build_warm_secs",
        ];
        assert_eq!(keys, want);
        assert!(table(&figures).contains("0.2 MB (25.0 % of 1.0 MB)"), "{}", table(&figures));
    }
}
