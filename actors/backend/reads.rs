//! What is asked about keys: answered from the actor's memory, never from the backend.

use actix::{Context, Handler};

use super::actor::BackendActor;
use super::messages::{Describe, DescribeVersions, Due, List};
use crate::actors::port::Delivery;
use crate::error::Error;
use crate::key::{KeyDescription, KeyId, KeyPage, Mutation, VersionDescription};

impl Handler<Delivery<Describe>> for BackendActor {
    type Result = Result<KeyDescription, Error>;

    fn handle(&mut self, delivery: Delivery<Describe>, _: &mut Context<Self>) -> Self::Result {
        let (Describe { id }, _begun) = delivery.begin()?;
        self.live()?.directory.describe(&id)
    }
}

impl Handler<Delivery<DescribeVersions>> for BackendActor {
    type Result = Result<Vec<VersionDescription>, Error>;

    fn handle(
        &mut self,
        delivery: Delivery<DescribeVersions>,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let (DescribeVersions { id }, _begun) = delivery.begin()?;
        self.live()?.directory.describe_versions(&id)
    }
}

impl Handler<Delivery<List>> for BackendActor {
    type Result = Result<KeyPage, Error>;

    fn handle(&mut self, delivery: Delivery<List>, _: &mut Context<Self>) -> Self::Result {
        let (List { after, limit }, _begun) = delivery.begin()?;
        Ok(self.live()?.directory.list(after.as_ref(), limit))
    }
}

impl Handler<Delivery<Due>> for BackendActor {
    type Result = Result<Vec<(KeyId, Mutation)>, Error>;

    fn handle(&mut self, delivery: Delivery<Due>, _: &mut Context<Self>) -> Self::Result {
        let (Due { now }, _begun) = delivery.begin()?;
        Ok(self.live()?.directory.due(now))
    }
}
