//! Which objects a client or a controller means: label selectors, as a query
//! (`app=web,tier notin (db)`) or as a type (`matchLabels`), and field
//! selectors (`status.phase!=Running`).

mod field;
mod label;
mod query;
mod valid;

pub use field::FieldQuery;
pub use label::{LabelQuery, Operator, Requirement};
pub use valid::{check_label_key, check_label_value};
