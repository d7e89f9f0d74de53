#![doc = include_str!("changelog.md")]
