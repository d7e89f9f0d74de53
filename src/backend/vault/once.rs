//! An identity for one piece of work: it logs in once and renews nothing.
//!
//! For making a store from a command line, where there is no engine and no actor. A rejected token
//! is not replaced: what it was rejected for is said to be forbidden.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::auth::{
    Connection, Identities, Keeper, KeeperFuture, LoginLimits, Method, VaultAuth, Verdict, Wire,
};
use crate::clock::Clock;
use crate::error::VaultError;
use crate::status::{IdentityHealth, IdentityStatus};

/// Logs in once, by the time of a clock.
pub(crate) struct Once(pub(crate) Arc<dyn Clock>);

/// Takes the token out of force when the work is done.
struct Kept {
    wire: Arc<dyn Wire>,
    method: &'static str,
    rejected: Mutex<u64>,
}

impl Identities for Once {
    fn enroll(
        &self,
        wire: Arc<dyn Wire>,
        auth: &VaultAuth,
        _: LoginLimits,
    ) -> KeeperFuture<'static, Result<Box<dyn Keeper>, VaultError>> {
        let (method, name, clock) = (Method::new(auth), auth.name(), Arc::clone(&self.0));
        Box::pin(async move {
            let (now, wall) = (clock.boot(), clock.wall());
            let granted = method.login(&*wire, now, wall, false).await?;
            drop(wire.tokens().install(granted.token));
            Ok(Box::new(Kept { wire, method: name, rejected: Mutex::new(0) }) as Box<dyn Keeper>)
        })
    }
}

impl Keeper for Kept {
    fn rejected(
        &self,
        _: u64,
        _: u64,
        _: Duration,
    ) -> KeeperFuture<'static, Result<Verdict, VaultError>> {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Box::pin(async { Ok(Verdict::Forbidden) })
    }

    fn standing(&self) -> IdentityStatus {
        let rejected = *self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        IdentityStatus {
            method: self.method,
            health: IdentityHealth::Healthy,
            lock_out_in: None,
            next_attempt_in: None,
            fault: None,
            warning: None,
            tells_rejections_apart: false,
            logins: 1,
            logins_failed: 0,
            renewals: 0,
            renewals_failed: 0,
            rejected,
            forbidden: rejected,
        }
    }

    /// There is no engine that could be asked.
    fn introduce(&self, _: Weak<dyn Connection>) {}
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.wire.tokens().withdraw());
    }
}
