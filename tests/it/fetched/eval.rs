//! Catches `evol eval` finding a difference where there is none, scoring a suite in the wrong way, changing
//! its verdicts after an interruption, or measuring what it should refuse.

use super::models::quick_model;
use super::{model_path, refused};
use crate::evol;
use evol::gguf::Gguf;
use evol::llm::{self, Engine, EngineOptions, Message, ScoredTokens, Tokenizer};
use evol::lora::{LoraConfig, LoraWeights, TargetModule};
use evol::model::Llama;
use evol::rng;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An adapter whose numbers are drawn from ±`half` / 2; 0 changes nothing.
fn adapter(folder: &Path, model: &Path, name: &str, half: f64) -> PathBuf {
    let model = Llama::load(Arc::new(Gguf::open(model).unwrap())).unwrap();
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        target_modules: TargetModule::ALL.to_vec(),
        ..LoraConfig::default()
    };
    let mut weights = LoraWeights::init(&config, &model.config().base_shape(), 3);
    for pair in weights.pairs.clone() {
        for i in pair.b {
            weights.data[i] = (half * (rng::uniform(4, 0, i as u64) - 0.5)) as f32;
        }
    }
    let path = folder.join(name);
    weights.write_gguf(&path, "adapter").unwrap();
    path
}

/// Runs `evol eval` in `folder` and gives back what it says on stdout.
fn eval(folder: &Path, model: &Path, arguments: &[&str]) -> Value {
    let output = evol()
        .current_dir(folder)
        .args(["eval", "--json", "--threads", "1", "--base"])
        .arg(model)
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const HELD_OUT: &str = r#"{"instruction": "Name a colour.", "output": "Blue is a colour."}
{"instruction": "Say hello.", "output": "Hello! How can I help you today?"}
"#;

#[test]
fn an_adapter_that_changes_nothing_is_no_better_and_no_worse() {
    let folder = tempfile::tempdir().unwrap();
    adapter(folder.path(), &model_path(), "nothing.gguf", 0.0);
    adapter(folder.path(), &model_path(), "noise.gguf", 0.8);
    fs::write(folder.path().join("held-out.jsonl"), HELD_OUT).unwrap();
    let common =
        ["--limit", "6", "--max-tokens", "16", "--validation", "held-out.jsonl", "--no-judge", "--out", "e"];
    let adapters = ["--adapter", "nothing.gguf", "--adapter", "x=noise.gguf"];
    let found = eval(folder.path(), &model_path(), &[&common[..], &adapters].concat());
    let names: Vec<&str> =
        found["contestants"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base", "nothing", "x"]);
    let said =
        |name: &str| fs::read_to_string(folder.path().join(format!("e/generations-{name}.jsonl"))).unwrap();
    assert_eq!(said("base"), said("nothing"), "what adds nothing is the base, bit for bit");
    assert_ne!(said("base"), said("x"), "the engine takes the next adapter");
    assert_eq!(said("base").lines().count(), 6);
    let (base, nothing) = (&found["contestants"][0], &found["contestants"][1]);
    assert_eq!(base["held_out"], nothing["held_out"]);
    assert!(base["held_out"]["loss"]["value"].as_f64().unwrap() < 4.0, "{base}");
    assert!(
        found["contestants"][2]["held_out"]["loss"]["value"].as_f64()
            > base["held_out"]["loss"]["value"].as_f64()
    );
    let same = &found["comparisons"][0];
    assert_eq!((same["name"].as_str(), same["against"].as_str()), (Some("nothing"), Some("base")));
    for paired in same["paired"].as_array().unwrap() {
        assert_eq!(
            (paired["wins"].as_u64(), paired["losses"].as_u64(), paired["p_value"].as_f64()),
            (Some(0), Some(0), Some(1.0))
        );
    }
    assert_eq!(found["comparisons"].as_array().unwrap().len(), 3);
    // No number without its interval.
    let rates = &base["constraints"]["prompt_strict"];
    assert!(
        rates["low"].as_f64() <= rates["value"].as_f64() && rates["value"].as_f64() <= rates["high"].as_f64()
    );
}

/// After a kill, a signal to stop, or the loss of half a file, the same command ends with the same bytes.
#[test]
fn an_evaluation_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("held-out.jsonl"), HELD_OUT).unwrap();
    let arguments =
        ["--limit", "100", "--max-tokens", "6", "--no-judge", "--validation", "held-out.jsonl", "--out"];
    let whole = eval(folder.path(), quick_model(), &[&arguments[..], &["whole"]].concat());
    let part = folder.path().join("part");
    let mut child = Command::new(env!("CARGO_BIN_EXE_evol"))
        .current_dir(folder.path())
        .args(["eval", "--threads", "1", "--base"])
        .arg(quick_model())
        .args(arguments)
        .arg("part")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let file = part.join("generations-base.jsonl");
    while !file.exists() && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(600));
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().unwrap();
    // What was measured before the kill counts as it was kept.
    assert_eq!(eval(folder.path(), quick_model(), &[&arguments[..], &["part"]].concat()), whole);
    // The last wave, as a file system without order might lose it.
    let kept = fs::read_to_string(&file).unwrap();
    fs::write(&file, &kept[..kept.len() * 2 / 3]).unwrap();
    let again = eval(folder.path(), quick_model(), &[&arguments[..], &["part"]].concat());
    assert_eq!(again, whole);
    for name in ["eval.json", "generations-base.jsonl", "settings.json"] {
        let read = |dir: &str| fs::read(folder.path().join(dir).join(name)).unwrap();
        assert_eq!(read("whole"), read("part"), "{name}");
    }
}

