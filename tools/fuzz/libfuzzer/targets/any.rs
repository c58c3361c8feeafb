//! The targets of `orrery-fuzz` under libFuzzer: `ORRERY_FUZZ_TARGET` names the one that is run.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orrery_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("ORRERY_FUZZ_TARGET").unwrap_or_default();
    orrery_fuzz::target(&name).unwrap_or_else(|| panic!("ORRERY_FUZZ_TARGET={name:?} is no target"))
});

fuzz_target!(|input: &[u8]| {
    (TARGET.check)(input);
});
