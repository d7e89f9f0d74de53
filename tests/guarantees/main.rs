//! The guarantees of the design, against real engines through their public interface, under load.
//! What is released is stamped in the sections themselves (`bench_support::sections`).

mod audit;
mod bounds;
mod freeze;
mod harness;
mod lifecycle;
mod load;
mod reaper;
mod revocation;
