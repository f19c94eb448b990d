//! Catches driver calls that succeed where CUDA refuses, that complete too early, or that describe another
//! device than the configured one.

use std::ffi::c_void;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};
use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use cudasim::driver::{Config, Model};
use cudasim::finding::FindingKind;

use crate::support::{Bench, grid, run};

#[test]
fn memory_has_an_end() {
    let bench = Bench::new(&Config { memory: 1 << 20, ..Config::default() });
    let half = bench.stream.alloc_zeros::<u8>(512 << 10).unwrap();
    assert_eq!(bench.context.mem_get_info().unwrap(), (512 << 10, 1 << 20));
    let refused = bench.stream.alloc_zeros::<u8>((512 << 10) + 1).map(|_| ());
    assert_eq!(refused, Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)));
    drop(half);
    // Nothing is left of the refusal, and what was freed is there again.
    assert!(bench.stream.alloc_zeros::<u8>(1 << 20).is_ok());
    assert_eq!(bench.finish().findings, []);
}

#[test]
fn what_is_left_is_told_at_the_end_of_the_context() {
    let bench = Bench::new(&Config::default());
    let kept = bench.stream.alloc_zeros::<u8>(1000).unwrap();
    drop(bench.stream.alloc_zeros::<u8>(2000).unwrap());
    let _address = kept.leak();
    let findings = bench.finish().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::Leak);
    assert!(findings[0].message.starts_with("1000 bytes"), "{}", findings[0]);
}

#[test]
fn lazy_work_is_not_done_before_it_is_waited_for() {
    let bench = Bench::new(&Config { lazy: true, ..Config::default() });
    let stream = bench.context.new_stream().unwrap();
    let device = stream.clone_htod(&[7_u32; 16]).unwrap();
    // SAFETY: it is filled before it is read.
    let mut pinned = unsafe { bench.context.alloc_pinned::<u32>(16) }.unwrap();
    pinned.as_mut_slice().unwrap().fill(0);
    let to: *const u32 = pinned.as_ptr().unwrap();
    stream.memcpy_dtoh(&device, &mut pinned).unwrap();
    // SAFETY: pinned memory of 16 numbers, which is read around the slice that would wait.
    let before = unsafe { to.read_volatile() };
    stream.synchronize().unwrap();
    // SAFETY: as above.
    let after = unsafe { to.read_volatile() };
    assert_eq!((before, after), (0, 7));
}

#[test]
fn a_stream_that_does_not_wait_reads_too_early() {
    let bench = Bench::new(&Config { lazy: true, ..Config::default() });
    // SAFETY: the tests order the streams themselves; that is what is tested.
    unsafe { bench.context.disable_event_tracking() };
    let fill = |waits: bool| {
        let (one, two) = (bench.context.new_stream().unwrap(), bench.context.new_stream().unwrap());
        let mut x = one.clone_htod(&[1_u32; 8]).unwrap();
        one.synchronize().unwrap();
        one.memcpy_htod(&[2_u32; 8], &mut x).unwrap();
        if waits {
            two.wait(&one.record_event(None).unwrap()).unwrap();
        }
        two.clone_dtoh(&x).unwrap()[0]
    };
    assert_eq!((fill(false), fill(true)), (1, 2));
}

#[test]
fn arguments_of_another_size_are_refused() {
    let bench = Bench::new(&Config::default());
    let module = bench.module("basic.cu");
    let function = module.load_function("add").unwrap();
    let stream = bench.stream.cu_stream();
    let launch = |bytes: usize| {
        let (arguments, mut size) = ([0_u64; 8], bytes);
        // CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE, CU_LAUNCH_PARAM_END.
        let mut extra: [*mut c_void; 5] = [
            std::ptr::without_provenance_mut(1),
            arguments.as_ptr().cast_mut().cast(),
            std::ptr::without_provenance_mut(2),
            (&raw mut size).cast(),
            std::ptr::null_mut(),
        ];
        let function = function.cu_function();
        // SAFETY: the buffer and its size are there; nothing is touched with n = 0.
        unsafe {
            sys::cuLaunchKernel(
                function,
                1,
                1,
                1,
                32,
                1,
                1,
                0,
                stream,
                std::ptr::null_mut(),
                extra.as_mut_ptr(),
            )
        }
    };
    // Three pointers and a number.
    assert_eq!(launch(28), CUresult::CUDA_SUCCESS);
    assert_eq!(launch(24), CUresult::CUDA_ERROR_INVALID_VALUE);
    assert_eq!(launch(32), CUresult::CUDA_ERROR_INVALID_VALUE);
    let findings = bench.report().findings;
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].kind, FindingKind::InvalidLaunch);
    assert!(findings[0].message.contains("24 bytes of arguments"), "{}", findings[0]);
}

