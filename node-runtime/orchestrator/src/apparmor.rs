//! AppArmor, where the kernel has it.
//!
//! The node has no compiler of profiles. Whoever wants one loads it (a
//! privileged pod with `apparmor_parser` can), and pods name it. A container
//! never starts without the profile that it asks for by name.

use std::fs;

use crate::desired::AppArmor;

/// `Y` where the kernel has AppArmor and it is on.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// Loaded profiles: `NAME (MODE)` on each line.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
/// The default profile, by the name that containerd gives its own. Without it
/// there is none.
const DEFAULT: &str = "cri-containerd.apparmor.d";

/// The profile for a container about to start, if it gets one.
///
/// # Errors
/// The one that it names cannot be had, in the kubelet's words.
pub(crate) fn profile(wanted: &AppArmor) -> anyhow::Result<Option<String>> {
    let enabled = fs::read_to_string(ENABLED).is_ok_and(|t| t.trim() == "Y");
    let loaded = if enabled { fs::read_to_string(LOADED).unwrap_or_default() } else { String::new() };
    choose(wanted, enabled.then_some(&loaded)).map_err(|why| anyhow::anyhow!("Cannot enforce AppArmor: {why}"))
}

/// The same from the list of loaded profiles; `None`: AppArmor is off.
fn choose(wanted: &AppArmor, loaded: Option<&str>) -> Result<Option<String>, String> {
    let is_loaded = |name: &str| {
        let names = loaded.unwrap_or_default().lines().filter_map(|l| Some(l.rsplit_once(" (")?.0));
        names.into_iter().any(|n| n == name)
    };
    match (wanted, loaded) {
        (AppArmor::Unconfined, _) => Ok(None),
        (AppArmor::RuntimeDefault, _) => Ok(is_loaded(DEFAULT).then(|| DEFAULT.to_owned())),
        (AppArmor::Localhost(_), None) => Err("AppArmor is not enabled on the host".into()),
        (AppArmor::Localhost(name), Some(_)) if is_loaded(name) => Ok(Some(name.clone())),
        (AppArmor::Localhost(name), Some(_)) => Err(format!("profile {name:?} is not loaded")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_is_named_must_be_there() {
        let named = |n: &str| AppArmor::Localhost(n.into());
        let some = Some("web (enforce)\nodd (name) (complain)\n");
        let with_default = Some("cri-containerd.apparmor.d (enforce)\n");
        for (wanted, loaded, want) in [
            (AppArmor::RuntimeDefault, None, Ok(None)),
            (AppArmor::RuntimeDefault, some, Ok(None)),
            (AppArmor::RuntimeDefault, with_default, Ok(Some(DEFAULT.to_owned()))),
            (AppArmor::Unconfined, with_default, Ok(None)),
            (named("web"), some, Ok(Some("web".into()))),
            (named("odd (name)"), some, Ok(Some("odd (name)".into()))),
            (named("we"), some, Err("profile \"we\" is not loaded".to_owned())),
            (named("web"), Some(""), Err("profile \"web\" is not loaded".to_owned())),
            (named("web"), None, Err("AppArmor is not enabled on the host".to_owned())),
        ] {
            assert_eq!(choose(&wanted, loaded), want, "{wanted:?} {loaded:?}");
        }
    }
}
