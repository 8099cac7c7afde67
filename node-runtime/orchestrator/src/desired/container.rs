//! A core/v1 Container → [`Container`]: image configuration merged, references
//! resolved.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1 as core, apimachinery::pkg::util::intstr::IntOrString};
use skerry_workloads::quantity;

use super::{
    AppArmor, CREATING, Check, Container, Hook, HttpGet, Pod, Probe, Resources, Role, Seccomp, VolumeMount, Waiting,
    environment, pods::Sources,
};
use crate::input::{Image, ImageState};

/// A container that cannot start yet.
pub(super) fn waiting(c: &core::Container, role: Role, why: Waiting) -> Container {
    Container {
        name: c.name.clone(),
        role,
        image: c.image.clone().unwrap_or_default(),
        resources: resources(c),
        waiting: Some(why),
        ..Container::default()
    }
}

fn config_error(message: impl Into<String>) -> Waiting {
    Waiting { reason: "CreateContainerConfigError".into(), message: message.into() }
}

/// The container, or why it must wait.
pub(super) fn resolve(
    c: &core::Container,
    role: Role,
    spec: &core::PodSpec,
    pod: &Pod,
    sources: &Sources<'_>,
) -> Result<Container, Waiting> {
    let reference = c.image.clone().unwrap_or_default();
    let image = image(&reference, c.image_pull_policy.as_deref(), sources)?;
    let default = core::SecurityContext::default();
    let sc = c.security_context.as_ref().unwrap_or(&default);
    let psc = spec.security_context.clone().unwrap_or_default();
    let (uid, gid) = user(sc, &psc, image, &format!("(pod: \"{}\", container: {})", pod.title(), c.name))?;
    let ports: BTreeMap<String, u16> =
        c.ports.iter().flatten().filter_map(|p| Some((p.name.clone()?, port(p.container_port)))).collect();
    let mut groups: Vec<u32> = psc.supplemental_groups.iter().flatten().copied().map(id).collect();
    groups.extend(psc.fs_group.map(id));
    let privileged = sc.privileged.unwrap_or(false);
    let seccomp = sc.seccomp_profile.as_ref().or(psc.seccomp_profile.as_ref()).map(|s| s.type_.as_str());
    let apparmor = sc.app_armor_profile.as_ref().or(psc.app_armor_profile.as_ref());
    let probe = |p: &Option<core::Probe>| p.as_ref().map(|p| probe(p, &ports)).transpose().map_err(config_error);
    let hook = |h: Option<&core::LifecycleHandler>| h.map(|h| hook(h, &ports)).transpose().map_err(config_error);
    let life = c.lifecycle.as_ref();
    Ok(Container {
        name: c.name.clone(),
        role,
        waiting: None,
        image_id: image.id.clone(),
        app: image.app.clone(),
        composefs: Some(image.composefs),
        args: arguments(c, image)?,
        env: environment::resolve(c, spec, pod, image, sources).map_err(config_error)?,
        cwd: working_dir(c, image),
        uid,
        gid,
        groups,
        read_only_root: sc.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: sc.allow_privilege_escalation == Some(false),
        privileged,
        unmasked_proc: privileged || sc.proc_mount.as_deref() == Some("Unmasked"),
        tty: c.tty.unwrap_or(false),
        stdin: c.stdin.unwrap_or(false),
        stdin_once: c.stdin_once.unwrap_or(false),
        capabilities: capabilities(sc.capabilities.as_ref(), privileged),
        seccomp: if privileged || seccomp == Some("Unconfined") {
            Seccomp::Unconfined
        } else {
            Seccomp::RuntimeDefault
        },
        apparmor: self::apparmor(apparmor, privileged),
        resources: resources(c),
        mounts: c.volume_mounts.iter().flatten().map(mount).collect(),
        startup: probe(&c.startup_probe)?,
        readiness: probe(&c.readiness_probe)?,
        liveness: probe(&c.liveness_probe)?,
        post_start: hook(life.and_then(|l| l.post_start.as_ref()))?,
        pre_stop: hook(life.and_then(|l| l.pre_stop.as_ref()))?,
        termination_path: c.termination_message_path.clone().unwrap_or_else(|| "/dev/termination-log".into()),
        termination_from_log: c.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        ports,
        image: reference,
    })
}

fn image<'a>(reference: &str, policy: Option<&str>, sources: &Sources<'a>) -> Result<&'a Image, Waiting> {
    let waiting = |reason: &str, message: String| Err(Waiting { reason: reason.into(), message });
    match sources.images.get(reference) {
        Some(ImageState::Present(image)) => Ok(image),
        Some(ImageState::Pulling) => waiting(CREATING, format!("pulling image \"{reference}\"")),
        Some(ImageState::Failed { reason, message }) => waiting(reason, message.clone()),
        None if policy == Some("Never") => {
            let text = format!("Container image \"{reference}\" is not present with pull policy of Never");
            waiting("ErrImageNeverPull", text)
        }
        None => {
            let have: Vec<&str> = sources.images.keys().map(String::as_str).collect();
            let text = format!("image {reference:?} is not part of this release (it has: {})", have.join(", "));
            waiting("ImagePullBackOff", text)
        }
    }
}

