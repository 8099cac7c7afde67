//! The dynamic loader and the libraries of programs, found in the folder of an
//! unpacked system, such as Debian packages after `dpkg -x`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use skerry_plan::board::Arch;

use crate::tree::{
    elf::{self, ElfInfo},
    select::library_dirs,
};

/// Path in the image without the leading `/` → content.
pub type Libraries = BTreeMap<String, Vec<u8>>;

/// Everything that `programs` (name, content) need to be loaded.
///
/// # Errors
/// What is not there, or no ELF file, for people.
pub fn libraries(programs: &[(String, Vec<u8>)], root: &Path, arch: Arch) -> Result<Libraries, String> {
    let root = root.canonicalize().map_err(|e| format!("cannot open {}: {e}", root.display()))?;
    let mut found = Libraries::new();
    let mut unread: Vec<(String, Vec<u8>)> = programs.to_vec();
    while let Some((name, bytes)) = unread.pop() {
        let info = elf::parse(&bytes).map_err(|e| format!("{name}: {e}"))?;
        for (wanted, target) in needs(&info, arch) {
            if found.contains_key(&target) {
                continue;
            }
            let path = find(&root, &wanted, &info, arch).ok_or_else(|| {
                format!("{name} needs {wanted}, which is not below {}; unpack its package there", root.display())
            })?;
            let bytes = std::fs::read(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            found.insert(target, bytes.clone());
            unread.push((wanted, bytes));
        }
    }
    Ok(found)
}

/// File name and place in the image of each need. All libraries go to one
/// folder, which the loader searches without a cache.
fn needs(info: &ElfInfo, arch: Arch) -> Vec<(String, String)> {
    let loader = info.interpreter.iter().map(|path| {
        let name = path.rsplit('/').next().unwrap_or(path);
        (name.to_owned(), path.trim_start_matches('/').to_owned())
    });
    let libraries = info.needed.iter().filter(|name| !name.starts_with("ld-linux"));
    let libraries = libraries.map(|name| (name.clone(), format!("usr/lib/{}/{name}", arch.triplet())));
    loader.chain(libraries).collect()
}

fn find(root: &Path, name: &str, info: &ElfInfo, arch: Arch) -> Option<PathBuf> {
    let folders = library_dirs(arch, info).flat_map(|dir| {
        // Before the merge of /lib into /usr/lib, packages say either.
        let short = dir.strip_prefix("usr/").map(str::to_owned);
        [Some(dir), short].into_iter().flatten()
    });
    let mut places = folders.filter_map(|folder| root.join(folder).join(name).canonicalize().ok());
    // A link that leads out of the folder would take a file of this machine.
    places.find(|path| path.starts_with(root))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tree::elf_fixture::Fixture;

    fn root() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib/x86_64-linux-gnu");
        let usr = dir.path().join("usr/lib/x86_64-linux-gnu");
        for folder in [&lib, &usr] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let put = |path: PathBuf, needed: &[&str]| {
            std::fs::write(path, Fixture { needed, ..Fixture::default() }.bytes()).unwrap();
        };
        put(lib.join("ld-linux-x86-64.so.2"), &[]);
        put(lib.join("libc.so.6"), &["ld-linux-x86-64.so.2"]);
        put(usr.join("liba.so.1.2"), &["libc.so.6"]);
        std::os::unix::fs::symlink("liba.so.1.2", usr.join("liba.so.1")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", usr.join("libout.so.1")).unwrap();
        dir
    }

    fn program(needed: &[&str]) -> Vec<(String, Vec<u8>)> {
        let interpreter = Some("/lib64/ld-linux-x86-64.so.2");
        vec![("server".into(), Fixture { interpreter, needed, ..Fixture::default() }.bytes())]
    }

    #[test]
    fn the_loader_and_all_libraries_are_found() {
        let root = root();
        let found = libraries(&program(&["liba.so.1", "libc.so.6"]), root.path(), Arch::X86_64).unwrap();
        let paths: Vec<&str> = found.keys().map(String::as_str).collect();
        let want =
            ["lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/liba.so.1", "usr/lib/x86_64-linux-gnu/libc.so.6"];
        assert_eq!(paths, want);
    }

    #[test]
    fn what_is_missing_or_elsewhere_is_named() {
        let root = root();
        for name in ["libb.so.1", "libout.so.1"] {
            let error = libraries(&program(&[name]), root.path(), Arch::X86_64).unwrap_err();
            assert!(error.contains(&format!("server needs {name}, which is not below")), "{error}");
        }
    }
}
