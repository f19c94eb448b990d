//! Runs on two simulated devices: the same rows in the same order as on one, the same bytes where sums are
//! made in the same order, and a device that is lost.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::Ordering;

use cudasim::driver::{Config, Failure, Fault};
use cudasim::loader;

use super::fixture::{CONTEXT, Fixture, files};
use crate::device::cuda::{Arena, CudaDevice, Dtype, MixedPrecision};
use crate::explain::Explain as _;
use crate::lora::LoraWeights;
use crate::model::LossSum;
use crate::ops::check::Cuda;
use crate::train::moments::Moments;
use crate::train::pack::fill_rows;
use crate::train::ranks::Ranks;
use crate::train::{Backend, Error, Event, Job, Optim, Outcome, TrainSummary, plan};

/// What a test on several devices needs; no machine that tests run on has several real ones.
fn on_devices<T>(config: &Config, ordinals: &[usize], test: impl FnOnce(&[CudaDevice]) -> T) -> T {
    let loader::Device::Simulated(_) = loader::device() else {
        panic!("this chooses its devices: run it on a machine without a driver")
    };
    let cuda = Cuda::new(&Config { devices: 2, ..config.clone() });
    let devices: Vec<CudaDevice> = ordinals.iter().map(|&o| CudaDevice::new(o).unwrap()).collect();
    let result = test(&devices);
    drop(devices);
    cuda.finish();
    result
}

fn job<'a>(fixture: &'a Fixture, out: &'a Path, devices: &'a [CudaDevice]) -> Job<'a> {
    let backend = Backend::Cuda { gpus: devices, precision: fixture.config.mixed_precision };
    Job { backend, ..fixture.job(out) }
}

/// A whole run, and the losses of its steps.
fn run(fixture: &Fixture, config: &Config, ordinals: &[usize], name: &str) -> (TrainSummary, Vec<f64>) {
    let (out, mut losses) = (fixture.out(name), Vec::new());
    let outcome = on_devices(config, ordinals, |devices| {
        Fixture::run_job(&job(fixture, &out, devices), |event, _| {
            if let Event::Step { metrics, .. } = event {
                losses.push(metrics.loss);
            }
        })
    });
    let Ok(Outcome::Finished(summary)) = outcome else { panic!("{outcome:?}") };
    (summary, losses)
}

/// The files of a run, without its checkpoint, which records the number of devices.
fn results(fixture: &Fixture, name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(&fixture.out(name));
    files.remove("checkpoint.safetensors");
    files
}

/// Twenty steps with dropout and validation passes; `rows` of a step for each device.
fn fixture(rows: usize) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.config.max_steps = Some(20);
    fixture.config.eval_steps = Some(7);
    fixture.config.gradient_accumulation_steps = rows;
    fixture.config.mixed_precision = MixedPrecision::No;
    fixture
}

mod slow {
    use super::*;

    /// With a row for each device and step the sums are the same: (0 + a) + b on one, (0 + a) + (0 + b) on
    /// two.
    #[test]
    fn two_devices_are_one_with_twice_the_accumulation() {
        for (optim, precision) in
            [(Optim::Adamw, MixedPrecision::No), (Optim::Adamw8bit, MixedPrecision::Bf16)]
        {
            let mut fixture = fixture(2);
            fixture.config.optim = optim;
            fixture.config.mixed_precision = precision;
            let config = Config { checks: true, ..Config::default() };
            let (one, losses) = run(&fixture, &config, &[0], "one");
            fixture.config.gradient_accumulation_steps = 1;
            for (name, ordinals, lazy) in [("two", [0, 1], false), ("other order", [1, 0], true)] {
                let (two, also) = run(&fixture, &Config { lazy, ..config.clone() }, &ordinals, name);
                assert_eq!((one.steps, one.tokens, one.target_tokens), (20, two.tokens, two.target_tokens));
                assert_eq!(losses, also, "{optim:?} {name}");
                assert!(results(&fixture, "one") == results(&fixture, name), "{optim:?} {name}");
            }
        }
    }
}

/// With two rows for each device the sums are made in another order, but always in the same one; the rows are
/// those of one device.
#[test]
fn the_order_of_data_does_not_depend_on_the_devices() {
    let mut fixture = fixture(4);
    let (_, wanted) = run(&fixture, &Config::default(), &[0], "one");
    fixture.config.gradient_accumulation_steps = 2;
    let (_, got) = run(&fixture, &Config::default(), &[0, 1], "two");
    assert_eq!(got.len(), wanted.len());
    for (step, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        assert!((got - wanted).abs() <= 1e-5 * wanted, "step {step}: {got}, wanted {wanted}");
    }
    run(&fixture, &Config::default(), &[0, 1], "again");
    assert!(files(&fixture.out("two")) == files(&fixture.out("again")));
}

