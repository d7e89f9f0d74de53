//! Two engines on one store.

use std::time::Duration;

use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, KeyError};
use portcullis::key::{KeyState, Mutation};

use crate::site::{BOTH, Site, context, id, within};

/// Far above the interval of looks: a loaded machine is late.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_does_the_other_follows() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let (one, other) = (site.start().await, site.start().await);
        let (here, there) = (one.kms(), other.kms());
        here.create_key(&id("new")).await.unwrap();
        // An envelope of a key that is not known there is looked for at once.
        let spec = DataKeySpec::AES_256;
        let made = here.generate_data_key(&id("new"), spec, &context("a")).await.unwrap();
        there.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
        // And so is one of a version that is not.
        here.rotate_key(&id("new")).await.unwrap();
        let made = here.generate_data_key(&id("new"), spec, &context("a")).await.unwrap();
        there.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
        // Taking away takes an interval.
        here.change_key(&id("new"), Mutation::Disable).await.unwrap();
        within(SOON, async || {
            let refused = there.decrypt_data_key(&made.wrapped, &context("a")).await;
            matches!(refused, Err(Error::Key(KeyError::Disabled)))
        })
        .await;
        assert_eq!(there.describe_key(&id("new")).await.unwrap().state, KeyState::Disabled);
        there.change_key(&id("new"), Mutation::Enable).await.unwrap();
        within(SOON, async || here.decrypt_data_key(&made.wrapped, &context("a")).await.is_ok())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_by_keys_that_nobody_made() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let (one, other) = (site.start().await, site.start().await);
        one.kms().create_key(&id("only-here")).await.unwrap();
        drop(one);
        let unknown = other
            .kms()
            .generate_data_key(&id("nowhere"), DataKeySpec::AES_256, &context("a"))
            .await
            .unwrap_err();
        assert!(matches!(unknown, Error::Key(KeyError::NotFound)), "{unknown}");
        other
            .kms()
            .generate_data_key(&id("only-here"), DataKeySpec::AES_256, &context("a"))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_swapped_for_itself_under_load() {
    for engine in BOTH {
        let Some(site) = Site::new(engine).await else { return };
        let node = site.start().await;
        let load: Vec<_> = (0..4)
            .map(|n| {
                let kms = node.kms();
                tokio::spawn(async move {
                    for round in 0..40 {
                        let context = context(&format!("{n}/{round}"));
                        let spec = DataKeySpec::AES_256;
                        let made = kms.generate_data_key(&id("default"), spec, &context).await?;
                        kms.decrypt_data_key(&made.wrapped, &context).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .collect();
        for _ in 0..3 {
            let config = portcullis::config::Config::new(site.backend());
            node.kms().reconfigure(config).await.unwrap();
        }
        for caller in load {
            caller.await.unwrap().unwrap();
        }
    }
}
