//! Lets the linker leave Node's symbols to be found in the process that loads the addon.
fn main() {
    napi_build::setup();
    // A worker thread that ends unloads what it alone has loaded; the background thread goes on.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
