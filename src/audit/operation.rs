//! What was done: operations and stages, each with a code that is stored and a name that is shown.
//!
//! Codes and names are for ever: old trails are read by new releases. A code is never used again.

use crate::key::Mutation;

/// One table row per value: its documentation, its code in stored records and its name.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal $text:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// Every value.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in records, queries and dashboards; never changes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The code in stored records.
            pub(crate) const fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The value with this code.
            pub(crate) const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(super) use codes;

codes! {
    /// What was asked for.
    Operation {
        /// A data key, its plaintext released to the caller.
        GenerateDataKey = 1 "generate-data-key",
        /// A data key, wrapped only.
        GenerateDataKeyWithoutPlaintext = 2 "generate-data-key-without-plaintext",
        /// A wrapped data key opened.
        DecryptDataKey = 3 "decrypt-data-key",
        /// A wrapped data key moved to the current version or another key.
        Rewrap = 4 "rewrap",
        /// A small payload encrypted.
        Encrypt = 5 "encrypt",
        /// A small payload decrypted.
        Decrypt = 6 "decrypt",
        /// An object sealed.
        Seal = 7 "seal",
        /// An object opened, whole or in part.
        Open = 8 "open",
        /// What is known of an object or an upload: sizes, ETag, checksums, nothing of its body.
        Inspect = 9 "inspect",
        /// An upload in parts begun.
        CreateUpload = 10 "create-upload",
        /// An upload in parts completed.
        CompleteUpload = 11 "complete-upload",

        /// A scheduled deletion cancelled.
        CancelDeletion = 32 "cancel-deletion",
        /// A key made.
        Create = 33 "create",
        /// A key destroyed after its window.
        Destroy = 34 "destroy",
        /// One version destroyed.
        DestroyVersion = 35 "destroy-version",
        /// A key disabled.
        Disable = 36 "disable",
        /// A key enabled.
        Enable = 37 "enable",
        /// A retired version reinstated.
        Reinstate = 38 "reinstate",
        /// Uses of a version reserved.
        ReserveUses = 39 "reserve-uses",
        /// A version retired.
        Retire = 40 "retire",
        /// A new version made.
        Rotate = 41 "rotate",
        /// A deletion scheduled.
        ScheduleDeletion = 42 "schedule-deletion",
        /// A description replaced.
        SetDescription = 43 "set-description",
        /// A key's settings replaced.
        SetPolicy = 44 "set-policy",
        /// Tags set.
        Tag = 45 "tag",
        /// Tags removed.
        Untag = 46 "untag",

        /// The engine configured.
        Configure = 64 "configure",
        /// The engine started.
        Start = 65 "start",
        /// The engine stopped.
        Stop = 66 "stop",
        /// The engine frozen.
        Freeze = 67 "freeze",
        /// The engine thawed.
        Thaw = 68 "thaw",
        /// A new configuration taken over while running.
        Reconfigure = 69 "reconfigure",
        /// The credentials for the backend replaced.
        RotateCredentials = 70 "rotate-credentials",

        /// Calls refused before they began, of one class and one second; the record's count says
        /// how many.
        Refusals = 96 "refusals",
        /// Records that could not be kept; the record's count says how many.
        Unrecorded = 97 "unrecorded",
    }
}

impl From<&Mutation> for Operation {
    fn from(mutation: &Mutation) -> Self {
        match mutation {
            Mutation::CancelDeletion => Self::CancelDeletion,
            Mutation::Create { .. } => Self::Create,
            Mutation::Destroy => Self::Destroy,
            Mutation::DestroyVersion(_) => Self::DestroyVersion,
            Mutation::Disable => Self::Disable,
            Mutation::Enable => Self::Enable,
            Mutation::Reinstate(_) => Self::Reinstate,
            Mutation::ReserveUses { .. } => Self::ReserveUses,
            Mutation::Retire(_) => Self::Retire,
            Mutation::Rotate => Self::Rotate,
            Mutation::ScheduleDeletion { .. } => Self::ScheduleDeletion,
            Mutation::SetDescription(_) => Self::SetDescription,
            Mutation::SetPolicy(_) => Self::SetPolicy,
            Mutation::Tag(_) => Self::Tag,
            Mutation::Untag(_) => Self::Untag,
        }
    }
}

codes! {
    /// Which part of an operation a record tells of.
    Stage {
        /// It is about to be done; its outcome follows in a record of its own.
        Intent = 1 "intent",
        /// What came of an intent.
        Outcome = 2 "outcome",
        /// The whole of it, in one record.
        Event = 3 "event",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::key::{KeyPolicy, KeyVersion};

    #[test]
    fn codes_and_names_are_unique_and_come_back() {
        let names: HashSet<_> = Operation::ALL.iter().map(|o| o.name()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
        for &operation in Operation::ALL {
            assert_eq!(Operation::from_code(operation.code()), Some(operation));
        }
        assert_eq!(Operation::from_code(0), None);
        for &stage in Stage::ALL {
            assert_eq!(Stage::from_code(stage.code()), Some(stage));
        }
    }

    #[test]
    fn mutations_are_recorded_under_their_own_names() {
        let v = KeyVersion::FIRST;
        let create = Mutation::Create {
            description: String::new(),
            tags: Default::default(),
            policy: KeyPolicy::new(),
        };
        let all = [
            Mutation::CancelDeletion,
            create,
            Mutation::Destroy,
            Mutation::DestroyVersion(crate::key::ConfirmedVersion::new(v, v).unwrap()),
            Mutation::Disable,
            Mutation::Enable,
            Mutation::Reinstate(v),
            Mutation::ReserveUses { version: v, up_to: 1 },
            Mutation::Retire(v),
            Mutation::Rotate,
            Mutation::ScheduleDeletion { days: 7 },
            Mutation::SetDescription(String::new()),
            Mutation::SetPolicy(KeyPolicy::new()),
            Mutation::Tag(Default::default()),
            Mutation::Untag(Vec::new()),
        ];
        for mutation in &all {
            assert_eq!(Operation::from(mutation).name(), mutation.name());
        }
    }
}
