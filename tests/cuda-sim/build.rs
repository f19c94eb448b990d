//! Gives the library the name under which programs look for the driver, so that a copy that was loaded by its path is found.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");
    println!("cargo:rerun-if-changed=build.rs");
}
