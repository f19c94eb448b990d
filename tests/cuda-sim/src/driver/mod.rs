//! The driver: contexts, streams, memory, modules, launches, behind the functions of `libcuda`.
//!
//! Where in the flow: a program calls [`api`] (or cuBLAS and NCCL, in `crate::blas` and `crate::nccl`); what
//! is to run goes through a [`stream`], to the interpreter.
//!
//! **Invariant:** one lock guards everything, and what runs on the device runs under it: streams never
//! overlap. What a program may not rely on is shown by the lazy mode instead, which runs work as late as the
//! API allows.

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
    /// The device's model.
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
    /// A device that fails.
    pub failure: Option<Failure>,
}

/// Something that fails on purpose, so that it can be tested what a program makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The kind of failure.
    pub fault: Fault,
    /// The device that fails; an all-reduce fails on all of them.
    pub device: usize,
    /// How many, since the simulator was configured, do not.
    pub after: u64,
}

/// What can fail on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A kernel, with the driver's error 719.
    Launch,
    /// An all-reduce: nothing is summed, and communicators give the asynchronous error 6.
    AllReduce,
}

impl Config {
    /// The configuration of programs that load the simulator by themselves: JSON in `CUDASIM_CONFIG`.
    fn of_environment() -> Self {
        std::env::var("CUDASIM_CONFIG").map_or_else(
            |_| Self::default(),
            |json| serde_json::from_str(&json).unwrap_or_else(|error| panic!("CUDASIM_CONFIG: {error}")),
        )
    }
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
            failure: None,
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

/// Findings and counters since the last report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Mistakes.
    pub findings: Vec<Finding>,
    /// Counters by kernel.
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
    /// Communicators of NCCL.
    pub(crate) communicators: HashMap<usize, crate::nccl::Communicator>,
    /// Pinned memory of the host: start, and bytes and flags.
    pinned: BTreeMap<usize, (usize, u32)>,
    /// Devices of the contexts that there are, by handle.
    contexts: HashMap<usize, usize>,
    /// How often each primary context is retained.
    retained: HashMap<usize, u32>,
    findings: Vec<Finding>,
    counters: BTreeMap<String, Counters>,
    printed: String,
    /// The errors that every call in a context gives once a kernel of it has failed.
    sticky: HashMap<usize, i32>,
    /// Kernels of each device, and all-reduces, since the simulator was configured.
    launches: HashMap<usize, u64>,
    all_reduces: u64,
    /// The error of other work, which one call gives.
    failed: Option<i32>,
    next_handle: usize,
    sequence: u64,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| Mutex::new(State::new(Config::of_environment())));

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
            communicators: HashMap::new(),
            pinned: BTreeMap::new(),
            contexts: HashMap::new(),
            retained: HashMap::new(),
            findings: Vec::new(),
            counters: BTreeMap::new(),
            printed: String::new(),
            sticky: HashMap::new(),
            launches: HashMap::new(),
            all_reduces: 0,
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

    /// The error of the current context.
    fn ok(&self) -> Result<(), i32> {
        self.sticky.get(&CURRENT.get()).map_or(Ok(()), |&code| Err(code))
    }

    /// Whether this one is to fail; counts it.
    pub(crate) fn is_to_fail(&mut self, fault: Fault, device: usize) -> bool {
        let count = match fault {
            Fault::Launch => self.launches.entry(device).or_default(),
            Fault::AllReduce => &mut self.all_reduces,
        };
        *count += 1;
        let is_meant = |failure: Failure| {
            failure.fault == fault && (fault == Fault::AllReduce || failure.device == device)
        };
        self.config.failure.is_some_and(|failure| is_meant(failure) && *count > failure.after)
    }

    /// How many devices there are.
    pub(crate) fn devices(&self) -> usize {
        self.config.devices
    }

    /// Keeps mistakes.
    pub(crate) fn find(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Keeps a mistake and gives the error of its call.
    pub(crate) fn invalid(&mut self, message: impl Into<String>) -> i32 {
        self.findings.push(Finding::of_call(FindingKind::InvalidCall, message));
        1
    }

    /// The owner of new allocations: the current context and its device.
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
        let Some(device) = self.contexts.remove(&context) else { return };
        let has_failed = self.sticky.remove(&context).is_some();
        self.end_communicators(device, has_failed);
        let (ended, others) = std::mem::take(&mut self.modules)
            .into_iter()
            .partition::<HashMap<_, _>, _>(|(_, module)| module.context == context);
        self.modules = others;
        let globals: Vec<u64> =
            ended.values().flat_map(|module| module.globals.values()).map(|global| global.0).collect();
        let left: Vec<(u64, u64)> = self.memory.live(context).collect();
        for (start, bytes) in left {
            // A context that has failed refuses to free memory, so what it leaves is no leak.
            if !has_failed && !globals.contains(&start) {
                let message =
                    format!("{bytes} bytes at {start:#x} are still allocated when their context ends");
                self.findings.push(Finding::of_call(FindingKind::Leak, message));
            }
            self.memory.free(start);
            self.checks.free(start);
        }
        self.functions.retain(|_, function| !ended.contains_key(&function.module));
        self.streams.retain(|_, stream| stream.context != context);
    }
}
