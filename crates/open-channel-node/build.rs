//! Lets the linker leave Node's symbols to be found in the process that loads the addon.
fn main() {
    napi_build::setup();
}
