//! Catches a simulated all-reduce with a wrong sum, a sum at the wrong place in its stream, and a mistaken
//! call that is not refused.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr};
use cudarc::nccl::safe::{Comm, ReduceOp, group_end, group_start};
use cudarc::nccl::{result, sys};
use cudasim::driver::{Config, Failure, Fault};
use cudasim::finding::FindingKind;
use sys::ncclRedOp_t::{ncclMax, ncclSum};
use sys::ncclResult_t::{ncclInvalidArgument, ncclInvalidUsage, ncclRemoteError, ncclSuccess};

use crate::support::Bench;

/// A stream of each device, of which the first is that of the bench.
fn streams(bench: &Bench, devices: usize) -> Vec<Arc<CudaStream>> {
    let others = (1..devices).map(|ordinal| CudaContext::new(ordinal).unwrap().new_stream().unwrap());
    std::iter::once(bench.context.new_stream().unwrap()).chain(others).collect()
}

fn config(devices: usize) -> Config {
    Config { devices, checks: true, ..Config::default() }
}

fn all_reduce(ranks: &[Comm], buffers: &mut [CudaSlice<f32>]) -> Result<(), result::NcclError> {
    group_start()?;
    let mut outcome = Ok(());
    for (rank, buffer) in ranks.iter().zip(buffers) {
        rank.context().bind_to_thread().unwrap();
        outcome = outcome.and(rank.all_reduce_in_place(buffer, &ReduceOp::Sum).map(|_| ()));
    }
    outcome.and(group_end().map(|_| ()))
}

#[test]
fn a_sum_is_that_of_all_in_the_order_of_ranks() {
    for lazy in [false, true] {
        let bench = Bench::new(&Config { lazy, ..config(3) });
        let streams = streams(&bench, 3);
        let ranks = Comm::from_devices(streams.clone()).unwrap();
        // In another order the second of them would be 1.
        let numbers = [[1.0, 1e8], [2.0, 1.0], [4.0, -1e8]];
        let put = |(stream, numbers): (&Arc<CudaStream>, &[f32; 2])| stream.clone_htod(numbers).unwrap();
        let mut buffers: Vec<CudaSlice<f32>> = streams.iter().zip(&numbers).map(put).collect();
        all_reduce(&ranks, &mut buffers).unwrap();
        // What comes after it in any stream finds the sum; the last one is asked first.
        for (stream, buffer) in streams.iter().zip(&buffers).rev() {
            assert_eq!(stream.clone_dtoh(buffer).unwrap(), [7.0, 0.0], "lazy: {lazy}");
        }
        drop((ranks, buffers, streams));
        assert_eq!(bench.finish().findings, []);
    }
}

/// Communicators that have to be ended.
fn connect<const N: usize>(ordinals: [i32; N]) -> Result<[sys::ncclComm_t; N], sys::ncclResult_t> {
    let mut ranks = [std::ptr::null_mut(); N];
    // SAFETY: both lists have as many entries as are said.
    let made = unsafe { result::comm_init_all(ranks.as_mut_ptr(), N as i32, ordinals.as_ptr()) };
    made.map(|_| ranks).map_err(|error| error.0)
}

fn abort(ranks: impl IntoIterator<Item = sys::ncclComm_t>) {
    for rank in ranks {
        // SAFETY: the communicator is live, and not used again.
        unsafe { result::comm_abort(rank) }.unwrap();
    }
}

/// A sum in place, or another operation.
fn reduce(
    rank: sys::ncclComm_t,
    buffer: &CudaSlice<f32>,
    operation: sys::ncclRedOp_t,
    stream: &CudaStream,
) -> sys::ncclResult_t {
    let address = buffer.device_ptr(buffer.stream()).0;
    let (from, to, float) =
        (address as *const c_void, address as *mut c_void, sys::ncclDataType_t::ncclFloat32);
    // SAFETY: the device is simulated, and lets nothing reach memory that is not there.
    unsafe { sys::ncclAllReduce(from, to, buffer.len(), float, operation, rank, stream.cu_stream().cast()) }
}

