//! Releases that all scenarios share: built once, and again only when a program
//! or the demo's spec changes.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    http,
    node::Node,
    product::{Product, Variant, copy_folder, registry_port},
    server::{Rate, UpdateServer},
    tools::Tools,
};

/// All releases of the scenarios; the first has a disk image.
const VARIANTS: [Variant; 6] =
    [Variant::V1, Variant::V2, Variant::V3_BROKEN, Variant::V3_PANIC, Variant::V2_FROZEN, Variant::V2_HANGING];
/// Written last: the fixture is whole.
const MARK: &str = "fixture.json";

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    inputs: String,
    port: u16,
}

/// The shared releases.
#[derive(Debug)]
pub struct Fixture {
    /// The product that the releases belong to.
    pub product: Product,
    dir: PathBuf,
    port: u16,
}

impl Fixture {
    /// Open the fixture; build it first if it is not there or not up to date.
    ///
    /// # Errors
    /// If a program is missing or a build fails.
    pub fn get() -> Result<Self> {
        let tools = Tools::locate()?;
        let dir = target_dir()?.join("scenarios");
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let lock = File::create(dir.join("lock")).context("opening the fixture's lock")?;
        lock.lock().context("waiting for the fixture")?;
        let shared = dir.join("shared");
        let inputs = inputs(&tools)?;
        let mark = std::fs::read(shared.join(MARK)).ok().and_then(|b| serde_json::from_slice::<Mark>(&b).ok());
        let mark = match mark {
            Some(mark) if mark.inputs == inputs => mark,
            _ => build(&tools, &shared, inputs)?,
        };
        Ok(Fixture { product: Product::open(&tools, &shared, mark.port), dir, port: mark.port })
    }

    /// A folder of a scenario, emptied.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn scenario(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join("runs").join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("emptying {}", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(dir)
    }

    /// Port on which the nodes look for updates.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Port from which the nodes may pull images without TLS.
    pub fn registry_port(&self) -> u16 {
        registry_port(self.port)
    }

    /// A node with the first release.
    ///
    /// # Errors
    /// If its disk cannot be made.
    pub fn node(&self, dir: &Path) -> Result<Node> {
        Node::create(&self.product.built(&Variant::V1).join("disk.img.zst"), &dir.join("node"))
    }

    /// A copy of the repository that offers the first release.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn repo(&self, dir: &Path) -> Result<PathBuf> {
        let repo = dir.join("updates");
        copy_folder(&self.dir.join("shared/updates"), &repo)?;
        Ok(repo)
    }

    /// Publish a variant to a copy of the repository.
    ///
    /// # Errors
    /// If publishing fails.
    pub fn publish(&self, variant: &Variant, repo: &Path) -> Result<()> {
        self.product.publish(&self.product.built(variant), repo)
    }

    /// Serve a repository to the nodes.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn serve(&self, repo: &Path, dir: &Path, rate: Rate) -> Result<UpdateServer> {
        UpdateServer::start(repo, &dir.join("nginx"), self.port, rate)
    }
}

fn build(tools: &Tools, shared: &Path, inputs: String) -> Result<Mark> {
    if shared.exists() {
        std::fs::remove_dir_all(shared).with_context(|| format!("removing {}", shared.display()))?;
    }
    let port = http::lasting_port()?;
    let product = Product::create(tools, shared, port)?;
    for variant in VARIANTS {
        let built = product.build(&variant).with_context(|| format!("building {} for the scenarios", variant.name))?;
        for note in &built.notes {
            println!("note: {note}");
        }
    }
    product.publish(&product.built(&Variant::V1), &shared.join("updates"))?;
    let mark = Mark { inputs, port };
    std::fs::write(shared.join(MARK), serde_json::to_vec(&mark)?).context("marking the fixture as whole")?;
    Ok(mark)
}

/// Digest of everything that the releases are made of.
fn inputs(tools: &Tools) -> Result<String> {
    let mut files = vec![tools.skerry.clone()];
    files.extend(VARIANTS.iter().map(|v| tools.app(v.app)));
    files.push(tools.root.join("image-specs/demo/demo.toml"));
    for dir in [&tools.runtime, &tools.root.join("image-specs/demo/manifests"), &tools.root.join("boards")] {
        let mut inside = std::fs::read_dir(dir)
            .with_context(|| format!("reading {}", dir.display()))?
            .map(|e| Ok(e?.path()))
            .collect::<Result<Vec<_>>>()?;
        inside.retain(|p| p.is_file());
        inside.sort();
        files.extend(inside);
    }
    let mut all = Sha256::new();
    for file in files {
        all.update(Sha256::digest(std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?));
    }
    // A lock may be absent; then it is made with the fixture.
    all.update(std::fs::read(tools.root.join("image-specs/demo/demo.lock")).unwrap_or_default());
    all.update(format!("{VARIANTS:?}"));
    Ok(hex::encode(all.finalize()))
}

/// The cargo target folder that this program is in.
fn target_dir() -> Result<PathBuf> {
    let me = std::env::current_exe().context("finding this program")?;
    // target/PROFILE/deps/NAME for tests, target/PROFILE/NAME for programs.
    let deps = me.parent().is_some_and(|p| p.ends_with("deps"));
    Ok(me.ancestors().nth(if deps { 3 } else { 2 }).context("this program is not in a target folder")?.to_owned())
}
