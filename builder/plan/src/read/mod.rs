//! Reading what people write: every problem at once, each with its place in
//! the file and what would be right. Pure: text in, values or problems out.

mod board;
mod check;
mod lock;
mod problem;
mod schema;
mod spec;

pub use board::parse as parse_board;
pub use lock::parse as parse_lock;
pub use problem::{Problem, Problems};
pub use spec::{Found, check_files, parse as parse_spec};
