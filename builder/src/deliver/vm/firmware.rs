//! UEFI firmware (OVMF) as Debian, Ubuntu, Fedora and Arch install it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::VmError;

/// A firmware: code and the template of its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Code, mapped read-only.
    pub code: PathBuf,
    /// Fresh variables, copied for every machine.
    pub vars: PathBuf,
}

/// Folder, code, variables; best first.
const PLACES: &[(&str, &str, &str)] = &[
    ("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd"),
    ("/usr/share/edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd"),
    ("/usr/share/qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
];

/// Find an installed firmware.
///
/// # Errors
/// [`VmError::NoFirmware`] with the folders that were searched.
pub fn find() -> Result<Firmware, VmError> {
    find_below(Path::new("/"))
}

fn find_below(root: &Path) -> Result<Firmware, VmError> {
    let place = |(dir, code, vars): &(&str, &str, &str)| {
        let dir = root.join(dir.trim_start_matches('/'));
        Firmware { code: dir.join(code), vars: dir.join(vars) }
    };
    PLACES.iter().map(place).find(|f| f.code.is_file() && f.vars.is_file()).ok_or_else(|| {
        let mut dirs: Vec<&str> = PLACES.iter().map(|p| p.0).collect();
        dirs.dedup();
        VmError::NoFirmware { searched: dirs.join(", ") }
    })
}

impl Firmware {
    /// Make the machine's own variables at `path`, unless they are there.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn prepare_vars(&self, path: &Path) -> Result<(), VmError> {
        if !path.exists() {
            let template = std::fs::read(&self.vars).map_err(VmError::io("read", &self.vars))?;
            std::fs::write(path, template).map_err(VmError::io("write", path))?;
        }
        Ok(())
    }

    /// QEMU arguments.
    pub fn args(&self, vars: &Path) -> Vec<OsString> {
        let drive = |unit: u8, read_only: &str, path: &Path| {
            let mut arg = OsString::from(format!("if=pflash,format=raw,unit={unit},readonly={read_only},file="));
            arg.push(super::command::escaped(path));
            ["-drive".into(), arg]
        };
        [drive(0, "on", &self.code), drive(1, "off", vars)].concat()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_4m_build_wins_and_a_lone_code_file_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("usr/share/OVMF");
        std::fs::create_dir_all(&dir).unwrap();
        let touch = |n: &str| std::fs::write(dir.join(n), n).unwrap();
        touch("OVMF_CODE_4M.fd");
        assert!(find_below(root.path()).unwrap_err().to_string().contains("apt install ovmf"));
        touch("OVMF_CODE.fd");
        touch("OVMF_VARS.fd");
        assert_eq!(find_below(root.path()).unwrap().code, dir.join("OVMF_CODE.fd"));
        touch("OVMF_VARS_4M.fd");
        assert_eq!(find_below(root.path()).unwrap().code, dir.join("OVMF_CODE_4M.fd"));
    }

    #[test]
    fn variables_of_a_machine_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let f = Firmware { code: dir.path().join("c"), vars: dir.path().join("v") };
        std::fs::write(&f.vars, "fresh").unwrap();
        let own = dir.path().join("own");
        f.prepare_vars(&own).unwrap();
        std::fs::write(&own, "used").unwrap();
        f.prepare_vars(&own).unwrap();
        assert_eq!(std::fs::read_to_string(own).unwrap(), "used");
    }
}
