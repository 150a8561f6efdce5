//! How the addon is linked.
fn main() {
    let is = |name, value| std::env::var(name).is_ok_and(|found| found == value);
    // Node's symbols are found in the process that loads the addon. On Windows they are looked up
    // there by name, and it wants a library to link them from, which nobody has.
    if !is("CARGO_CFG_TARGET_OS", "windows") {
        napi_build::setup();
    }
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
