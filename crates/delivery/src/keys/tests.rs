use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn key(start_day: i64) -> Validity {
    Validity::of_new_key(at(start_day * DAY))
}

#[test]
fn a_public_key_is_pkcs1_and_its_fingerprint_is_the_md5_of_that() {
    let key = SigningKey::generate().expect("a key");
    let der = &key.public().der;
    assert_eq!(der.len(), 270);
    // SEQUENCE of 266 bytes, INTEGER of 257: what base64 shows as MIIBCgKCAQEA.
    assert_eq!(der[..9], [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00]);
    assert_eq!(key.public().fingerprint, hex::encode(Md5::digest(der)));
    assert_eq!(fingerprint(b""), "d41d8cd98f00b204e9800998ecf8427e");
}

#[test]
fn a_stored_key_signs_as_before_and_only_its_public_half_verifies() {
    let key = SigningKey::generate().expect("a key");
    let again = SigningKey::from_private(&key.private().expect("bytes")).expect("our own key");
    assert_eq!(again.public(), key.public());

    let signature = key.sign(b"message").expect("signed");
    assert_eq!(signature.len(), 512);
    // PKCS#1 v1.5 has no salt: the pending bytes of a digest can be made again.
    assert_eq!(again.sign(b"message").expect("signed"), signature);
    assert!(verify(&key.public().der, b"message", &signature));
    assert!(!verify(&key.public().der, b"massage", &signature));
    assert!(!verify(&key.public().der, b"message", &signature[2..]));
    assert!(!verify(&key.public().der, b"message", "no hex"));
    assert!(!verify(b"no key", b"message", &signature));
    let other = SigningKey::generate().expect("a key");
    assert!(!verify(&other.public().der, b"message", &signature));
}

#[test]
fn damaged_private_bytes_are_refused() {
    let mut der =
        SigningKey::generate().expect("a key").private().expect("bytes").expose().to_vec();
    der.truncate(der.len() / 2);
    assert_eq!(SigningKey::from_private(&PrivateKeyDer::new(der)).err(), Some(KeyFault::Rejected));
}

#[test]
fn private_bytes_are_never_shown() {
    let key = SigningKey::generate().expect("a key");
    assert_eq!(format!("{:?}", key.private().expect("bytes")), "PrivateKeyDer(…)");
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey {{ fingerprint: {:?} }}", key.public().fingerprint)
    );
}

#[test]
fn the_first_key_is_made_and_lasts_thirty_days() {
    let now = at(1000).saturating_add(SignedDuration::from_millis(700)).expect("in range");
    let KeyChoice::Make(validity) = choose_key(&[], now) else { panic!("there is no key yet") };
    assert_eq!((validity.start, validity.end), (at(1000), at(1000 + 30 * DAY)));
    assert!(validity.contains(now));
}

#[test]
fn a_key_signs_until_its_overlap_begins() {
    let keys = [key(0)];
    assert_eq!(choose_key(&keys, at(0)), KeyChoice::Use(0));
    assert_eq!(choose_key(&keys, at(25 * DAY - 1)), KeyChoice::Use(0));
    assert_eq!(choose_key(&keys, at(25 * DAY)), KeyChoice::Make(key(25)));
    assert_eq!(choose_key(&[key(0), key(25)], at(25 * DAY)), KeyChoice::Use(1));
}

#[test]
fn a_clock_that_jumps_gets_a_key_that_is_valid_then() {
    let keys = [key(100)];
    assert_eq!(choose_key(&keys, at(90 * DAY)), KeyChoice::Make(key(90)));
    assert_eq!(choose_key(&keys, at(500 * DAY)), KeyChoice::Make(key(500)));
    // Back again, the key made for that time is used.
    assert_eq!(choose_key(&[key(100), key(90)], at(101 * DAY)), KeyChoice::Use(0));
}

#[test]
fn list_public_keys_asks_for_intersection() {
    let key = key(10);
    assert!(key.intersects(at(0), at(10 * DAY)));
    assert!(key.intersects(at(12 * DAY), at(12 * DAY)));
    assert!(key.intersects(at(40 * DAY), at(50 * DAY)));
    assert!(!key.intersects(at(0), at(10 * DAY - 1)));
    assert!(!key.intersects(at(40 * DAY + 1), at(50 * DAY)));
}
