//! The figures of the proxies' manual, in network namespaces: our programs and the reference's
//! stand beside each other in every place.
//!
//! Every figure is played with every cast under every condition, some at the same time.
//! `UFTP_PROXY_CONDITIONS=Plain,Loss` plays those of some conditions.

mod cast;
mod condition;
mod daemon;
mod figures;
mod modern;
mod nat;
mod nested;
mod options;
mod restart;
mod stage;
mod three;
mod trust;
mod tunnel;
