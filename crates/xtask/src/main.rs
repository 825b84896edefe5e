//! Placeholder of the build.
fn main() {}
