//! A Vault that does not answer, is sealed, or is gone for a while.

use std::time::{Duration, Instant};

use portcullis::Engine;
use portcullis::config::Config;
use portcullis::engine::EngineOptions;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{Error, VaultError};
use portcullis::key::Mutation;
use portcullis::vault::{VaultConfig, VaultEngine, init, least_policy};

use crate::fixture::{self, Server};
use crate::site::{BOTH, backend, context, given, id};

/// A server of a test's own, which it stops and seals, and a store on it.
async fn own(engine: VaultEngine) -> Option<(Server, VaultConfig)> {
    let server = Server::start(&fixture::binary()?);
    let mounts = server.mounts();
    let mut config = VaultConfig::new(vec![server.address()], given(&server.root));
    config.ca_certificate = Some(server.ca.clone());
    config.kv_mount = mounts.kv;
    config.transit_mount = mounts.transit;
    config.auth = given(&server.token(&least_policy(engine, &config), "1h"));
    config.state_refresh = Duration::from_millis(200);
    config.request_timeout = Duration::from_secs(2);
    config.call_deadline = Duration::from_secs(4);
    init(engine, &config, Some(&id("default"))).await.unwrap();
    Some((server, config))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_stands_still_holds_up_no_status_and_no_stop() {
    for engine in BOTH {
        let Some((server, config)) = own(engine).await else { return };
        let node = Engine::start(Config::new(backend(engine, config.clone()))).await.unwrap();
        let kms = node.kms();
        let spec = DataKeySpec::AES_256;
        let made = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
        server.stand_still();
        let (changing, using) = (kms.clone(), kms.clone());
        let wrapped = made.wrapped.clone();
        let change = tokio::spawn(async move {
            changing.change_key(&id("default"), Mutation::SetDescription("new".to_owned())).await
        });
        let used =
            tokio::spawn(
                async move { using.decrypt_data_key(&wrapped, &context("a")).await.map(drop) },
            );
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let status = kms.status();
        assert!(began.elapsed() < Duration::from_millis(50), "status took {:?}", began.elapsed());
        assert_eq!(status.keys, 1);
        let began = Instant::now();
        kms.stop_within(Duration::from_millis(500)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "stop took {:?}", began.elapsed());
        assert!(change.await.unwrap().is_err());
        if engine == VaultEngine::Transit {
            assert!(used.await.unwrap().is_err());
        }
        // A stop forgets a configuration in which the host handed in a secret.
        let again = Config::new(backend(engine, config.clone()));
        kms.configure(again.clone()).await.unwrap();
        let began = Instant::now();
        let start = tokio::spawn({
            let kms = kms.clone();
            async move { kms.start().await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!kms.status().open_for_reads);
        kms.stop_within(Duration::from_millis(500)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "stop took {:?}", began.elapsed());
        assert!(start.await.unwrap().is_err());
        server.go_on();
        kms.configure(again).await.unwrap();
        kms.start().await.unwrap();
        kms.decrypt_data_key(&made.wrapped, &context("a")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_on_a_sealed_vault_says_so_and_goes_on_when_it_is_unsealed() {
    for engine in BOTH {
        let Some((server, config)) = own(engine).await else { return };
        let node = Engine::start(Config::new(backend(engine, config.clone()))).await.unwrap();
        let kms = node.kms();
        let spec = DataKeySpec::AES_256;
        let made = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
        server.done("PUT", "sys/seal", &serde_json::json!({}));
        let change = kms.change_key(&id("default"), Mutation::Disable).await.unwrap_err();
        let is_typed = |error: &Error| {
            matches!(error, Error::Vault(VaultError::Sealed | VaultError::Paused { .. }))
        };
        assert!(is_typed(&change), "{change:?}");
        let used = kms.decrypt_data_key(&made.wrapped, &context("a")).await;
        match engine {
            // The key is here: an outage of Vault is not one of its users.
            VaultEngine::Kv2 => drop(used.unwrap()),
            _ => {
                let error = used.unwrap_err();
                assert!(is_typed(&error), "{error:?}");
            }
        }
        let other = Engine::launch(EngineOptions::default()).await.unwrap();
        other.kms().configure(Config::new(backend(engine, config))).await.unwrap();
        let refused = other.kms().start().await.unwrap_err();
        assert!(is_typed(&refused), "{refused:?}");
        server.unseal();
        crate::site::within(Duration::from_secs(20), async || {
            kms.change_key(&id("default"), Mutation::Disable).await.is_ok()
        })
        .await;
        other.kms().start().await.unwrap();
    }
}
