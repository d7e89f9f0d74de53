//! When plaintext may leave, relative to its record.

/// What must have happened to an operation's audit record before its result is released.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Release {
    /// The sink has written and flushed it. The call awaits that.
    Durable,
    /// It lies in the engine's bounded buffers. A crash of the process may lose what the sink had
    /// not yet written; nothing else does.
    #[default]
    Accepted,
    /// Nothing: operations on data keys and objects leave no record. Only ever by an explicit
    /// setting, for hosts that keep a trail of their own. Changes to keys and to the engine's state
    /// are recorded all the same.
    Unaudited,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_reads_as_configured_and_defaults_to_audited() {
        let read = |text: &str| serde_json::from_str::<Release>(text);
        assert_eq!(read("\"durable\"").unwrap(), Release::Durable);
        assert_eq!(read("\"accepted\"").unwrap(), Release::Accepted);
        assert_eq!(read("\"unaudited\"").unwrap(), Release::Unaudited);
        assert!(read("\"none\"").is_err());
        assert_eq!(Release::default(), Release::Accepted);
    }
}