fn user(
    sc: &core::SecurityContext,
    psc: &core::PodSecurityContext,
    image: &Image,
    place: &str,
) -> Result<(u32, u32), Waiting> {
    let (image_uid, image_gid) = image_user(&image.config.user);
    let wanted = sc.run_as_user.or(psc.run_as_user).map(id);
    let non_root = sc.run_as_non_root.or(psc.run_as_non_root) == Some(true);
    let gid = sc.run_as_group.or(psc.run_as_group).map_or(image_gid, id);
    match (wanted, image_uid) {
        (Some(0), _) if non_root => Err(config_error(format!("container's runAsUser breaks non-root policy {place}"))),
        (Some(uid), _) => Ok((uid, gid)),
        (None, Some(0)) if non_root => {
            Err(config_error(format!("container has runAsNonRoot and image will run as root {place}")))
        }
        (None, Some(uid)) => Ok((uid, gid)),
        (None, None) if non_root => Err(config_error(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {place}",
            image.config.user
        ))),
        (None, None) => Err(config_error(format!(
            "the image's user {:?} is a name; set runAsUser to its number {place}",
            image.config.user
        ))),
    }
}

/// User and group of an image's `User`; no user where it is a name.
fn image_user(user: &str) -> (Option<u32>, u32) {
    let (u, g) = user.split_once(':').unwrap_or((user, "0"));
    let uid = if u.is_empty() { Some(0) } else { u.parse().ok() };
    (uid, g.parse().unwrap_or(0))
}

/// The API has checked the ranges; what is out of range becomes "nobody".
pub(super) fn id(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(65534)
}

fn port(n: i32) -> u16 {
    u16::try_from(n).unwrap_or(0)
}

pub(super) fn seconds<N: TryInto<u32>>(n: Option<N>, default: u32) -> u32 {
    n.and_then(|n| n.try_into().ok()).unwrap_or(default)
}

fn working_dir(c: &core::Container, image: &Image) -> String {
    let given = c.working_dir.clone().filter(|w| !w.is_empty());
    let from_image = Some(image.config.working_dir.clone()).filter(|w| !w.is_empty());
    given.or(from_image).unwrap_or_else(|| "/".into())
}

/// Kubernetes rules: `command` replaces entrypoint and cmd, `args` cmd only.
fn arguments(c: &core::Container, image: &Image) -> Result<Vec<String>, Waiting> {
    let command = c.command.clone().filter(|c| !c.is_empty());
    let args = c.args.clone().filter(|a| !a.is_empty());
    // `$(` in an image's words is text, not a reference.
    let literal = |words: &[String]| words.iter().map(|w| w.replace("$(", "$$(")).collect::<Vec<_>>();
    let (entrypoint, cmd) = (literal(&image.config.entrypoint), literal(&image.config.cmd));
    let all = match (command, args) {
        (Some(c), a) => [c, a.unwrap_or_default()].concat(),
        (None, Some(a)) => [entrypoint, a].concat(),
        (None, None) => [entrypoint, cmd].concat(),
    };
    if all.is_empty() {
        let message = "no command specified: neither image nor manifest says what to run; set command".into();
        return Err(Waiting { reason: "CreateContainerError".into(), message });
    }
    Ok(all)
}

/// Privileged containers have no profile but one that they ask for by name.
fn apparmor(profile: Option<&core::AppArmorProfile>, privileged: bool) -> AppArmor {
    match profile.map(|p| (p.type_.as_str(), p.localhost_profile.as_deref())) {
        Some(("Localhost", name)) => AppArmor::Localhost(name.unwrap_or_default().into()),
        Some(("Unconfined", _)) => AppArmor::Unconfined,
        _ if privileged => AppArmor::Unconfined,
        _ => AppArmor::RuntimeDefault,
    }
}

/// Limits and requests; a request that is not given equals the limit.
pub(super) fn resources(c: &core::Container) -> Resources {
    let Some(r) = &c.resources else { return Resources::default() };
    let get = |map: &Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>, key: &str| {
        map.as_ref().and_then(|m| m.get(key)).map(|q| q.0.clone())
    };
    let cpu_limit_millis = get(&r.limits, "cpu").and_then(|q| quantity::millis(&q));
    let memory_limit_bytes = get(&r.limits, "memory").and_then(|q| quantity::units(&q));
    let cpu_request = get(&r.requests, "cpu").and_then(|q| quantity::millis(&q));
    let memory_request = get(&r.requests, "memory").and_then(|q| quantity::units(&q));
    let storage_limit_bytes = get(&r.limits, "ephemeral-storage").and_then(|q| quantity::units(&q));
    let storage_request = get(&r.requests, "ephemeral-storage").and_then(|q| quantity::units(&q));
    Resources {
        cpu_limit_millis,
        cpu_request_millis: cpu_request.or(cpu_limit_millis).unwrap_or(0),
        memory_limit_bytes,
        memory_request_bytes: memory_request.or(memory_limit_bytes).unwrap_or(0),
        storage_limit_bytes,
        storage_request_bytes: storage_request.or(storage_limit_bytes).unwrap_or(0),
    }
}

