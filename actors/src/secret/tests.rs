use std::os::unix::fs::PermissionsExt;

use super::*;

fn vault(source: KeySource) -> Vault {
    Vault::new(source, Arc::default())
}

fn job(n: u8) -> JobId {
    JobId::from_bytes([n; 16])
}

fn values() -> SecretEnv {
    let pairs = [("TOKEN", "hunter2"), ("EMPTY", ""), ("ÄÖ", "€")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn shown(values: &SecretEnv) -> Vec<(String, String)> {
    values.expose().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn what_is_sealed_for_a_job_opens_for_that_job_only() {
    let vault = vault(KeySource::Ephemeral);
    let sealed = vault.seal(job(1), &values()).unwrap();
    assert_eq!(shown(&vault.open(job(1), &sealed).unwrap()), shown(&values()));
    assert_eq!(vault.open(job(2), &sealed).unwrap_err(), SecretError::Damaged);
    assert!(!sealed.sealed().windows(7).any(|bytes| bytes == b"hunter2"));
    // Twice the same is not the same twice.
    assert_ne!(vault.seal(job(1), &values()).unwrap(), sealed);
}

#[test]
fn every_changed_byte_and_every_other_name_is_refused() {
    let vault = vault(KeySource::Ephemeral);
    let sealed = vault.seal(job(1), &values()).unwrap();
    for at in 0..sealed.sealed().len() {
        let mut bytes = sealed.sealed().to_vec();
        bytes[at] ^= 1;
        assert!(vault.open(job(1), &SealedEnv::new(sealed.names().to_vec(), bytes)).is_err(), "byte {at}");
        let cut = sealed.sealed()[..at].to_vec();
        assert!(vault.open(job(1), &SealedEnv::new(sealed.names().to_vec(), cut)).is_err(), "cut at {at}");
    }
    let renamed = SealedEnv::new(vec!["OTHER".into()], sealed.sealed().to_vec());
    assert_eq!(vault.open(job(1), &renamed).unwrap_err(), SecretError::Damaged);
}

#[test]
fn a_key_is_made_once_in_private_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let source = || KeySource::InFolder(folder.path().to_owned());
    vault(source()).look();
    assert!(!folder.path().join(KEY_FILE).exists(), "made before anybody needs it");
    let sealed = vault(source()).seal(job(1), &values()).unwrap();
    let about = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap();
    assert_eq!((about.len(), about.permissions().mode() & 0o777), (KEY_BYTES as u64, 0o600));
    assert_eq!(shown(&vault(source()).open(job(1), &sealed).unwrap()), shown(&values()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something else was left behind");
}

#[test]
fn a_missing_wrong_or_open_key_is_told_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(KEY_FILE);
    let source = || KeySource::InFolder(folder.path().to_owned());
    let sealed = vault(source()).seal(job(1), &values()).unwrap();
    let key = std::fs::read(&path).unwrap();
    let open = || vault(source()).open(job(1), &sealed).unwrap_err();

    std::fs::remove_file(&path).unwrap();
    assert!(matches!(open(), SecretError::Unreadable { .. }));
    assert!(!path.exists(), "opening makes no key");
    std::fs::write(&path, [7; 31]).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(open(), SecretError::NotAKey { .. }));
    assert!(matches!(vault(source()).ready(), Err(SecretError::NotAKey { .. })), "replaced a damaged key");
    std::fs::write(&path, [7; 32]).unwrap();
    assert!(matches!(open(), SecretError::OtherKey { .. }));
    std::fs::write(&path, &key).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o604)).unwrap();
    assert!(matches!(open(), SecretError::NotAKey { .. }));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).unwrap();
    assert!(vault(source()).open(job(1), &sealed).is_ok());
    let named = vault(KeySource::File(folder.path().join("absent")));
    assert!(
        matches!(named.ready(), Err(SecretError::Unreadable { .. })),
        "made a file that an operator keeps"
    );
}

#[test]
fn a_fault_of_the_key_stands_on_the_board() {
    let board = Arc::new(HealthBoard::default());
    let vault = Vault::new(KeySource::File("/nonexistent/key".into()), Arc::clone(&board));
    assert_eq!(board.secret_fault(), None);
    vault.look();
    assert!(board.secret_fault().is_some_and(|fault| fault.contains("/nonexistent/key")));
}

#[test]
fn the_hash_of_a_request_tells_values_apart_and_needs_the_key() {
    let (one, other) = (vault(KeySource::Ephemeral), vault(KeySource::Ephemeral));
    let hash = one.request_hash(&[1; 32], &values()).unwrap();
    assert_eq!(one.request_hash(&[1; 32], &values()).unwrap(), hash);
    let mut changed = values();
    changed.insert("TOKEN", "hunter3");
    assert_ne!(one.request_hash(&[1; 32], &changed).unwrap(), hash);
    assert_ne!(one.request_hash(&[2; 32], &values()).unwrap(), hash);
    assert_ne!(other.request_hash(&[1; 32], &values()).unwrap(), hash);
    assert_eq!(one.request_hash(&[1; 32], &SecretEnv::default()).unwrap(), [1; 32]);
}