#[test]
fn launches_that_no_device_takes_are_refused() {
    let bench = Bench::new(&Config::default());
    let add = bench.function("basic.cu", "add");
    let x = bench.stream.alloc_zeros::<f32>(1).unwrap();
    let n = 0_i32;
    let launch = |grid_dim, block_dim| {
        let config = LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 0 };
        run(bench.stream.launch_builder(&add).arg(&x).arg(&x).arg(&x).arg(&n), config)
    };
    let refused = Err(DriverError(CUresult::CUDA_ERROR_INVALID_VALUE));
    assert_eq!(launch((1, 1, 1), (1024, 1, 1)), Ok(()));
    assert_eq!(launch((1, 1, 1), (1025, 1, 1)), refused);
    assert_eq!(launch((1, 1, 1), (32, 1, 65)), refused);
    assert_eq!(launch((1, 65_536, 1), (32, 1, 1)), refused);
    assert_eq!(launch((0, 1, 1), (32, 1, 1)), refused);
    assert!(bench.report().findings.iter().all(|finding| finding.kind == FindingKind::InvalidLaunch));
}

#[test]
fn an_instruction_that_is_not_supported_is_named_when_its_kernel_is_launched() {
    let bench = Bench::new(&Config::default());
    let text = ".version 8.0\n.target sm_80\n.address_size 64\n\
        .visible .entry good() { ret; }\n\
        .visible .entry bad() {\n.reg .b32 %r<2>;\nmov.u32 %r0, 0;\nfrobnicate.sync.b32 %r1, %r0;\nret;\n}\n";
    let module = bench.context.load_module(Ptx::from_src(text)).unwrap();
    let launch = |name: &str| {
        let function = module.load_function(name).unwrap();
        run(&mut bench.stream.launch_builder(&function), grid(1, 1, 0))
    };
    assert_eq!(launch("good"), Ok(()));
    assert_eq!(launch("bad"), Err(DriverError(CUresult::CUDA_ERROR_NOT_SUPPORTED)));
    assert_eq!(launch("good"), Ok(()), "it is no error that stays");
    let findings = bench.report().findings;
    assert_eq!((findings.len(), findings[0].kind, findings[0].ptx_line), (1, FindingKind::Unsupported, 8));
    assert!(findings[0].message.contains("frobnicate.sync.b32"), "{}", findings[0]);
}

#[test]
fn what_is_no_ptx_is_no_module() {
    let bench = Bench::new(&Config::default());
    let load = |image: &[u8]| {
        // SAFETY: an image, as the driver wants it, with a zero at its end.
        unsafe { result::module::load_data(image.as_ptr().cast()) }.map(|_| ()).unwrap_err().0
    };
    assert_eq!(load(b"\x7fELF\x02\x01\x01\x33\0\0"), CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
    assert_eq!(
        load(b".version 8.0\n.target sm_80\n.visible .entry k( {\0"),
        CUresult::CUDA_ERROR_INVALID_PTX
    );
    let findings = bench.report().findings;
    assert!(findings[0].message.contains("line 3"), "{}", findings[0]);
}

#[test]
fn modules_for_newer_devices_are_refused() {
    for (model, target, is_taken) in [
        (Model::Sm75, "sm_75", true),
        (Model::Sm75, "sm_80", false),
        (Model::Sm89, "sm_80", true),
        (Model::Sm89, "sm_90a", false),
    ] {
        let bench = Bench::new(&Config { model, ..Config::default() });
        let source =
            format!(".version 7.0\n.target {target}\n.address_size 64\n.visible .entry k() {{ ret; }}\n");
        assert_eq!(bench.context.load_module(source.into()).is_ok(), is_taken, "{target} on {model:?}");
        assert_eq!(bench.report().findings.len(), usize::from(!is_taken));
    }
}

#[test]
fn devices_are_as_their_model() {
    for (model, capability, shared, threads) in [
        (Model::Sm75, (7, 5), 64 << 10, 1024),
        (Model::Sm80, (8, 0), 163 << 10, 2048),
        (Model::Sm86, (8, 6), 99 << 10, 1536),
        (Model::Sm89, (8, 9), 99 << 10, 1536),
        (Model::Sm90, (9, 0), 227 << 10, 2048),
    ] {
        let bench = Bench::new(&Config { model, ..Config::default() });
        assert_eq!(bench.context.compute_capability().unwrap(), capability);
        let attribute = |which| bench.context.attribute(which).unwrap();
        use CUdevice_attribute::*;
        assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), shared);
        assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR), threads);
        if model == Model::Sm75 {
            continue; // The test's kernels are compiled for newer ones.
        }
        let add = bench.function("basic.cu", "add");
        // Few registers and no shared memory: as many blocks as threads fit.
        assert_eq!(
            add.occupancy_max_active_blocks_per_multiprocessor(256, 0, None).unwrap(),
            threads as u32 / 256
        );
    }
}

#[test]
fn devices_have_their_own_memory() {
    let bench = Bench::new(&Config { devices: 2, memory: 1 << 20, ..Config::default() });
    assert_eq!(CudaContext::device_count().unwrap(), 2);
    let other = CudaContext::new(1).unwrap();
    let kept = bench.stream.alloc_zeros::<u8>(1 << 20).unwrap();
    let there = other.default_stream().clone_htod(&[5_u8; 100]).unwrap();
    // A copy between devices, and a kernel that reaches for the memory of the other.
    assert_eq!(other.default_stream().clone_dtoh(&there).unwrap(), [5; 100]);
    drop(kept);
    let here = bench.stream.clone_dtod(&there).unwrap();
    assert_eq!(bench.stream.clone_dtoh(&here).unwrap(), [5; 100]);
    assert!(CudaContext::new(2).is_err());
}
