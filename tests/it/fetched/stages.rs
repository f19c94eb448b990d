//! Catches what [`crate::stages`] cannot see with a tiny model: a run that, called as a function with the real
//! tokenizer, template and weights, does not stop when it is to or resumes to other bytes.

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
    for moment in [UnitOf("round 1 evolve"), UnitOf("train"), Displays(2)] {
        let found = cut.run(None, &Watcher::interrupting(moment));
        assert!(matches!(found, Err(Error::Interrupted)), "{moment:?}: {found:?}");
    }
    let resumed = cut.run(None, &Watcher::default()).unwrap().expect("it ran to the end");
    assert!(cut.results() == whole.results());
    assert_eq!((resumed.funnel, resumed.check), (summary.funnel, summary.check));

    let again = Watcher::default();
    cut.run(None, &again).unwrap().expect("it is finished");
    assert_eq!(again.lines().len(), 1, "it says that nothing is left to do: {:?}", again.lines());
}
