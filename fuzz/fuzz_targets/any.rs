//! Feeds one target of `limosa-fuzz`, named by `LIMOSA_FUZZ_TARGET`, without an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limosa_fuzz::Target;
use std::sync::LazyLock;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("LIMOSA_FUZZ_TARGET").expect("LIMOSA_FUZZ_TARGET names a target");
    limosa_fuzz::targets().find(|target| target.name == name).expect("a target of this name")
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
