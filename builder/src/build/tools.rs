//! The lock's tools as the tree and image steps want them.

use std::{io, process};

use crate::host::tools::Toolbox;

/// Adapter from [`Toolbox`] to the steps' own traits.
pub struct LockedTools(pub Toolbox);

impl crate::tree::os::Tools for LockedTools {
    fn command(&self, name: &str) -> Result<process::Command, String> {
        self.0.command(name).map_err(|e| e.to_string())
    }
}

impl crate::image::Tools for LockedTools {
    fn run(&self, program: &str, args: &[&str], env: &[(&str, &str)]) -> io::Result<process::Output> {
        let mut command = self.0.command(program).map_err(io::Error::other)?;
        command.args(args).envs(env.iter().copied()).stdin(process::Stdio::null()).output()
    }
}
