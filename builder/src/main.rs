//! Entry point of the `skerry` command.
fn main() {}
