//! Everything between the wire and the verbs: addresses, queries, formats,
//! bodies, answers.

mod accept;
mod answer;
mod body;
mod duplicates;
mod query;
mod route;

pub use accept::{Accept, Format, OPENAPI_PROTOBUF_TYPE};
pub use answer::{error, json, success, text, warn};
pub use body::{ContentType, Document, content_type, decode, read};
pub use query::{ListQuery, Query, VersionMatch};
pub use route::{Place, Review, Route, parse};
