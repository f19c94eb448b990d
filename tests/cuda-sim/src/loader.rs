//! Puts the simulated device, or NVRTC, where `cudarc` finds it.
//!
//! `cudarc` opens `libcuda.so` and `libnvrtc.so.12` by name. A library that was opened by its path before,
//! and is not closed, answers to its SONAME; so no environment variable and no system folder is needed.
//!
//! **Invariant:** a real driver is taken if there is one; then the simulator is not even loaded.

#![expect(unsafe_code, reason = "libraries are loaded and called")]

use std::ffi::{CString, c_char, c_int};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::Library;

use crate::driver::{Config, Report};

/// The device that tests run on.
#[derive(Debug)]
pub enum Device {
    /// A real one.
    Real,
    /// This simulator.
    Simulated(Simulator),
}

/// The loaded simulator.
#[derive(Debug)]
pub struct Simulator {
    library: Library,
    /// Kept so that they are found by their names.
    _others: [Library; 2],
}

/// The real device if a driver is installed, else the simulated one.
///
/// # Panics
/// If the simulator's library is not beside this program, where cargo builds it.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| {
        // SAFETY: loading the driver runs its own initialisers, as any CUDA program does.
        if unsafe { Library::new("libcuda.so.1") }.is_ok() {
            return Device::Real;
        }
        let program = std::env::current_exe().expect("this program has a path");
        let folder = program.parent().expect("a file is in a folder");
        let path = folder.join("libcudasim.so");
        // SAFETY: the library is our own.
        let library = unsafe { Library::new(&path) };
        let library = library
            .unwrap_or_else(|error| panic!("{}: {error}; build the package `cuda-sim`", path.display()));
        let named = |path: &str| {
            // SAFETY: it has nothing but a name and the need of the library above.
            let library = unsafe { Library::new(path) };
            library.unwrap_or_else(|error| panic!("{path}: {error}; build the package `cuda-sim`"))
        };
        let _others = [
            named(concat!(env!("OUT_DIR"), "/libcublas.so")),
            named(concat!(env!("OUT_DIR"), "/libnccl.so")),
        ];
        Device::Simulated(Simulator { library, _others })
    })
}

/// Loads NVRTC from where `scripts/fetch-cuda-tools` puts it.
///
/// # Errors
/// If it is not there.
pub fn nvrtc() -> Result<(), String> {
    static NVRTC: OnceLock<Result<Library, String>> = OnceLock::new();
    let load = || {
        let path = tools().join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        // SAFETY: NVIDIA's library.
        unsafe { Library::new(&path) }
            .map_err(|error| format!("{}: {error}\nhint: run `scripts/fetch-cuda-tools`", path.display()))
    };
    NVRTC.get_or_init(load).as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Where NVRTC, its headers and `ptxas` are.
pub fn tools() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("evol/cuda-tools")
}

impl Simulator {
    /// Sets what is simulated. Work that was submitted before is done first.
    ///
    /// # Panics
    /// If the library is another version.
    pub fn configure(&self, config: &Config) {
        let json =
            CString::new(serde_json::to_string(config).expect("plain data")).expect("no zeros in JSON");
        // SAFETY: the function has this type.
        let code = unsafe {
            let configure =
                self.library.get::<unsafe extern "C" fn(*const c_char) -> c_int>(b"cudasim_configure");
            configure.expect("it is exported")(json.as_ptr())
        };
        assert_eq!(code, 0, "the simulator does not know this configuration");
    }

    /// Findings and counters since the last report. Clears a sticky error.
    ///
    /// # Panics
    /// If the library is another version.
    pub fn report(&self) -> Report {
        let (mut length, mut pointer) = (0, std::ptr::null_mut());
        // SAFETY: the functions have these types; the text is given back.
        unsafe {
            type Get = unsafe extern "C" fn(*mut usize, *mut *mut c_char) -> c_int;
            let get = self.library.get::<Get>(b"cudasim_report").expect("it is exported");
            let free = self.library.get::<unsafe extern "C" fn(*mut c_char) -> c_int>(b"cudasim_free");
            get(&raw mut length, &raw mut pointer);
            let json = std::slice::from_raw_parts(pointer.cast::<u8>(), length);
            let report = serde_json::from_slice(json).expect("its own JSON");
            free.expect("it is exported")(pointer);
            report
        }
    }
}