fn mount(m: &core::VolumeMount) -> VolumeMount {
    let expression = m.sub_path_expr.clone().filter(|s| !s.is_empty());
    VolumeMount {
        name: m.name.clone(),
        path: m.mount_path.clone(),
        read_only: m.read_only.unwrap_or(false),
        expand: expression.is_some(),
        sub_path: expression.or(m.sub_path.clone()).unwrap_or_default(),
    }
}

/// What a container gets if it drops nothing; containerd's and Docker's set.
const CAPABILITIES_DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "AUDIT_WRITE",
];

/// The others that the kernel knows (`capability.h`).
const CAPABILITIES_MORE: [&str; 27] = [
    "DAC_READ_SEARCH",
    "LINUX_IMMUTABLE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "LEASE",
    "AUDIT_CONTROL",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn capabilities(caps: Option<&core::Capabilities>, privileged: bool) -> Vec<String> {
    let bare = |c: &String| c.strip_prefix("CAP_").unwrap_or(c).to_owned();
    let list =
        |l: Option<&Option<Vec<String>>>| -> Vec<String> { l.into_iter().flatten().flatten().map(bare).collect() };
    let (add, drop) = (list(caps.map(|c| &c.add)), list(caps.map(|c| &c.drop)));
    let every = privileged || add.iter().any(|a| a == "ALL");
    let none = !privileged && drop.iter().any(|d| d == "ALL");
    let more = CAPABILITIES_MORE.iter().filter(|_| every);
    let base = CAPABILITIES_DEFAULT.iter().filter(|_| every || !none).chain(more).map(|c| (*c).to_owned());
    let kept = base.filter(|c| privileged || !drop.contains(c));
    let added = add.iter().filter(|a| *a != "ALL").cloned();
    let mut out: Vec<String> = kept.chain(added).map(|c| format!("CAP_{c}")).collect();
    out.sort();
    out.dedup();
    out
}

type Ports = BTreeMap<String, u16>;

fn port_of(p: &IntOrString, ports: &Ports) -> Result<u16, String> {
    match p {
        IntOrString::Int(n) => Ok(port(*n)),
        IntOrString::String(s) => match s.parse() {
            Ok(n) => Ok(n),
            Err(_) => ports.get(s).copied().ok_or_else(|| format!("no port named {s:?}")),
        },
    }
}

fn http_get(h: &core::HTTPGetAction, ports: &Ports) -> Result<HttpGet, String> {
    let path = h.path.clone().unwrap_or_default();
    Ok(HttpGet {
        tls: h.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https")),
        host: h.host.clone().filter(|h| !h.is_empty()),
        path: if path.starts_with('/') { path } else { format!("/{path}") },
        port: port_of(&h.port, ports)?,
        headers: h.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
    })
}

fn probe(p: &core::Probe, ports: &Ports) -> Result<Probe, String> {
    let check = if let Some(h) = &p.http_get {
        Check::Http(http_get(h, ports)?)
    } else if let Some(t) = &p.tcp_socket {
        Check::Tcp { host: t.host.clone().filter(|h| !h.is_empty()), port: port_of(&t.port, ports)? }
    } else if let Some(e) = &p.exec {
        Check::Exec(e.command.clone().unwrap_or_default())
    } else if let Some(g) = &p.grpc {
        Check::Grpc { port: port(g.port), service: g.service.clone().unwrap_or_default() }
    } else {
        return Err("a probe asks nothing".into());
    };
    Ok(Probe {
        check,
        initial_delay_secs: seconds(p.initial_delay_seconds, 0),
        period_secs: seconds(p.period_seconds, 10).max(1),
        timeout_secs: seconds(p.timeout_seconds, 1).max(1),
        success_threshold: seconds(p.success_threshold, 1).max(1),
        failure_threshold: seconds(p.failure_threshold, 3).max(1),
        grace_secs: p.termination_grace_period_seconds.and_then(|s| u32::try_from(s).ok()),
    })
}

fn hook(h: &core::LifecycleHandler, ports: &Ports) -> Result<Hook, String> {
    if let Some(e) = &h.exec {
        Ok(Hook::Exec(e.command.clone().unwrap_or_default()))
    } else if let Some(h) = &h.http_get {
        Ok(Hook::Http(http_get(h, ports)?))
    } else if let Some(s) = &h.sleep {
        Ok(Hook::Sleep { secs: seconds(Some(s.seconds), 0) })
    } else {
        Err("a lifecycle hook of this kind is not supported".into())
    }
}
