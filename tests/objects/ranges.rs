//! Ranges of objects.
