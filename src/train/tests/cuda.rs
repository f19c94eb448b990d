//! Runs on the device of the tests: they agree with those on the CPU, and a run that is stopped anywhere goes
//! on to the same bytes.

use std::sync::atomic::Ordering;

use cudasim::driver::{Config, Model};
use cudasim::exec::Order;
use cudasim::finding::FindingKind;
use cudasim::loader;

use super::fixture::{Fixture, files};
use crate::device::cuda::MixedPrecision;
use crate::explain::Explain as _;
use crate::ops::check::Cuda;
use crate::train::{Backend, Error, Event, Optim, Outcome, plan};

/// Losses of the steps, and of the validation passes after them.
type Losses = Vec<(u64, f64)>;

/// Runs on the device and stops after `stop` steps. The simulated device must find nothing wrong.
fn run(
    fixture: &Fixture,
    config: &Config,
    name: &str,
    precision: MixedPrecision,
    stop: Option<u64>,
) -> (Outcome, Losses) {
    let cuda = Cuda::new(config);
    let out = fixture.out(name);
    let mut job = fixture.job(&out);
    job.backend = Backend::Cuda { gpus: std::slice::from_ref(&cuda.device), precision };
    let mut losses = Vec::new();
    let outcome = Fixture::run_job(&job, |event, interrupt| match event {
        Event::Step { metrics, .. } => {
            losses.push((metrics.step, metrics.loss));
            interrupt.store(stop.is_some_and(|stop| metrics.step >= stop), Ordering::Relaxed);
        }
        Event::Eval(metrics) => losses.push((metrics.step, metrics.validation_loss)),
        _ => {}
    });
    let outcome = outcome.unwrap();
    cuda.finish();
    (outcome, losses)
}

fn on_cpu(fixture: &Fixture) -> Losses {
    let mut losses = Vec::new();
    let outcome = fixture.run_with(&fixture.out("cpu"), |event, _| match event {
        Event::Step { metrics, .. } => losses.push((metrics.step, metrics.loss)),
        Event::Eval(metrics) => losses.push((metrics.step, metrics.validation_loss)),
        _ => {}
    });
    assert!(matches!(outcome, Ok(Outcome::Finished(_))));
    losses
}

mod slow {
    use super::*;

    /// With dropout, weight decay, validation passes, a rate of its own for B, and both kinds of moments:
    /// losses of all steps within 1e-3 in f32 and 2e-2 in 16 bits.
    #[test]
    fn losses_are_those_on_the_cpu() {
        for optim in [Optim::Adamw, Optim::Adamw8bit] {
            let mut fixture = Fixture::new();
            fixture.config.optim = optim;
            fixture.config.loraplus_lr_ratio = 2.0;
            let wanted = on_cpu(&fixture);
            for (precision, limit) in
                [(MixedPrecision::No, 1e-3), (MixedPrecision::Bf16, 2e-2), (MixedPrecision::Fp16, 2e-2)]
            {
                for order in [Order::Forward, Order::Reverse] {
                    let name = format!("{precision:?} {order:?}");
                    let config = Config { order, checks: true, ..Config::default() };
                    let (_, got) = run(&fixture, &config, &name, precision, None);
                    assert_eq!(got.len(), wanted.len());
                    for (got, wanted) in got.iter().zip(&wanted) {
                        assert_eq!(got.0, wanted.0);
                        let error = (got.1 - wanted.1).abs();
                        assert!(error <= limit * wanted.1, "{optim:?} {name}: {got:?}, wanted {wanted:?}");
                    }
                }
                // The order of blocks and warps decides nothing.
                let files = [Order::Forward, Order::Reverse]
                    .map(|order| files(&fixture.out(&format!("{precision:?} {order:?}"))));
                assert!(files[0] == files[1], "{precision:?}");
            }
        }
    }
}

#[test]
fn an_interrupt_after_any_step_changes_nothing() {
    for optim in [Optim::Adamw, Optim::Adamw8bit] {
        let mut fixture = Fixture::new();
        fixture.config.optim = optim;
        let config = Config { lazy: true, ..Config::default() };
        let precision = MixedPrecision::Bf16;
        let (whole, _) = run(&fixture, &config, "whole", precision, None);
        let Outcome::Finished(summary) = whole else { panic!("not interrupted") };
        for step in 1..summary.steps {
            let name = format!("stopped {step}");
            let (outcome, _) = run(&fixture, &config, &name, precision, Some(step));
            assert_eq!(outcome, Outcome::Interrupted { step, total_steps: summary.steps });
            run(&fixture, &config, &name, precision, None);
            assert!(files(&fixture.out(&name)) == files(&fixture.out("whole")), "stopped after step {step}");
        }
    }
}

/// Copying the base to the device reports its progress, and can be stopped; then the same job resumes as if
/// nothing had been.
#[test]
fn an_upload_is_told_and_can_be_stopped() {
    let (fixture, precision) = (Fixture::new(), MixedPrecision::Bf16);
    let (whole, _) = run(&fixture, &Config::default(), "whole", precision, None);
    let Outcome::Finished(summary) = whole else { panic!("not interrupted") };
    let mut uploads = Vec::new();
    let cuda = Cuda::new(&Config::default());
    let out = fixture.out("stopped");
    let mut job = fixture.job(&out);
    job.backend = Backend::Cuda { gpus: std::slice::from_ref(&cuda.device), precision };
    let planned = plan(&job).unwrap().device_memory.unwrap().base;
    for stop_after in [0, 3] {
        let outcome = Fixture::run_job(&job, |event, interrupt| {
            if let Event::Upload { bytes_done, bytes_total } = event {
                uploads.push((*bytes_done, *bytes_total));
                interrupt.store(uploads.len() > stop_after, Ordering::Relaxed);
            }
        });
        assert_eq!(outcome.unwrap(), Outcome::Interrupted { step: 0, total_steps: summary.steps });
        assert_eq!(uploads.len(), stop_after + 1);
        uploads.clear();
    }
    let outcome = Fixture::run_job(&job, |event, _| {
        if let Event::Upload { bytes_done, bytes_total } = event {
            uploads.push((*bytes_done, *bytes_total));
        }
    });
    assert!(matches!(outcome, Ok(Outcome::Finished(_))));
    cuda.finish();
    assert!(files(&out) == files(&fixture.out("whole")));
    let &(done, total) = uploads.last().unwrap();
    assert_eq!((uploads[0].0, done), (0, total));
    assert!(uploads.is_sorted());
    // The plan rounds each tensor up to 256 bytes.
    assert!(total <= planned && planned - total < 256 * uploads.len() as u64, "{total} of {planned}");
}

