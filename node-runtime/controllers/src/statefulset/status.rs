//! Status of a StatefulSet.

use k8s_openapi::api::apps::v1::StatefulSetStatus;

use super::{Set, identity};
use crate::{pods, replicaset::some, run::Run};

impl Set<'_> {
    pub(super) fn write_status(&self, run: &mut Run<'_>) {
        let status = self.status(run);
        if self.obj.status.as_ref() != Some(&status) {
            let mut new = self.obj.v.clone();
            new.status = Some(status);
            run.update_status(self.obj.key(), &new);
        }
    }

    fn status(&self, run: &mut Run<'_>) -> StatefulSetStatus {
        let (mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0);
        for (_, pod) in &self.pods {
            ready += i32::from(pods::ready(pod));
            available += i32::from(pods::available(run, pod, self.min_ready()));
            if !pod.terminating() {
                current += i32::from(identity::revision(pod) == self.current);
                updated += i32::from(identity::revision(pod) == self.update.name);
            }
        }
        let replicas = i32::try_from(self.pods.len()).unwrap_or(i32::MAX);
        let strategy = self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
        let mut current_revision = self.current.clone();
        if strategy != Some("OnDelete") && updated == replicas && ready == replicas && replicas == self.replicas {
            // The update is complete.
            current_revision.clone_from(&self.update.name);
            current = updated;
        }
        StatefulSetStatus {
            replicas,
            ready_replicas: some(ready),
            available_replicas: some(available),
            current_replicas: some(current),
            updated_replicas: some(updated),
            current_revision: Some(current_revision),
            update_revision: Some(self.update.name.clone()),
            observed_generation: Some(self.obj.meta().generation),
            collision_count: Some(0),
            ..self.obj.status.clone().unwrap_or_default()
        }
    }
}
