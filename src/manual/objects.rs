//! Objects of an object store: how a host puts, gets and copies them.
