//! What all groups measure on: one product with its own keys and cache.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    http,
    product::{Built, Product, Variant},
    tools::Tools,
};

/// What a bed remembers, written when it is whole.
const MARK: &str = "bed.json";

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The port that the nodes were built for.
    port: u16,
    cold_secs: f64,
}

/// A product to measure.
#[derive(Debug)]
pub struct Bed {
    /// Folder for everything that measuring needs.
    pub work: PathBuf,
    /// The programs.
    pub tools: Tools,
    /// The product.
    pub product: Product,
    /// Port of the update server.
    pub port: u16,
    /// Time of the first build, with an empty cache.
    pub cold_secs: f64,
}

impl Bed {
    /// The bed in `out/work`; a new one if `fresh` or if there is none.
    ///
    /// # Errors
    /// If the product cannot be made or built.
    pub fn open(out: &Path, fresh: bool) -> Result<Self> {
        let work = out.join("work");
        let mut tools = Tools::locate()?;
        tools.cache = Some(work.join("cache"));
        let mark = std::fs::read(work.join(MARK)).ok().and_then(|b| serde_json::from_slice::<Mark>(&b).ok());
        if let (Some(Mark { port, cold_secs }), false) = (mark, fresh) {
            let product = Product::open(&tools, &work.join("product"), port);
            return Ok(Bed { work, tools, product, port, cold_secs });
        }
        if work.exists() {
            std::fs::remove_dir_all(&work).with_context(|| format!("emptying {}", work.display()))?;
        }
        std::fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
        let port = http::lasting_port()?;
        let product = Product::create(&tools, &work.join("product"), port)?;
        let mut bed = Bed { work, tools, product, port, cold_secs: 0.0 };
        say("Build: nothing in the cache");
        bed.cold_secs = bed.build(&Variant::V1)?.took.as_secs_f64();
        let mark = Mark { port, cold_secs: bed.cold_secs };
        std::fs::write(bed.work.join(MARK), serde_json::to_vec(&mark)?).context("marking the bed as whole")?;
        Ok(bed)
    }

    /// Output folder of a release, built if it is not there.
    ///
    /// # Errors
    /// If the build fails.
    pub fn release(&self, variant: &Variant) -> Result<PathBuf> {
        let dir = self.product.built(variant);
        // The signature is the last thing that a build writes.
        if dir.join("SHA256SUMS.sig").is_file() {
            return Ok(dir);
        }
        Ok(self.build(variant)?.dir)
    }

    /// An empty folder for a part of the measurement.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let dir = self.work.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("emptying {}", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(dir)
    }

    fn build(&self, variant: &Variant) -> Result<Built> {
        let built = self.product.build(variant)?;
        built.notes.iter().for_each(|n| println!("  note: {n}"));
        Ok(built)
    }
}

/// A heading in the output.
pub fn say(text: &str) {
    println!("\n\x1b[1m== {text}\x1b[0m");
}

/// The middle one by `key`; of an even number, the later of the two.
pub fn median_by<T>(mut all: Vec<T>, key: impl Fn(&T) -> f64) -> Option<T> {
    all.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let middle = all.len() / 2;
    (middle < all.len()).then(|| all.swap_remove(middle))
}

/// Time of one call.
///
/// # Errors
/// Those of the call.
pub fn timed<T>(call: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let started = Instant::now();
    let value = call()?;
    Ok((started.elapsed().as_secs_f64(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median_by(vec![3.0, 1.0, 2.0], |v| *v), Some(2.0));
        assert_eq!(median_by(vec![5.0], |v| *v), Some(5.0));
        assert_eq!(median_by(Vec::<f64>::new(), |v| *v), None);
    }
}
