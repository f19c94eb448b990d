//! How functions of C are written, for the driver, for cuBLAS and for NCCL.

/// Functions of C that give an error, and run on pointers that the caller promises to be what the library's
/// documentation says.
macro_rules! exports {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $ty),*) -> std::ffi::c_int {
            #[allow(unused_unsafe, reason = "some of them touch no pointer")]
            // SAFETY: pointers are what the documentation says, as promised by the caller.
            let run = || -> Result<(), i32> { unsafe { $body } };
            run().err().unwrap_or(0)
        }
    )*};
}