#[test]
fn suites_of_others_are_scored_in_their_own_ways() {
    let folder = tempfile::tempdir().unwrap();
    let choice = |question: &str, choices: [&str; 3], right: usize| {
        serde_json::json!({ "question": question, "choices": choices, "answer": right }).to_string()
    };
    let suite = [
        choice("Which animal says meow?", ["A cat.", "A lorry.", "A spoon."], 0),
        choice("What do people drink when they are thirsty?", ["Gravel.", "Water.", "Curtains."], 1),
        r#"{"question": "What is 1 plus 1?", "answer": "It is two.\n#### 2"}"#.to_owned(),
        serde_json::json!({
            "key": 7,
            "prompt": "Say something.",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [{}, { "relation": "less than", "num_words": 400 }],
        })
        .to_string(),
        r#"{"Instruction": "Say hello.", "Skill": "Writing", "Difficulty": 1}"#.to_owned(),
    ];
    fs::write(folder.path().join("suite.jsonl"), suite.join("\n")).unwrap();
    let found = eval(
        folder.path(),
        &model_path(),
        &["--suite", "suite.jsonl", "--max-tokens", "48", "--no-judge", "--out", "e"],
    );
    let info = &found["suite"];
    let counts =
        ["items", "verifiable", "constraints", "exact", "choice"].map(|key| info[key].as_u64().unwrap());
    assert_eq!(counts, [5, 1, 2, 1, 2]);
    let base = &found["contestants"][0];
    assert_eq!(
        base["choice_accuracy"]["value"].as_f64(),
        Some(1.0),
        "a model that knows nothing else knows cats and water"
    );
    let said = fs::read_to_string(folder.path().join("e/generations-base.jsonl")).unwrap();
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((said[0]["response"].as_str(), said[0]["right"].as_bool()), (Some("A cat."), Some(true)));
    assert_eq!(said[3]["checks"].as_array().unwrap().len(), 2);
    assert_eq!(said[3]["checks"][1]["strict"].as_bool(), Some(true), "48 tokens are fewer than 400 words");
    assert!(said[4]["checks"].is_null() && said[4]["right"].is_null());
}

#[test]
fn the_judge_is_tried_and_asked_only_if_it_can_tell() {
    let folder = tempfile::tempdir().unwrap();
    let noise = adapter(folder.path(), quick_model(), "noise.gguf", 0.8);
    let noise = noise.to_str().unwrap();
    let found = eval(
        folder.path(),
        quick_model(),
        &["--limit", "3", "--max-tokens", "12", "--adapter", noise, "--out", "e"],
    );
    let judge = &found["judge"];
    assert_eq!(judge["calibration_pairs"].as_u64(), Some(78), "{judge}");
    assert_eq!(judge["same_family"].as_bool(), Some(true));
    let accuracy = judge["calibration_accuracy"]["value"].as_f64().unwrap();
    let trusted = judge["trusted"].as_bool().unwrap();
    assert_eq!(trusted, accuracy >= evol::eval::MIN_ACCURACY);
    assert_eq!(found["comparisons"][0]["preference"].is_null(), !trusted);
}

