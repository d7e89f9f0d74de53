//! The token that requests carry: one slot, replaced while requests are under way.

use core::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::sync::oneshot;

use crate::secret::SecretBuffer;

/// A Vault token. It leaves as a header, and in no other way.
pub(crate) struct Token {
    value: SecretBuffer,
    /// Which one it is of those that the engine has had: who is told that a token was rejected
    /// compares this, never the token.
    serial: u64,
    /// Who gets the token once nobody uses it any more.
    heir: Mutex<Option<oneshot::Sender<SecretBuffer>>>,
}

impl Token {
    /// The token as a header that no log shows; `None` if it is not one line of visible ASCII.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::from_bytes(self.value.expose()).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Which one it is.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The token itself, once the last request that carries it has ended: to be revoked. Where
    /// nobody asks for it, or has given up waiting, it is wiped then.
    pub(crate) fn after_last_use(&self) -> oneshot::Receiver<SecretBuffer> {
        let (heir, inheritance) = oneshot::channel();
        *self.heir.lock().unwrap_or_else(PoisonError::into_inner) = Some(heir);
        inheritance
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let heir = self.heir.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(heir) = heir {
            // Not taken, it is dropped here, and so wiped.
            let _ = heir.send(mem::replace(&mut self.value, SecretBuffer::with_capacity(0)));
        }
    }
}

/// Where the token in force is.
#[derive(Default)]
pub(crate) struct TokenSlot {
    current: ArcSwapOption<Token>,
    serials: AtomicU64,
}

impl TokenSlot {
    /// A token of `value` that is not in force: for asking about it before it is.
    pub(crate) fn make(&self, value: SecretBuffer) -> Arc<Token> {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Token { value, serial, heir: Mutex::new(None) })
    }

    /// Puts `token` in force; what was. Requests under way keep the one that they began with.
    pub(crate) fn install(&self, token: Arc<Token>) -> Option<Arc<Token>> {
        self.current.swap(Some(token))
    }

    /// Takes the token out of force.
    pub(crate) fn withdraw(&self) -> Option<Arc<Token>> {
        self.current.swap(None)
    }

    /// The token in force.
    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        self.current.load_full()
    }
}
