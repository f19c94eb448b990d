//! The driver: contexts, streams, memory, modules, launches, behind the functions of `libcuda`.
//!
//! Where in the flow: a program calls [`api`]; what is to run goes through a [`stream`], to the interpreter.
//!
//! **Invariant:** one lock guards everything, and what runs on the device runs under it: streams never overlap. What a program
//! may not rely on is shown by the lazy mode instead, which runs work as late as the API allows.

mod api;
mod models;
mod run;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::check::{Checks, Traffic};
use crate::exec::Order;
use crate::finding::{Finding, FindingKind};
use crate::lower::Kernel;
use crate::memory::Memory;
pub use models::Model;
use stream::{Event, Stream};

/// What is simulated, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which device.
    pub model: Model,
    /// Bytes of its memory.
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
}

/// A module that is loaded.
#[derive(Debug, Default)]
pub(crate) struct LoadedModule {
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
    memory: Memory,
    checks: Checks,
    streams: HashMap<usize, Stream>,
    events: HashMap<usize, Event>,
    modules: HashMap<usize, LoadedModule>,
    functions: HashMap<usize, LoadedFunction>,
    /// Pinned memory of the host: start and bytes.
    pinned: BTreeMap<usize, usize>,
    /// How often the primary context is retained, and handles of others.
    retained: u32,
    contexts: Vec<usize>,
    findings: Vec<Finding>,
    counters: BTreeMap<String, Counters>,
    printed: String,
    /// The error that every call gives once a kernel has failed.
    sticky: i32,
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
            streams: HashMap::from([(0, Stream::null())]),
            events: HashMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            pinned: BTreeMap::new(),
            retained: 0,
            contexts: Vec::new(),
            findings: Vec::new(),
            counters: BTreeMap::new(),
            printed: String::new(),
            sticky: 0,
            next_handle: 0x1000,
            sequence: 0,
        }
    }

    fn handle(&mut self) -> usize {
        self.next_handle += 16;
        self.next_handle
    }

    fn ok(&self) -> Result<(), i32> {
        if self.sticky == 0 { Ok(()) } else { Err(self.sticky) }
    }

    /// Keeps a mistake and gives the error of its call.
    fn invalid(&mut self, message: impl Into<String>) -> i32 {
        self.findings.push(Finding::of_call(FindingKind::InvalidCall, message));
        1
    }

    fn allocate(&mut self, bytes: u64) -> Result<u64, i32> {
        self.ok()?;
        let start = self.memory.allocate(bytes).ok_or(2)?;
        if self.config.checks {
            self.checks.allocate(start, bytes);
        }
        Ok(start)
    }

    fn free(&mut self, address: u64) -> Result<(), i32> {
        if !self.memory.free(address) {
            return Err(self.invalid(format!("{address:#x} is freed, where nothing is allocated")));
        }
        self.checks.free(address);
        Ok(())
    }

    /// The end of the primary context: what it leaves is reported and taken back.
    fn end_context(&mut self) {
        let globals: Vec<u64> =
            self.modules.values().flat_map(|module| module.globals.values()).map(|g| g.0).collect();
        let left: Vec<(u64, u64)> = self.memory.live().collect();
        for (start, bytes) in left {
            if !globals.contains(&start) {
                let message =
                    format!("{bytes} bytes at {start:#x} are still allocated when their context ends");
                self.findings.push(Finding::of_call(FindingKind::Leak, message));
            }
            self.memory.free(start);
            self.checks.free(start);
        }
        self.modules.clear();
        self.functions.clear();
        self.sticky = 0;
    }
}
