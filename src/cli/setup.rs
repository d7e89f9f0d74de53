//! The user's own keystore, made at its first use: the one keystore that no `init` was asked for.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::failure::{Failure, Family};
use super::patience::Patience;
use super::place::UserKeystore;
use super::show::Show;
use crate::clock::{Clock, SystemClock};
use crate::config::DEFAULT_KEY;
use crate::error::{KeystoreError, KeystoreProblem};
use crate::key::KeyId;
use crate::keystore::{InitOptions, KeystoreInfo, RootKey, create_root_key_file, init};

/// Makes the keystore unless another process has made it meanwhile.
///
/// # Errors
/// The family `keystore` with code `gone` if its mark says that there was one.
pub(super) async fn make(
    user: &UserKeystore,
    patience: &mut Patience,
    show: &Show,
) -> Result<Option<KeystoreInfo>, Failure> {
    for directory in [&user.mark, &user.root_key].iter().filter_map(|path| path.parent()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| Failure::io("making the directory", Some(directory), error))?;
    }
    let _lock = lock(&user.mark.with_file_name("setup.lock"), patience).await?;
    let directory = &user.config.directory;
    if has_keystore(directory) {
        return Ok(None);
    }
    if is_there(&user.mark) && !is_there(&directory.join(HEADER_UNFINISHED)) {
        return Err(gone(user));
    }
    let root_key = match &user.config.root_key {
        RootKey::File(file) => {
            if !is_there(file) {
                create_root_key_file(file)?;
            }
            format!("{} (keep a copy: without it nothing opens)", file.display())
        }
        RootKey::Credential(_)
        | RootKey::Env(_)
        | RootKey::Given(_)
        | RootKey::Passphrase(_)
        | RootKey::PassphraseEnv(_) => "the one that you named".to_owned(),
    };
    let mut options = InitOptions::new(SystemClock::default().wall());
    options.default_key = Some(KeyId::new(DEFAULT_KEY)?);
    let info = init(&user.config, options)?;
    show.note(&format!(
        "made a keystore of your own in {}\n\
         \x20 its root key: {root_key}\n\
         \x20 its mark:     {}\n\
         \x20 This is for one person on one machine. In production, keep the root key off this disk\n\
         \x20 (a passphrase or a systemd credential) and the mark on another one, make the keystore\n\
         \x20 with `portcullis keystore init`, and name all of it in a file for --config.",
        directory.display(),
        user.mark.display(),
    ));
    Ok(Some(info))
}

async fn lock(path: &Path, patience: &mut Patience) -> Result<File, Failure> {
    let failed = |error| Failure::io("locking", Some(path), error);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.map_err(failed)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                let locked = KeystoreError::new(path, KeystoreProblem::Locked).into();
                if !patience.again(&locked).await {
                    return Err(locked.into());
                }
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn gone(user: &UserKeystore) -> Failure {
    let (directory, mark) = (user.config.directory.display(), user.mark.display());
    let message = format!(
        "{directory}: the keystore is gone, though its mark {mark} says that there was one"
    );
    Failure::new(Family::Keystore, "gone", message).hint(
        "put it back from a copy; only if everything sealed under it may be lost, remove the mark \
         to begin anew",
    )
}

/// Whether there is a keystore, whole or not, in `directory`.
pub(super) fn has_keystore(directory: &Path) -> bool {
    is_there(&directory.join(HEADER))
}

/// Whether there is anything of that name, or that cannot be told.
fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// The file that says that there is a keystore, and the same while `init` is not finished.
const HEADER: &str = "keystore";
const HEADER_UNFINISHED: &str = "keystore.init";
