//! Helper: the device, kernels by file, inputs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, LaunchArgs, LaunchConfig,
};
use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use cudasim::driver::{Config, Report};
use cudasim::exec::Order;
use cudasim::loader::{Device, Simulator, device, nvrtc, tools};

/// One test at a time configures the device.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Bench {
    simulator: &'static Simulator,
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
    // The last that is dropped: a context that outlives the turn keeps the next test's alive.
    _turn: MutexGuard<'static, ()>,
}

impl Bench {
    pub(crate) fn new(config: &Config) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let Device::Simulated(simulator) = device() else {
            panic!("these tests are of the simulator, and this machine has a driver");
        };
        simulator.configure(config);
        simulator.report();
        let context = CudaContext::new(0).unwrap();
        let stream = context.default_stream();
        Self { simulator, context, stream, _turn: turn }
    }

    pub(crate) fn report(&self) -> Report {
        self.simulator.report()
    }

    /// The report after the end of the context.
    pub(crate) fn finish(self) -> Report {
        let Self { _turn, simulator, context, stream } = self;
        drop((stream, context));
        simulator.report()
    }

    /// Needs NVRTC.
    pub(crate) fn module(&self, file: &str) -> Arc<CudaModule> {
        nvrtc().unwrap_or_else(|error| panic!("{error}"));
        let options = CompileOptions {
            arch: Some("compute_80"),
            options: vec!["--generate-line-info".into()],
            // Ours first, then those of the toolkit, for kernels that use its headers.
            include_paths: [kernels(), headers("cuda_runtime"), headers("cuda_nvcc")]
                .map(|path| path.to_str().unwrap().to_owned())
                .to_vec(),
            name: Some(file.into()),
            ..CompileOptions::default()
        };
        let ptx = compile_ptx_with_opts(source(file), options).unwrap();
        self.context.load_module(ptx).unwrap()
    }

    /// Needs NVRTC.
    pub(crate) fn function(&self, file: &str, name: &str) -> CudaFunction {
        self.module(file).load_function(name).unwrap()
    }
}

pub(crate) fn source(file: &str) -> String {
    std::fs::read_to_string(kernels().join(file)).unwrap()
}

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

fn headers(package: &str) -> PathBuf {
    tools().join("nvidia").join(package).join("include")
}

pub(crate) fn grid(blocks: u32, threads: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: shared }
}

/// Launches. Arguments that do not fit the kernel are a mistake of the test; all accesses are checked.
pub(crate) fn run(launch: &mut LaunchArgs<'_>, config: LaunchConfig) -> Result<(), DriverError> {
    // SAFETY: the device is simulated, and lets no kernel reach memory that is not its own.
    unsafe { launch.launch(config) }.map(|_| ())
}

/// Numbers in [-1, 1) without a pattern.
pub(crate) fn numbers(len: usize) -> Vec<f32> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// Both orders of blocks and warps and one at random, with all checks.
pub(crate) fn configs() -> Vec<Config> {
    let orders = [Order::Forward, Order::Reverse, Order::Shuffle(7)];
    let mut configs: Vec<Config> =
        orders.into_iter().map(|order| Config { order, checks: true, ..Config::default() }).collect();
    configs.push(Config { lazy: true, ..Config::default() });
    configs
}