/// All calls in one group.
fn in_group(calls: impl FnOnce()) -> sys::ncclResult_t {
    group_start().unwrap();
    calls();
    group_end().map_or_else(|error| error.0, |_| ncclSuccess)
}

#[test]
fn what_the_ranks_call_has_to_fit() {
    let bench = Bench::new(&config(2));
    let streams = streams(&bench, 2);
    let ranks = connect([0, 1]).unwrap();
    let [first, second] = [0, 1].map(|rank: usize| streams[rank].clone_htod(&[1.0_f32, 2.0]).unwrap());
    let short = streams[1].clone_htod(&[1.0_f32]).unwrap();
    let call = |rank: usize, buffer, stream: usize| reduce(ranks[rank], buffer, ncclSum, &streams[stream]);

    assert_eq!(call(0, &first, 0), ncclInvalidUsage, "a rank alone");
    assert_eq!(call(0, &second, 0), ncclInvalidArgument, "memory of another device");
    assert_eq!(call(0, &first, 1), ncclInvalidArgument, "a stream of another device");
    assert_eq!(reduce(ranks[0], &first, ncclMax, &streams[0]), ncclInvalidArgument, "another operation");
    let lengths = in_group(|| {
        call(0, &first, 0);
        call(1, &short, 1);
    });
    assert_eq!(lengths, ncclInvalidArgument, "different lengths");
    let findings = bench.report().findings;
    assert_eq!(findings.len(), 5, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::InvalidCall), "{findings:#?}");

    // SAFETY: it is not read, which is what the finding is about.
    let unwritten = unsafe { streams[0].alloc::<f32>(2) }.unwrap();
    let made = in_group(|| {
        call(0, &unwritten, 0);
        call(1, &second, 1);
    });
    assert_eq!(made, ncclSuccess);
    let findings = bench.report().findings;
    assert!(
        matches!(&findings[..], [finding] if finding.kind == FindingKind::Uninitialised),
        "{findings:#?}"
    );
    abort(ranks);
}

#[test]
fn devices_have_to_be_there_and_differ() {
    let bench = Bench::new(&config(2));
    assert_eq!(connect([0, 0]), Err(ncclInvalidUsage));
    assert_eq!(connect([0, 2]), Err(ncclInvalidArgument));
    let other = CudaContext::new(1).unwrap();
    connect([0, 1]).unwrap();
    drop(other);
    let findings = bench.finish().findings;
    assert!(findings.len() == 2 && findings.iter().all(|f| f.kind == FindingKind::Leak), "{findings:#?}");
}

#[test]
fn a_sum_can_fail_on_purpose() {
    let failure = Failure { fault: Fault::AllReduce, device: 0, after: 1 };
    let bench = Bench::new(&Config { failure: Some(failure), ..config(2) });
    let streams = streams(&bench, 2);
    let ranks = connect([0, 1]).unwrap();
    let buffers: Vec<CudaSlice<f32>> = streams.iter().map(|s| s.clone_htod(&[1.0_f32]).unwrap()).collect();
    for expected in [ncclSuccess, ncclRemoteError] {
        let begun = in_group(|| {
            for rank in 0..2 {
                assert_eq!(reduce(ranks[rank], &buffers[rank], ncclSum, &streams[rank]), ncclSuccess);
            }
        });
        assert_eq!(begun, ncclSuccess);
        for rank in ranks {
            let mut status = ncclSuccess;
            // SAFETY: the communicator is live.
            unsafe { sys::ncclCommGetAsyncError(rank, &raw mut status) };
            assert_eq!(status, expected);
        }
    }
    for (stream, buffer) in streams.iter().zip(&buffers) {
        assert_eq!(stream.clone_dtoh(buffer).unwrap(), [2.0], "only the first sum is made");
    }
    abort(ranks);
    drop((buffers, streams));
    assert_eq!(bench.finish().findings, []);
}
