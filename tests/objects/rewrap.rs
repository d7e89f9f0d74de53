//! Objects under other keys and in other modes.
