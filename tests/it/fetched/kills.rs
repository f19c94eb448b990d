//! Catches work that is done twice or lost after `kill -9`, and a killed run that ends with other bytes.
//!
//! Instants are drawn uniformly over the life of an undisturbed run, so that they fall into loading,
//! calibrating, generating, judging and committing as often as a run does these. How many calls of the model
//! an interruption costs is counted in `src/evolve/tests.rs`, for an interruption at each of them.

use super::runs::{PATIENCE, QuickRun, assert_kept, units_done};
use evol::rng;
use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

const KILLS: usize = 20;
/// Runs that may end before their instant comes: far more than a machine of steady speed has.
const MAX_PROCESSES: u64 = 200;

/// Kills the process when it has lived for `instant`; whether it had not ended before.
fn kill_after(child: &mut Child, instant: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < instant {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(instant.saturating_sub(started.elapsed()).min(Duration::from_millis(2)));
    }
    child.kill().unwrap();
    // It may have ended by itself between the last look and the signal.
    child.wait().unwrap().code().is_none()
}

#[test]
fn killed_twenty_times_at_random_instants_a_run_exports_the_same_bytes() {
    let whole = QuickRun::undisturbed();
    assert!(whole.lasted < PATIENCE);
    let (mut run, mut before) = (QuickRun::new(), Vec::new());
    let (mut kills, mut left, mut fulls) = (0, BTreeSet::new(), 0);
    for process in 0..MAX_PROCESSES {
        let share = rng::uniform(rng::key(9, "test.kills", &[process]), 0, 0);
        let mut child = run.start();
        if kill_after(&mut child, whole.lasted.mul_f64(share)) {
            kills += 1;
            let after = run.committed();
            // A chunk is committed whole or not at all, so only the current one can be lost.
            let units = units_done(&after);
            assert!(units >= units_done(&before), "{} chunks became {units}", units_done(&before));
            assert_kept(&before, &after);
            assert_kept(&after, &whole.histories);
            left.insert(units);
            before = after;
        } else {
            // It went on from its kills to its end before its instant came: that is one run; here is the
            // next.
            run.assert_ends_undisturbed();
            fulls += 1;
            (run, before) = (QuickRun::new(), Vec::new());
        }
        if kills == KILLS {
            break;
        }
    }
    assert_eq!(kills, KILLS, "runs ended before their kills");
    assert!(left.len() >= 3, "all kills fell into the same place: {left:?} chunks were there");
    assert_kept(&before, &run.committed());
    run.assert_ends_undisturbed();
    println!("{kills} kills, {fulls} runs that ended between them, chunks left by kills: {left:?}");
}
