mod bench;
mod script;
mod store;

pub(crate) use bench::{Bench, config};
pub(crate) use script::{ME, Script, g};
pub(crate) use store::OfferFn;
