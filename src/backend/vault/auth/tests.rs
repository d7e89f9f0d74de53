//! Login methods against a Vault of a few lines: what is sent, what is made of the answer.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::backend::vault::token::TokenSlot;

/// Answers what a test has put down, in order, and keeps what was asked.
#[derive(Default)]
struct Script {
    tokens: TokenSlot,
    answers: Mutex<Vec<Result<&'static str, VaultError>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<&'static str, VaultError>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { answers: Mutex::new(answers), ..Self::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Wire for Script {
    fn tokens(&self) -> &TokenSlot {
        &self.tokens
    }

    fn send<'a>(&'a self, request: WireRequest<'a>) -> WireFuture<'a> {
        let body = request.body.as_ref().map_or("", |it| source::text(it)).to_owned();
        self.asked.lock().unwrap().push(format!("{} {body}", request.path));
        let answer = self.answers.lock().unwrap().pop().expect("one answer for each request");
        Box::pin(async move { answer.map(|text| SecretBuffer::from_vec(text.as_bytes().to_vec())) })
    }
}

fn given(text: &str) -> SecretSource {
    SecretSource::Given(Arc::new(secrecy::SecretString::from(text.to_owned())))
}

fn approle() -> Method {
    let secret_id = SecretId::Plain(given("the-secret"));
    Method::new(&VaultAuth::AppRole(AppRole::new(given("the-role"), secret_id)))
}

async fn login(method: &Method, wire: &Script, probe: bool) -> Result<Granted, VaultError> {
    method.login(wire, BootTime::from_nanos(1), WallTime::from_millis(1), probe).await
}

const LOGIN: &str =
    r#"{"auth":{"client_token":"hvs.abc","lease_duration":60,"renewable":true,"policies":["a"]}}"#;

const ALIVE: &str = r#"{"data":{"ttl":50,"expire_time":"2026-11-24T15:00:00Z","renewable":true}}"#;

#[tokio::test]
async fn an_approle_shows_its_secret_once_and_probes_what_it_got() {
    let wire = Script::of([Ok(LOGIN), Ok(ALIVE)]);
    let granted = login(&approle(), &wire, true).await.unwrap();
    assert_eq!(granted.grant.ttl, Some(Duration::from_secs(60)));
    assert_eq!(granted.grant.can_look_up, Some(true));
    let login = r#"auth/approle/login {"role_id":"the-role","secret_id":"the-secret"}"#;
    assert_eq!(wire.asked(), [login, "auth/token/lookup-self "]);
}

#[tokio::test]
async fn a_login_that_is_refused_is_typed_and_one_without_an_answer_is_not_a_refusal() {
    for (answer, refused) in [
        (VaultError::Rejected("bad request"), true),
        (VaultError::Forbidden("permission denied"), true),
        (VaultError::NotFound, true),
        (VaultError::Timeout, false),
        (VaultError::Sealed, false),
        (VaultError::Unavailable(500), false),
    ] {
        let wire = Script::of([Err(answer)]);
        let error = login(&approle(), &wire, true).await.err().unwrap();
        let why = matches!(error, VaultError::LoggedOut(CredentialError::LoginRefused(_)));
        assert_eq!(why, refused, "{answer}: {error}");
        assert_eq!(wire.asked().len(), 1, "a login is sent once");
    }
}

#[tokio::test]
async fn a_token_that_must_not_look_itself_up_is_found_out_at_the_first_login() {
    let wire = Script::of([Ok(LOGIN), Err(VaultError::Forbidden("permission denied"))]);
    let granted = login(&approle(), &wire, true).await.unwrap();
    assert_eq!(granted.grant.can_look_up, Some(false));
}

#[tokio::test]
async fn a_given_token_is_looked_up_and_not_taken_twice() {
    let method = Method::new(&VaultAuth::Token(given("hvs.mine")));
    let wire = Script::of([Err(VaultError::Timeout), Ok(ALIVE)]);
    assert_eq!(login(&method, &wire, true).await.err(), Some(VaultError::Timeout));
    let granted = login(&method, &wire, true).await.unwrap();
    assert_eq!(granted.grant.ttl, Some(Duration::from_secs(50)));
    let same = login(&method, &wire, true).await.err();
    assert_eq!(same, Some(CredentialError::SameToken.into()));
}

#[tokio::test]
async fn a_lease_of_no_seconds_is_one_without_an_end_only_where_vault_says_so() {
    let root = r#"{"data":{"ttl":0,"expire_time":null}}"#;
    let last = r#"{"data":{"ttl":0,"expire_time":"2026-11-24T15:00:00Z","renewable":true}}"#;
    for (answer, ttl) in [(root, None), (last, Some(Duration::ZERO))] {
        let wire = Script::of([Ok(answer)]);
        let token = wire.tokens.make(SecretBuffer::from_vec(b"hvs.abc".to_vec()));
        let looked = look_up(&wire, &token).await.unwrap();
        assert!(matches!(looked, Looked::Alive(grant) if grant.ttl == ttl), "{looked:?}");
    }
    let ended = r#"{"auth":{"client_token":"hvs.abc","lease_duration":0,"renewable":true}}"#;
    let wire = Script::of([Ok(ended)]);
    let token = wire.tokens.make(SecretBuffer::from_vec(b"hvs.abc".to_vec()));
    assert_eq!(renew(&wire, &token).await, Err(RenewFault::Refused));
}

#[tokio::test]
async fn a_revocation_that_is_refused_is_believed_only_if_the_token_is_gone() {
    let refused = || Err(VaultError::Forbidden("permission denied"));
    for (looked, expected) in [
        (refused(), Ok(())),
        (Ok(ALIVE), Err(VaultError::Forbidden("auth/token/revoke-self"))),
        (Err(VaultError::Timeout), Err(VaultError::Timeout)),
    ] {
        let wire = Script::of([refused(), looked]);
        let token = wire.tokens.make(SecretBuffer::from_vec(b"hvs.abc".to_vec()));
        assert_eq!(revoke(&wire, &token).await, expected);
    }
}

#[test]
fn a_token_that_is_not_one_is_refused() {
    for token in ["", "two words", "hvs.\\u0061bc", "line\\nfeed", "hvs.\u{e4}"] {
        let body = format!(
            r#"{{"auth":{{"client_token":"{token}","lease_duration":1,"renewable":true}}}}"#
        );
        let read = answer::login(&SecretBuffer::from_vec(body.into_bytes()));
        assert!(matches!(read, Err(VaultError::Malformed(_))), "{token}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_a_parser_do_anything_but_refuse(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..120,
        flips in prop::collection::vec((0_usize..120, any::<u8>()), 0..3),
    ) {
        let mut bent = LOGIN.as_bytes().to_vec();
        bent.truncate(bent.len().saturating_sub(cut));
        for (at, to) in flips {
            if let Some(byte) = bent.get_mut(at) {
                *byte = to;
            }
        }
        for body in [bytes, bent] {
            let body = SecretBuffer::from_vec(body);
            if let Ok((token, _)) = answer::login(&body) {
                prop_assert!(token.expose().iter().all(u8::is_ascii_graphic));
            }
            let _ = answer::renewal(&body);
            let _ = answer::lookup(&body);
            let _ = answer::unwrapped(&body).map(|_| ());
            let _ = answer::secret_id(&body, WallTime::from_millis(0));
            let _ = answer::wraps(&body, |_| true);
        }
    }

    #[test]
    fn a_body_is_json_whatever_the_secret(secret in "\\PC{0,40}") {
        let body = source::json(&serde_json::json!({ "secret_id": secret }));
        let read: serde_json::Value = serde_json::from_slice(body.expose()).unwrap();
        prop_assert_eq!(read["secret_id"].as_str(), Some(secret.as_str()));
    }
}