/// A device that fails in the middle of a step ends the run with an error; the same job resumes to the
/// bytes of a run without.
#[test]
fn a_device_that_is_lost_leaves_the_last_checkpoint() {
    let loader::Device::Simulated(simulator) = loader::device() else {
        panic!("no command makes a real device fail: run it on a machine without a driver")
    };
    let (fixture, precision) = (Fixture::new(), MixedPrecision::Bf16);
    run(&fixture, &Config::default(), "whole", precision, None);
    let cuda = Cuda::new(&Config::default());
    let out = fixture.out("lost");
    let mut job = fixture.job(&out);
    job.backend = Backend::Cuda { gpus: std::slice::from_ref(&cuda.device), precision };
    let lost = Fixture::run_job(&job, |event, _| {
        if matches!(event, Event::Step { metrics, .. } if metrics.step == 2) {
            // So few instructions are enough for no kernel.
            simulator.configure(&Config { budget: 8, ..Config::default() });
        }
    });
    let error = lost.unwrap_err();
    assert!(matches!(error, Error::Cuda(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("resumes from the last checkpoint"), "{:?}", error.hint());
    let findings = cuda.end();
    // A block on each thread of the simulator may run out of instructions before the others stop.
    assert!(!findings.is_empty() && findings.iter().all(|f| f.kind == FindingKind::Timeout), "{findings:#?}");
    run(&fixture, &Config::default(), "lost", precision, None);
    assert!(files(&fixture.out("lost")) == files(&fixture.out("whole")));
}

/// A device without bf16 says so, and trains in half precision, with other kernels to nearly the same losses.
#[test]
fn a_device_before_8_0_trains_in_half_precision() {
    let loader::Device::Simulated(_) = loader::device() else {
        panic!("this chooses its device: run it on a machine without a driver")
    };
    let fixture = Fixture::new();
    let wanted = on_cpu(&fixture);
    let config = Config { model: Model::Sm75, checks: true, ..Config::default() };
    let (_, got) = run(&fixture, &config, "half", MixedPrecision::Fp16, None);
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(&wanted) {
        assert!((got.1 - wanted.1).abs() <= 2e-2 * wanted.1, "{got:?}, wanted {wanted:?}");
    }
    let cuda = Cuda::new(&config);
    let out = fixture.out("bf16");
    let mut job = fixture.job(&out);
    job.backend = Backend::Cuda { gpus: std::slice::from_ref(&cuda.device), precision: MixedPrecision::Bf16 };
    let error = Fixture::run_job(&job, |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("compute capability 7.5, expected at least 8.0 for bf16"), "{error}");
    assert!(error.hint().unwrap().contains("fp16"));
    cuda.finish();
}

/// A run on one kind of device does not resume on another kind, nor in another precision.
#[test]
fn a_checkpoint_knows_its_device() {
    let fixture = Fixture::new();
    run(&fixture, &Config::default(), "out", MixedPrecision::No, Some(2));
    let refused = fixture.run(&fixture.out("out"));
    assert!(matches!(refused, Err(Error::OtherRun { .. })), "{refused:?}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_taken() {
    let fixture = Fixture::new();
    let cuda = Cuda::new(&Config { memory: 1 << 20, ..Config::default() });
    let out = fixture.out("out");
    let mut job = fixture.job(&out);
    job.backend = Backend::Cuda { gpus: std::slice::from_ref(&cuda.device), precision: MixedPrecision::Bf16 };
    let plan = plan(&job).unwrap();
    let device = plan.device_memory.unwrap();
    assert!(device.available <= 1 << 20);
    let refused = plan.require(u64::MAX);
    assert!(
        matches!(refused, Err(Error::DeviceMemory { available, .. }) if available == device.available),
        "{refused:?}"
    );
    assert!(!out.exists());
    cuda.finish();
}

/// What is taken of the device is what the plan says, but for what cuBLAS takes itself.
#[test]
fn the_plan_is_what_is_taken() {
    for optim in [Optim::Adamw, Optim::Adamw8bit] {
        let mut fixture = Fixture::new();
        fixture.config.optim = optim;
        let cuda = Cuda::new(&Config::default());
        let out = fixture.out("out");
        let mut job = fixture.job(&out);
        job.backend =
            Backend::Cuda { gpus: std::slice::from_ref(&cuda.device), precision: MixedPrecision::Bf16 };
        let planned = plan(&job).unwrap().device_memory.unwrap();
        let mut taken = 0;
        Fixture::run_job(&job, |event, _| {
            if matches!(event, Event::Step { .. }) {
                taken = planned.available - cuda.device.free_bytes().unwrap();
            }
        })
        .unwrap();
        assert_eq!(taken, planned.total() - planned.products, "{optim:?}");
        cuda.finish();
    }
}
