//! Catches a run with the real tokenizer and template that, called as a function, does not stop when it is to
//! or resumes to other bytes. [`crate::stages`] has the same with a tiny model, and the single stages.

use super::models::quick_model;
use crate::stages::Moment::{Displays, UnitOf};
use crate::stages::{Experiment, Watcher};
use evol::run::Error;

#[test]
fn a_run_interrupted_in_three_stages_ends_with_the_bytes_of_one_that_was_not() {
    let whole = Experiment::new(quick_model());
    let summary = whole.run(None, &Watcher::default()).unwrap().expect("it ran to the end");
    assert!(summary.answers > 0 && summary.train_steps == 4, "{summary:?}");

    let cut = Experiment::new(quick_model());
    // The last one: of one training and of the base's responses.
    let calls = [UnitOf("round 1 evolve"), UnitOf("train"), Displays(2)].map(|moment| {
        let host = Watcher::interrupting(moment);
        let found = cut.run(None, &host);
        assert!(matches!(found, Err(Error::Interrupted)), "{moment:?}: {found:?}");
        host.lines()
    });
    let has = |call: usize, start| calls[call].iter().any(|line: &String| line.starts_with(start));
    assert!(!has(0, "progress: round 1 answer"), "evolving stopped at once: {calls:#?}");
    assert!(has(1, "note: evolving") && has(1, "note: checkpoint at step 1 of 4"), "{calls:#?}");
    assert!(!has(2, "note: evolving"), "what is finished is not started again: {calls:#?}");
    let resumed = cut.run(None, &Watcher::default()).unwrap().expect("it ran to the end");
    assert!(cut.results() == whole.results());
    assert_eq!((resumed.funnel, resumed.check), (summary.funnel, summary.check));

    let again = Watcher::default();
    cut.run(None, &again).unwrap().expect("it is finished");
    assert_eq!(again.lines().len(), 1, "it says that nothing is left to do: {:?}", again.lines());
}