/// A kernel that fails on one device, or a sum that fails on all, ends the run on all. The same command then
/// resumes and ends with the bytes of an undisturbed run.
#[test]
fn a_device_that_is_lost_ends_the_others_and_leaves_the_checkpoint() {
    let loader::Device::Simulated(simulator) = loader::device() else {
        panic!("no command makes a real device fail: run it on a machine without a driver")
    };
    let fixture = fixture(1);
    run(&fixture, &Config::default(), &[0, 1], "whole");
    // The first kernel of the step, one in the middle of it, and the sum behind it.
    for (fault, device, after) in [(Fault::Launch, 1, 0), (Fault::Launch, 0, 40), (Fault::AllReduce, 0, 0)] {
        let name = format!("{fault:?} {device}");
        let out = fixture.out(&name);
        let config =
            Config { devices: 2, failure: Some(Failure { fault, device, after }), ..Config::default() };
        let lost = on_devices(&Config::default(), &[0, 1], |devices| {
            Fixture::run_job(&job(&fixture, &out, devices), |event, _| {
                if matches!(event, Event::Step { metrics, .. } if metrics.step == 9) {
                    simulator.configure(&config);
                }
            })
        });
        let error = lost.unwrap_err();
        assert!(
            matches!(error, Error::Rank { ordinal, ranks: 2, .. } if ordinal == device),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains("which stopped training on 2 GPUs: "), "{error}");
        assert!(error.hint().unwrap().contains("resumes from the last checkpoint"), "{:?}", error.hint());
        // The same devices or others, as long as their number is the same.
        run(&fixture, &Config::default(), &[1, 0], &name);
        assert!(files(&out) == files(&fixture.out("whole")), "{name}");
    }
}

/// A thread that panics is reported like a device that fails, and copies that differ are noticed.
#[test]
fn ranks_that_panic_or_differ_end_the_run() {
    let fixture = fixture(1);
    let out = fixture.out("out");
    on_devices(&Config::default(), &[0, 1], |devices| {
        let job = job(&fixture, &out, devices);
        let adapter = LoraWeights::init(&job.config.lora(), &job.model.config().base_shape(), 1);
        let moments = Moments::new(job.config, &adapter);
        let start = || {
            let precision = fixture.config.mixed_precision;
            Ranks::new(&job, devices, precision, &adapter, &moments, CONTEXT, &mut |_, _| true).unwrap()
        };
        let mut rows = Vec::new();
        let rows = &*fill_rows(&mut rows, &job.train.samples, &[vec![0], vec![1], vec![2]]);
        let panicked = start().each(
            rows,
            // Without the panic hook's message: this one is meant.
            |_, (row, _)| {
                if *row == rows[1].0 {
                    resume_unwind(Box::new("out of luck"))
                } else {
                    Ok(LossSum::default())
                }
            },
            &mut || (),
        );
        assert!(
            matches!(
                &panicked,
                Err(Error::RankThread { ordinal: 1, ranks: 2, reason }) if reason == "out of luck"
            ),
            "{panicked:?}"
        );
        // Both at the same time: each waits until the other has started.
        let both = Barrier::new(2);
        let all_panicked = start().each(
            &rows[..2],
            |_, _| {
                both.wait();
                resume_unwind(Box::new("no luck at all"))
            },
            &mut || (),
        );
        assert!(
            matches!(
                &all_panicked,
                Err(Error::RankThread { ordinal: 0, reason, .. }) if reason == "no luck at all"
            ),
            "{all_panicked:?}"
        );
        let mut ranks = start();
        ranks.each(rows, |model, (row, noise)| model.forward_backward(row, 1.0, *noise), &mut || ()).unwrap();
        let differ = ranks.gradient_norm();
        assert!(matches!(differ, Err(Error::RanksDiffer { ordinal: 1, first_ordinal: 0, .. })), "{differ:?}");
    });
}

#[test]
fn a_stopped_run_resumes_to_the_same_bytes_with_as_many_devices() {
    let fixture = fixture(1);
    run(&fixture, &Config::default(), &[0, 1], "whole");
    let out = fixture.out("stopped");
    let stopped = on_devices(&Config::default(), &[0, 1], |devices| {
        Fixture::run_job(&job(&fixture, &out, devices), |event, interrupt| {
            if matches!(event, Event::Step { metrics, .. } if metrics.step == 5) {
                interrupt.store(true, Ordering::Relaxed);
            }
        })
    });
    assert_eq!(stopped.unwrap(), Outcome::Interrupted { step: 5, total_steps: 20 });
    let other = on_devices(&Config::default(), &[0], |devices| {
        Fixture::run_job(&job(&fixture, &out, devices), |_, _| ())
    });
    let error = other.unwrap_err();
    assert!(error.to_string().contains("`device` was `cuda x 2`, is now `cuda`"), "{error}");
    run(&fixture, &Config::default(), &[0, 1], "stopped");
    assert!(files(&out) == files(&fixture.out("whole")));
}

/// The base is copied to all devices, and what is planned is what the fullest of them has to have.
#[test]
fn the_plan_is_of_each_device() {
    let fixture = fixture(1);
    let out = fixture.out("out");
    on_devices(&Config::default(), &[0, 1], |devices| {
        let mut arena = Arena::default();
        arena.take(Dtype::U8, 1 << 20);
        let taken = devices[1].allocate(&arena).unwrap();
        let job = job(&fixture, &out, devices);
        let alone = plan(&Job { backend: Backend::Cpu(&fixture.pool), ..job }).unwrap();
        let both = plan(&job).unwrap();
        assert_eq!((alone.steps, both.steps), (20, 20));
        assert!(both.epochs > alone.epochs, "a step has twice the rows");
        let memory = both.device_memory.unwrap();
        assert_eq!((memory.ordinal, memory.available), (1, devices[1].free_bytes().unwrap()));
        assert!(memory.collectives > 0);
        let mut uploads = Vec::new();
        Fixture::run_job(&job, |event, interrupt| match event {
            Event::Upload { bytes_done, bytes_total } => uploads.push((*bytes_done, *bytes_total)),
            Event::Step { .. } => interrupt.store(true, Ordering::Relaxed),
            _ => {}
        })
        .unwrap();
        let &(done, total) = uploads.last().unwrap();
        assert!(uploads.is_sorted() && done == total && total > memory.base, "{done} of {total}");
        drop(taken);
    });
}
