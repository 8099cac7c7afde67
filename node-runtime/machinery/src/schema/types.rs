//! Written by `examples/schema`; not to be edited.

use super::{List::{Atomic, Keyed, Set}, Message, Ty::*, many, map, one};

/// `apiVersion`, kind and message of what clients send.
pub(super) static ROOTS: &[(&str, &str, &Message)] = &[
("v1", "Namespace", &CORE_V1_NAMESPACE),
("v1", "Node", &CORE_V1_NODE),
("storage.k8s.io/v1", "StorageClass", &STORAGE_V1_STORAGE_CLASS),
("v1", "PersistentVolume", &CORE_V1_PERSISTENT_VOLUME),
("v1", "ServiceAccount", &CORE_V1_SERVICE_ACCOUNT),
("v1", "ConfigMap", &CORE_V1_CONFIG_MAP),
("v1", "Secret", &CORE_V1_SECRET),
("v1", "PersistentVolumeClaim", &CORE_V1_PERSISTENT_VOLUME_CLAIM),
("v1", "Service", &CORE_V1_SERVICE),
("networking.k8s.io/v1", "NetworkPolicy", &NETWORKING_V1_NETWORK_POLICY),
("apps/v1", "Deployment", &APPS_V1_DEPLOYMENT),
("apps/v1", "StatefulSet", &APPS_V1_STATEFUL_SET),
("apps/v1", "DaemonSet", &APPS_V1_DAEMON_SET),
("batch/v1", "CronJob", &BATCH_V1_CRON_JOB),
("batch/v1", "Job", &BATCH_V1_JOB),
("apps/v1", "ReplicaSet", &APPS_V1_REPLICA_SET),
("apps/v1", "ControllerRevision", &APPS_V1_CONTROLLER_REVISION),
("v1", "Pod", &CORE_V1_POD),
("discovery.k8s.io/v1", "EndpointSlice", &DISCOVERY_V1_ENDPOINT_SLICE),
("v1", "Event", &CORE_V1_EVENT),
("autoscaling/v1", "Scale", &AUTOSCALING_V1_SCALE),
("policy/v1", "Eviction", &POLICY_V1_EVICTION),
("v1", "DeleteOptions", &META_V1_DELETE_OPTIONS),
("v1", "Status", &META_V1_STATUS),
];
static APPS_V1_CONTROLLER_REVISION: Message = Message { name: "apps.v1.ControllerRevision", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "data", Raw),
one(3, "revision", Int).keeps_zero(),
] };
static APPS_V1_DAEMON_SET: Message = Message { name: "apps.v1.DaemonSet", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&APPS_V1_DAEMON_SET_SPEC)),
one(3, "status", Nested(&APPS_V1_DAEMON_SET_STATUS)),
] };
static APPS_V1_DAEMON_SET_CONDITION: Message = Message { name: "apps.v1.DaemonSetCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "lastTransitionTime", Time),
one(4, "reason", Text),
one(5, "message", Text),
] };
static APPS_V1_DAEMON_SET_SPEC: Message = Message { name: "apps.v1.DaemonSetSpec", atomic: false, fields: &[
one(1, "selector", Nested(&META_V1_LABEL_SELECTOR)).keeps_zero(),
one(2, "template", Nested(&CORE_V1_POD_TEMPLATE_SPEC)).keeps_zero(),
one(3, "updateStrategy", Nested(&APPS_V1_DAEMON_SET_UPDATE_STRATEGY)),
one(4, "minReadySeconds", Int),
one(6, "revisionHistoryLimit", Int).keeps_zero(),
] };
static APPS_V1_DAEMON_SET_STATUS: Message = Message { name: "apps.v1.DaemonSetStatus", atomic: false, fields: &[
one(1, "currentNumberScheduled", Int).keeps_zero(),
one(2, "numberMisscheduled", Int).keeps_zero(),
one(3, "desiredNumberScheduled", Int).keeps_zero(),
one(4, "numberReady", Int).keeps_zero(),
one(5, "observedGeneration", Int),
one(6, "updatedNumberScheduled", Int),
one(7, "numberAvailable", Int),
one(8, "numberUnavailable", Int),
one(9, "collisionCount", Int).keeps_zero(),
many(10, "conditions", Nested(&APPS_V1_DAEMON_SET_CONDITION)).list(Keyed(&["type"])).merge("type"),
] };
static APPS_V1_DAEMON_SET_UPDATE_STRATEGY: Message = Message { name: "apps.v1.DaemonSetUpdateStrategy", atomic: false, fields: &[
one(1, "type", Text),
one(2, "rollingUpdate", Nested(&APPS_V1_ROLLING_UPDATE_DAEMON_SET)),
] };
static APPS_V1_DEPLOYMENT: Message = Message { name: "apps.v1.Deployment", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&APPS_V1_DEPLOYMENT_SPEC)),
one(3, "status", Nested(&APPS_V1_DEPLOYMENT_STATUS)),
] };
static APPS_V1_DEPLOYMENT_CONDITION: Message = Message { name: "apps.v1.DeploymentCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(6, "lastUpdateTime", Time),
one(7, "lastTransitionTime", Time),
one(4, "reason", Text),
one(5, "message", Text),
] };
static APPS_V1_DEPLOYMENT_SPEC: Message = Message { name: "apps.v1.DeploymentSpec", atomic: false, fields: &[
one(1, "replicas", Int).keeps_zero(),
one(2, "selector", Nested(&META_V1_LABEL_SELECTOR)).keeps_zero(),
one(3, "template", Nested(&CORE_V1_POD_TEMPLATE_SPEC)).keeps_zero(),
one(4, "strategy", Nested(&APPS_V1_DEPLOYMENT_STRATEGY)),
one(5, "minReadySeconds", Int),
one(6, "revisionHistoryLimit", Int).keeps_zero(),
one(7, "paused", Bool),
one(9, "progressDeadlineSeconds", Int).keeps_zero(),
] };
static APPS_V1_DEPLOYMENT_STATUS: Message = Message { name: "apps.v1.DeploymentStatus", atomic: false, fields: &[
one(1, "observedGeneration", Int),
one(2, "replicas", Int),
one(3, "updatedReplicas", Int),
one(7, "readyReplicas", Int),
one(4, "availableReplicas", Int),
one(5, "unavailableReplicas", Int),
one(9, "terminatingReplicas", Int).keeps_zero(),
many(6, "conditions", Nested(&APPS_V1_DEPLOYMENT_CONDITION)).list(Keyed(&["type"])).merge("type"),
one(8, "collisionCount", Int).keeps_zero(),
] };
static APPS_V1_DEPLOYMENT_STRATEGY: Message = Message { name: "apps.v1.DeploymentStrategy", atomic: false, fields: &[
one(1, "type", Text),
one(2, "rollingUpdate", Nested(&APPS_V1_ROLLING_UPDATE_DEPLOYMENT)),
] };
static APPS_V1_REPLICA_SET: Message = Message { name: "apps.v1.ReplicaSet", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&APPS_V1_REPLICA_SET_SPEC)),
one(3, "status", Nested(&APPS_V1_REPLICA_SET_STATUS)),
] };
static APPS_V1_REPLICA_SET_CONDITION: Message = Message { name: "apps.v1.ReplicaSetCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "lastTransitionTime", Time),
one(4, "reason", Text),
one(5, "message", Text),
] };
static APPS_V1_REPLICA_SET_SPEC: Message = Message { name: "apps.v1.ReplicaSetSpec", atomic: false, fields: &[
one(1, "replicas", Int).keeps_zero(),
one(4, "minReadySeconds", Int),
one(2, "selector", Nested(&META_V1_LABEL_SELECTOR)).keeps_zero(),
one(3, "template", Nested(&CORE_V1_POD_TEMPLATE_SPEC)),
] };
static APPS_V1_REPLICA_SET_STATUS: Message = Message { name: "apps.v1.ReplicaSetStatus", atomic: false, fields: &[
one(1, "replicas", Int).keeps_zero(),
one(2, "fullyLabeledReplicas", Int),
one(4, "readyReplicas", Int),
one(5, "availableReplicas", Int),
one(7, "terminatingReplicas", Int).keeps_zero(),
one(3, "observedGeneration", Int),
many(6, "conditions", Nested(&APPS_V1_REPLICA_SET_CONDITION)).list(Keyed(&["type"])).merge("type"),
] };
static APPS_V1_ROLLING_UPDATE_DAEMON_SET: Message = Message { name: "apps.v1.RollingUpdateDaemonSet", atomic: false, fields: &[
one(1, "maxUnavailable", IntOrString).keeps_zero(),
one(2, "maxSurge", IntOrString).keeps_zero(),
] };
static APPS_V1_ROLLING_UPDATE_DEPLOYMENT: Message = Message { name: "apps.v1.RollingUpdateDeployment", atomic: false, fields: &[
one(1, "maxUnavailable", IntOrString).keeps_zero(),
one(2, "maxSurge", IntOrString).keeps_zero(),
] };
static APPS_V1_ROLLING_UPDATE_STATEFUL_SET_STRATEGY: Message = Message { name: "apps.v1.RollingUpdateStatefulSetStrategy", atomic: false, fields: &[
one(1, "partition", Int).keeps_zero(),
one(2, "maxUnavailable", IntOrString).keeps_zero(),
] };
static APPS_V1_STATEFUL_SET: Message = Message { name: "apps.v1.StatefulSet", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&APPS_V1_STATEFUL_SET_SPEC)),
one(3, "status", Nested(&APPS_V1_STATEFUL_SET_STATUS)),
] };
static APPS_V1_STATEFUL_SET_CONDITION: Message = Message { name: "apps.v1.StatefulSetCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "lastTransitionTime", Time),
one(4, "reason", Text),
one(5, "message", Text),
] };
static APPS_V1_STATEFUL_SET_ORDINALS: Message = Message { name: "apps.v1.StatefulSetOrdinals", atomic: false, fields: &[
one(1, "start", Int),
] };
static APPS_V1_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY: Message = Message { name: "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", atomic: false, fields: &[
one(1, "whenDeleted", Text),
one(2, "whenScaled", Text),
] };
static APPS_V1_STATEFUL_SET_SPEC: Message = Message { name: "apps.v1.StatefulSetSpec", atomic: false, fields: &[
one(1, "replicas", Int).keeps_zero(),
one(2, "selector", Nested(&META_V1_LABEL_SELECTOR)).keeps_zero(),
one(3, "template", Nested(&CORE_V1_POD_TEMPLATE_SPEC)).keeps_zero(),
many(4, "volumeClaimTemplates", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM)),
one(5, "serviceName", Text),
one(6, "podManagementPolicy", Text),
one(7, "updateStrategy", Nested(&APPS_V1_STATEFUL_SET_UPDATE_STRATEGY)),
one(8, "revisionHistoryLimit", Int).keeps_zero(),
one(9, "minReadySeconds", Int),
one(10, "persistentVolumeClaimRetentionPolicy", Nested(&APPS_V1_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY)),
one(11, "ordinals", Nested(&APPS_V1_STATEFUL_SET_ORDINALS)),
] };
static APPS_V1_STATEFUL_SET_STATUS: Message = Message { name: "apps.v1.StatefulSetStatus", atomic: false, fields: &[
one(1, "observedGeneration", Int),
one(2, "replicas", Int).keeps_zero(),
one(3, "readyReplicas", Int),
one(4, "currentReplicas", Int),
one(5, "updatedReplicas", Int),
one(6, "currentRevision", Text),
one(7, "updateRevision", Text),
one(9, "collisionCount", Int).keeps_zero(),
many(10, "conditions", Nested(&APPS_V1_STATEFUL_SET_CONDITION)).list(Keyed(&["type"])).merge("type"),
one(11, "availableReplicas", Int),
] };
static APPS_V1_STATEFUL_SET_UPDATE_STRATEGY: Message = Message { name: "apps.v1.StatefulSetUpdateStrategy", atomic: false, fields: &[
one(1, "type", Text),
one(2, "rollingUpdate", Nested(&APPS_V1_ROLLING_UPDATE_STATEFUL_SET_STRATEGY)),
] };
static AUTOSCALING_V1_SCALE: Message = Message { name: "autoscaling.v1.Scale", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&AUTOSCALING_V1_SCALE_SPEC)),
one(3, "status", Nested(&AUTOSCALING_V1_SCALE_STATUS)),
] };
static AUTOSCALING_V1_SCALE_SPEC: Message = Message { name: "autoscaling.v1.ScaleSpec", atomic: false, fields: &[
one(1, "replicas", Int).keeps_zero(),
] };
static AUTOSCALING_V1_SCALE_STATUS: Message = Message { name: "autoscaling.v1.ScaleStatus", atomic: false, fields: &[
one(1, "replicas", Int).keeps_zero(),
one(2, "selector", Text),
] };
static BATCH_V1_CRON_JOB: Message = Message { name: "batch.v1.CronJob", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&BATCH_V1_CRON_JOB_SPEC)),
one(3, "status", Nested(&BATCH_V1_CRON_JOB_STATUS)),
] };
static BATCH_V1_CRON_JOB_SPEC: Message = Message { name: "batch.v1.CronJobSpec", atomic: false, fields: &[
one(1, "schedule", Text).keeps_zero(),
one(8, "timeZone", Text).keeps_zero(),
one(2, "startingDeadlineSeconds", Int).keeps_zero(),
one(3, "concurrencyPolicy", Text),
one(4, "suspend", Bool).keeps_zero(),
one(5, "jobTemplate", Nested(&BATCH_V1_JOB_TEMPLATE_SPEC)).keeps_zero(),
one(6, "successfulJobsHistoryLimit", Int).keeps_zero(),
one(7, "failedJobsHistoryLimit", Int).keeps_zero(),
] };
static BATCH_V1_CRON_JOB_STATUS: Message = Message { name: "batch.v1.CronJobStatus", atomic: false, fields: &[
many(1, "active", Nested(&CORE_V1_OBJECT_REFERENCE)),
one(4, "lastScheduleTime", Time),
one(5, "lastSuccessfulTime", Time),
] };
static BATCH_V1_JOB: Message = Message { name: "batch.v1.Job", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&BATCH_V1_JOB_SPEC)),
one(3, "status", Nested(&BATCH_V1_JOB_STATUS)),
] };
static BATCH_V1_JOB_CONDITION: Message = Message { name: "batch.v1.JobCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "lastProbeTime", Time),
one(4, "lastTransitionTime", Time),
one(5, "reason", Text),
one(6, "message", Text),
] };
static BATCH_V1_JOB_SPEC: Message = Message { name: "batch.v1.JobSpec", atomic: false, fields: &[
one(1, "parallelism", Int).keeps_zero(),
one(2, "completions", Int).keeps_zero(),
one(3, "activeDeadlineSeconds", Int).keeps_zero(),
one(11, "podFailurePolicy", Nested(&BATCH_V1_POD_FAILURE_POLICY)),
one(16, "successPolicy", Nested(&BATCH_V1_SUCCESS_POLICY)),
one(7, "backoffLimit", Int).keeps_zero(),
one(12, "backoffLimitPerIndex", Int).keeps_zero(),
one(13, "maxFailedIndexes", Int).keeps_zero(),
one(4, "selector", Nested(&META_V1_LABEL_SELECTOR)),
one(5, "manualSelector", Bool).keeps_zero(),
one(6, "template", Nested(&CORE_V1_POD_TEMPLATE_SPEC)).keeps_zero(),
one(8, "ttlSecondsAfterFinished", Int).keeps_zero(),
one(9, "completionMode", Text),
one(10, "suspend", Bool).keeps_zero(),
one(14, "podReplacementPolicy", Text),
one(15, "managedBy", Text).keeps_zero(),
] };
static BATCH_V1_JOB_STATUS: Message = Message { name: "batch.v1.JobStatus", atomic: false, fields: &[
many(1, "conditions", Nested(&BATCH_V1_JOB_CONDITION)).merge("type"),
one(2, "startTime", Time),
one(3, "completionTime", Time),
one(4, "active", Int),
one(5, "succeeded", Int),
one(6, "failed", Int),
one(11, "terminating", Int).keeps_zero(),
one(7, "completedIndexes", Text),
one(10, "failedIndexes", Text).keeps_zero(),
one(8, "uncountedTerminatedPods", Nested(&BATCH_V1_UNCOUNTED_TERMINATED_PODS)),
one(9, "ready", Int).keeps_zero(),
] };
static BATCH_V1_JOB_TEMPLATE_SPEC: Message = Message { name: "batch.v1.JobTemplateSpec", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)),
one(2, "spec", Nested(&BATCH_V1_JOB_SPEC)),
] };
static BATCH_V1_POD_FAILURE_POLICY: Message = Message { name: "batch.v1.PodFailurePolicy", atomic: false, fields: &[
many(1, "rules", Nested(&BATCH_V1_POD_FAILURE_POLICY_RULE)).keeps_zero(),
] };
static BATCH_V1_POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT: Message = Message { name: "batch.v1.PodFailurePolicyOnExitCodesRequirement", atomic: false, fields: &[
one(1, "containerName", Text),
one(2, "operator", Text).keeps_zero(),
many(3, "values", Int).keeps_zero().list(Set),
] };
static BATCH_V1_POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN: Message = Message { name: "batch.v1.PodFailurePolicyOnPodConditionsPattern", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
] };
static BATCH_V1_POD_FAILURE_POLICY_RULE: Message = Message { name: "batch.v1.PodFailurePolicyRule", atomic: false, fields: &[
one(1, "action", Text).keeps_zero(),
one(2, "onExitCodes", Nested(&BATCH_V1_POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT)),
many(3, "onPodConditions", Nested(&BATCH_V1_POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN)),
] };
static BATCH_V1_SUCCESS_POLICY: Message = Message { name: "batch.v1.SuccessPolicy", atomic: false, fields: &[
many(1, "rules", Nested(&BATCH_V1_SUCCESS_POLICY_RULE)).keeps_zero(),
] };
static BATCH_V1_SUCCESS_POLICY_RULE: Message = Message { name: "batch.v1.SuccessPolicyRule", atomic: false, fields: &[
one(1, "succeededIndexes", Text).keeps_zero(),
one(2, "succeededCount", Int).keeps_zero(),
] };
static BATCH_V1_UNCOUNTED_TERMINATED_PODS: Message = Message { name: "batch.v1.UncountedTerminatedPods", atomic: false, fields: &[
many(1, "succeeded", Text).list(Set),
many(2, "failed", Text).list(Set),
] };
static CORE_V1_AFFINITY: Message = Message { name: "core.v1.Affinity", atomic: false, fields: &[
one(1, "nodeAffinity", Nested(&CORE_V1_NODE_AFFINITY)),
one(2, "podAffinity", Nested(&CORE_V1_POD_AFFINITY)),
one(3, "podAntiAffinity", Nested(&CORE_V1_POD_ANTI_AFFINITY)),
] };
static CORE_V1_APP_ARMOR_PROFILE: Message = Message { name: "core.v1.AppArmorProfile", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "localhostProfile", Text),
] };
static CORE_V1_ATTACHED_VOLUME: Message = Message { name: "core.v1.AttachedVolume", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "devicePath", Text).keeps_zero(),
] };
static CORE_V1_AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE: Message = Message { name: "core.v1.AwsElasticBlockStoreVolumeSource", atomic: false, fields: &[
one(1, "volumeID", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "partition", Int),
one(4, "readOnly", Bool),
] };
static CORE_V1_AZURE_DISK_VOLUME_SOURCE: Message = Message { name: "core.v1.AzureDiskVolumeSource", atomic: false, fields: &[
one(1, "diskName", Text).keeps_zero(),
one(2, "diskURI", Text).keeps_zero(),
one(3, "cachingMode", Text),
one(4, "fsType", Text),
one(5, "readOnly", Bool).keeps_zero(),
one(6, "kind", Text),
] };
static CORE_V1_AZURE_FILE_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.AzureFilePersistentVolumeSource", atomic: false, fields: &[
one(1, "secretName", Text).keeps_zero(),
one(2, "shareName", Text).keeps_zero(),
one(3, "readOnly", Bool),
one(4, "secretNamespace", Text),
] };
static CORE_V1_AZURE_FILE_VOLUME_SOURCE: Message = Message { name: "core.v1.AzureFileVolumeSource", atomic: false, fields: &[
one(1, "secretName", Text).keeps_zero(),
one(2, "shareName", Text).keeps_zero(),
one(3, "readOnly", Bool),
] };
static CORE_V1_CSI_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.CSIPersistentVolumeSource", atomic: false, fields: &[
one(1, "driver", Text).keeps_zero(),
one(2, "volumeHandle", Text).keeps_zero(),
one(3, "readOnly", Bool),
one(4, "fsType", Text),
map(5, "volumeAttributes", Text),
one(6, "controllerPublishSecretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(7, "nodeStageSecretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(8, "nodePublishSecretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(9, "controllerExpandSecretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(10, "nodeExpandSecretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
] };
static CORE_V1_CSI_VOLUME_SOURCE: Message = Message { name: "core.v1.CSIVolumeSource", atomic: false, fields: &[
one(1, "driver", Text).keeps_zero(),
one(2, "readOnly", Bool).keeps_zero(),
one(3, "fsType", Text).keeps_zero(),
map(4, "volumeAttributes", Text),
one(5, "nodePublishSecretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
] };
static CORE_V1_CAPABILITIES: Message = Message { name: "core.v1.Capabilities", atomic: false, fields: &[
many(1, "add", Text),
many(2, "drop", Text),
] };
static CORE_V1_CEPH_FS_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.CephFsPersistentVolumeSource", atomic: false, fields: &[
many(1, "monitors", Text).keeps_zero(),
one(2, "path", Text),
one(3, "user", Text),
one(4, "secretFile", Text),
one(5, "secretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(6, "readOnly", Bool),
] };
static CORE_V1_CEPH_FS_VOLUME_SOURCE: Message = Message { name: "core.v1.CephFsVolumeSource", atomic: false, fields: &[
many(1, "monitors", Text).keeps_zero(),
one(2, "path", Text),
one(3, "user", Text),
one(4, "secretFile", Text),
one(5, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(6, "readOnly", Bool),
] };
static CORE_V1_CINDER_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.CinderPersistentVolumeSource", atomic: false, fields: &[
one(1, "volumeID", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "readOnly", Bool),
one(4, "secretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
] };
static CORE_V1_CINDER_VOLUME_SOURCE: Message = Message { name: "core.v1.CinderVolumeSource", atomic: false, fields: &[
one(1, "volumeID", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "readOnly", Bool),
one(4, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
] };
static CORE_V1_CLIENT_IP_CONFIG: Message = Message { name: "core.v1.ClientIpConfig", atomic: false, fields: &[
one(1, "timeoutSeconds", Int).keeps_zero(),
] };
static CORE_V1_CLUSTER_TRUST_BUNDLE_PROJECTION: Message = Message { name: "core.v1.ClusterTrustBundleProjection", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "signerName", Text).keeps_zero(),
one(3, "labelSelector", Nested(&META_V1_LABEL_SELECTOR)),
one(5, "optional", Bool).keeps_zero(),
one(4, "path", Text).keeps_zero(),
] };
static CORE_V1_CONFIG_MAP: Message = Message { name: "core.v1.ConfigMap", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(4, "immutable", Bool).keeps_zero(),
map(2, "data", Text),
map(3, "binaryData", Bytes),
] };
static CORE_V1_CONFIG_MAP_ENV_SOURCE: Message = Message { name: "core.v1.ConfigMapEnvSource", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(2, "optional", Bool).keeps_zero(),
] };
static CORE_V1_CONFIG_MAP_KEY_SELECTOR: Message = Message { name: "core.v1.ConfigMapKeySelector", atomic: true, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(2, "key", Text).keeps_zero(),
one(3, "optional", Bool).keeps_zero(),
] };
static CORE_V1_CONFIG_MAP_NODE_CONFIG_SOURCE: Message = Message { name: "core.v1.ConfigMapNodeConfigSource", atomic: false, fields: &[
one(1, "namespace", Text).keeps_zero(),
one(2, "name", Text).keeps_zero(),
one(3, "uid", Text),
one(4, "resourceVersion", Text),
one(5, "kubeletConfigKey", Text).keeps_zero(),
] };
static CORE_V1_CONFIG_MAP_PROJECTION: Message = Message { name: "core.v1.ConfigMapProjection", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
many(2, "items", Nested(&CORE_V1_KEY_TO_PATH)),
one(4, "optional", Bool).keeps_zero(),
] };
static CORE_V1_CONFIG_MAP_VOLUME_SOURCE: Message = Message { name: "core.v1.ConfigMapVolumeSource", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
many(2, "items", Nested(&CORE_V1_KEY_TO_PATH)),
one(3, "defaultMode", Int).keeps_zero(),
one(4, "optional", Bool).keeps_zero(),
] };
static CORE_V1_CONTAINER: Message = Message { name: "core.v1.Container", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "image", Text),
many(3, "command", Text),
many(4, "args", Text),
one(5, "workingDir", Text),
many(6, "ports", Nested(&CORE_V1_CONTAINER_PORT)).list(Keyed(&["containerPort", "protocol"])).merge("containerPort"),
many(19, "envFrom", Nested(&CORE_V1_ENV_FROM_SOURCE)),
many(7, "env", Nested(&CORE_V1_ENV_VAR)).list(Keyed(&["name"])).merge("name"),
one(8, "resources", Nested(&CORE_V1_RESOURCE_REQUIREMENTS)),
many(23, "resizePolicy", Nested(&CORE_V1_CONTAINER_RESIZE_POLICY)),
one(24, "restartPolicy", Text),
many(25, "restartPolicyRules", Nested(&CORE_V1_CONTAINER_RESTART_RULE)),
many(9, "volumeMounts", Nested(&CORE_V1_VOLUME_MOUNT)).list(Keyed(&["mountPath"])).merge("mountPath"),
many(21, "volumeDevices", Nested(&CORE_V1_VOLUME_DEVICE)).list(Keyed(&["devicePath"])).merge("devicePath"),
one(10, "livenessProbe", Nested(&CORE_V1_PROBE)),
one(11, "readinessProbe", Nested(&CORE_V1_PROBE)),
one(22, "startupProbe", Nested(&CORE_V1_PROBE)),
one(12, "lifecycle", Nested(&CORE_V1_LIFECYCLE)),
one(13, "terminationMessagePath", Text),
one(20, "terminationMessagePolicy", Text),
one(14, "imagePullPolicy", Text),
one(15, "securityContext", Nested(&CORE_V1_SECURITY_CONTEXT)),
one(16, "stdin", Bool),
one(17, "stdinOnce", Bool),
one(18, "tty", Bool),
] };
static CORE_V1_CONTAINER_EXTENDED_RESOURCE_REQUEST: Message = Message { name: "core.v1.ContainerExtendedResourceRequest", atomic: false, fields: &[
one(1, "containerName", Text).keeps_zero(),
one(2, "resourceName", Text).keeps_zero(),
one(3, "requestName", Text).keeps_zero(),
] };
static CORE_V1_CONTAINER_IMAGE: Message = Message { name: "core.v1.ContainerImage", atomic: false, fields: &[
many(1, "names", Text),
one(2, "sizeBytes", Int),
] };
static CORE_V1_CONTAINER_PORT: Message = Message { name: "core.v1.ContainerPort", atomic: false, fields: &[
one(1, "name", Text),
one(2, "hostPort", Int),
one(3, "containerPort", Int).keeps_zero(),
one(4, "protocol", Text),
one(5, "hostIP", Text),
] };
static CORE_V1_CONTAINER_RESIZE_POLICY: Message = Message { name: "core.v1.ContainerResizePolicy", atomic: false, fields: &[
one(1, "resourceName", Text).keeps_zero(),
one(2, "restartPolicy", Text).keeps_zero(),
] };
static CORE_V1_CONTAINER_RESTART_RULE: Message = Message { name: "core.v1.ContainerRestartRule", atomic: false, fields: &[
one(1, "action", Text).keeps_zero(),
one(2, "exitCodes", Nested(&CORE_V1_CONTAINER_RESTART_RULE_ON_EXIT_CODES)),
] };
static CORE_V1_CONTAINER_RESTART_RULE_ON_EXIT_CODES: Message = Message { name: "core.v1.ContainerRestartRuleOnExitCodes", atomic: false, fields: &[
one(1, "operator", Text).keeps_zero(),
many(2, "values", Int).list(Set),
] };
static CORE_V1_CONTAINER_STATE: Message = Message { name: "core.v1.ContainerState", atomic: false, fields: &[
one(1, "waiting", Nested(&CORE_V1_CONTAINER_STATE_WAITING)),
one(2, "running", Nested(&CORE_V1_CONTAINER_STATE_RUNNING)),
one(3, "terminated", Nested(&CORE_V1_CONTAINER_STATE_TERMINATED)),
] };
static CORE_V1_CONTAINER_STATE_RUNNING: Message = Message { name: "core.v1.ContainerStateRunning", atomic: false, fields: &[
one(1, "startedAt", Time),
] };
static CORE_V1_CONTAINER_STATE_TERMINATED: Message = Message { name: "core.v1.ContainerStateTerminated", atomic: false, fields: &[
one(1, "exitCode", Int).keeps_zero(),
one(2, "signal", Int),
one(3, "reason", Text),
one(4, "message", Text),
one(5, "startedAt", Time),
one(6, "finishedAt", Time),
one(7, "containerID", Text),
] };
static CORE_V1_CONTAINER_STATE_WAITING: Message = Message { name: "core.v1.ContainerStateWaiting", atomic: false, fields: &[
one(1, "reason", Text),
one(2, "message", Text),
] };
static CORE_V1_CONTAINER_STATUS: Message = Message { name: "core.v1.ContainerStatus", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "state", Nested(&CORE_V1_CONTAINER_STATE)),
one(3, "lastState", Nested(&CORE_V1_CONTAINER_STATE)),
one(4, "ready", Bool).keeps_zero(),
one(5, "restartCount", Int).keeps_zero(),
one(6, "image", Text).keeps_zero(),
one(7, "imageID", Text).keeps_zero(),
one(8, "containerID", Text),
one(9, "started", Bool).keeps_zero(),
map(10, "allocatedResources", Quantity),
one(11, "resources", Nested(&CORE_V1_RESOURCE_REQUIREMENTS)),
many(12, "volumeMounts", Nested(&CORE_V1_VOLUME_MOUNT_STATUS)).list(Keyed(&["mountPath"])).merge("mountPath"),
one(13, "user", Nested(&CORE_V1_CONTAINER_USER)),
many(14, "allocatedResourcesStatus", Nested(&CORE_V1_RESOURCE_STATUS)).list(Keyed(&["name"])).merge("name"),
one(15, "stopSignal", Text),
] };
static CORE_V1_CONTAINER_USER: Message = Message { name: "core.v1.ContainerUser", atomic: false, fields: &[
one(1, "linux", Nested(&CORE_V1_LINUX_CONTAINER_USER)),
] };
static CORE_V1_DAEMON_ENDPOINT: Message = Message { name: "core.v1.DaemonEndpoint", atomic: false, fields: &[
one(1, "Port", Int).keeps_zero(),
] };
static CORE_V1_DOWNWARD_API_PROJECTION: Message = Message { name: "core.v1.DownwardAPIProjection", atomic: false, fields: &[
many(1, "items", Nested(&CORE_V1_DOWNWARD_API_VOLUME_FILE)),
] };
static CORE_V1_DOWNWARD_API_VOLUME_FILE: Message = Message { name: "core.v1.DownwardAPIVolumeFile", atomic: false, fields: &[
one(1, "path", Text).keeps_zero(),
one(2, "fieldRef", Nested(&CORE_V1_OBJECT_FIELD_SELECTOR)),
one(3, "resourceFieldRef", Nested(&CORE_V1_RESOURCE_FIELD_SELECTOR)),
one(4, "mode", Int).keeps_zero(),
] };
static CORE_V1_DOWNWARD_API_VOLUME_SOURCE: Message = Message { name: "core.v1.DownwardAPIVolumeSource", atomic: false, fields: &[
many(1, "items", Nested(&CORE_V1_DOWNWARD_API_VOLUME_FILE)),
one(2, "defaultMode", Int).keeps_zero(),
] };
static CORE_V1_EMPTY_DIR_VOLUME_SOURCE: Message = Message { name: "core.v1.EmptyDirVolumeSource", atomic: false, fields: &[
one(1, "medium", Text),
one(2, "sizeLimit", Quantity),
] };
static CORE_V1_ENV_FROM_SOURCE: Message = Message { name: "core.v1.EnvFromSource", atomic: false, fields: &[
one(1, "prefix", Text),
one(2, "configMapRef", Nested(&CORE_V1_CONFIG_MAP_ENV_SOURCE)),
one(3, "secretRef", Nested(&CORE_V1_SECRET_ENV_SOURCE)),
] };
static CORE_V1_ENV_VAR: Message = Message { name: "core.v1.EnvVar", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "value", Text),
one(3, "valueFrom", Nested(&CORE_V1_ENV_VAR_SOURCE)),
] };
static CORE_V1_ENV_VAR_SOURCE: Message = Message { name: "core.v1.EnvVarSource", atomic: false, fields: &[
one(1, "fieldRef", Nested(&CORE_V1_OBJECT_FIELD_SELECTOR)),
one(2, "resourceFieldRef", Nested(&CORE_V1_RESOURCE_FIELD_SELECTOR)),
one(3, "configMapKeyRef", Nested(&CORE_V1_CONFIG_MAP_KEY_SELECTOR)),
one(4, "secretKeyRef", Nested(&CORE_V1_SECRET_KEY_SELECTOR)),
one(5, "fileKeyRef", Nested(&CORE_V1_FILE_KEY_SELECTOR)),
] };
static CORE_V1_EPHEMERAL_CONTAINER: Message = Message { name: "core.v1.EphemeralContainer", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_EPHEMERAL_CONTAINER_COMMON)),
one(2, "targetContainerName", Text),
] };
static CORE_V1_EPHEMERAL_CONTAINER_COMMON: Message = Message { name: "core.v1.EphemeralContainerCommon", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "image", Text),
many(3, "command", Text),
many(4, "args", Text),
one(5, "workingDir", Text),
many(6, "ports", Nested(&CORE_V1_CONTAINER_PORT)).list(Keyed(&["containerPort", "protocol"])).merge("containerPort"),
many(19, "envFrom", Nested(&CORE_V1_ENV_FROM_SOURCE)),
many(7, "env", Nested(&CORE_V1_ENV_VAR)).list(Keyed(&["name"])).merge("name"),
one(8, "resources", Nested(&CORE_V1_RESOURCE_REQUIREMENTS)),
many(23, "resizePolicy", Nested(&CORE_V1_CONTAINER_RESIZE_POLICY)),
one(24, "restartPolicy", Text),
many(25, "restartPolicyRules", Nested(&CORE_V1_CONTAINER_RESTART_RULE)),
many(9, "volumeMounts", Nested(&CORE_V1_VOLUME_MOUNT)).list(Keyed(&["mountPath"])).merge("mountPath"),
many(21, "volumeDevices", Nested(&CORE_V1_VOLUME_DEVICE)).list(Keyed(&["devicePath"])).merge("devicePath"),
one(10, "livenessProbe", Nested(&CORE_V1_PROBE)),
one(11, "readinessProbe", Nested(&CORE_V1_PROBE)),
one(22, "startupProbe", Nested(&CORE_V1_PROBE)),
one(12, "lifecycle", Nested(&CORE_V1_LIFECYCLE)),
one(13, "terminationMessagePath", Text),
one(20, "terminationMessagePolicy", Text),
one(14, "imagePullPolicy", Text),
one(15, "securityContext", Nested(&CORE_V1_SECURITY_CONTEXT)),
one(16, "stdin", Bool),
one(17, "stdinOnce", Bool),
one(18, "tty", Bool),
] };
static CORE_V1_EPHEMERAL_VOLUME_SOURCE: Message = Message { name: "core.v1.EphemeralVolumeSource", atomic: false, fields: &[
one(1, "volumeClaimTemplate", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM_TEMPLATE)),
] };
static CORE_V1_EVENT: Message = Message { name: "core.v1.Event", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "involvedObject", Nested(&CORE_V1_OBJECT_REFERENCE)).keeps_zero(),
one(3, "reason", Text),
one(4, "message", Text),
one(5, "source", Nested(&CORE_V1_EVENT_SOURCE)),
one(6, "firstTimestamp", Time),
one(7, "lastTimestamp", Time),
one(8, "count", Int),
one(9, "type", Text),
one(10, "eventTime", MicroTime),
one(11, "series", Nested(&CORE_V1_EVENT_SERIES)),
one(12, "action", Text),
one(13, "related", Nested(&CORE_V1_OBJECT_REFERENCE)),
one(14, "reportingComponent", Text),
one(15, "reportingInstance", Text),
] };
static CORE_V1_EVENT_SERIES: Message = Message { name: "core.v1.EventSeries", atomic: false, fields: &[
one(1, "count", Int),
one(2, "lastObservedTime", MicroTime),
] };
static CORE_V1_EVENT_SOURCE: Message = Message { name: "core.v1.EventSource", atomic: false, fields: &[
one(1, "component", Text),
one(2, "host", Text),
] };
static CORE_V1_EXEC_ACTION: Message = Message { name: "core.v1.ExecAction", atomic: false, fields: &[
many(1, "command", Text),
] };
static CORE_V1_FC_VOLUME_SOURCE: Message = Message { name: "core.v1.FcVolumeSource", atomic: false, fields: &[
many(1, "targetWWNs", Text),
one(2, "lun", Int).keeps_zero(),
one(3, "fsType", Text),
one(4, "readOnly", Bool),
many(5, "wwids", Text),
] };
static CORE_V1_FILE_KEY_SELECTOR: Message = Message { name: "core.v1.FileKeySelector", atomic: true, fields: &[
one(1, "volumeName", Text).keeps_zero(),
one(2, "path", Text).keeps_zero(),
one(3, "key", Text).keeps_zero(),
one(4, "optional", Bool).keeps_zero(),
] };
static CORE_V1_FLEX_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.FlexPersistentVolumeSource", atomic: false, fields: &[
one(1, "driver", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "secretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(4, "readOnly", Bool),
map(5, "options", Text),
] };
static CORE_V1_FLEX_VOLUME_SOURCE: Message = Message { name: "core.v1.FlexVolumeSource", atomic: false, fields: &[
one(1, "driver", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(4, "readOnly", Bool),
map(5, "options", Text),
] };
static CORE_V1_FLOCKER_VOLUME_SOURCE: Message = Message { name: "core.v1.FlockerVolumeSource", atomic: false, fields: &[
one(1, "datasetName", Text),
one(2, "datasetUUID", Text),
] };
static CORE_V1_GCE_PERSISTENT_DISK_VOLUME_SOURCE: Message = Message { name: "core.v1.GcePersistentDiskVolumeSource", atomic: false, fields: &[
one(1, "pdName", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "partition", Int),
one(4, "readOnly", Bool),
] };
static CORE_V1_GIT_REPO_VOLUME_SOURCE: Message = Message { name: "core.v1.GitRepoVolumeSource", atomic: false, fields: &[
one(1, "repository", Text).keeps_zero(),
one(2, "revision", Text),
one(3, "directory", Text),
] };
static CORE_V1_GLUSTERFS_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.GlusterfsPersistentVolumeSource", atomic: false, fields: &[
one(1, "endpoints", Text).keeps_zero(),
one(2, "path", Text).keeps_zero(),
one(3, "readOnly", Bool),
one(4, "endpointsNamespace", Text),
] };
static CORE_V1_GLUSTERFS_VOLUME_SOURCE: Message = Message { name: "core.v1.GlusterfsVolumeSource", atomic: false, fields: &[
one(1, "endpoints", Text).keeps_zero(),
one(2, "path", Text).keeps_zero(),
one(3, "readOnly", Bool),
] };
static CORE_V1_GRPC_ACTION: Message = Message { name: "core.v1.GrpcAction", atomic: false, fields: &[
one(1, "port", Int).keeps_zero(),
one(2, "service", Text).keeps_zero(),
] };
static CORE_V1_HOST_ALIAS: Message = Message { name: "core.v1.HostAlias", atomic: false, fields: &[
one(1, "ip", Text).keeps_zero(),
many(2, "hostnames", Text),
] };
static CORE_V1_HOST_IP: Message = Message { name: "core.v1.HostIp", atomic: false, fields: &[
one(1, "ip", Text).keeps_zero(),
] };
static CORE_V1_HOST_PATH_VOLUME_SOURCE: Message = Message { name: "core.v1.HostPathVolumeSource", atomic: false, fields: &[
one(1, "path", Text).keeps_zero(),
one(2, "type", Text),
] };
static CORE_V1_HTTP_GET_ACTION: Message = Message { name: "core.v1.HttpGetAction", atomic: false, fields: &[
one(1, "path", Text),
one(2, "port", IntOrString).keeps_zero(),
one(3, "host", Text),
one(4, "scheme", Text),
many(5, "httpHeaders", Nested(&CORE_V1_HTTP_HEADER)),
] };
static CORE_V1_HTTP_HEADER: Message = Message { name: "core.v1.HttpHeader", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "value", Text).keeps_zero(),
] };
static CORE_V1_IMAGE_VOLUME_SOURCE: Message = Message { name: "core.v1.ImageVolumeSource", atomic: false, fields: &[
one(1, "reference", Text),
one(2, "pullPolicy", Text),
] };
static CORE_V1_ISCSI_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.IscsiPersistentVolumeSource", atomic: false, fields: &[
one(1, "targetPortal", Text).keeps_zero(),
one(2, "iqn", Text).keeps_zero(),
one(3, "lun", Int).keeps_zero(),
one(4, "iscsiInterface", Text),
one(5, "fsType", Text),
one(6, "readOnly", Bool),
many(7, "portals", Text),
one(8, "chapAuthDiscovery", Bool),
one(11, "chapAuthSession", Bool),
one(10, "secretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(12, "initiatorName", Text),
] };
static CORE_V1_ISCSI_VOLUME_SOURCE: Message = Message { name: "core.v1.IscsiVolumeSource", atomic: false, fields: &[
one(1, "targetPortal", Text).keeps_zero(),
one(2, "iqn", Text).keeps_zero(),
one(3, "lun", Int).keeps_zero(),
one(4, "iscsiInterface", Text),
one(5, "fsType", Text),
one(6, "readOnly", Bool),
many(7, "portals", Text),
one(8, "chapAuthDiscovery", Bool),
one(11, "chapAuthSession", Bool),
one(10, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(12, "initiatorName", Text),
] };
static CORE_V1_KEY_TO_PATH: Message = Message { name: "core.v1.KeyToPath", atomic: false, fields: &[
one(1, "key", Text).keeps_zero(),
one(2, "path", Text).keeps_zero(),
one(3, "mode", Int).keeps_zero(),
] };
static CORE_V1_LIFECYCLE: Message = Message { name: "core.v1.Lifecycle", atomic: false, fields: &[
one(1, "postStart", Nested(&CORE_V1_LIFECYCLE_HANDLER)),
one(2, "preStop", Nested(&CORE_V1_LIFECYCLE_HANDLER)),
one(3, "stopSignal", Text),
] };
static CORE_V1_LIFECYCLE_HANDLER: Message = Message { name: "core.v1.LifecycleHandler", atomic: false, fields: &[
one(1, "exec", Nested(&CORE_V1_EXEC_ACTION)),
one(2, "httpGet", Nested(&CORE_V1_HTTP_GET_ACTION)),
one(3, "tcpSocket", Nested(&CORE_V1_TCP_SOCKET_ACTION)),
one(4, "sleep", Nested(&CORE_V1_SLEEP_ACTION)),
] };
static CORE_V1_LINUX_CONTAINER_USER: Message = Message { name: "core.v1.LinuxContainerUser", atomic: false, fields: &[
one(1, "uid", Int).keeps_zero(),
one(2, "gid", Int).keeps_zero(),
many(3, "supplementalGroups", Int),
] };
static CORE_V1_LOAD_BALANCER_INGRESS: Message = Message { name: "core.v1.LoadBalancerIngress", atomic: false, fields: &[
one(1, "ip", Text),
one(2, "hostname", Text),
one(3, "ipMode", Text),
many(4, "ports", Nested(&CORE_V1_PORT_STATUS)),
] };
static CORE_V1_LOAD_BALANCER_STATUS: Message = Message { name: "core.v1.LoadBalancerStatus", atomic: false, fields: &[
many(1, "ingress", Nested(&CORE_V1_LOAD_BALANCER_INGRESS)),
] };
static CORE_V1_LOCAL_OBJECT_REFERENCE: Message = Message { name: "core.v1.LocalObjectReference", atomic: true, fields: &[
one(1, "name", Text).keeps_zero(),
] };
static CORE_V1_LOCAL_VOLUME_SOURCE: Message = Message { name: "core.v1.LocalVolumeSource", atomic: false, fields: &[
one(1, "path", Text).keeps_zero(),
one(2, "fsType", Text),
] };
static CORE_V1_MODIFY_VOLUME_STATUS: Message = Message { name: "core.v1.ModifyVolumeStatus", atomic: false, fields: &[
one(1, "targetVolumeAttributesClassName", Text),
one(2, "status", Text).keeps_zero(),
] };
static CORE_V1_NAMESPACE: Message = Message { name: "core.v1.Namespace", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&CORE_V1_NAMESPACE_SPEC)),
one(3, "status", Nested(&CORE_V1_NAMESPACE_STATUS)),
] };
static CORE_V1_NAMESPACE_CONDITION: Message = Message { name: "core.v1.NamespaceCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(4, "lastTransitionTime", Time),
one(5, "reason", Text),
one(6, "message", Text),
] };
static CORE_V1_NAMESPACE_SPEC: Message = Message { name: "core.v1.NamespaceSpec", atomic: false, fields: &[
many(1, "finalizers", Text),
] };
static CORE_V1_NAMESPACE_STATUS: Message = Message { name: "core.v1.NamespaceStatus", atomic: false, fields: &[
one(1, "phase", Text),
many(2, "conditions", Nested(&CORE_V1_NAMESPACE_CONDITION)).list(Keyed(&["type"])).merge("type"),
] };
static CORE_V1_NFS_VOLUME_SOURCE: Message = Message { name: "core.v1.NfsVolumeSource", atomic: false, fields: &[
one(1, "server", Text).keeps_zero(),
one(2, "path", Text).keeps_zero(),
one(3, "readOnly", Bool),
] };
static CORE_V1_NODE: Message = Message { name: "core.v1.Node", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&CORE_V1_NODE_SPEC)),
one(3, "status", Nested(&CORE_V1_NODE_STATUS)),
] };
static CORE_V1_NODE_ADDRESS: Message = Message { name: "core.v1.NodeAddress", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "address", Text).keeps_zero(),
] };
static CORE_V1_NODE_AFFINITY: Message = Message { name: "core.v1.NodeAffinity", atomic: false, fields: &[
one(1, "requiredDuringSchedulingIgnoredDuringExecution", Nested(&CORE_V1_NODE_SELECTOR)),
many(2, "preferredDuringSchedulingIgnoredDuringExecution", Nested(&CORE_V1_PREFERRED_SCHEDULING_TERM)),
] };
static CORE_V1_NODE_CONDITION: Message = Message { name: "core.v1.NodeCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "lastHeartbeatTime", Time),
one(4, "lastTransitionTime", Time),
one(5, "reason", Text),
one(6, "message", Text),
] };
static CORE_V1_NODE_CONFIG_SOURCE: Message = Message { name: "core.v1.NodeConfigSource", atomic: false, fields: &[
one(2, "configMap", Nested(&CORE_V1_CONFIG_MAP_NODE_CONFIG_SOURCE)),
] };
static CORE_V1_NODE_CONFIG_STATUS: Message = Message { name: "core.v1.NodeConfigStatus", atomic: false, fields: &[
one(1, "assigned", Nested(&CORE_V1_NODE_CONFIG_SOURCE)),
one(2, "active", Nested(&CORE_V1_NODE_CONFIG_SOURCE)),
one(3, "lastKnownGood", Nested(&CORE_V1_NODE_CONFIG_SOURCE)),
one(4, "error", Text),
] };
static CORE_V1_NODE_DAEMON_ENDPOINTS: Message = Message { name: "core.v1.NodeDaemonEndpoints", atomic: false, fields: &[
one(1, "kubeletEndpoint", Nested(&CORE_V1_DAEMON_ENDPOINT)),
] };
static CORE_V1_NODE_FEATURES: Message = Message { name: "core.v1.NodeFeatures", atomic: false, fields: &[
one(1, "supplementalGroupsPolicy", Bool).keeps_zero(),
] };
static CORE_V1_NODE_RUNTIME_HANDLER: Message = Message { name: "core.v1.NodeRuntimeHandler", atomic: false, fields: &[
one(1, "name", Text),
one(2, "features", Nested(&CORE_V1_NODE_RUNTIME_HANDLER_FEATURES)),
] };
static CORE_V1_NODE_RUNTIME_HANDLER_FEATURES: Message = Message { name: "core.v1.NodeRuntimeHandlerFeatures", atomic: false, fields: &[
one(1, "recursiveReadOnlyMounts", Bool).keeps_zero(),
one(2, "userNamespaces", Bool).keeps_zero(),
] };
static CORE_V1_NODE_SELECTOR: Message = Message { name: "core.v1.NodeSelector", atomic: true, fields: &[
many(1, "nodeSelectorTerms", Nested(&CORE_V1_NODE_SELECTOR_TERM)).keeps_zero(),
] };
static CORE_V1_NODE_SELECTOR_REQUIREMENT: Message = Message { name: "core.v1.NodeSelectorRequirement", atomic: false, fields: &[
one(1, "key", Text).keeps_zero(),
one(2, "operator", Text).keeps_zero(),
many(3, "values", Text),
] };
static CORE_V1_NODE_SELECTOR_TERM: Message = Message { name: "core.v1.NodeSelectorTerm", atomic: true, fields: &[
many(1, "matchExpressions", Nested(&CORE_V1_NODE_SELECTOR_REQUIREMENT)),
many(2, "matchFields", Nested(&CORE_V1_NODE_SELECTOR_REQUIREMENT)),
] };
static CORE_V1_NODE_SPEC: Message = Message { name: "core.v1.NodeSpec", atomic: false, fields: &[
one(1, "podCIDR", Text),
many(7, "podCIDRs", Text).list(Set).merge(""),
one(3, "providerID", Text),
one(4, "unschedulable", Bool),
many(5, "taints", Nested(&CORE_V1_TAINT)),
one(6, "configSource", Nested(&CORE_V1_NODE_CONFIG_SOURCE)),
one(2, "externalID", Text),
] };
static CORE_V1_NODE_STATUS: Message = Message { name: "core.v1.NodeStatus", atomic: false, fields: &[
map(1, "capacity", Quantity),
map(2, "allocatable", Quantity),
one(3, "phase", Text),
many(4, "conditions", Nested(&CORE_V1_NODE_CONDITION)).list(Keyed(&["type"])).merge("type"),
many(5, "addresses", Nested(&CORE_V1_NODE_ADDRESS)).list(Keyed(&["type"])).merge("type"),
one(6, "daemonEndpoints", Nested(&CORE_V1_NODE_DAEMON_ENDPOINTS)),
one(7, "nodeInfo", Nested(&CORE_V1_NODE_SYSTEM_INFO)),
many(8, "images", Nested(&CORE_V1_CONTAINER_IMAGE)),
many(9, "volumesInUse", Text),
many(10, "volumesAttached", Nested(&CORE_V1_ATTACHED_VOLUME)),
one(11, "config", Nested(&CORE_V1_NODE_CONFIG_STATUS)),
many(12, "runtimeHandlers", Nested(&CORE_V1_NODE_RUNTIME_HANDLER)),
one(13, "features", Nested(&CORE_V1_NODE_FEATURES)),
] };
static CORE_V1_NODE_SWAP_STATUS: Message = Message { name: "core.v1.NodeSwapStatus", atomic: false, fields: &[
one(1, "capacity", Int).keeps_zero(),
] };
static CORE_V1_NODE_SYSTEM_INFO: Message = Message { name: "core.v1.NodeSystemInfo", atomic: false, fields: &[
one(1, "machineID", Text).keeps_zero(),
one(2, "systemUUID", Text).keeps_zero(),
one(3, "bootID", Text).keeps_zero(),
one(4, "kernelVersion", Text).keeps_zero(),
one(5, "osImage", Text).keeps_zero(),
one(6, "containerRuntimeVersion", Text).keeps_zero(),
one(7, "kubeletVersion", Text).keeps_zero(),
one(8, "kubeProxyVersion", Text).keeps_zero(),
one(9, "operatingSystem", Text).keeps_zero(),
one(10, "architecture", Text).keeps_zero(),
one(11, "swap", Nested(&CORE_V1_NODE_SWAP_STATUS)),
] };
static CORE_V1_OBJECT_FIELD_SELECTOR: Message = Message { name: "core.v1.ObjectFieldSelector", atomic: true, fields: &[
one(1, "apiVersion", Text),
one(2, "fieldPath", Text).keeps_zero(),
] };
static CORE_V1_OBJECT_REFERENCE: Message = Message { name: "core.v1.ObjectReference", atomic: true, fields: &[
one(1, "kind", Text),
one(2, "namespace", Text),
one(3, "name", Text),
one(4, "uid", Text),
one(5, "apiVersion", Text),
one(6, "resourceVersion", Text),
one(7, "fieldPath", Text),
] };
static CORE_V1_PERSISTENT_VOLUME: Message = Message { name: "core.v1.PersistentVolume", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&CORE_V1_PERSISTENT_VOLUME_SPEC)),
one(3, "status", Nested(&CORE_V1_PERSISTENT_VOLUME_STATUS)),
] };
static CORE_V1_PERSISTENT_VOLUME_CLAIM: Message = Message { name: "core.v1.PersistentVolumeClaim", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC)),
one(3, "status", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM_STATUS)),
] };
static CORE_V1_PERSISTENT_VOLUME_CLAIM_CONDITION: Message = Message { name: "core.v1.PersistentVolumeClaimCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "lastProbeTime", Time),
one(4, "lastTransitionTime", Time),
one(5, "reason", Text),
one(6, "message", Text),
] };
static CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC: Message = Message { name: "core.v1.PersistentVolumeClaimSpec", atomic: false, fields: &[
many(1, "accessModes", Text),
one(4, "selector", Nested(&META_V1_LABEL_SELECTOR)),
one(2, "resources", Nested(&CORE_V1_VOLUME_RESOURCE_REQUIREMENTS)),
one(3, "volumeName", Text),
one(5, "storageClassName", Text).keeps_zero(),
one(6, "volumeMode", Text),
one(7, "dataSource", Nested(&CORE_V1_TYPED_LOCAL_OBJECT_REFERENCE)),
one(8, "dataSourceRef", Nested(&CORE_V1_TYPED_OBJECT_REFERENCE)),
one(9, "volumeAttributesClassName", Text).keeps_zero(),
] };
static CORE_V1_PERSISTENT_VOLUME_CLAIM_STATUS: Message = Message { name: "core.v1.PersistentVolumeClaimStatus", atomic: false, fields: &[
one(1, "phase", Text),
many(2, "accessModes", Text),
map(3, "capacity", Quantity),
many(4, "conditions", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM_CONDITION)).list(Keyed(&["type"])).merge("type"),
map(5, "allocatedResources", Quantity),
map(7, "allocatedResourceStatuses", Text),
one(8, "currentVolumeAttributesClassName", Text),
one(9, "modifyVolumeStatus", Nested(&CORE_V1_MODIFY_VOLUME_STATUS)),
] };
static CORE_V1_PERSISTENT_VOLUME_CLAIM_TEMPLATE: Message = Message { name: "core.v1.PersistentVolumeClaimTemplate", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)),
one(2, "spec", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC)).keeps_zero(),
] };
static CORE_V1_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE: Message = Message { name: "core.v1.PersistentVolumeClaimVolumeSource", atomic: false, fields: &[
one(1, "claimName", Text).keeps_zero(),
one(2, "readOnly", Bool),
] };
static CORE_V1_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.PersistentVolumeSource", atomic: false, fields: &[
one(1, "gcePersistentDisk", Nested(&CORE_V1_GCE_PERSISTENT_DISK_VOLUME_SOURCE)),
one(2, "awsElasticBlockStore", Nested(&CORE_V1_AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE)),
one(3, "hostPath", Nested(&CORE_V1_HOST_PATH_VOLUME_SOURCE)),
one(4, "glusterfs", Nested(&CORE_V1_GLUSTERFS_PERSISTENT_VOLUME_SOURCE)),
one(5, "nfs", Nested(&CORE_V1_NFS_VOLUME_SOURCE)),
one(6, "rbd", Nested(&CORE_V1_RBD_PERSISTENT_VOLUME_SOURCE)),
one(7, "iscsi", Nested(&CORE_V1_ISCSI_PERSISTENT_VOLUME_SOURCE)),
one(8, "cinder", Nested(&CORE_V1_CINDER_PERSISTENT_VOLUME_SOURCE)),
one(9, "cephfs", Nested(&CORE_V1_CEPH_FS_PERSISTENT_VOLUME_SOURCE)),
one(10, "fc", Nested(&CORE_V1_FC_VOLUME_SOURCE)),
one(11, "flocker", Nested(&CORE_V1_FLOCKER_VOLUME_SOURCE)),
one(12, "flexVolume", Nested(&CORE_V1_FLEX_PERSISTENT_VOLUME_SOURCE)),
one(13, "azureFile", Nested(&CORE_V1_AZURE_FILE_PERSISTENT_VOLUME_SOURCE)),
one(14, "vsphereVolume", Nested(&CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE)),
one(15, "quobyte", Nested(&CORE_V1_QUOBYTE_VOLUME_SOURCE)),
one(16, "azureDisk", Nested(&CORE_V1_AZURE_DISK_VOLUME_SOURCE)),
one(17, "photonPersistentDisk", Nested(&CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE)),
one(18, "portworxVolume", Nested(&CORE_V1_PORTWORX_VOLUME_SOURCE)),
one(19, "scaleIO", Nested(&CORE_V1_SCALE_IO_PERSISTENT_VOLUME_SOURCE)),
one(20, "local", Nested(&CORE_V1_LOCAL_VOLUME_SOURCE)),
one(21, "storageos", Nested(&CORE_V1_STORAGE_OS_PERSISTENT_VOLUME_SOURCE)),
one(22, "csi", Nested(&CORE_V1_CSI_PERSISTENT_VOLUME_SOURCE)),
] };
static CORE_V1_PERSISTENT_VOLUME_SPEC: Message = Message { name: "core.v1.PersistentVolumeSpec", atomic: false, fields: &[
map(1, "capacity", Quantity),
one(2, "", Inline(&CORE_V1_PERSISTENT_VOLUME_SOURCE)),
many(3, "accessModes", Text),
one(4, "claimRef", Nested(&CORE_V1_OBJECT_REFERENCE)),
one(5, "persistentVolumeReclaimPolicy", Text),
one(6, "storageClassName", Text),
many(7, "mountOptions", Text),
one(8, "volumeMode", Text),
one(9, "nodeAffinity", Nested(&CORE_V1_VOLUME_NODE_AFFINITY)),
one(10, "volumeAttributesClassName", Text).keeps_zero(),
] };
static CORE_V1_PERSISTENT_VOLUME_STATUS: Message = Message { name: "core.v1.PersistentVolumeStatus", atomic: false, fields: &[
one(1, "phase", Text),
one(2, "message", Text),
one(3, "reason", Text),
one(4, "lastPhaseTransitionTime", Time),
] };
static CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE: Message = Message { name: "core.v1.PhotonPersistentDiskVolumeSource", atomic: false, fields: &[
one(1, "pdID", Text).keeps_zero(),
one(2, "fsType", Text),
] };
static CORE_V1_POD: Message = Message { name: "core.v1.Pod", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&CORE_V1_POD_SPEC)),
one(3, "status", Nested(&CORE_V1_POD_STATUS)),
] };
static CORE_V1_POD_AFFINITY: Message = Message { name: "core.v1.PodAffinity", atomic: false, fields: &[
many(1, "requiredDuringSchedulingIgnoredDuringExecution", Nested(&CORE_V1_POD_AFFINITY_TERM)),
many(2, "preferredDuringSchedulingIgnoredDuringExecution", Nested(&CORE_V1_WEIGHTED_POD_AFFINITY_TERM)),
] };
static CORE_V1_POD_AFFINITY_TERM: Message = Message { name: "core.v1.PodAffinityTerm", atomic: false, fields: &[
one(1, "labelSelector", Nested(&META_V1_LABEL_SELECTOR)),
many(2, "namespaces", Text),
one(3, "topologyKey", Text).keeps_zero(),
one(4, "namespaceSelector", Nested(&META_V1_LABEL_SELECTOR)),
many(5, "matchLabelKeys", Text),
many(6, "mismatchLabelKeys", Text),
] };
static CORE_V1_POD_ANTI_AFFINITY: Message = Message { name: "core.v1.PodAntiAffinity", atomic: false, fields: &[
many(1, "requiredDuringSchedulingIgnoredDuringExecution", Nested(&CORE_V1_POD_AFFINITY_TERM)),
many(2, "preferredDuringSchedulingIgnoredDuringExecution", Nested(&CORE_V1_WEIGHTED_POD_AFFINITY_TERM)),
] };
static CORE_V1_POD_CERTIFICATE_PROJECTION: Message = Message { name: "core.v1.PodCertificateProjection", atomic: false, fields: &[
one(1, "signerName", Text).keeps_zero(),
one(2, "keyType", Text).keeps_zero(),
one(3, "maxExpirationSeconds", Int).keeps_zero(),
one(4, "credentialBundlePath", Text),
one(5, "keyPath", Text),
one(6, "certificateChainPath", Text),
] };
static CORE_V1_POD_CONDITION: Message = Message { name: "core.v1.PodCondition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(7, "observedGeneration", Int),
one(2, "status", Text).keeps_zero(),
one(3, "lastProbeTime", Time),
one(4, "lastTransitionTime", Time),
one(5, "reason", Text),
one(6, "message", Text),
] };
static CORE_V1_POD_DNS_CONFIG: Message = Message { name: "core.v1.PodDnsConfig", atomic: false, fields: &[
many(1, "nameservers", Text),
many(2, "searches", Text),
many(3, "options", Nested(&CORE_V1_POD_DNS_CONFIG_OPTION)),
] };
static CORE_V1_POD_DNS_CONFIG_OPTION: Message = Message { name: "core.v1.PodDnsConfigOption", atomic: false, fields: &[
one(1, "name", Text),
one(2, "value", Text).keeps_zero(),
] };
static CORE_V1_POD_EXTENDED_RESOURCE_CLAIM_STATUS: Message = Message { name: "core.v1.PodExtendedResourceClaimStatus", atomic: false, fields: &[
many(1, "requestMappings", Nested(&CORE_V1_CONTAINER_EXTENDED_RESOURCE_REQUEST)).keeps_zero(),
one(2, "resourceClaimName", Text).keeps_zero(),
] };
static CORE_V1_POD_IP: Message = Message { name: "core.v1.PodIp", atomic: false, fields: &[
one(1, "ip", Text).keeps_zero(),
] };
static CORE_V1_POD_OS: Message = Message { name: "core.v1.PodOs", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
] };
static CORE_V1_POD_READINESS_GATE: Message = Message { name: "core.v1.PodReadinessGate", atomic: false, fields: &[
one(1, "conditionType", Text).keeps_zero(),
] };
static CORE_V1_POD_RESOURCE_CLAIM: Message = Message { name: "core.v1.PodResourceClaim", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(3, "resourceClaimName", Text),
one(4, "resourceClaimTemplateName", Text),
] };
static CORE_V1_POD_RESOURCE_CLAIM_STATUS: Message = Message { name: "core.v1.PodResourceClaimStatus", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "resourceClaimName", Text),
] };
static CORE_V1_POD_SCHEDULING_GATE: Message = Message { name: "core.v1.PodSchedulingGate", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
] };
static CORE_V1_POD_SECURITY_CONTEXT: Message = Message { name: "core.v1.PodSecurityContext", atomic: false, fields: &[
one(1, "seLinuxOptions", Nested(&CORE_V1_SE_LINUX_OPTIONS)),
one(8, "windowsOptions", Nested(&CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS)),
one(2, "runAsUser", Int).keeps_zero(),
one(6, "runAsGroup", Int).keeps_zero(),
one(3, "runAsNonRoot", Bool).keeps_zero(),
many(4, "supplementalGroups", Int),
one(12, "supplementalGroupsPolicy", Text),
one(5, "fsGroup", Int).keeps_zero(),
many(7, "sysctls", Nested(&CORE_V1_SYSCTL)),
one(9, "fsGroupChangePolicy", Text),
one(10, "seccompProfile", Nested(&CORE_V1_SECCOMP_PROFILE)),
one(11, "appArmorProfile", Nested(&CORE_V1_APP_ARMOR_PROFILE)),
one(13, "seLinuxChangePolicy", Text),
] };
static CORE_V1_POD_SPEC: Message = Message { name: "core.v1.PodSpec", atomic: false, fields: &[
many(1, "volumes", Nested(&CORE_V1_VOLUME)).list(Keyed(&["name"])).merge("name"),
many(20, "initContainers", Nested(&CORE_V1_CONTAINER)).list(Keyed(&["name"])).merge("name"),
many(2, "containers", Nested(&CORE_V1_CONTAINER)).keeps_zero().list(Keyed(&["name"])).merge("name"),
many(34, "ephemeralContainers", Nested(&CORE_V1_EPHEMERAL_CONTAINER)).list(Keyed(&["name"])).merge("name"),
one(3, "restartPolicy", Text),
one(4, "terminationGracePeriodSeconds", Int).keeps_zero(),
one(5, "activeDeadlineSeconds", Int).keeps_zero(),
one(6, "dnsPolicy", Text),
map(7, "nodeSelector", Text).list(Atomic),
one(8, "serviceAccountName", Text),
one(9, "serviceAccount", Text),
one(21, "automountServiceAccountToken", Bool).keeps_zero(),
one(10, "nodeName", Text),
one(11, "hostNetwork", Bool),
one(12, "hostPID", Bool),
one(13, "hostIPC", Bool),
one(27, "shareProcessNamespace", Bool).keeps_zero(),
one(14, "securityContext", Nested(&CORE_V1_POD_SECURITY_CONTEXT)),
many(15, "imagePullSecrets", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)).list(Keyed(&["name"])).merge("name"),
one(16, "hostname", Text),
one(17, "subdomain", Text),
one(18, "affinity", Nested(&CORE_V1_AFFINITY)),
one(19, "schedulerName", Text),
many(22, "tolerations", Nested(&CORE_V1_TOLERATION)),
many(23, "hostAliases", Nested(&CORE_V1_HOST_ALIAS)).list(Keyed(&["ip"])).merge("ip"),
one(24, "priorityClassName", Text),
one(25, "priority", Int).keeps_zero(),
one(26, "dnsConfig", Nested(&CORE_V1_POD_DNS_CONFIG)),
many(28, "readinessGates", Nested(&CORE_V1_POD_READINESS_GATE)),
one(29, "runtimeClassName", Text).keeps_zero(),
one(30, "enableServiceLinks", Bool).keeps_zero(),
one(31, "preemptionPolicy", Text),
map(32, "overhead", Quantity),
many(33, "topologySpreadConstraints", Nested(&CORE_V1_TOPOLOGY_SPREAD_CONSTRAINT)).list(Keyed(&["topologyKey", "whenUnsatisfiable"])).merge("topologyKey"),
one(35, "setHostnameAsFQDN", Bool).keeps_zero(),
one(36, "os", Nested(&CORE_V1_POD_OS)),
one(37, "hostUsers", Bool).keeps_zero(),
many(38, "schedulingGates", Nested(&CORE_V1_POD_SCHEDULING_GATE)).list(Keyed(&["name"])).merge("name"),
many(39, "resourceClaims", Nested(&CORE_V1_POD_RESOURCE_CLAIM)).list(Keyed(&["name"])).merge("name"),
one(40, "resources", Nested(&CORE_V1_RESOURCE_REQUIREMENTS)),
one(41, "hostnameOverride", Text).keeps_zero(),
] };
static CORE_V1_POD_STATUS: Message = Message { name: "core.v1.PodStatus", atomic: false, fields: &[
one(17, "observedGeneration", Int),
one(1, "phase", Text),
many(2, "conditions", Nested(&CORE_V1_POD_CONDITION)).list(Keyed(&["type"])).merge("type"),
one(3, "message", Text),
one(4, "reason", Text),
one(11, "nominatedNodeName", Text),
one(5, "hostIP", Text),
many(16, "hostIPs", Nested(&CORE_V1_HOST_IP)).merge("ip"),
one(6, "podIP", Text),
many(12, "podIPs", Nested(&CORE_V1_POD_IP)).list(Keyed(&["ip"])).merge("ip"),
one(7, "startTime", Time),
many(10, "initContainerStatuses", Nested(&CORE_V1_CONTAINER_STATUS)),
many(8, "containerStatuses", Nested(&CORE_V1_CONTAINER_STATUS)),
one(9, "qosClass", Text),
many(13, "ephemeralContainerStatuses", Nested(&CORE_V1_CONTAINER_STATUS)),
one(14, "resize", Text),
many(15, "resourceClaimStatuses", Nested(&CORE_V1_POD_RESOURCE_CLAIM_STATUS)).list(Keyed(&["name"])).merge("name"),
one(18, "extendedResourceClaimStatus", Nested(&CORE_V1_POD_EXTENDED_RESOURCE_CLAIM_STATUS)),
] };
static CORE_V1_POD_TEMPLATE_SPEC: Message = Message { name: "core.v1.PodTemplateSpec", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)),
one(2, "spec", Nested(&CORE_V1_POD_SPEC)),
] };
static CORE_V1_PORT_STATUS: Message = Message { name: "core.v1.PortStatus", atomic: false, fields: &[
one(1, "port", Int).keeps_zero(),
one(2, "protocol", Text).keeps_zero(),
one(3, "error", Text),
] };
static CORE_V1_PORTWORX_VOLUME_SOURCE: Message = Message { name: "core.v1.PortworxVolumeSource", atomic: false, fields: &[
one(1, "volumeID", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "readOnly", Bool),
] };
static CORE_V1_PREFERRED_SCHEDULING_TERM: Message = Message { name: "core.v1.PreferredSchedulingTerm", atomic: false, fields: &[
one(1, "weight", Int).keeps_zero(),
one(2, "preference", Nested(&CORE_V1_NODE_SELECTOR_TERM)).keeps_zero(),
] };
static CORE_V1_PROBE: Message = Message { name: "core.v1.Probe", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_PROBE_HANDLER)),
one(2, "initialDelaySeconds", Int),
one(3, "timeoutSeconds", Int),
one(4, "periodSeconds", Int),
one(5, "successThreshold", Int),
one(6, "failureThreshold", Int),
one(7, "terminationGracePeriodSeconds", Int).keeps_zero(),
] };
static CORE_V1_PROBE_HANDLER: Message = Message { name: "core.v1.ProbeHandler", atomic: false, fields: &[
one(1, "exec", Nested(&CORE_V1_EXEC_ACTION)),
one(2, "httpGet", Nested(&CORE_V1_HTTP_GET_ACTION)),
one(3, "tcpSocket", Nested(&CORE_V1_TCP_SOCKET_ACTION)),
one(4, "grpc", Nested(&CORE_V1_GRPC_ACTION)),
] };
static CORE_V1_PROJECTED_VOLUME_SOURCE: Message = Message { name: "core.v1.ProjectedVolumeSource", atomic: false, fields: &[
many(1, "sources", Nested(&CORE_V1_VOLUME_PROJECTION)),
one(2, "defaultMode", Int).keeps_zero(),
] };
static CORE_V1_QUOBYTE_VOLUME_SOURCE: Message = Message { name: "core.v1.QuobyteVolumeSource", atomic: false, fields: &[
one(1, "registry", Text).keeps_zero(),
one(2, "volume", Text).keeps_zero(),
one(3, "readOnly", Bool),
one(4, "user", Text),
one(5, "group", Text),
one(6, "tenant", Text),
] };
static CORE_V1_RBD_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.RbdPersistentVolumeSource", atomic: false, fields: &[
many(1, "monitors", Text).keeps_zero(),
one(2, "image", Text).keeps_zero(),
one(3, "fsType", Text),
one(4, "pool", Text),
one(5, "user", Text),
one(6, "keyring", Text),
one(7, "secretRef", Nested(&CORE_V1_SECRET_REFERENCE)),
one(8, "readOnly", Bool),
] };
static CORE_V1_RBD_VOLUME_SOURCE: Message = Message { name: "core.v1.RbdVolumeSource", atomic: false, fields: &[
many(1, "monitors", Text).keeps_zero(),
one(2, "image", Text).keeps_zero(),
one(3, "fsType", Text),
one(4, "pool", Text),
one(5, "user", Text),
one(6, "keyring", Text),
one(7, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(8, "readOnly", Bool),
] };
static CORE_V1_RESOURCE_CLAIM: Message = Message { name: "core.v1.ResourceClaim", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "request", Text),
] };
static CORE_V1_RESOURCE_FIELD_SELECTOR: Message = Message { name: "core.v1.ResourceFieldSelector", atomic: true, fields: &[
one(1, "containerName", Text),
one(2, "resource", Text).keeps_zero(),
one(3, "divisor", Quantity),
] };
static CORE_V1_RESOURCE_HEALTH: Message = Message { name: "core.v1.ResourceHealth", atomic: false, fields: &[
one(1, "resourceID", Text).keeps_zero(),
one(2, "health", Text),
] };
static CORE_V1_RESOURCE_REQUIREMENTS: Message = Message { name: "core.v1.ResourceRequirements", atomic: false, fields: &[
map(1, "limits", Quantity),
map(2, "requests", Quantity),
many(3, "claims", Nested(&CORE_V1_RESOURCE_CLAIM)).list(Keyed(&["name"])),
] };
static CORE_V1_RESOURCE_STATUS: Message = Message { name: "core.v1.ResourceStatus", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
many(2, "resources", Nested(&CORE_V1_RESOURCE_HEALTH)).list(Keyed(&["resourceID"])),
] };
static CORE_V1_SCALE_IO_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.ScaleIoPersistentVolumeSource", atomic: false, fields: &[
one(1, "gateway", Text).keeps_zero(),
one(2, "system", Text).keeps_zero(),
one(3, "secretRef", Nested(&CORE_V1_SECRET_REFERENCE)).keeps_zero(),
one(4, "sslEnabled", Bool),
one(5, "protectionDomain", Text),
one(6, "storagePool", Text),
one(7, "storageMode", Text),
one(8, "volumeName", Text),
one(9, "fsType", Text),
one(10, "readOnly", Bool),
] };
static CORE_V1_SCALE_IO_VOLUME_SOURCE: Message = Message { name: "core.v1.ScaleIoVolumeSource", atomic: false, fields: &[
one(1, "gateway", Text).keeps_zero(),
one(2, "system", Text).keeps_zero(),
one(3, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)).keeps_zero(),
one(4, "sslEnabled", Bool),
one(5, "protectionDomain", Text),
one(6, "storagePool", Text),
one(7, "storageMode", Text),
one(8, "volumeName", Text),
one(9, "fsType", Text),
one(10, "readOnly", Bool),
] };
static CORE_V1_SE_LINUX_OPTIONS: Message = Message { name: "core.v1.SeLinuxOptions", atomic: false, fields: &[
one(1, "user", Text),
one(2, "role", Text),
one(3, "type", Text),
one(4, "level", Text),
] };
static CORE_V1_SECCOMP_PROFILE: Message = Message { name: "core.v1.SeccompProfile", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "localhostProfile", Text),
] };
static CORE_V1_SECRET: Message = Message { name: "core.v1.Secret", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(5, "immutable", Bool).keeps_zero(),
map(2, "data", Bytes),
map(4, "stringData", Text),
one(3, "type", Text),
] };
static CORE_V1_SECRET_ENV_SOURCE: Message = Message { name: "core.v1.SecretEnvSource", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(2, "optional", Bool).keeps_zero(),
] };
static CORE_V1_SECRET_KEY_SELECTOR: Message = Message { name: "core.v1.SecretKeySelector", atomic: true, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(2, "key", Text).keeps_zero(),
one(3, "optional", Bool).keeps_zero(),
] };
static CORE_V1_SECRET_PROJECTION: Message = Message { name: "core.v1.SecretProjection", atomic: false, fields: &[
one(1, "", Inline(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
many(2, "items", Nested(&CORE_V1_KEY_TO_PATH)),
one(4, "optional", Bool).keeps_zero(),
] };
static CORE_V1_SECRET_REFERENCE: Message = Message { name: "core.v1.SecretReference", atomic: true, fields: &[
one(1, "name", Text),
one(2, "namespace", Text),
] };
static CORE_V1_SECRET_VOLUME_SOURCE: Message = Message { name: "core.v1.SecretVolumeSource", atomic: false, fields: &[
one(1, "secretName", Text),
many(2, "items", Nested(&CORE_V1_KEY_TO_PATH)),
one(3, "defaultMode", Int).keeps_zero(),
one(4, "optional", Bool).keeps_zero(),
] };
static CORE_V1_SECURITY_CONTEXT: Message = Message { name: "core.v1.SecurityContext", atomic: false, fields: &[
one(1, "capabilities", Nested(&CORE_V1_CAPABILITIES)),
one(2, "privileged", Bool).keeps_zero(),
one(3, "seLinuxOptions", Nested(&CORE_V1_SE_LINUX_OPTIONS)),
one(10, "windowsOptions", Nested(&CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS)),
one(4, "runAsUser", Int).keeps_zero(),
one(8, "runAsGroup", Int).keeps_zero(),
one(5, "runAsNonRoot", Bool).keeps_zero(),
one(6, "readOnlyRootFilesystem", Bool).keeps_zero(),
one(7, "allowPrivilegeEscalation", Bool).keeps_zero(),
one(9, "procMount", Text),
one(11, "seccompProfile", Nested(&CORE_V1_SECCOMP_PROFILE)),
one(12, "appArmorProfile", Nested(&CORE_V1_APP_ARMOR_PROFILE)),
] };
static CORE_V1_SERVICE: Message = Message { name: "core.v1.Service", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&CORE_V1_SERVICE_SPEC)),
one(3, "status", Nested(&CORE_V1_SERVICE_STATUS)),
] };
static CORE_V1_SERVICE_ACCOUNT: Message = Message { name: "core.v1.ServiceAccount", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
many(2, "secrets", Nested(&CORE_V1_OBJECT_REFERENCE)).list(Keyed(&["name"])).merge("name"),
many(3, "imagePullSecrets", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
one(4, "automountServiceAccountToken", Bool).keeps_zero(),
] };
static CORE_V1_SERVICE_ACCOUNT_TOKEN_PROJECTION: Message = Message { name: "core.v1.ServiceAccountTokenProjection", atomic: false, fields: &[
one(1, "audience", Text),
one(2, "expirationSeconds", Int).keeps_zero(),
one(3, "path", Text).keeps_zero(),
] };
static CORE_V1_SERVICE_PORT: Message = Message { name: "core.v1.ServicePort", atomic: false, fields: &[
one(1, "name", Text),
one(2, "protocol", Text),
one(6, "appProtocol", Text).keeps_zero(),
one(3, "port", Int).keeps_zero(),
one(4, "targetPort", IntOrString),
one(5, "nodePort", Int),
] };
static CORE_V1_SERVICE_SPEC: Message = Message { name: "core.v1.ServiceSpec", atomic: false, fields: &[
many(1, "ports", Nested(&CORE_V1_SERVICE_PORT)).list(Keyed(&["port", "protocol"])).merge("port"),
map(2, "selector", Text).list(Atomic),
one(3, "clusterIP", Text),
many(18, "clusterIPs", Text),
one(4, "type", Text),
many(5, "externalIPs", Text),
one(7, "sessionAffinity", Text),
one(8, "loadBalancerIP", Text),
many(9, "loadBalancerSourceRanges", Text),
one(10, "externalName", Text),
one(11, "externalTrafficPolicy", Text),
one(12, "healthCheckNodePort", Int),
one(13, "publishNotReadyAddresses", Bool),
one(14, "sessionAffinityConfig", Nested(&CORE_V1_SESSION_AFFINITY_CONFIG)),
many(19, "ipFamilies", Text),
one(17, "ipFamilyPolicy", Text),
one(20, "allocateLoadBalancerNodePorts", Bool).keeps_zero(),
one(21, "loadBalancerClass", Text).keeps_zero(),
one(22, "internalTrafficPolicy", Text),
one(23, "trafficDistribution", Text).keeps_zero(),
] };
static CORE_V1_SERVICE_STATUS: Message = Message { name: "core.v1.ServiceStatus", atomic: false, fields: &[
one(1, "loadBalancer", Nested(&CORE_V1_LOAD_BALANCER_STATUS)),
many(2, "conditions", Nested(&META_V1_CONDITION)).list(Keyed(&["type"])).merge("type"),
] };
static CORE_V1_SESSION_AFFINITY_CONFIG: Message = Message { name: "core.v1.SessionAffinityConfig", atomic: false, fields: &[
one(1, "clientIP", Nested(&CORE_V1_CLIENT_IP_CONFIG)),
] };
static CORE_V1_SLEEP_ACTION: Message = Message { name: "core.v1.SleepAction", atomic: false, fields: &[
one(1, "seconds", Int).keeps_zero(),
] };
static CORE_V1_STORAGE_OS_PERSISTENT_VOLUME_SOURCE: Message = Message { name: "core.v1.StorageOsPersistentVolumeSource", atomic: false, fields: &[
one(1, "volumeName", Text),
one(2, "volumeNamespace", Text),
one(3, "fsType", Text),
one(4, "readOnly", Bool),
one(5, "secretRef", Nested(&CORE_V1_OBJECT_REFERENCE)),
] };
static CORE_V1_STORAGE_OS_VOLUME_SOURCE: Message = Message { name: "core.v1.StorageOsVolumeSource", atomic: false, fields: &[
one(1, "volumeName", Text),
one(2, "volumeNamespace", Text),
one(3, "fsType", Text),
one(4, "readOnly", Bool),
one(5, "secretRef", Nested(&CORE_V1_LOCAL_OBJECT_REFERENCE)),
] };
static CORE_V1_SYSCTL: Message = Message { name: "core.v1.Sysctl", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "value", Text).keeps_zero(),
] };
static CORE_V1_TAINT: Message = Message { name: "core.v1.Taint", atomic: false, fields: &[
one(1, "key", Text).keeps_zero(),
one(2, "value", Text),
one(3, "effect", Text).keeps_zero(),
one(4, "timeAdded", Time),
] };
static CORE_V1_TCP_SOCKET_ACTION: Message = Message { name: "core.v1.TcpSocketAction", atomic: false, fields: &[
one(1, "port", IntOrString).keeps_zero(),
one(2, "host", Text),
] };
static CORE_V1_TOLERATION: Message = Message { name: "core.v1.Toleration", atomic: false, fields: &[
one(1, "key", Text),
one(2, "operator", Text),
one(3, "value", Text),
one(4, "effect", Text),
one(5, "tolerationSeconds", Int).keeps_zero(),
] };
static CORE_V1_TOPOLOGY_SELECTOR_LABEL_REQUIREMENT: Message = Message { name: "core.v1.TopologySelectorLabelRequirement", atomic: false, fields: &[
one(1, "key", Text).keeps_zero(),
many(2, "values", Text).keeps_zero(),
] };
static CORE_V1_TOPOLOGY_SELECTOR_TERM: Message = Message { name: "core.v1.TopologySelectorTerm", atomic: true, fields: &[
many(1, "matchLabelExpressions", Nested(&CORE_V1_TOPOLOGY_SELECTOR_LABEL_REQUIREMENT)),
] };
static CORE_V1_TOPOLOGY_SPREAD_CONSTRAINT: Message = Message { name: "core.v1.TopologySpreadConstraint", atomic: false, fields: &[
one(1, "maxSkew", Int).keeps_zero(),
one(2, "topologyKey", Text).keeps_zero(),
one(3, "whenUnsatisfiable", Text).keeps_zero(),
one(4, "labelSelector", Nested(&META_V1_LABEL_SELECTOR)),
one(5, "minDomains", Int).keeps_zero(),
one(6, "nodeAffinityPolicy", Text),
one(7, "nodeTaintsPolicy", Text),
many(8, "matchLabelKeys", Text),
] };
static CORE_V1_TYPED_LOCAL_OBJECT_REFERENCE: Message = Message { name: "core.v1.TypedLocalObjectReference", atomic: true, fields: &[
one(1, "apiGroup", Text).keeps_zero(),
one(2, "kind", Text).keeps_zero(),
one(3, "name", Text).keeps_zero(),
] };
static CORE_V1_TYPED_OBJECT_REFERENCE: Message = Message { name: "core.v1.TypedObjectReference", atomic: false, fields: &[
one(1, "apiGroup", Text).keeps_zero(),
one(2, "kind", Text).keeps_zero(),
one(3, "name", Text).keeps_zero(),
one(4, "namespace", Text).keeps_zero(),
] };
static CORE_V1_VOLUME: Message = Message { name: "core.v1.Volume", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "", Inline(&CORE_V1_VOLUME_SOURCE)),
] };
static CORE_V1_VOLUME_DEVICE: Message = Message { name: "core.v1.VolumeDevice", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "devicePath", Text).keeps_zero(),
] };
static CORE_V1_VOLUME_MOUNT: Message = Message { name: "core.v1.VolumeMount", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "readOnly", Bool),
one(7, "recursiveReadOnly", Text),
one(3, "mountPath", Text).keeps_zero(),
one(4, "subPath", Text),
one(5, "mountPropagation", Text),
one(6, "subPathExpr", Text),
] };
static CORE_V1_VOLUME_MOUNT_STATUS: Message = Message { name: "core.v1.VolumeMountStatus", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "mountPath", Text).keeps_zero(),
one(3, "readOnly", Bool),
one(4, "recursiveReadOnly", Text),
] };
static CORE_V1_VOLUME_NODE_AFFINITY: Message = Message { name: "core.v1.VolumeNodeAffinity", atomic: false, fields: &[
one(1, "required", Nested(&CORE_V1_NODE_SELECTOR)),
] };
static CORE_V1_VOLUME_PROJECTION: Message = Message { name: "core.v1.VolumeProjection", atomic: false, fields: &[
one(1, "secret", Nested(&CORE_V1_SECRET_PROJECTION)),
one(2, "downwardAPI", Nested(&CORE_V1_DOWNWARD_API_PROJECTION)),
one(3, "configMap", Nested(&CORE_V1_CONFIG_MAP_PROJECTION)),
one(4, "serviceAccountToken", Nested(&CORE_V1_SERVICE_ACCOUNT_TOKEN_PROJECTION)),
one(5, "clusterTrustBundle", Nested(&CORE_V1_CLUSTER_TRUST_BUNDLE_PROJECTION)),
one(6, "podCertificate", Nested(&CORE_V1_POD_CERTIFICATE_PROJECTION)),
] };
static CORE_V1_VOLUME_RESOURCE_REQUIREMENTS: Message = Message { name: "core.v1.VolumeResourceRequirements", atomic: false, fields: &[
map(1, "limits", Quantity),
map(2, "requests", Quantity),
] };
static CORE_V1_VOLUME_SOURCE: Message = Message { name: "core.v1.VolumeSource", atomic: false, fields: &[
one(1, "hostPath", Nested(&CORE_V1_HOST_PATH_VOLUME_SOURCE)),
one(2, "emptyDir", Nested(&CORE_V1_EMPTY_DIR_VOLUME_SOURCE)),
one(3, "gcePersistentDisk", Nested(&CORE_V1_GCE_PERSISTENT_DISK_VOLUME_SOURCE)),
one(4, "awsElasticBlockStore", Nested(&CORE_V1_AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE)),
one(5, "gitRepo", Nested(&CORE_V1_GIT_REPO_VOLUME_SOURCE)),
one(6, "secret", Nested(&CORE_V1_SECRET_VOLUME_SOURCE)),
one(7, "nfs", Nested(&CORE_V1_NFS_VOLUME_SOURCE)),
one(8, "iscsi", Nested(&CORE_V1_ISCSI_VOLUME_SOURCE)),
one(9, "glusterfs", Nested(&CORE_V1_GLUSTERFS_VOLUME_SOURCE)),
one(10, "persistentVolumeClaim", Nested(&CORE_V1_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE)),
one(11, "rbd", Nested(&CORE_V1_RBD_VOLUME_SOURCE)),
one(12, "flexVolume", Nested(&CORE_V1_FLEX_VOLUME_SOURCE)),
one(13, "cinder", Nested(&CORE_V1_CINDER_VOLUME_SOURCE)),
one(14, "cephfs", Nested(&CORE_V1_CEPH_FS_VOLUME_SOURCE)),
one(15, "flocker", Nested(&CORE_V1_FLOCKER_VOLUME_SOURCE)),
one(16, "downwardAPI", Nested(&CORE_V1_DOWNWARD_API_VOLUME_SOURCE)),
one(17, "fc", Nested(&CORE_V1_FC_VOLUME_SOURCE)),
one(18, "azureFile", Nested(&CORE_V1_AZURE_FILE_VOLUME_SOURCE)),
one(19, "configMap", Nested(&CORE_V1_CONFIG_MAP_VOLUME_SOURCE)),
one(20, "vsphereVolume", Nested(&CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE)),
one(21, "quobyte", Nested(&CORE_V1_QUOBYTE_VOLUME_SOURCE)),
one(22, "azureDisk", Nested(&CORE_V1_AZURE_DISK_VOLUME_SOURCE)),
one(23, "photonPersistentDisk", Nested(&CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE)),
one(26, "projected", Nested(&CORE_V1_PROJECTED_VOLUME_SOURCE)),
one(24, "portworxVolume", Nested(&CORE_V1_PORTWORX_VOLUME_SOURCE)),
one(25, "scaleIO", Nested(&CORE_V1_SCALE_IO_VOLUME_SOURCE)),
one(27, "storageos", Nested(&CORE_V1_STORAGE_OS_VOLUME_SOURCE)),
one(28, "csi", Nested(&CORE_V1_CSI_VOLUME_SOURCE)),
one(29, "ephemeral", Nested(&CORE_V1_EPHEMERAL_VOLUME_SOURCE)),
one(30, "image", Nested(&CORE_V1_IMAGE_VOLUME_SOURCE)),
] };
static CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE: Message = Message { name: "core.v1.VsphereVirtualDiskVolumeSource", atomic: false, fields: &[
one(1, "volumePath", Text).keeps_zero(),
one(2, "fsType", Text),
one(3, "storagePolicyName", Text),
one(4, "storagePolicyID", Text),
] };
static CORE_V1_WEIGHTED_POD_AFFINITY_TERM: Message = Message { name: "core.v1.WeightedPodAffinityTerm", atomic: false, fields: &[
one(1, "weight", Int).keeps_zero(),
one(2, "podAffinityTerm", Nested(&CORE_V1_POD_AFFINITY_TERM)).keeps_zero(),
] };
static CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS: Message = Message { name: "core.v1.WindowsSecurityContextOptions", atomic: false, fields: &[
one(1, "gmsaCredentialSpecName", Text),
one(2, "gmsaCredentialSpec", Text),
one(3, "runAsUserName", Text),
one(4, "hostProcess", Bool).keeps_zero(),
] };
static DISCOVERY_V1_ENDPOINT: Message = Message { name: "discovery.v1.Endpoint", atomic: false, fields: &[
many(1, "addresses", Text).keeps_zero().list(Set),
one(2, "conditions", Nested(&DISCOVERY_V1_ENDPOINT_CONDITIONS)),
one(3, "hostname", Text).keeps_zero(),
one(4, "targetRef", Nested(&CORE_V1_OBJECT_REFERENCE)),
map(5, "deprecatedTopology", Text),
one(6, "nodeName", Text).keeps_zero(),
one(7, "zone", Text).keeps_zero(),
one(8, "hints", Nested(&DISCOVERY_V1_ENDPOINT_HINTS)),
] };
static DISCOVERY_V1_ENDPOINT_CONDITIONS: Message = Message { name: "discovery.v1.EndpointConditions", atomic: false, fields: &[
one(1, "ready", Bool).keeps_zero(),
one(2, "serving", Bool).keeps_zero(),
one(3, "terminating", Bool).keeps_zero(),
] };
static DISCOVERY_V1_ENDPOINT_HINTS: Message = Message { name: "discovery.v1.EndpointHints", atomic: false, fields: &[
many(1, "forZones", Nested(&DISCOVERY_V1_FOR_ZONE)),
many(2, "forNodes", Nested(&DISCOVERY_V1_FOR_NODE)),
] };
static DISCOVERY_V1_ENDPOINT_PORT: Message = Message { name: "discovery.v1.EndpointPort", atomic: true, fields: &[
one(1, "name", Text).keeps_zero(),
one(2, "protocol", Text).keeps_zero(),
one(3, "port", Int).keeps_zero(),
one(4, "appProtocol", Text).keeps_zero(),
] };
static DISCOVERY_V1_ENDPOINT_SLICE: Message = Message { name: "discovery.v1.EndpointSlice", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(4, "addressType", Text).keeps_zero(),
many(2, "endpoints", Nested(&DISCOVERY_V1_ENDPOINT)).keeps_zero(),
many(3, "ports", Nested(&DISCOVERY_V1_ENDPOINT_PORT)),
] };
static DISCOVERY_V1_FOR_NODE: Message = Message { name: "discovery.v1.ForNode", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
] };
static DISCOVERY_V1_FOR_ZONE: Message = Message { name: "discovery.v1.ForZone", atomic: false, fields: &[
one(1, "name", Text).keeps_zero(),
] };
static NETWORKING_V1_IP_BLOCK: Message = Message { name: "networking.v1.IpBlock", atomic: false, fields: &[
one(1, "cidr", Text).keeps_zero(),
many(2, "except", Text),
] };
static NETWORKING_V1_NETWORK_POLICY: Message = Message { name: "networking.v1.NetworkPolicy", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "spec", Nested(&NETWORKING_V1_NETWORK_POLICY_SPEC)),
] };
static NETWORKING_V1_NETWORK_POLICY_EGRESS_RULE: Message = Message { name: "networking.v1.NetworkPolicyEgressRule", atomic: false, fields: &[
many(1, "ports", Nested(&NETWORKING_V1_NETWORK_POLICY_PORT)),
many(2, "to", Nested(&NETWORKING_V1_NETWORK_POLICY_PEER)),
] };
static NETWORKING_V1_NETWORK_POLICY_INGRESS_RULE: Message = Message { name: "networking.v1.NetworkPolicyIngressRule", atomic: false, fields: &[
many(1, "ports", Nested(&NETWORKING_V1_NETWORK_POLICY_PORT)),
many(2, "from", Nested(&NETWORKING_V1_NETWORK_POLICY_PEER)),
] };
static NETWORKING_V1_NETWORK_POLICY_PEER: Message = Message { name: "networking.v1.NetworkPolicyPeer", atomic: false, fields: &[
one(1, "podSelector", Nested(&META_V1_LABEL_SELECTOR)),
one(2, "namespaceSelector", Nested(&META_V1_LABEL_SELECTOR)),
one(3, "ipBlock", Nested(&NETWORKING_V1_IP_BLOCK)),
] };
static NETWORKING_V1_NETWORK_POLICY_PORT: Message = Message { name: "networking.v1.NetworkPolicyPort", atomic: false, fields: &[
one(1, "protocol", Text).keeps_zero(),
one(2, "port", IntOrString).keeps_zero(),
one(3, "endPort", Int).keeps_zero(),
] };
static NETWORKING_V1_NETWORK_POLICY_SPEC: Message = Message { name: "networking.v1.NetworkPolicySpec", atomic: false, fields: &[
one(1, "podSelector", Nested(&META_V1_LABEL_SELECTOR)),
many(2, "ingress", Nested(&NETWORKING_V1_NETWORK_POLICY_INGRESS_RULE)),
many(3, "egress", Nested(&NETWORKING_V1_NETWORK_POLICY_EGRESS_RULE)),
many(4, "policyTypes", Text),
] };
static POLICY_V1_EVICTION: Message = Message { name: "policy.v1.Eviction", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "deleteOptions", Nested(&META_V1_DELETE_OPTIONS)),
] };
static STORAGE_V1_STORAGE_CLASS: Message = Message { name: "storage.v1.StorageClass", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_OBJECT_META)).keeps_zero(),
one(2, "provisioner", Text).keeps_zero(),
map(3, "parameters", Text),
one(4, "reclaimPolicy", Text),
many(5, "mountOptions", Text),
one(6, "allowVolumeExpansion", Bool).keeps_zero(),
one(7, "volumeBindingMode", Text),
many(8, "allowedTopologies", Nested(&CORE_V1_TOPOLOGY_SELECTOR_TERM)),
] };
static META_V1_CONDITION: Message = Message { name: "apimachinery.pkg.apis.meta.v1.Condition", atomic: false, fields: &[
one(1, "type", Text).keeps_zero(),
one(2, "status", Text).keeps_zero(),
one(3, "observedGeneration", Int),
one(4, "lastTransitionTime", Time).keeps_zero(),
one(5, "reason", Text).keeps_zero(),
one(6, "message", Text).keeps_zero(),
] };
static META_V1_DELETE_OPTIONS: Message = Message { name: "apimachinery.pkg.apis.meta.v1.DeleteOptions", atomic: false, fields: &[
one(1, "gracePeriodSeconds", Int).keeps_zero(),
one(2, "preconditions", Nested(&META_V1_PRECONDITIONS)),
one(3, "orphanDependents", Bool).keeps_zero(),
one(4, "propagationPolicy", Text),
many(5, "dryRun", Text),
one(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool).keeps_zero(),
] };
static META_V1_LABEL_SELECTOR: Message = Message { name: "apimachinery.pkg.apis.meta.v1.LabelSelector", atomic: true, fields: &[
map(1, "matchLabels", Text),
many(2, "matchExpressions", Nested(&META_V1_LABEL_SELECTOR_REQUIREMENT)),
] };
static META_V1_LABEL_SELECTOR_REQUIREMENT: Message = Message { name: "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement", atomic: false, fields: &[
one(1, "key", Text).keeps_zero(),
one(2, "operator", Text).keeps_zero(),
many(3, "values", Text),
] };
static META_V1_LIST_META: Message = Message { name: "apimachinery.pkg.apis.meta.v1.ListMeta", atomic: false, fields: &[
one(1, "selfLink", Text),
one(2, "resourceVersion", Text),
one(3, "continue", Text),
one(4, "remainingItemCount", Int).keeps_zero(),
] };
static META_V1_MANAGED_FIELDS_ENTRY: Message = Message { name: "apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry", atomic: false, fields: &[
one(1, "manager", Text),
one(2, "operation", Text),
one(3, "apiVersion", Text),
one(4, "time", Time),
one(6, "fieldsType", Text),
one(7, "fieldsV1", Raw),
one(8, "subresource", Text),
] };
static META_V1_OBJECT_META: Message = Message { name: "apimachinery.pkg.apis.meta.v1.ObjectMeta", atomic: false, fields: &[
one(1, "name", Text),
one(2, "generateName", Text),
one(3, "namespace", Text),
one(4, "selfLink", Text),
one(5, "uid", Text),
one(6, "resourceVersion", Text),
one(7, "generation", Int),
one(8, "creationTimestamp", Time),
one(9, "deletionTimestamp", Time),
one(10, "deletionGracePeriodSeconds", Int).keeps_zero(),
map(11, "labels", Text),
map(12, "annotations", Text),
many(13, "ownerReferences", Nested(&META_V1_OWNER_REFERENCE)).list(Keyed(&["uid"])).merge("uid"),
many(14, "finalizers", Text).list(Set).merge(""),
many(17, "managedFields", Nested(&META_V1_MANAGED_FIELDS_ENTRY)),
] };
static META_V1_OWNER_REFERENCE: Message = Message { name: "apimachinery.pkg.apis.meta.v1.OwnerReference", atomic: true, fields: &[
one(5, "apiVersion", Text).keeps_zero(),
one(1, "kind", Text).keeps_zero(),
one(3, "name", Text).keeps_zero(),
one(4, "uid", Text).keeps_zero(),
one(6, "controller", Bool).keeps_zero(),
one(7, "blockOwnerDeletion", Bool).keeps_zero(),
] };
static META_V1_PRECONDITIONS: Message = Message { name: "apimachinery.pkg.apis.meta.v1.Preconditions", atomic: false, fields: &[
one(1, "uid", Text).keeps_zero(),
one(2, "resourceVersion", Text).keeps_zero(),
] };
static META_V1_STATUS: Message = Message { name: "apimachinery.pkg.apis.meta.v1.Status", atomic: false, fields: &[
one(1, "metadata", Nested(&META_V1_LIST_META)).keeps_zero(),
one(2, "status", Text),
one(3, "message", Text),
one(4, "reason", Text),
one(5, "details", Nested(&META_V1_STATUS_DETAILS)),
one(6, "code", Int),
] };
static META_V1_STATUS_CAUSE: Message = Message { name: "apimachinery.pkg.apis.meta.v1.StatusCause", atomic: false, fields: &[
one(1, "reason", Text),
one(2, "message", Text),
one(3, "field", Text),
] };
static META_V1_STATUS_DETAILS: Message = Message { name: "apimachinery.pkg.apis.meta.v1.StatusDetails", atomic: false, fields: &[
one(1, "name", Text),
one(2, "group", Text),
one(3, "kind", Text),
one(6, "uid", Text),
many(4, "causes", Nested(&META_V1_STATUS_CAUSE)),
one(5, "retryAfterSeconds", Int),
] };
