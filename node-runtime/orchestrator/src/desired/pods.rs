//! Deployment → pods: defaults filled in, image configuration merged.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{apps::v1 as apps, core::v1 as core},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use skerry_formats::{ObjectDigest, baked::BakedApp};
use skerry_workloads::quantity;

use super::{Deployment, Strategy};

/// One pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pod {
    /// UUID made from place and hash.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// `DEPLOYMENT-HASH-NUMBER`.
    pub name: String,
    /// Name of the Deployment.
    pub deployment: String,
    /// Number within the Deployment, from 0.
    pub ordinal: u32,
    /// Labels of the template.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the template.
    pub annotations: BTreeMap<String, String>,
    /// Containers in order.
    pub containers: Vec<Container>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Group that owns the volumes.
    pub fs_group: Option<u32>,
    /// Time between SIGTERM and SIGKILL.
    pub grace_secs: u32,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// Name of the baked app.
    pub app: String,
    /// EROFS image of the app.
    pub composefs: ObjectDigest,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment in order.
    pub env: Vec<Env>,
    /// Working directory.
    pub cwd: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Root file system read-only?
    pub read_only_root: bool,
    /// `no_new_privs`?
    pub no_new_privileges: bool,
    /// Capabilities, `CAP_…`, sorted.
    pub capabilities: Vec<String>,
    /// System call filter.
    pub seccomp: Seccomp,
    /// CPU limit in thousandths of a core.
    pub cpu_limit_millis: Option<u64>,
    /// CPU request in thousandths of a core; 0: none.
    pub cpu_request_millis: u64,
    /// Memory limit in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Named ports.
    pub ports: BTreeMap<String, u16>,
    /// Volume mounts.
    pub mounts: Vec<VolumeMount>,
    /// Readiness probe.
    pub readiness: Option<Probe>,
    /// Liveness probe.
    pub liveness: Option<Probe>,
}

/// System call filter of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Seccomp {
    /// The default profile.
    RuntimeDefault,
    /// None.
    Unconfined,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Env {
    /// Name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvSource,
}

/// Value of an environment variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum EnvSource {
    /// Text, `$(NAME)` not yet expanded.
    Text(String),
    /// Field of the pod.
    Field(String),
}

/// An emptyDir.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Volume {
    /// In memory (tmpfs) instead of on DATA?
    pub memory: bool,
    /// Size limit in bytes, enforced for memory only.
    pub size_limit_bytes: Option<u64>,
}

/// A volume inside a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeMount {
    /// Volume.
    pub name: String,
    /// Where.
    pub path: String,
    /// Read-only?
    pub read_only: bool,
}

/// An HTTP probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// Path with leading `/`.
    pub path: String,
    /// Port.
    pub port: u16,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Delay after start.
    pub initial_delay_secs: u32,
    /// Time between attempts.
    pub period_secs: u32,
    /// Time for one attempt.
    pub timeout_secs: u32,
    /// Successes in a row that make it good.
    pub success_threshold: u32,
    /// Failures in a row that make it bad.
    pub failure_threshold: u32,
}

type Apps<'a> = BTreeMap<&'a str, &'a BakedApp>;

