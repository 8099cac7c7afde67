//! How a write shall be done.

/// Options of create, update and patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Check everything, change nothing.
    pub dry_run: bool,
    /// Who owns the fields that change (`fieldManager`).
    pub field_manager: String,
    /// What to do about unknown and doubled fields.
    pub field_validation: FieldValidation,
    /// Authenticated user, for messages.
    pub user: String,
}

/// What to do about unknown and doubled fields (`fieldValidation`). Fields
/// that Kubernetes knows and the node does not act on are always refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse.
    #[default]
    Strict,
    /// Drop them and say so in a warning.
    Warn,
    /// Drop them.
    Ignore,
}

/// Which part of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but `status`.
    Main,
    /// Only `status` (and `metadata` as far as Kubernetes lets it).
    Status,
}

/// Options of delete (apimachinery `DeleteOptions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Check everything, change nothing.
    pub dry_run: bool,
    /// Seconds for the object to end in good order; `None`: its own default.
    pub grace_period_seconds: Option<i64>,
    /// What happens to the objects that it owns.
    pub propagation: Propagation,
    /// Only if the object has this uid.
    pub uid: Option<String>,
    /// Only if the object has this resourceVersion.
    pub resource_version: Option<String>,
}

/// What happens to owned objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They go after the owner.
    #[default]
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}
