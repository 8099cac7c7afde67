//! `skerry new`: from nothing to a product that builds.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Ctx;

/// Files of a new product: path, text. `@PRODUCT@` stands for its name.
const FILES: &[(&str, &str)] = &[
    ("@PRODUCT@.toml", include_str!("new/image.toml")),
    ("manifests/hello.yaml", include_str!("new/hello.yaml")),
    (".gitignore", include_str!("new/gitignore")),
    (".github/workflows/release.yml", include_str!("new/github.yml")),
    (".gitlab-ci.yml", include_str!("new/gitlab.yml")),
    ("README.md", include_str!("new/README.md")),
];

/// Arguments of `skerry new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to make; an existing one must not have any of the files
    pub dir: PathBuf,
    /// Product name [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub product: Option<String>,
}

/// Write the files.
///
/// # Errors
/// If one of them exists already; then none is written.
pub fn run(args: Args, _ctx: &Ctx) -> anyhow::Result<()> {
    let product = match args.product {
        Some(name) => name,
        None => product_name(&args.dir)?,
    };
    let files = files(&product)?;
    let taken: Vec<String> =
        files.iter().map(|(p, _)| args.dir.join(p)).filter(|p| p.exists()).map(|p| p.display().to_string()).collect();
    if !taken.is_empty() {
        bail!("{} exists already; nothing was written, use another folder", taken.join(", "));
    }
    for (path, text) in &files {
        let path = args.dir.join(path);
        let folder = path.parent().unwrap_or(&args.dir);
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("Made {}:", args.dir.display());
    files.iter().for_each(|(path, _)| println!("  {path}"));
    println!("\nNext:\n  cd {}", args.dir.display());
    println!(
        "  skerry keys init --dir keys\n  skerry lock {product}.toml\n  skerry build {product}.toml --board x86_64-uefi"
    );
    Ok(())
}

/// The files of a product.
///
/// # Errors
/// If the name is not that of a product.
fn files(product: &str) -> anyhow::Result<Vec<(String, String)>> {
    let files: Vec<_> =
        FILES.iter().map(|(p, t)| (p.replace("@PRODUCT@", product), t.replace("@PRODUCT@", product))).collect();
    // The reader of specs says what a product may be called.
    if let Err(problems) = skerry_plan::spec::parse("--product", &files[0].1) {
        let why: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        bail!("{}; choose a name with --product", why.join("; "));
    }
    Ok(files)
}

/// A product name from a folder's name.
fn product_name(dir: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(dir).with_context(|| format!("finding the folder {}", dir.display()))?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-').chars().take(40).collect::<String>();
    if name.is_empty() {
        bail!("no product name follows from {}; give one with --product", dir.display());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_spec_is_valid_as_it_is_and_with_the_app_switched_on() {
        let text = &files("harbour").unwrap()[0].1;
        let spec = skerry_plan::spec::parse("harbour.toml", text).unwrap();
        assert_eq!((spec.product.as_str(), spec.apps.len()), ("harbour", 0));
        let mut on = text.clone();
        for line in [
            "manifests = \"manifests\"",
            "[[app]]\n",
            "name = \"hello\"",
            "image = \"localhost/hello:1\"",
            "layout = \"hello-layout\"",
        ] {
            let off = format!("#{line}");
            assert!(on.contains(&off), "{line}");
            on = on.replacen(&off, line, 1);
        }
        let spec = skerry_plan::spec::parse("harbour.toml", &on).unwrap();
        let manifest = &files("harbour").unwrap()[1].1;
        assert!(manifest.contains(&format!("image: {}\n", spec.apps[0].image)));
    }

    #[test]
    fn names_follow_from_folders_or_are_refused() {
        assert_eq!(product_name(Path::new("/a/My Harbour_2")).unwrap(), "my-harbour-2");
        assert!(product_name(Path::new("/")).is_err());
        let error = files("Bad Name").unwrap_err().to_string();
        assert!(error.contains("--product"), "{error}");
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("harbour");
        let ctx = Ctx { progress: crate::progress::Progress::none(), cache_dir: dir.clone(), verbosity: 0 };
        let run = || run(Args { dir: dir.clone(), product: None }, &ctx);
        run().unwrap();
        std::fs::write(dir.join("README.md"), "mine").unwrap();
        std::fs::remove_file(dir.join(".gitignore")).unwrap();
        assert!(run().unwrap_err().to_string().contains("README.md"));
        assert_eq!(std::fs::read_to_string(dir.join("README.md")).unwrap(), "mine");
        assert!(!dir.join(".gitignore").exists());
    }
}
