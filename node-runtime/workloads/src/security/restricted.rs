//! The controls that "restricted" adds to "baseline".

use k8s_openapi::api::core::v1::{Container, Volume};

use super::{
    PodView, Violation,
    baseline::{added_capabilities, context},
    quoted,
};

/// All controls.
pub(super) fn check(pod: &PodView<'_>) -> Vec<Violation> {
    let all = [
        pod.bad_containers(|c| {
            let sc = c.security_context.as_ref();
            let set = sc.and_then(|s| s.allow_privilege_escalation) == Some(false);
            (!set).then_some("securityContext.allowPrivilegeEscalation")
        })
        .violation("allowPrivilegeEscalation != false", "must set securityContext.allowPrivilegeEscalation=false"),
        capabilities(pod),
        volumes(pod),
        run_as_non_root(pod),
        run_as_user(pod),
        seccomp(pod),
    ];
    all.into_iter().flatten().collect()
}

fn capabilities(pod: &PodView<'_>) -> Option<Violation> {
    let keeps = |c: &Container| {
        let caps = c.security_context.as_ref().and_then(|s| s.capabilities.as_ref());
        let all = caps.is_some_and(|c| c.drop.iter().flatten().any(|d| d == "ALL"));
        (!all).then_some("securityContext.capabilities.drop")
    };
    let control = "unrestricted capabilities";
    let (adding, added) = added_capabilities(pod, &["NET_BIND_SERVICE"]);
    let drop = pod.bad_containers(keeps).violation(control, "must set securityContext.capabilities.drop=[\"ALL\"]");
    let what = format!("must not include {} in securityContext.capabilities.add", quoted(&added));
    merged(control, [drop, adding.violation(control, what)], "; ")
}

fn merged<const N: usize>(control: &str, parts: [Option<Violation>; N], join: &str) -> Option<Violation> {
    let parts: Vec<Violation> = parts.into_iter().flatten().collect();
    let detail = parts.iter().map(|p| p.detail.as_str()).collect::<Vec<_>>().join(join);
    let fields: Vec<String> = parts.into_iter().flat_map(|p| p.fields).collect();
    (!fields.is_empty()).then(|| Violation { control: control.into(), detail, fields })
}

/// The source of a volume that the profile forbids. A source that this code
/// does not know counts as forbidden.
fn forbidden_source(v: &Volume) -> Option<String> {
    let allowed = v.config_map.is_some()
        || v.csi.is_some()
        || v.downward_api.is_some()
        || v.empty_dir.is_some()
        || v.ephemeral.is_some()
        || v.persistent_volume_claim.is_some()
        || v.projected.is_some()
        || v.secret.is_some();
    if allowed {
        return None;
    }
    let fields = serde_json::to_value(v).ok()?;
    let source = fields.as_object()?.keys().find(|k| *k != "name").cloned();
    Some(source.unwrap_or_else(|| "unknown".into()))
}

fn volumes(pod: &PodView<'_>) -> Option<Violation> {
    let all = pod.spec.volumes.iter().flatten().enumerate();
    let bad: Vec<_> = all.filter_map(|(i, v)| Some((i, v.name.clone(), forbidden_source(v)?))).collect();
    let said = bad.iter().map(|(_, name, source)| format!("volume {name:?} uses restricted volume type {source:?}"));
    let detail = said.collect::<Vec<_>>().join(", ");
    let fields = bad.iter().map(|(i, _, source)| format!("spec.volumes[{i}].{source}")).collect();
    (!bad.is_empty()).then(|| Violation { control: "restricted volume types".into(), detail, fields })
}

fn run_as_non_root(pod: &PodView<'_>) -> Option<Violation> {
    let control = "runAsNonRoot != true";
    let of_pod = pod.spec.security_context.as_ref().and_then(|s| s.run_as_non_root);
    let says_no = (of_pod == Some(false)).then(|| Violation {
        control: control.into(),
        detail: "pod must not set securityContext.runAsNonRoot=false".into(),
        fields: vec!["spec.securityContext.runAsNonRoot".into()],
    });
    let field = "securityContext.runAsNonRoot";
    let no = context(pod, |sc| (sc.run_as_non_root == Some(false)).then_some(field))
        .violation(control, "must not set securityContext.runAsNonRoot=false");
    let silent = pod.bad_containers(|c| {
        let own = c.security_context.as_ref().and_then(|s| s.run_as_non_root);
        (own.is_none() && of_pod.is_none()).then_some(field)
    });
    let silent = silent.violation(control, "must set securityContext.runAsNonRoot=true").map(|mut v| {
        v.detail.insert_str(0, "pod or ");
        v
    });
    merged(control, [says_no, no, silent], ", ")
}

fn run_as_user(pod: &PodView<'_>) -> Option<Violation> {
    let control = "runAsUser=0";
    let of_pod = pod.spec.security_context.as_ref().and_then(|s| s.run_as_user) == Some(0);
    let of_pod = of_pod.then(|| Violation {
        control: control.into(),
        detail: "pod must not set runAsUser=0".into(),
        fields: vec!["spec.securityContext.runAsUser".into()],
    });
    let root = context(pod, |sc| (sc.run_as_user == Some(0)).then_some("securityContext.runAsUser"));
    merged(control, [of_pod, root.violation(control, "must not set runAsUser=0")], ", ")
}

fn seccomp(pod: &PodView<'_>) -> Option<Violation> {
    let control = "seccompProfile";
    let good = |kind: &str| ["RuntimeDefault", "Localhost"].contains(&kind);
    let profile = pod.spec.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let of_pod = profile.filter(|p| !good(&p.type_)).map(|p| Violation {
        control: control.into(),
        detail: format!("pod must not set securityContext.seccompProfile.type to {:?}", p.type_),
        fields: vec!["spec.securityContext.seccompProfile.type".into()],
    });
    let field = "securityContext.seccompProfile.type";
    let own =
        |c: &Container| c.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref()).map(|p| good(&p.type_));
    let bad = pod
        .bad_containers(|c| (own(c) == Some(false)).then_some(field))
        .violation(control, "must not set securityContext.seccompProfile.type to \"Unconfined\"");
    let silent = pod
        .bad_containers(|c| (own(c).is_none() && profile.is_none()).then_some(field))
        .violation(control, "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
        .map(|mut v| {
            v.detail.insert_str(0, "pod or ");
            v
        });
    merged(control, [of_pod, bad, silent], ", ")
}
