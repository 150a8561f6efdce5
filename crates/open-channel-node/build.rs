//! How the addon is linked.
fn main() {
    // Node's symbols are found in the process that loads the addon.
    napi_build::setup();
    let is = |name, value| std::env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") {
        // A worker thread that ends unloads what it alone has loaded; the background thread goes
        // on.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        if is("PROFILE", "release") {
            // Symbols and line tables are six sevenths of the file that npm users download.
            println!("cargo::rustc-cdylib-link-arg=-Wl,-s");
        }
    }
}
