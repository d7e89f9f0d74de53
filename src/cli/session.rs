//! A running engine for one command.

use super::args::Global;
use super::failure::Failure;
use super::patience::Patience;
use super::place::{self, Place};
use super::show::Show;
use super::{setup, user};
use crate::engine::EngineOptions;
use crate::error::{Error, KeystoreProblem};
use crate::key::KeyId;
use crate::{Engine, Kms};

/// An engine that runs, and a handle of the user's.
pub(super) struct Session {
    _engine: Engine,
    pub(super) kms: Kms,
}

impl Session {
    /// Opens the keystore that the arguments name, waiting for it where another process has it.
    pub(super) async fn start(global: &Global, show: &Show) -> Result<Self, Failure> {
        let place = Place::of(global)?;
        let engine = Engine::launch(EngineOptions::new()).await?;
        let kms = engine.kms().on_behalf_of(user::caller()?);
        kms.configure(place.config()?).await?;
        let mut patience = Patience::new(global.wait, show);
        let mut may_make = true;
        loop {
            let Err(error) = kms.start().await else {
                return Ok(Self { _engine: engine, kms });
            };
            if patience.again(&error).await {
                continue;
            }
            match &place {
                Place::User(user) if may_make && is_uninitialised(&error) => {
                    may_make = false;
                    setup::make(user, &mut patience, show).await?;
                }
                Place::User(_) | Place::Named(_) | Place::File(_) => return Err(hinted(error)),
            }
        }
    }

    /// An engine that opens no keystore, for what is under a customer key.
    pub(super) async fn without_keystore(global: &Global) -> Result<Self, Failure> {
        let config = place::without_keystore(global)?;
        let engine = Engine::launch(EngineOptions::new()).await?;
        let kms = engine.kms().on_behalf_of(user::caller()?);
        kms.configure(config).await?;
        kms.start().await?;
        Ok(Self { _engine: engine, kms })
    }

    /// The key that `id` names, or the one used where none is named.
    pub(super) fn key(&self, id: Option<&str>) -> Result<KeyId, Failure> {
        match id {
            Some(id) => Ok(KeyId::new(id)?),
            None => self.kms.default_key().map_err(|error| {
                Failure::from(error).hint("the configuration names no default key: give --key")
            }),
        }
    }

    /// Stops the engine: its last record is written, its keys are wiped, its lock given back.
    pub(super) async fn end(self) -> Result<(), Failure> {
        self.kms.stop().await?;
        Ok(())
    }
}

fn is_uninitialised(error: &Error) -> bool {
    matches!(error, Error::Keystore(error) if error.problem == KeystoreProblem::NotInitialised)
}

fn hinted(error: Error) -> Failure {
    let problem =
        if let Error::Keystore(error) = &error { Some(error.problem.clone()) } else { None };
    let failure = Failure::from(error);
    if problem == Some(KeystoreProblem::Locked) {
        failure.hint("--wait SECONDS waits longer")
    } else if problem == Some(KeystoreProblem::AnchorMismatch) {
        failure.hint(
            "if it was restored on purpose, or changed without its --anchor: \
             `portcullis keystore accept-rollback`",
        )
    } else {
        failure
    }
}
