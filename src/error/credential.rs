//! Why the engine has no identity towards Vault. Says which secret is at fault, never what it is.

/// Why no token could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Nothing has been logged in yet, or Vault saw no token.
    #[error("there is none")]
    Absent,
    /// The engine has stopped, or uses another connection.
    #[error("the connection is closed")]
    Closed,
    /// The lease of the token is over and nothing has replaced it yet.
    #[error("the token has expired")]
    Expired,
    /// Vault refuses the login.
    #[error("Vault refuses the login: {0}")]
    LoginRefused(&'static str),
    /// The source of the token holds the one that was used last.
    #[error("the source of the token holds no other than the one that was used last")]
    SameToken,
    /// The lifetime of the secret id is over.
    #[error("the secret id has expired: deliver a new one")]
    SecretIdExpired,
    /// One use of the secret id is left, and is kept for the next start.
    #[error("one use of the secret id is left and kept for the next start: deliver a new one")]
    SecretIdKept,
    /// Every use of the secret id has been made.
    #[error("the secret id is used up: deliver a new one")]
    SecretIdSpent,
    /// The source of a secret gives none.
    #[error("{0}")]
    Source(&'static str),
    /// The wrapping token wraps something else than a secret id of the role.
    #[error(
        "the wrapping token does not wrap a secret id of this role: it may have been exchanged"
    )]
    WrappingTokenForeign,
    /// The wrapping token was used before, or its time is over.
    #[error(
        "the wrapping token was used before or has expired; unless this engine or its operator \
         did that, somebody else has the secret id: revoke it"
    )]
    WrappingTokenSpent,
}

impl CredentialError {
    /// A word that scripts rely on and that never changes.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Absent => "no-token",
            Self::Closed => "closed",
            Self::Expired => "token-expired",
            Self::LoginRefused(_) => "login-refused",
            Self::SameToken => "same-token",
            Self::SecretIdExpired => "secret-id-expired",
            Self::SecretIdKept => "secret-id-kept",
            Self::SecretIdSpent => "secret-id-spent",
            Self::Source(_) => "source",
            Self::WrappingTokenForeign => "wrapping-token-foreign",
            Self::WrappingTokenSpent => "wrapping-token-spent",
        }
    }
}