/// The engine's own recipe has an 8-bit cache; the textbook one keeps 32 bits. 0.05 nats a token is about
/// five times what was measured.
#[test]
fn likelihoods_are_those_of_the_reference_and_do_not_depend_on_what_is_beside_them() {
    let model = model_path();
    let tokenizer = Tokenizer::load(&model).unwrap();
    let template = tokenizer.chat_template().unwrap().unwrap();
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let sequence = |question: &str, answer: &str| {
        let parts =
            template.render(&[message("user", question), message("assistant", answer)], false).unwrap();
        tokenizer.tokenize(&parts).unwrap()
    };
    let long = "The tide comes in twice a day, and what it brings it takes away again. ".repeat(24);
    let texts = [
        sequence("Name a river.", "The Nile is a river in Africa."),
        sequence("Write about the sea.", &long),
    ];
    assert!(texts[1].len() > 300, "longer than a batch: {}", texts[1].len());
    let scored = |tokens: &Vec<u32>| ScoredTokens {
        tokens: tokens.clone(),
        counts: (0..tokens.len()).map(|at| at > 0).collect(),
    };
    let sequences: Vec<ScoredTokens> = texts.iter().map(scored).collect();
    let mut engine = Engine::load(EngineOptions::new(&model, 2)).unwrap();
    let together = engine.log_likelihoods(&sequences).unwrap();
    for (at, tokens) in texts.iter().enumerate() {
        let alone = engine.log_likelihoods(&sequences[at..=at]).unwrap()[0].unwrap();
        assert_eq!(Some(alone.to_bits()), together[at].map(f64::to_bits));
        let reference = llm::log_likelihood(&model, None, std::slice::from_ref(tokens)).unwrap();
        let mean = alone / (tokens.len() - 1) as f64;
        println!("{mean} {reference}");
        assert!((mean - reference).abs() <= 0.05, "{mean} {reference}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let model = model_path();
    let model = model.to_str().unwrap();
    fs::write(path.join("bad.jsonl"), "{\"instruction\": \"Fine.\"}\n{\"instruction\": 7}\n").unwrap();
    let with = |more: &[&str]| {
        refused(path, &[&["eval", "--base", model, "--out", "e", "--no-judge"], more].concat())
    };
    insta::assert_snapshot!(
        with(&["--suite", "bad.jsonl"]),
        @"error: line 2 of the suite `bad.jsonl` has a number as `instruction`, expected a non-blank \
          string (or the fields of another form: `prompt` and `instruction_id_list`, `question` and \
          `answer`)\n\nhint: `evol eval --help` lists the forms of a suite; each has one JSON object per line"
    );
    insta::assert_snapshot!(
        with(&["--suite", "absent.jsonl"]),
        @"error: cannot read the suite `absent.jsonl`: No such file or directory (os error 2)"
    );
    insta::assert_snapshot!(with(&["--limit", "0"]), @"error: `--limit` is 0, expected at least 1 item");
    insta::assert_snapshot!(
        with(&["--temperature", "-1"]),
        @"error: `--temperature` is -1, expected a finite number, 0 or more"
    );
    insta::assert_snapshot!(
        with(&["--adapter", "base=x.gguf"]),
        @"error: invalid value 'base=x.gguf' for '--adapter <[NAME=]FILE>': the name `base` is reserved \
          for the base model: choose another with NAME=FILE\n\nFor more information, try '--help'."
    );
    insta::assert_snapshot!(
        with(&["--adapter", "x.gguf", "--adapter", "x.gguf"]),
        @"error: `--adapter` is `x` twice, expected different names: use NAME=FILE"
    );
    eval(path, &model_path(), &["--limit", "1", "--max-tokens", "2", "--no-judge", "--out", "e"]);
    insta::assert_snapshot!(with(&["--limit", "1", "--max-tokens", "3"]), @r#"
    error: the evaluation in `e` was started with other settings: `max_tokens` was `2`, is now `3`

    hint: undo the change to resume it, or start a new one with `--out`
    "#);
}
