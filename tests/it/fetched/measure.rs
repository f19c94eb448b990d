//! Catches a speed measurement that is repeated instead of remembered, or that chooses a compute format or a
//! batch width that the measurements do not support.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use evol::gguf::Gguf;
use evol::llm::{
    Choice, ComputeFormat, ConversionCache, Determinism, Error, MeasureOptions, choose, choose_width, measure,
};

use super::model_path;

fn options(model: &Path) -> MeasureOptions<'_> {
    MeasureOptions {
        model,
        threads: 1,
        gpu_layers: 0,
        determinism: Determinism::Exact,
        budget: Duration::from_millis(50),
        interrupt: Arc::default(),
    }
}

#[test]
fn every_width_has_its_speeds() {
    let model = model_path();
    let rates = measure(&options(&model), &[1, 4]).unwrap();
    assert_eq!(rates.iter().map(|rates| rates.width).collect::<Vec<_>>(), [1, 4]);
    for rates in rates {
        let (prefill, decode) = (rates.prefill_tokens_per_second, rates.decode_rows_per_second);
        // From a machine busy with ten other things to one faster than any today.
        assert!((1.0..1e6).contains(&prefill) && (0.5..1e6).contains(&decode), "{rates:?}");
        assert!(rates.mixed() <= prefill.max(decode) && rates.mixed() >= prefill.min(decode), "{rates:?}");
    }
    assert!(matches!(measure(&options(&model), &[0]), Err(Error::BatchWidth { found: 0, .. })));
}

#[test]
fn measuring_ends_when_it_is_interrupted() {
    let model = model_path();
    let options = MeasureOptions { budget: Duration::from_secs(3600), ..options(&model) };
    let (interrupt, started) = (Arc::clone(&options.interrupt), Instant::now());
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(500));
            interrupt.store(true, Ordering::Relaxed);
        });
        measure(&options, &[4])
    });
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_choice_is_made_among_what_fits_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_path();
    let gguf = Gguf::open(&model).unwrap();
    let sha256 = gguf.sha256().unwrap();
    let cache = ConversionCache { folder: folder.path().to_owned(), threads: 1 };
    let choose = |max_bytes| choose(&options(&model), &sha256, 4, max_bytes, &cache, &mut |_| ()).unwrap();
    let formats =
        |choice: &Choice| choice.candidates.iter().map(|candidate| candidate.format).collect::<Vec<_>>();

    // Nothing but the file fits: nothing to measure, nothing to convert.
    let choice = choose(Some(1));
    assert_eq!((choice.format, formats(&choice)), (ComputeFormat::AsIs, Vec::new()));
    let is_model = |path: &Path| path.extension().is_some_and(|extension| extension == "gguf");
    assert!(!fs::read_dir(folder.path()).unwrap().any(|entry| is_model(&entry.unwrap().path())));

    let room_for_8_bits = Some(ComputeFormat::Q8_0.bytes(&gguf));
    let choice = choose(room_for_8_bits);
    assert_eq!(formats(&choice), [ComputeFormat::AsIs, ComputeFormat::Q8_0]);
    let kept = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept.filter(|path| path.to_str().unwrap().contains("-auto-")).collect();
    let texts = || kept.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>();
    assert_eq!(kept.len(), 2, "a choice for each condition");
    let before = texts();
    assert_eq!(choose(room_for_8_bits).format, choice.format);
    assert_eq!(texts(), before, "speeds are never the same twice, unless they are remembered");

    // A file that is no choice is measured again.
    for path in &kept {
        fs::write(path, "{ cut").unwrap();
    }
    assert_eq!(formats(&choose(room_for_8_bits)), formats(&choice));
}

#[test]
fn a_width_is_chosen_among_what_fits_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_path();
    let choose = |max_bytes| choose_width(&options(&model), "abc", max_bytes, folder.path()).unwrap();
    let kept = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(choose(Some(1)), 8, "the least is never too much");
    // 30 layers of 3 heads of 64 numbers: 23,040 bytes for the keys and values of a token, 2048 tokens.
    let sixteen = choose(Some(16 * 2048 * 23_040));
    assert!([8, 16].contains(&sixteen), "{sixteen}");
    assert_eq!(kept().len(), 2, "one for each set of widths");
    let last = kept().pop().unwrap();
    assert!(last.to_str().unwrap().contains("abc-width-"), "{last:?}");
    // What is kept is believed, unless it is none of the widths.
    for (written, expected) in [("8", vec![8]), ("16", vec![16]), ("7", vec![8, 16]), ("{", vec![8, 16])] {
        for path in kept() {
            fs::write(path, written).unwrap();
        }
        let chosen = choose(Some(16 * 2048 * 23_040));
        assert!(expected.contains(&chosen), "{written}: {chosen}");
    }
    // A folder that cannot be made is no reason to fail.
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(choose_width(&options(&model), "abc", Some(1), &file).unwrap(), 8);
}
