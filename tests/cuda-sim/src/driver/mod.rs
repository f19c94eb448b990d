//! The driver: contexts, streams, memory, modules, launches, behind the functions of `libcuda`.
//!
//! Where in the flow: a program calls [`api`] (or cuBLAS, in `crate::blas`); what is to run goes through a [`stream`], to the
//! interpreter.
//!
//! **Invariant:** one lock guards everything, and what runs on the device runs under it: streams never overlap. What a program
//! may not rely on is shown by the lazy mode instead, which runs work as late as the API allows.

mod api;
mod graph;
mod models;
mod pool;
mod run;
mod stream;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::check::{Checks, Traffic};
use crate::exec::Order;
use crate::finding::{Finding, FindingKind};
use crate::lower::Kernel;
use crate::memory::{Memory, Owner};
use graph::Graph;
pub use models::Model;
use pool::Pool;
pub(crate) use run::Work;
use stream::{Event, Stream};

/// `CUDA_ERROR_*` that more than one module gives.
const INVALID_VALUE: i32 = 1;
const OUT_OF_MEMORY: i32 = 2;
const INVALID_CONTEXT: i32 = 201;
const INVALID_HANDLE: i32 = 400;
const NOT_READY: i32 = 600;
const NOT_SUPPORTED: i32 = 801;

/// Handle of the primary context of device 0; the others' are behind it.
const PRIMARY: usize = 0xC0DA_0000;

thread_local! {
    /// The context of this thread; 0 for none.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// What is simulated, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which device.
    pub model: Model,
    /// How many.
    pub devices: usize,
    /// Bytes of the memory of each.
    pub memory: u64,
    /// Order of blocks and warps.
    pub order: Order,
    /// Work runs as late as the API allows.
    pub lazy: bool,
    /// Races and uninitialised bytes are looked for.
    pub checks: bool,
    /// Memory traffic is counted.
    pub profiles: bool,
    /// Instructions of the warps of a block at most.
    pub budget: u64,
    /// Threads that run blocks; 0 for all that there are.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: Model::default(),
            devices: 1,
            memory: 16 << 30,
            order: Order::default(),
            lazy: false,
            checks: false,
            profiles: false,
            budget: 1 << 36,
            threads: 0,
        }
    }
}

/// Sums over the launches of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Launches.
    pub launches: u64,
    /// Instructions of warps.
    pub warp_instructions: u64,
    /// Instructions of lanes.
    pub lane_instructions: u64,
    /// Products of matrices by warps.
    pub mma: u64,
    /// Floating-point operations; a fused one is two.
    pub flops: u64,
    /// Those of products of matrices.
    pub mma_flops: u64,
    /// Threads of a block and its bytes of dynamic shared memory, of the last launch.
    pub threads_of_block: u32,
    /// See above.
    pub dynamic_shared: u32,
    /// Seconds of this machine.
    pub seconds: f64,
    /// Memory traffic, if it was profiled.
    pub traffic: Traffic,
}

/// What the simulator has seen since the last report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Mistakes.
    pub findings: Vec<Finding>,
    /// By kernel.
    pub counters: BTreeMap<String, Counters>,
    /// What kernels printed.
    pub printed: String,
    /// Floating-point operations of cuBLAS.
    pub blas_flops: f64,
    /// Its calls that multiply; a batch is one.
    pub blas_products: u64,
}

/// A module that is loaded.
#[derive(Debug)]
pub(crate) struct LoadedModule {
    context: usize,
    /// Handles of its kernels by name.
    functions: HashMap<String, usize>,
    /// Address and bytes of its variables.
    globals: HashMap<String, (u64, u64)>,
}

/// A kernel that can be launched.
#[derive(Debug, Clone)]
pub(crate) struct LoadedFunction {
    kernel: Arc<Kernel>,
    /// Bytes of dynamic shared memory that were asked for.
    max_dynamic_shared: i32,
    module: usize,
}

