//! Proofs are checked before they are told, and kept while their record stands.
use crate::common::network::Says;
use crate::common::repo::Signed;
use crate::common::{DID, POST, Place, post};
use orrery_server::{Edge as _, EdgeError};

const HANDLE: &str = "alice.test";
const URL: &str = "pds.example/xrpc/com.atproto.sync.getRecord?did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa&collection=app.bsky.feed.post&rkey=a";

fn place(signed: &Signed) -> Place {
    let place = Place::new();
    place.network.account(DID, HANDLE, &signed.multikey());
    place
}

#[tokio::test]
async fn a_proof_is_told_as_it_came_and_asked_for_once() {
    let mut signed = Signed::new(7);
    let mut place = place(&signed);
    let car = signed.car(DID, POST, "a", &post("one"));
    place.network.says(URL, Says::Bytes(car.clone()));
    for _ in 0..3 {
        let proof = place.edge.proof(DID, POST, "a").await.unwrap();
        assert_eq!(&proof[..], &car[..]);
    }
    assert_eq!(place.network.asked_url(URL), 1);
    // The record changes, and with it its proof.
    place.source.write(DID, "a", &post("two"));
    // The old proof is as true as it was, and of what is no longer.
    let error = place.edge.proof(DID, POST, "a").await.unwrap_err();
    assert!(matches!(error, EdgeError::Unproven(_)), "{error:?}");
    // Some revision behind that of the event.
    signed.rev = "3zzzzzzzzzz2a";
    let newer = signed.car(DID, POST, "a", &post("two"));
    place.network.says(URL, Says::Bytes(newer.clone()));
    let proof = place.edge.proof(DID, POST, "a").await.unwrap();
    assert_eq!(&proof[..], &newer[..]);
    place.source.delete(DID, "a");
    let error = place.edge.proof(DID, POST, "a").await.unwrap_err();
    assert!(matches!(error, EdgeError::Deleted(_)), "{error:?}");
}

#[tokio::test]
async fn a_proof_that_proves_nothing_is_refused_and_not_kept() {
    let signed = Signed::new(7);
    let place = place(&signed);
    let car = signed.car(DID, POST, "a", &post("one"));
    let mut tampered = vec![
        (
            "another key's",
            Signed::new(8).car(DID, POST, "a", &post("one")),
        ),
        (
            "another account's",
            signed.car("did:plc:b", POST, "a", &post("one")),
        ),
        ("no CAR", b"<html>".to_vec()),
        ("cut", car[..car.len() - 1].to_vec()),
    ];
    for at in [car.len() / 3, car.len() / 2, car.len() - 2] {
        let mut flipped = car.clone();
        flipped[at] ^= 1;
        tampered.push(("flipped", flipped));
    }
    for (what, car) in tampered {
        place.network.says(URL, Says::Bytes(car));
        let error = place.edge.proof(DID, POST, "a").await.unwrap_err();
        assert!(matches!(error, EdgeError::Unproven(_)), "{what}: {error:?}");
    }
    // A proof of another record proves that this one is not there.
    place
        .network
        .says(URL, Says::Bytes(signed.car(DID, POST, "b", &post("one"))));
    let error = place.edge.proof(DID, POST, "a").await.unwrap_err();
    assert!(matches!(error, EdgeError::RecordNotFound(_)), "{error:?}");
    place.network.says(URL, Says::Bytes(car));
    place.edge.proof(DID, POST, "a").await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_changed_is_looked_up_again() {
    let old = Signed::new(7);
    let place = place(&old);
    let car = old.car(DID, POST, "a", &post("one"));
    place.network.says(URL, Says::Bytes(car));
    place.edge.proof(DID, POST, "a").await.unwrap();
    // The document is known, and no longer true.
    let new = Signed::new(9);
    place.network.account(DID, HANDLE, &new.multikey());
    let other = URL.replace("rkey=a", "rkey=b");
    place
        .network
        .says(&other, Says::Bytes(new.car(DID, POST, "b", &post("one"))));
    place.edge.proof(DID, POST, "b").await.unwrap();
}
