//! Streams under every size, every change of their bytes, and readers that misbehave.
