//! Catches an instruction between registers that differs from a reference of the same meaning, on all
//! combinations of edge values.
//!
//! Each case is a kernel of one instruction, written as PTX, which `ptxas` has to accept too.

mod bits;
mod compare;
mod convert;
mod float;
mod half;
mod integer;
mod values;

use std::fmt::Write;
use std::process::Command;

use cudarc::driver::PushKernelArg;
use cudarc::nvrtc::Ptx;
use cudasim::driver::{Config, Model};
use cudasim::exec::Order;
use cudasim::loader::tools;

use crate::support::{Bench, grid, run};
use values::{Class, Value};

/// Sources of an instruction, at most.
const SOURCES: usize = 4;

/// An instruction with its reference.
pub(crate) struct Case {
    opcode: String,
    result: Class,
    sources: Vec<(Class, Vec<u64>)>,
    /// What comes of the bits of the sources; `None` where PTX leaves it open.
    wanted: Box<dyn Fn([u64; SOURCES]) -> Option<u64>>,
    /// Whether the bits of two results are the same value.
    same: fn(u64, u64, u32) -> bool,
    /// By how many units in the last place it may be off.
    ulps: u32,
}

impl Case {
    /// An approximation.
    fn within(mut self, ulps: u32) -> Self {
        self.ulps = ulps;
        self
    }
}

macro_rules! constructor {
    ($name:ident, $($source:ident $at:tt),+) => {
        /// An instruction with so many sources.
        fn $name<$($source: Value,)+ R: Value>(
            opcode: impl Into<String>, f: impl Fn($($source),+) -> R + 'static,
        ) -> Case {
            Case {
                opcode: opcode.into(),
                result: R::CLASS,
                sources: vec![$(($source::CLASS, $source::edges())),+],
                wanted: Box::new(move |bits| f($($source::of(bits[$at])),+).bits()),
                same: R::same,
                ulps: 0,
            }
        }
    };
}
constructor!(one, A 0);
constructor!(two, A 0, B 1);
constructor!(three, A 0, B 1, C 2);
constructor!(four, A 0, B 1, C 2, D 3);

/// The kernel: loads the sources from slots of 8 bytes, and stores the result into one.
fn kernel(number: usize, case: &Case) -> String {
    let mut text = format!(".visible .entry case_{number}(.param .u64 out, .param .u32 count");
    (0..case.sources.len()).for_each(|i| write!(text, ", .param .u64 in{i}").unwrap());
    text.push_str(
        ")\n{\n.reg .pred %p<6>;\n.reg .b16 %h<6>;\n.reg .b32 %w<12>;\n.reg .b64 %d<12>;\n\
         mov.u32 %w6, %ctaid.x;\nmov.u32 %w7, %ntid.x;\nmov.u32 %w8, %tid.x;\n\
         mad.lo.u32 %w9, %w6, %w7, %w8;\n\
         ld.param.u32 %w10, [count];\nsetp.ge.u32 %p5, %w9, %w10;\n@%p5 ret;\nmul.wide.u32 %d9, %w9, 8;\n",
    );
    let mut operands = vec![format!("%{}0", case.result.letter())];
    for (i, (class, _)) in case.sources.iter().enumerate() {
        let to = i + 1;
        writeln!(text, "ld.param.u64 %d10, [in{i}];\nadd.u64 %d10, %d10, %d9;").unwrap();
        match class {
            Class::Predicate => {
                writeln!(text, "ld.global.u32 %w11, [%d10];\nsetp.ne.u32 %p{to}, %w11, 0;").unwrap();
            }
            class => writeln!(text, "ld.global.b{} %{}{to}, [%d10];", class.bits(), class.letter()).unwrap(),
        }
        operands.push(format!("%{}{to}", class.letter()));
    }
    writeln!(text, "{} {};", case.opcode, operands.join(", ")).unwrap();
    text.push_str("ld.param.u64 %d10, [out];\nadd.u64 %d10, %d10, %d9;\n");
    match case.result {
        Class::Predicate => text.push_str("selp.u32 %w0, 1, 0, %p0;\nst.global.u32 [%d10], %w0;\n"),
        class => writeln!(text, "st.global.b{} [%d10], %{}0;", class.bits(), class.letter()).unwrap(),
    }
    text.push_str("ret;\n}\n");
    text
}

/// All combinations of the sources' values, by source.
fn inputs(case: &Case) -> Vec<Vec<u64>> {
    let counts: Vec<usize> = case.sources.iter().map(|(_, values)| values.len()).collect();
    let total: usize = counts.iter().product();
    let value = |at: usize, source: usize| {
        let before: usize = counts[..source].iter().product();
        case.sources[source].1[at / before % counts[source]]
    };
    (0..counts.len()).map(|source| (0..total).map(|at| value(at, source)).collect()).collect()
}

fn check(cases: &[Case]) {
    let mut text = ".version 8.5\n.target sm_90\n.address_size 64\n".to_owned();
    cases.iter().enumerate().for_each(|(i, case)| text.push_str(&kernel(i, case)));
    assemble(&text);
    for order in [Order::Forward, Order::Reverse] {
        let bench = Bench::new(&Config { model: Model::Sm90, order, checks: false, ..Config::default() });
        let module = bench.context.load_module(Ptx::from_src(text.clone())).unwrap();
        for (i, case) in cases.iter().enumerate() {
            let function = module.load_function(&format!("case_{i}")).unwrap();
            let inputs = inputs(case);
            let count = inputs[0].len();
            let device: Vec<_> =
                inputs.iter().map(|values| bench.stream.clone_htod(values).unwrap()).collect();
            let mut out = bench.stream.alloc_zeros::<u64>(count).unwrap();
            let length = count as u32;
            let mut launch = bench.stream.launch_builder(&function);
            launch.arg(&mut out).arg(&length);
            device.iter().for_each(|values| {
                launch.arg(values);
            });
            let result = run(&mut launch, grid(length.div_ceil(128), 128, 0));
            drop(launch);
            assert_eq!(result, Ok(()), "{}: {:?}", case.opcode, bench.report().findings);
            let got = bench.stream.clone_dtoh(&out).unwrap();
            for (at, &got) in got.iter().enumerate() {
                let mut sources = [0; SOURCES];
                inputs.iter().enumerate().for_each(|(i, values)| sources[i] = values[at]);
                let Some(wanted) = (case.wanted)(sources) else { continue };
                assert!(
                    (case.same)(got, wanted, case.ulps),
                    "{} of {:#x?}: {got:#x}, wanted {wanted:#x}",
                    case.opcode,
                    &sources[..inputs.len()]
                );
            }
        }
    }
}

/// What the simulator takes must be PTX.
fn assemble(text: &str) {
    let name = std::thread::current().name().unwrap_or("test").replace(':', "_");
    let path = std::env::temp_dir().join(format!("cuda-sim-{}-{name}.ptx", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let ptxas = tools().join("nvidia/cuda_nvcc/bin/ptxas");
    let output =
        Command::new(ptxas).args(["-arch=sm_90", "-O0", "-o", "/dev/null"]).arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
}
