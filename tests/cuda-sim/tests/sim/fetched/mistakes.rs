//! Catches a mistake in a kernel that is not found, or is reported at another line.

use cudarc::driver::{DeviceRepr, PushKernelArg};
use cudasim::driver::Config;
use cudasim::finding::FindingKind;

use crate::support::{Bench, grid, run, source};

/// Runs a kernel of `faults.cu` on `x` (and `rest`), and expects one finding, at the line that says so.
fn expect<T: DeviceRepr + Default + Clone>(
    kernel: &str,
    blocks: u32,
    threads: u32,
    x: &[T],
    n: Option<i32>,
    kind: FindingKind,
) {
    let bench = Bench::new(&Config { checks: true, budget: 1 << 20, ..Config::default() });
    let function = bench.function("faults.cu", kernel);
    let mut dx = bench.stream.clone_htod(x).unwrap();
    // SAFETY: that nothing is written there is what is tested.
    let mut out = unsafe { bench.stream.alloc::<f32>(256) }.unwrap();
    let mut launch = bench.stream.launch_builder(&function);
    match kernel {
        "shared_race" => launch.arg(&dx).arg(&mut out),
        "uninitialised" => launch.arg(&out).arg(&dx),
        _ => launch.arg(&mut dx),
    };
    if let Some(n) = &n {
        launch.arg(n);
    }
    let result = run(&mut launch, grid(blocks, threads, 0)).and_then(|()| bench.stream.synchronize());
    assert_eq!(result.is_err(), kind.code() != 0, "{kernel}: {result:?}");
    let findings = bench.report().findings;
    let name = serde_json::to_value(kind).unwrap();
    let marker = format!("// BUG {}", name.as_str().unwrap());
    let line = source("faults.cu").lines().position(|line| line.contains(&marker)).unwrap() as u32 + 1;
    // A race is found at both of its ends if other threads come to them in the other order.
    let found = findings.iter().find(|finding| finding.kind == kind && finding.source_line == line);
    let found = found.unwrap_or_else(|| panic!("{kernel}, line {line}: {findings:#?}"));
    assert_eq!(found.kernel, kernel);
    assert!(found.source_file.ends_with("faults.cu"), "{found}");
}

#[test]
fn accesses_outside_of_an_allocation() {
    expect("out_of_bounds", 2, 64, &[0.0_f32; 100], Some(100), FindingKind::OutOfBounds);
}

#[test]
fn addresses_that_are_no_multiple() {
    expect("misaligned", 1, 32, &[0_u8; 256], None, FindingKind::Misaligned);
}

#[test]
fn races_in_shared_memory() {
    expect("shared_race", 1, 256, &[0.0_f32; 256], None, FindingKind::SharedRace);
}

#[test]
fn races_between_blocks() {
    expect("global_race", 2, 32, &[0_i32; 32], None, FindingKind::GlobalRace);
}

#[test]
fn bytes_that_nothing_wrote() {
    expect("uninitialised", 1, 32, &[0.0_f32; 32], None, FindingKind::Uninitialised);
}

#[test]
fn barriers_at_which_only_some_lanes_are() {
    expect("divergent_barrier", 1, 32, &[0_i32; 32], None, FindingKind::DivergentBarrier);
}

#[test]
fn barriers_that_are_never_complete() {
    expect("deadlock", 1, 64, &[0_i32; 64], None, FindingKind::Deadlock);
}

#[test]
fn values_of_lanes_that_take_no_part() {
    expect("inactive_lane", 1, 32, &[0_i32; 32], None, FindingKind::InactiveLane);
}

#[test]
fn traps_and_endless_loops() {
    expect("asserts", 1, 32, &[3_i32; 32], None, FindingKind::Trap);
    expect("endless", 1, 32, &[0_i32; 1], None, FindingKind::Timeout);
}

#[test]
fn memory_that_was_freed() {
    let bench = Bench::new(&Config::default());
    let function = bench.function("faults.cu", "endless");
    let x = bench.stream.clone_htod(&[1_i32]).unwrap();
    let address = {
        use cudarc::driver::DevicePtr;
        x.device_ptr(&bench.stream).0
    };
    drop(x);
    let mut launch = bench.stream.launch_builder(&function);
    let result = run(launch.arg(&address), grid(1, 1, 0)).and_then(|()| bench.stream.synchronize());
    assert!(result.is_err());
    assert_eq!(bench.report().findings[0].kind, FindingKind::UseAfterFree);
}
