//! What a target is by its form: a DID, a record, or any other string.

/// What a target string is, by its form alone.
pub(crate) enum TargetForm<'a> {
    Did(&'a str),
    Record {
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
    },
    Other(&'a str),
}

/// Takes a normalised target string apart so that it can be put together again byte for byte.
pub(crate) fn target_form(target: &str) -> TargetForm<'_> {
    if is_did(target) {
        return TargetForm::Did(target);
    }
    let record = || {
        let (did, rest) = target.strip_prefix("at://")?.split_once('/')?;
        let (collection, rkey) = rest.split_once('/')?;
        let whole = is_did(did)
            && orrery_links::syntax::Nsid::parse(collection).is_ok()
            && orrery_links::syntax::RecordKey::parse(rkey).is_ok();
        whole.then_some(TargetForm::Record {
            did,
            collection,
            rkey,
        })
    };
    record().unwrap_or(TargetForm::Other(target))
}

fn is_did(text: &str) -> bool {
    text.starts_with("did:") && orrery_links::syntax::Did::parse(text).is_ok()
}
