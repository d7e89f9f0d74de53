//! Use counts: the next block of a key's current version, reserved before callers draw from it.

use actix::{Context, Handler};

use super::actor::BackendActor;
use super::messages::ReserveUses;
use super::mutation::{Job, Kind};
use crate::actors::port::Delivery;
use crate::error::{Error, KeyError, Refused};
use crate::key::{KeyId, KeyState, Mutation};

impl Handler<Delivery<ReserveUses>> for BackendActor {
    type Result = ();

    fn handle(&mut self, delivery: Delivery<ReserveUses>, context: &mut Context<Self>) {
        let Ok((ReserveUses { id, errand }, begun)) = delivery.begin() else {
            return;
        };
        match self.next_block(&id) {
            Ok(Some(mutation)) => {
                let kind = Kind::Supply { errand, begun };
                self.enqueue(context, Job { id, mutation, kind });
            }
            Ok(None) => errand.done(Ok(())),
            Err(error) => errand.done(Err(error)),
        }
    }
}

impl BackendActor {
    /// The reservation that the key needs, if it needs one.
    fn next_block(&self, id: &KeyId) -> Result<Option<Mutation>, Error> {
        let live = self.live()?;
        let record = live.directory.record(id)?;
        if record.state == KeyState::Destroyed {
            return Err(KeyError::Destroyed.into());
        }
        let soft_limit = record.policy.rotate_at_uses;
        live.keys.with(id, |cell| {
            let cell = cell.ok_or(KeyError::NotFound)?;
            let view = cell.view();
            let Some((version, uses)) = view.current_uses() else {
                // Withdrawn by a stop that is closing, or without material for good.
                let refused: Error = match self.plane.generation() {
                    None => Refused::Draining.into(),
                    Some(_) => KeyError::Destroyed.into(),
                };
                return Err(refused);
            };
            if !uses.is_low() {
                return Ok(None);
            }
            // Past the key's own limit only once that is drawn: reserving more is what makes the
            // rotation due.
            if soft_limit == Some(uses.reserved()) && uses.drawn() < uses.reserved() {
                return Ok(None);
            }
            let up_to = uses.next_total(soft_limit).ok_or(KeyError::UsesExhausted)?;
            Ok(Some(Mutation::ReserveUses { version, up_to }))
        })
    }
}
