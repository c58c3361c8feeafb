//! Golden files: bytes that the encoders of a released version wrote, in `testdata/`. A difference means
//! that the format changed; `ORRERY_REGENERATE=1` writes the files anew for a change that is meant.

use std::path::Path;

/// Compares `bytes` with the golden file of that name.
pub(crate) fn assert_golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    if std::env::var_os("ORRERY_REGENERATE").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        return;
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let difference = golden.iter().zip(bytes).position(|(a, b)| a != b);
    assert!(
        golden == bytes,
        "{name}: {} bytes, now {}, first difference at {difference:?}",
        golden.len(),
        bytes.len()
    );
}
