//! Secrets that end: warned before, typed after, and never taken for something else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use portcullis::Engine;
use portcullis::config::Config;
use portcullis::envelope::DataKeySpec;
use portcullis::error::{CredentialError, Error, VaultError};
use portcullis::status::{IdentityHealth, IdentityWarning};
use portcullis::vault::{Kubernetes, SecretSource, VaultAuth, VaultEngine, least_policy};
use serde_json::json;

use crate::fixture::text;
use crate::role::{Role, wrapped};
use crate::site::{Site, backend, context, id};

fn role(site: &Site, secret_id: &serde_json::Value) -> Role {
    let policy = least_policy(site.engine, &site.config);
    Role::new(site, &policy, &json!({ "token_ttl": "1h" }), secret_id)
}

async fn start(site: &Site, auth: VaultAuth) -> Result<Engine, Error> {
    let mut config = site.config.clone();
    config.auth = auth;
    Engine::start(Config::new(backend(site.engine, config))).await
}

fn why(error: &Error) -> Option<CredentialError> {
    match error {
        Error::Vault(VaultError::LoggedOut(why)) => Some(*why),
        _ => None,
    }
}

async fn works(engine: &Engine) {
    let spec = DataKeySpec::AES_256;
    engine.kms().generate_data_key(&id("default"), spec, &context("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_id_is_warned_about_and_its_last_use_is_kept_for_the_next_start() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let role = role(&site, &json!({ "num_uses": 4 }));
    let node = start(&site, role.auth()).await.unwrap();
    let kms = node.kms();
    for left in [2, 1, 0] {
        let identity = kms.status().vault.unwrap().identity;
        assert_eq!(identity.warning, Some(IdentityWarning::SecretIdUses(left)));
        assert_eq!(identity.health, IdentityHealth::Warned);
        if left > 0 {
            kms.rotate_credentials(true).await.unwrap();
        }
    }
    let kept = kms.rotate_credentials(true).await.unwrap_err();
    assert_eq!(why(&kept), Some(CredentialError::SecretIdKept), "{kept}");
    assert_eq!(role.logins(), 3);
    assert_eq!(kms.status().vault.unwrap().identity.fault, Some("secret-id-kept"));
    works(&node).await;
    // A revoked token cannot be replaced now: typed, and told at once.
    role.revoke_all();
    let spec = DataKeySpec::AES_256;
    let locked = kms.generate_data_key(&id("default"), spec, &context("a")).await.unwrap_err();
    assert_eq!(why(&locked), Some(CredentialError::SecretIdKept), "{locked}");
    assert_eq!(kms.status().vault.unwrap().identity.health, IdentityHealth::LockedOut);
    // A new one is delivered, and found without a word.
    role.deliver(&json!({ "num_uses": 100 }));
    let healthy = async || kms.status().vault.unwrap().identity.health == IdentityHealth::Healthy;
    crate::site::within(Duration::from_secs(20), healthy).await;
    works(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_that_was_kept_starts_the_engine_once_more() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let role = role(&site, &json!({ "num_uses": 2 }));
    let node = start(&site, role.auth()).await.unwrap();
    let kept = node.kms().rotate_credentials(false).await.unwrap_err();
    assert_eq!(why(&kept), Some(CredentialError::SecretIdKept), "{kept}");
    drop(node);
    let node = start(&site, role.auth()).await.unwrap();
    works(&node).await;
    let spent = node.kms().rotate_credentials(false).await.unwrap_err();
    assert_eq!(why(&spent), Some(CredentialError::SecretIdSpent), "{spent}");
    drop(node);
    let refused = start(&site, role.auth()).await.err().unwrap();
    assert!(matches!(why(&refused), Some(CredentialError::LoginRefused(_))), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_id_that_expires_is_warned_about_and_typed_after() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let role = role(&site, &json!({ "ttl": "3s" }));
    let node = start(&site, role.auth()).await.unwrap();
    let kms = node.kms();
    let warning = kms.status().vault.unwrap().identity.warning;
    assert!(matches!(warning, Some(IdentityWarning::SecretIdEnds(0..=3))), "{warning:?}");
    let expired = async || {
        let error = kms.rotate_credentials(false).await.err();
        error.is_some_and(|error| why(&error) == Some(CredentialError::SecretIdExpired))
    };
    crate::site::within(Duration::from_secs(20), expired).await;
    works(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_secret_id_is_unwrapped_once_and_used_on() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let role = role(&site, &json!({}));
    role.deliver_wrapped(&json!({ "num_uses": 20 }));
    let node = start(&site, role.auth_wrapped()).await.unwrap();
    node.kms().rotate_credentials(true).await.unwrap();
    works(&node).await;
    drop(node);
    // The next process finds a wrapping token that somebody has used: it cannot know who.
    let spent = start(&site, role.auth_wrapped()).await.err().unwrap();
    assert_eq!(why(&spent), Some(CredentialError::WrappingTokenSpent), "{spent}");
    assert!(spent.to_string().contains("somebody else has the secret id"), "{spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapping_token_that_wraps_something_else_is_refused_unopened() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let role = role(&site, &json!({}));
    let exchanged = wrapped(site.server, "sys/wrapping/wrap", &json!({ "secret_id": "mine" }));
    role.put(&exchanged);
    let refused = start(&site, role.auth_wrapped()).await.err().unwrap();
    assert_eq!(why(&refused), Some(CredentialError::WrappingTokenForeign), "{refused}");
    let body = json!({ "token": exchanged });
    let (status, _) = site.server.call("POST", "sys/wrapping/unwrap", Some(&body));
    assert_eq!(status, 200, "it was opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubernetes_service_account_logs_in_where_its_cluster_vouches_for_it() {
    let Some(site) = Site::new(VaultEngine::Transit).await else { return };
    let reviews = token_reviews();
    let mount = format!("kubernetes-{}", site.mounts.kv);
    let server = site.server;
    server.done("POST", &format!("sys/auth/{mount}"), &json!({ "type": "kubernetes" }));
    let config = json!({
        "kubernetes_host": reviews,
        "token_reviewer_jwt": jwt("reviewer"),
        "kubernetes_ca_cert": std::fs::read_to_string(&server.ca).unwrap(),
        "disable_local_ca_jwt": true,
    });
    server.done("POST", &format!("auth/{mount}/config"), &config);
    let policy = least_policy(site.engine, &site.config);
    server.done("PUT", &format!("sys/policies/acl/{mount}"), &json!({ "policy": policy }));
    let role = json!({
        "bound_service_account_names": ["store"],
        "bound_service_account_namespaces": ["prod"],
        "token_policies": [mount],
        "token_no_default_policy": true,
        "token_ttl": "1h",
    });
    server.done("POST", &format!("auth/{mount}/role/engine"), &role);
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let auth = || {
        let mut kubernetes = Kubernetes::new("engine");
        kubernetes.mount.clone_from(&mount);
        kubernetes.token = SecretSource::File(token.clone());
        VaultAuth::Kubernetes(kubernetes)
    };
    std::fs::write(&token, jwt("store")).unwrap();
    let node = start(&site, auth()).await.unwrap();
    works(&node).await;
    node.kms().rotate_credentials(true).await.unwrap();
    works(&node).await;
    std::fs::write(&token, jwt("intruder")).unwrap();
    let refused = node.kms().rotate_credentials(true).await.unwrap_err();
    assert!(matches!(why(&refused), Some(CredentialError::LoginRefused(_))), "{refused}");
    works(&node).await;
}

/// A service account's token as Kubernetes makes them. Its signature is the cluster's to judge.
fn jwt(account: &str) -> String {
    use base64::Engine as _;
    let encode = |value: &serde_json::Value| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let claims = json!({
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "prod",
        "kubernetes.io/serviceaccount/secret.name": "store-token",
        "kubernetes.io/serviceaccount/service-account.name": account,
        "kubernetes.io/serviceaccount/service-account.uid": "d77f89bc-9055-11e7-a068-0800276d99bf",
        "sub": format!("system:serviceaccount:prod:{account}"),
    });
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    format!("{}.{}.{}", encode(&header), encode(&claims), "c2lnbmF0dXJl")
}

/// A stand-in for the cluster: it vouches for whatever service account a token names. Its address.
fn token_reviews() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || while review(&mut stream).is_some() {});
        }
    });
    address
}

fn review(stream: &mut std::net::TcpStream) -> Option<()> {
    use base64::Engine as _;
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).ok()?.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let review: serde_json::Value = serde_json::from_slice(&body).ok()?;
    let token = text(&review["spec"]["token"]);
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?);
    let claims: serde_json::Value = serde_json::from_slice(&claims.ok()?).ok()?;
    let answer = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "status": {
            "authenticated": true,
            "user": {
                "username": claims["sub"],
                "uid": claims["kubernetes.io/serviceaccount/service-account.uid"],
                "groups": ["system:serviceaccounts", "system:serviceaccounts:prod"],
            },
        },
    })
    .to_string();
    write!(
        stream,
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        answer.len()
    )
    .ok()
}