/// All pods of a Deployment.
pub(super) fn deployment(d: &apps::Deployment, apps: &Apps<'_>) -> Result<(Deployment, Vec<Pod>), Vec<String>> {
    let namespace = d.metadata.namespace.clone().unwrap_or_default();
    let name = d.metadata.name.clone().unwrap_or_default();
    let Some((spec, pod_spec)) = d.spec.as_ref().and_then(|s| Some((s, s.template.spec.as_ref()?))) else {
        return Err(vec!["has no pod template".into()]);
    };
    let meta = spec.template.metadata.clone().unwrap_or_default();
    let (mut containers, mut problems) = (vec![], vec![]);
    for c in &pod_spec.containers {
        match container(c, pod_spec, apps) {
            Ok(c) => containers.push(c),
            Err(m) => problems.push(format!("container {}: {m}", c.name)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let template = Pod {
        uid: String::new(),
        namespace: namespace.clone(),
        name: String::new(),
        deployment: name.clone(),
        ordinal: 0,
        labels: meta.labels.unwrap_or_default(),
        annotations: meta.annotations.unwrap_or_default(),
        containers,
        volumes: volumes(pod_spec),
        fs_group: pod_spec.security_context.as_ref().and_then(|s| s.fs_group).map(id),
        grace_secs: seconds(pod_spec.termination_grace_period_seconds, 30),
    };
    let replicas = u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let strategy = match spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) {
        Some("Recreate") => Strategy::Recreate,
        _ => Strategy::Rolling,
    };
    let hash = Sha256::digest(serde_json::to_vec(&template).map_err(|e| vec![e.to_string()])?);
    let pods = (0..replicas).map(|n| numbered(&template, n, &hash)).collect();
    Ok((Deployment { namespace, name, replicas, strategy }, pods))
}

fn numbered(template: &Pod, ordinal: u32, hash: &[u8]) -> Pod {
    let mut h = Sha256::new();
    h.update(hash);
    h.update(ordinal.to_le_bytes());
    let mut b: [u8; 16] = h.finalize()[..16].try_into().expect("a SHA-256 digest is longer than 16 bytes");
    // Version 8 and variant bits of RFC 9562, so that tools take it for a UUID.
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let x = hex::encode(b);
    Pod {
        uid: format!("{}-{}-{}-{}-{}", &x[..8], &x[8..12], &x[12..16], &x[16..20], &x[20..]),
        name: format!("{}-{}-{ordinal}", template.deployment, hex::encode(&hash[..4])),
        ordinal,
        ..template.clone()
    }
}

fn volumes(pod: &core::PodSpec) -> BTreeMap<String, Volume> {
    let one = |v: &core::Volume| {
        let e = v.empty_dir.clone().unwrap_or_default();
        let volume = Volume {
            memory: e.medium.as_deref() == Some("Memory"),
            size_limit_bytes: e.size_limit.and_then(|q| quantity::units(&q.0)),
        };
        (v.name.clone(), volume)
    };
    pod.volumes.iter().flatten().map(one).collect()
}

fn container(c: &core::Container, pod: &core::PodSpec, apps: &Apps<'_>) -> Result<Container, String> {
    let image = c.image.clone().unwrap_or_default();
    let app = apps.get(image.as_str()).ok_or_else(|| {
        let have: Vec<&str> = apps.keys().copied().collect();
        format!("image {image:?} is not part of this release (it has: {})", have.join(", "))
    })?;
    let default = core::SecurityContext::default();
    let sc = c.security_context.as_ref().unwrap_or(&default);
    let psc = pod.security_context.clone().unwrap_or_default();
    let (image_uid, image_gid) = image_user(&app.config.user);
    let uid = sc.run_as_user.or(psc.run_as_user).map(id).map_or(image_uid, Ok)?;
    let gid = sc.run_as_group.or(psc.run_as_group).map_or(image_gid, id);
    if uid == 0 && sc.run_as_non_root.or(psc.run_as_non_root) == Some(true) {
        return Err("runAsNonRoot is set, but the image runs as root; set runAsUser".into());
    }
    let ports: BTreeMap<String, u16> =
        c.ports.iter().flatten().filter_map(|p| Some((p.name.clone()?, port(p.container_port)))).collect();
    let seccomp = sc.seccomp_profile.as_ref().or(psc.seccomp_profile.as_ref());
    let amount = |kind: fn(&core::ResourceRequirements) -> &Option<_>, key: &str| {
        let map: &Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>> =
            kind(c.resources.as_ref()?);
        map.as_ref()?.get(key).map(|q| q.0.clone())
    };
    let cpu_limit_millis = amount(|r| &r.limits, "cpu").and_then(|q| quantity::millis(&q));
    let cpu_request = amount(|r| &r.requests, "cpu").and_then(|q| quantity::millis(&q));
    let mut groups: Vec<u32> = psc.supplemental_groups.iter().flatten().copied().map(id).collect();
    groups.extend(psc.fs_group.map(id));
    Ok(Container {
        name: c.name.clone(),
        app: app.name.clone(),
        composefs: app.composefs,
        args: arguments(c, app)?,
        env: environment(c, app),
        cwd: c.working_dir.clone().filter(|w| !w.is_empty()).unwrap_or_else(|| image_cwd(app)),
        uid,
        gid,
        groups,
        read_only_root: sc.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: sc.allow_privilege_escalation == Some(false),
        capabilities: capabilities(sc.capabilities.as_ref()),
        seccomp: match seccomp.map(|s| s.type_.as_str()) {
            Some("Unconfined") => Seccomp::Unconfined,
            _ => Seccomp::RuntimeDefault,
        },
        cpu_limit_millis,
        cpu_request_millis: cpu_request.or(cpu_limit_millis).unwrap_or(0),
        memory_limit_bytes: amount(|r| &r.limits, "memory").and_then(|q| quantity::units(&q)),
        mounts: c
            .volume_mounts
            .iter()
            .flatten()
            .map(|m| VolumeMount {
                name: m.name.clone(),
                path: m.mount_path.clone(),
                read_only: m.read_only.unwrap_or(false),
            })
            .collect(),
        readiness: c.readiness_probe.as_ref().map(|p| probe(p, &ports)).transpose()?,
        liveness: c.liveness_probe.as_ref().map(|p| probe(p, &ports)).transpose()?,
        ports,
        image,
    })
}

/// The parser has checked the ranges; what is out of range becomes "nobody".
fn id(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(65534)
}

fn port(n: i32) -> u16 {
    u16::try_from(n).unwrap_or(0)
}

fn seconds<N: TryInto<u32>>(n: Option<N>, default: u32) -> u32 {
    n.and_then(|n| n.try_into().ok()).unwrap_or(default)
}

fn image_cwd(app: &BakedApp) -> String {
    match app.config.working_dir.as_str() {
        "" => "/".into(),
        w => w.into(),
    }
}

/// User and group of an image's `User`; a name is an error only where no
/// `runAsUser` replaces it.
fn image_user(user: &str) -> (Result<u32, String>, u32) {
    let (u, g) = user.split_once(':').unwrap_or((user, "0"));
    let uid = match u {
        "" => Ok(0),
        u => u.parse().map_err(|_| format!("the image's user {u:?} is a name; set runAsUser to its number")),
    };
    (uid, g.parse().unwrap_or(0))
}

/// Kubernetes rules: `command` replaces entrypoint and cmd, `args` cmd only.
fn arguments(c: &core::Container, app: &BakedApp) -> Result<Vec<String>, String> {
    let command = c.command.clone().filter(|c| !c.is_empty());
    let args = c.args.clone().filter(|a| !a.is_empty());
    let all = match (command, args) {
        (Some(c), a) => [c, a.unwrap_or_default()].concat(),
        (None, Some(a)) => [app.config.entrypoint.clone(), a].concat(),
        (None, None) => [app.config.entrypoint.clone(), app.config.cmd.clone()].concat(),
    };
    if all.is_empty() { Err("neither image nor manifest says what to run; set command".into()) } else { Ok(all) }
}

fn environment(c: &core::Container, app: &BakedApp) -> Vec<Env> {
    let from_image = app.config.env.iter().filter_map(|e| {
        let (name, value) = e.split_once('=')?;
        // `$` in an image's value is text, not a reference.
        Some(Env { name: name.into(), value: EnvSource::Text(value.replace("$(", "$$(")) })
    });
    let from_manifest = c.env.iter().flatten().map(|e| {
        let field = e.value_from.as_ref().and_then(|v| v.field_ref.as_ref()).map(|f| f.field_path.clone());
        let value = field.map_or_else(|| EnvSource::Text(e.value.clone().unwrap_or_default()), EnvSource::Field);
        Env { name: e.name.clone(), value }
    });
    from_image.chain(from_manifest).collect()
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

fn capabilities(caps: Option<&core::Capabilities>) -> Vec<String> {
    let bare = |c: &String| c.strip_prefix("CAP_").unwrap_or(c).to_owned();
    let list =
        |l: Option<&Option<Vec<String>>>| -> Vec<String> { l.into_iter().flatten().flatten().map(bare).collect() };
    let (add, drop) = (list(caps.map(|c| &c.add)), list(caps.map(|c| &c.drop)));
    let all = drop.iter().any(|d| d == "ALL");
    let kept = CAPABILITIES_DEFAULT.iter().map(|c| (*c).to_owned()).filter(|c| !all && !drop.contains(c));
    let mut out: Vec<String> = kept.chain(add.iter().cloned()).map(|c| format!("CAP_{c}")).collect();
    out.sort();
    out.dedup();
    out
}

fn probe(p: &core::Probe, ports: &BTreeMap<String, u16>) -> Result<Probe, String> {
    let http = p.http_get.as_ref().ok_or("probe without httpGet")?;
    let port = match &http.port {
        IntOrString::Int(n) => port(*n),
        IntOrString::String(s) => *ports.get(s).ok_or_else(|| format!("probe: no port named {s:?}"))?,
    };
    Ok(Probe {
        path: http.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into()),
        port,
        headers: http.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
        initial_delay_secs: seconds(p.initial_delay_seconds, 0),
        period_secs: seconds(p.period_seconds, 10).max(1),
        timeout_secs: seconds(p.timeout_seconds, 1).max(1),
        success_threshold: seconds(p.success_threshold, 1).max(1),
        failure_threshold: seconds(p.failure_threshold, 3).max(1),
    })
}