#[derive(Debug)]
pub(crate) struct State {
    config: Config,
    pub(crate) memory: Memory,
    checks: Checks,
    streams: HashMap<usize, Stream>,
    events: HashMap<usize, Event>,
    graphs: HashMap<usize, Graph>,
    /// Graphs that can be launched.
    executables: HashMap<usize, Vec<Work>>,
    pools: HashMap<usize, Pool>,
    /// Pools of addresses that came from one.
    pool_of: HashMap<u64, usize>,
    modules: HashMap<usize, LoadedModule>,
    functions: HashMap<usize, LoadedFunction>,
    /// Handles of cuBLAS.
    pub(crate) blas: HashMap<usize, crate::blas::Handle>,
    pub(crate) blas_flops: f64,
    pub(crate) blas_products: u64,
    /// Pinned memory of the host: start, and bytes and flags.
    pinned: BTreeMap<usize, (usize, u32)>,
    /// Devices of the contexts that there are, by handle.
    contexts: HashMap<usize, usize>,
    /// How often each primary context is retained.
    retained: HashMap<usize, u32>,
    findings: Vec<Finding>,
    counters: BTreeMap<String, Counters>,
    printed: String,
    /// The error that every call gives once a kernel has failed.
    sticky: i32,
    /// The error of other work, which one call gives.
    failed: Option<i32>,
    next_handle: usize,
    sequence: u64,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| Mutex::new(State::new(Config::default())));

pub(crate) fn state() -> MutexGuard<'static, State> {
    // A panic under the lock has left no half-made state that is worse than no answer.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn new(config: Config) -> Self {
        Self {
            memory: Memory::new(config.memory),
            config,
            checks: Checks::default(),
            streams: HashMap::new(),
            events: HashMap::new(),
            graphs: HashMap::new(),
            executables: HashMap::new(),
            pools: HashMap::new(),
            pool_of: HashMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            blas: HashMap::new(),
            blas_flops: 0.0,
            blas_products: 0,
            pinned: BTreeMap::new(),
            contexts: HashMap::new(),
            retained: HashMap::new(),
            findings: Vec::new(),
            counters: BTreeMap::new(),
            printed: String::new(),
            sticky: 0,
            failed: None,
            next_handle: 0x1000,
            sequence: 0,
        }
    }

    pub(crate) fn handle(&mut self) -> usize {
        self.next_handle += 16;
        self.next_handle
    }

    /// Threads that run blocks and products.
    pub(crate) fn threads(&self) -> usize {
        if self.config.threads == 0 { rayon::current_num_threads() } else { self.config.threads }
    }

    fn ok(&self) -> Result<(), i32> {
        if self.sticky == 0 { Ok(()) } else { Err(self.sticky) }
    }

    /// Keeps a mistake and gives the error of its call.
    fn invalid(&mut self, message: impl Into<String>) -> i32 {
        self.findings.push(Finding::of_call(FindingKind::InvalidCall, message));
        1
    }

    /// Who allocates: the current context and its device.
    fn owner(&self) -> Result<Owner, i32> {
        let context = CURRENT.get();
        let device = *self.contexts.get(&context).ok_or(INVALID_CONTEXT)?;
        Ok(Owner { device, context })
    }

    fn allocate(&mut self, bytes: u64) -> Result<u64, i32> {
        self.ok()?;
        let start = self.memory.allocate(self.owner()?, bytes).ok_or(OUT_OF_MEMORY)?;
        if self.config.checks {
            self.checks.allocate(start, bytes);
        }
        Ok(start)
    }

    fn free(&mut self, address: u64) -> Result<(), i32> {
        let Some(bytes) = self.memory.free(address) else {
            return Err(self.invalid(format!("{address:#x} is freed, where nothing is allocated")));
        };
        self.checks.free(address);
        self.give_back(address, bytes);
        Ok(())
    }

    /// A context, with its stream 0.
    fn begin_context(&mut self, context: usize, device: usize) {
        if self.contexts.insert(context, device).is_none() {
            self.streams.insert(context, Stream::null(context));
        }
    }

    /// The end of a context: what it leaves is reported and taken back.
    fn end_context(&mut self, context: usize) {
        if self.contexts.remove(&context).is_none() {
            return;
        }
        let (ended, others) = std::mem::take(&mut self.modules)
            .into_iter()
            .partition::<HashMap<_, _>, _>(|(_, module)| module.context == context);
        self.modules = others;
        let globals: Vec<u64> =
            ended.values().flat_map(|module| module.globals.values()).map(|global| global.0).collect();
        let left: Vec<(u64, u64)> = self.memory.live(context).collect();
        for (start, bytes) in left {
            // A context that has failed refuses to free: what it leaves is nobody's mistake.
            if self.sticky == 0 && !globals.contains(&start) {
                let message =
                    format!("{bytes} bytes at {start:#x} are still allocated when their context ends");
                self.findings.push(Finding::of_call(FindingKind::Leak, message));
            }
            self.memory.free(start);
            self.checks.free(start);
        }
        self.functions.retain(|_, function| !ended.contains_key(&function.module));
        self.streams.retain(|_, stream| stream.context != context);
        if self.contexts.is_empty() {
            self.sticky = 0;
        }
    }
}
