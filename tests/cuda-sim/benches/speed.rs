//! How fast kernels run: lane instructions and floating-point operations a second, on one thread and on all.
//!
//! `cargo bench -p cuda-sim --bench speed`. Every figure is the best of five launches, because other programs
//! only make one slower.

#![expect(unsafe_code, reason = "kernels are launched")]

use std::path::Path;

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use cudasim::driver::{Config, Counters};
use cudasim::loader::{Device, Simulator, device, nvrtc};
use std::sync::Arc;

const ROUNDS: usize = 5;

struct Bench {
    simulator: &'static Simulator,
    stream: Arc<CudaStream>,
    threads: usize,
}

impl Bench {
    fn function(&self, file: &str, name: &str) -> CudaFunction {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let options = CompileOptions {
            arch: Some("compute_80"),
            include_paths: vec![folder.to_str().expect("a path in UTF-8").to_owned()],
            ..CompileOptions::default()
        };
        let source = std::fs::read_to_string(folder.join(file)).expect("a kernel of this package");
        let ptx = compile_ptx_with_opts(source, options).expect("it compiles");
        self.stream.context().load_module(ptx).expect("it loads").load_function(name).expect("it is there")
    }

    /// The counters of the fastest launch.
    fn best(&self, kernel: &str, mut launch: impl FnMut(&Arc<CudaStream>)) -> Counters {
        let mut best: Option<Counters> = None;
        for _ in 0..ROUNDS {
            self.simulator.report();
            launch(&self.stream);
            self.stream.synchronize().expect("it runs");
            let counters = self.simulator.report().counters.remove(kernel).expect("it was launched");
            if best.as_ref().is_none_or(|best| counters.seconds < best.seconds) {
                best = Some(counters);
            }
        }
        best.expect("at least one round")
    }

    fn run(&self) -> Vec<(&'static str, &'static str, Counters)> {
        let zeros = |len: usize| self.stream.alloc_zeros::<f32>(len).expect("memory");
        let line = |blocks: u32, threads: u32| LaunchConfig {
            grid_dim: (blocks, 1, 1),
            block_dim: (threads, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut all = Vec::new();

        let n = 1 << 22;
        let (a, b, mut c) = (zeros(n), zeros(n), zeros(n));
        let (add, count) = (self.function("basic.cu", "add"), n as i32);
        all.push((
            "streaming",
            "add",
            self.best("add", |stream| {
                let mut launch = stream.launch_builder(&add);
                launch.arg(&a).arg(&b).arg(&mut c).arg(&count);
                // SAFETY: sizes are those of the vectors.
                unsafe { launch.launch(line(n as u32 / 256, 256)) }.expect("it launches");
            }),
        ));

        let size = 512;
        let (sizes, matmul) = ([size; 3], self.function("basic.cu", "matmul"));
        let tiles = LaunchConfig {
            grid_dim: (size as u32 / 16, size as u32 / 16, 1),
            block_dim: (16, 16, 1),
            shared_mem_bytes: 0,
        };
        all.push((
            "tiled",
            "matmul",
            self.best("matmul", |stream| {
                let mut launch = stream.launch_builder(&matmul);
                launch.arg(&a).arg(&b).arg(&mut c).arg(&sizes[0]).arg(&sizes[1]).arg(&sizes[2]);
                // SAFETY: matrices of 512 by 512 fit the vectors.
                unsafe { launch.launch(tiles) }.expect("it launches");
            }),
        ));

        let gemm = self.function("tensor.cu", "gemm_bf16");
        let tiles = LaunchConfig {
            grid_dim: (size as u32 / 64, size as u32 / 64, 1),
            block_dim: (128, 1, 1),
            shared_mem_bytes: 0,
        };
        all.push((
            "tensor cores",
            "gemm_bf16",
            self.best("gemm_bf16", |stream| {
                let mut launch = stream.launch_builder(&gemm);
                launch.arg(&a).arg(&b).arg(&mut c).arg(&sizes[0]).arg(&sizes[1]).arg(&sizes[2]);
                // SAFETY: as above, of half the bytes.
                unsafe { launch.launch(tiles) }.expect("it launches");
            }),
        ));

        let attention = self.function("attention.cu", "attention");
        let (length, scale) = (512, 0.125_f32);
        let mut lse = zeros(4 * length as usize);
        let tiles = LaunchConfig {
            grid_dim: (length as u32 / 64, 4, 1),
            block_dim: (128, 1, 1),
            shared_mem_bytes: 0,
        };
        all.push((
            "attention",
            "attention",
            self.best("attention", |stream| {
                let mut launch = stream.launch_builder(&attention);
                launch.arg(&a).arg(&a).arg(&b).arg(&mut c).arg(&mut lse).arg(&length).arg(&scale);
                // SAFETY: 4 heads of 512 by 64 fit the vectors.
                unsafe { launch.launch(tiles) }.expect("it launches");
            }),
        ));
        eprintln!("{} thread(s) done", self.threads);
        all
    }
}

fn main() {
    nvrtc().unwrap_or_else(|error| panic!("{error}"));
    let Device::Simulated(simulator) = device() else {
        panic!("this measures the simulator, and there is a driver")
    };
    let context = CudaContext::new(0).expect("the simulated device");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = [1, processors]
        .map(|threads| {
            simulator.configure(&Config { threads, ..Config::default() });
            Bench { simulator, stream: context.default_stream(), threads }.run()
        })
        .into();
    println!("| kernel | 10^9 lane instructions/s | GFLOP/s | on {processors} threads |\n|---|---|---|---|");
    for (one, all) in results[0].iter().zip(&results[1]) {
        let (name, one, all) = (one.0, &one.2, &all.2);
        println!(
            "| {name} | {:.2} | {:.2} | {:.2}x |",
            one.lane_instructions as f64 / one.seconds / 1e9,
            one.flops as f64 / one.seconds / 1e9,
            one.seconds / all.seconds
        );
    }
}
