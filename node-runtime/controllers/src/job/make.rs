//! Pods of a Job.

use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::EnvVar,
};

use super::{TRACKING, indexes::INDEX};
use crate::{
    kinds, pods,
    run::{Obj, Run},
};

/// Make a pod, for an index if the Job is Indexed.
pub(super) fn create(run: &mut Run<'_>, job: &Obj<Job>, spec: &JobSpec, index: Option<i32>) {
    let mut pod = pods::from_template(&spec.template, job.ns(), job.as_controller());
    let labels = pod.metadata.labels.get_or_insert_default();
    for (label, value) in [
        ("batch.kubernetes.io/controller-uid", job.uid()),
        ("controller-uid", job.uid()),
        ("batch.kubernetes.io/job-name", job.name()),
        ("job-name", job.name()),
    ] {
        labels.insert(label.into(), value.into());
    }
    let mut prefix = format!("{}-", job.name());
    if let Some(index) = index {
        labels.insert(INDEX.into(), index.to_string());
        pod.metadata.annotations.get_or_insert_default().insert(INDEX.into(), index.to_string());
        let spec = pod.spec.get_or_insert_default();
        spec.hostname.get_or_insert_with(|| format!("{}-{index}", job.name()));
        let init = spec.init_containers.iter_mut().flatten();
        for container in spec.containers.iter_mut().chain(init) {
            let env = container.env.get_or_insert_default();
            env.retain(|e| e.name != "JOB_COMPLETION_INDEX");
            env.push(EnvVar { name: "JOB_COMPLETION_INDEX".into(), value: Some(index.to_string()), value_from: None });
        }
        prefix = format!("{prefix}{index}-");
    }
    pod.metadata.finalizers.get_or_insert_default().push(TRACKING.into());
    let name = pods::random_name(run, &prefix, job.uid());
    run.normal(&job.stored, "SuccessfulCreate", format!("Created pod: {name}"));
    pod.metadata.name = Some(name);
    pod.metadata.generate_name = Some(prefix);
    run.create(kinds::pod(), job.ns(), &pod);
}
