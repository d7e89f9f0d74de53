//! The process whose memory is searched.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use portcullis::backend::{KeySource, StaticConfig};
use portcullis::config::Config;
use portcullis::context::EncryptionContext;
use portcullis::envelope::DataKeySpec;
use portcullis::key::KeyId;
use portcullis::keystore::{Anchor, LocalConfig, RootKey};
use portcullis::{DataKey, Engine, Kms};
use tokio::io::AsyncReadExt;
use zeroize::Zeroize;

/// Works with keys, stops, and lets the parent look at each point.
pub fn run(scenario: &str, directory: &Path) {
    let config = match scenario {
        "local" => Config::new(local(directory, RootKey::File(directory.join("root.key")))),
        "passphrase" => {
            let text = std::fs::read_to_string(directory.join("passphrase")).unwrap();
            Config::new(local(directory, RootKey::Passphrase(Arc::new(text.into()))))
        }
        "static" => Config::new(StaticConfig::new(
            KeyId::new("default").unwrap(),
            KeySource::File(directory.join("root.key")),
        )),
        other => panic!("no scenario {other}"),
    };
    let host = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    host.block_on(async {
        let engine = Engine::start(config).await.unwrap();
        let kms = engine.kms();
        let key = kms.default_key().unwrap();
        let held = data_key(&kms, &key).await;
        drop(data_key(&kms, &key).await);
        let again = data_key(&kms, &key).await;
        // A stream that is half read and never finished; its key is nobody's to see.
        let plain = vec![7_u8; 256 * 1024];
        let mut stream = kms.seal(&key, &context(), &plain[..]).await.unwrap();
        let mut part = vec![0; 100 * 1024];
        stream.read_exact(&mut part).await.unwrap();
        let payload = kms.encrypt(&key, b"small", &context()).await.unwrap();
        assert_eq!(kms.decrypt(&payload, &context()).await.unwrap(), b"small");
        pause("running");
        kms.stop().await.unwrap();
        // Stream, leases and engine still live.
        pause("stopped");
        drop((stream, held, again, engine));
    });
}

pub fn local(directory: &Path, root_key: RootKey) -> LocalConfig {
    let anchor = Anchor::File(directory.join("mark"));
    LocalConfig::new(directory.join("keys"), root_key, anchor)
}

async fn data_key(kms: &Kms, key: &KeyId) -> DataKey {
    let made = kms.generate_data_key(key, DataKeySpec::AES_256, &context()).await.unwrap();
    // What unwrapping leaves behind is looked for as well.
    let again = kms.decrypt_data_key(&made.wrapped, &context()).await.unwrap();
    drop(again);
    let mut copy = [0; 32];
    made.key.copy_into(&mut copy).unwrap();
    copy.iter_mut().for_each(|byte| *byte ^= MASK);
    say(&format!("@key {}", hex::encode(copy)));
    copy.zeroize();
    made.key
}

pub fn unmask(masked: &str) -> Vec<u8> {
    hex::decode(masked).unwrap().iter().map(|byte| byte ^ MASK).collect()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("tenant", "memory").unwrap()
}

fn pause(now: &str) {
    say(&format!("@now {now}"));
    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
}

fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().unwrap();
}

const MASK: u8 = 0xa5;
