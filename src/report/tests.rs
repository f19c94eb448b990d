//! Tests that every page is small and safe, and that no data breaks it. `tests/it/fetched/report.rs` tests a
//! page in a browser.

use super::*;
use crate::eval::result::{
    Comparison, ConstraintRates, Contestant, Estimate, Evaluation, Generation, HeldOut, NamedOutcomes,
    Outcomes, Paired, Preference, Slice, SuiteInfo,
};

const HOSTILE: &str =
    "</script><script>window.pwned=1</script><img src=x onerror=alert(1)> \u{2028} \" ' & \0";

/// `n` nodes in lineages of ten, with about 300 bytes of text each: instructions of 150 bytes, and answers of
/// 300 bytes for every second one.
fn rows(n: u64) -> ReportData {
    let sentence = "Describe how the bridge over the river was built, who paid for it, and why it fell. ";
    let nodes: Vec<ReportNode> = (0..n)
        .map(|number| {
            let (root, attempt) = (number / 10, number % 10);
            // The texts differ from the start, so that sharing prefixes with parents saves nothing.
            let text = |word: &str, length| -> String {
                format!("{word} {number} {}", sentence.repeat(4)).chars().take(length).collect()
            };
            ReportNode {
                id: (root + 1) * 10_000 + attempt,
                parent_id: (attempt > 0).then_some((root + 1) * 10_000),
                root_id: (root + 1) * 10_000,
                round: attempt as u32,
                operator: (attempt > 0).then(|| "deepening".to_owned()),
                instruction: format!("{number} {}", text("Task", 150)),
                skill: Some("history".to_owned()),
                difficulty: Some((1 + attempt) as u8),
                status: if attempt % 2 == 0 { NodeStatus::Kept } else { NodeStatus::Eliminated },
                reason: (attempt % 2 == 1).then(|| "answer_truncated".to_owned()),
                verdicts: vec![RuleVerdict {
                    rule: "harder".into(),
                    passed: true,
                    detail: format!("p 0.{number}"),
                }],
                answer: (attempt % 2 == 0).then(|| text("Answer", 300)),
                constraints: vec!["at most 60 words".to_owned()],
                prompt_tokens: 210,
                completion_tokens: 120,
                ..ReportNode::default()
            }
        })
        .collect();
    let map = nodes.iter().map(|node| MapPoint { id: node.id, x: node.id as f64, y: (node.id % 97) as f64 });
    ReportData { map: map.collect(), nodes, ..ReportData::default() }
}

fn point(number: f64) -> Estimate {
    Estimate { value: number, low: number, high: number, n: 0 }
}

/// A comparison in which every estimate is `number` and every name `name`.
fn comparison(name: &str, number: f64) -> Comparison {
    let e = point(number);
    let paired = Paired {
        metric: name.to_owned(),
        both: usize::MAX,
        wins: usize::MAX,
        losses: 1,
        neither: 0,
        difference: e,
        p_value: number,
        needed: Some(u64::MAX),
    };
    let outcomes = Outcomes { wins: usize::MAX, ties: usize::MAX, losses: 0 };
    let preference = Preference {
        total: outcomes,
        win_rate: e,
        length_controlled: Some(e),
        flip_rate: e,
        p_value: number,
        needed: None,
        by_skill: Vec::new(),
        by_difficulty: Vec::new(),
    };
    Comparison {
        name: name.to_owned(),
        against: name.to_owned(),
        paired: vec![paired],
        by_skill: vec![NamedOutcomes { name: name.to_owned(), outcomes }],
        by_difficulty: Vec::new(),
        constraints: Some(e),
        held_out_loss: Some(e),
        relative_score: None,
        preference: Some(preference),
    }
}

/// An evaluation in which every number is `number` and every name `name`.
fn evaluation(name: &str, number: f64) -> Evaluation {
    let e = point(number);
    let slice = Slice { name: name.to_owned(), correct: e };
    let rates =
        ConstraintRates { prompt_strict: e, prompt_loose: e, constraint_strict: e, constraint_loose: e };
    let contestant = Contestant {
        name: name.to_owned(),
        adapter_sha256: Some(name.to_owned()),
        constraints: Some(rates),
        exact_match: Some(e),
        choice_accuracy: Some(e),
        held_out: Some(HeldOut { records: 0, tokens: 0, loss: e, perplexity: e }),
        words: Some(e),
        truncated: Some(e),
        by_skill: vec![slice.clone()],
        by_difficulty: vec![slice.clone()],
        by_constraint: vec![slice],
    };
    Evaluation {
        evol_version: name.to_owned(),
        suite: SuiteInfo {
            name: name.to_owned(),
            sha256: name.to_owned(),
            items: 0,
            verifiable: 0,
            constraints: 0,
            exact: 0,
            choice: 0,
            contaminated: 1,
        },
        seed: 0,
        max_tokens: 0,
        temperature: f32::NAN,
        model_sha256: name.to_owned(),
        contestants: vec![contestant],
        comparisons: vec![comparison(name, number)],
        judge: None,
        pooled: Vec::new(),
    }
}

/// A response in which every text is `text`.
fn generation(text: &str) -> Generation {
    Generation {
        choice: false,
        item: usize::MAX,
        instruction: text.to_owned(),
        skill: Some(text.to_owned()),
        difficulty: None,
        response: text.to_owned(),
        tokens: usize::MAX,
        ended: false,
        checks: Vec::new(),
        right: None,
    }
}

/// A run in which every text is `text` and every number `number`.
fn all(text: &str, number: f64) -> ReportData {
    let own = || text.to_owned();
    let pairs = || vec![(own(), own())];
    let step = StepPoint {
        step: u64::MAX,
        loss: number,
        learning_rate: number,
        grad_norm: number,
        tokens_per_second: number,
        peak_memory_bytes: Some(u64::MAX),
    };
    let node = ReportNode {
        id: u64::MAX,
        parent_id: Some(3),
        root_id: 9,
        round: u32::MAX,
        operator: Some(own()),
        instruction: own(),
        input: own(),
        skill: Some(own()),
        difficulty: Some(255),
        status: NodeStatus::Kept,
        reason: Some(own()),
        verdicts: vec![RuleVerdict { rule: own(), passed: false, detail: own() }],
        answer: Some(own()),
        constraints: vec![own()],
        prompt_tokens: u64::MAX,
        ..ReportNode::default()
    };
    ReportData {
        manifest: RunManifest {
            title: own(),
            evol_version: own(),
            reproduce: own(),
            model_name: own(),
            model_sha256: own(),
            seed: u64::MAX,
            config_toml: own(),
            hashes: pairs(),
            machine: pairs(),
            licences: pairs(),
            seconds: vec![(own(), number)],
        },
        funnel: vec![FunnelCell {
            round: 1,
            operator: Some(own()),
            attempts: u64::MAX,
            kept: u64::MAX,
            eliminated: [(own(), u64::MAX), (String::new(), 7)].into(),
        }],
        nodes: vec![node],
        map: vec![MapPoint { id: 1, x: number, y: number }, MapPoint { id: 2, x: 0.0, y: 0.0 }],
        map_method: Some(own()),
        speed: vec![SpeedPoint { seconds: number, tokens_per_second: number }],
        training: vec![TrainingCurve {
            name: own(),
            steps: vec![step, StepPoint::default(), step],
            validation: vec![ValidationPoint { step: 1, loss: number }],
        }],
        memory: vec![MemoryFigure { name: own(), bytes: u64::MAX }],
        evaluation: Some(evaluation(text, number)),
        generations: vec![(own(), vec![generation(text)]), (own(), Vec::new())],
    }
}

/// The page without its own style and script.
fn own_markup(page: &str) -> String {
    let style = include_str!("page.css");
    let script = include_str!("page.js");
    page.replacen(style, "", 1).replacen(script, "", 1)
}

#[test]
fn ten_thousand_rows_stay_below_five_megabytes() {
    let page = render(&rows(10_000));
    let megabytes = page.len() as f64 / 1e6;
    println!("{megabytes:.2} MB for 10,000 rows");
    assert!(megabytes < 5.0, "{megabytes}");
    assert!(!page.contains("texts are cut"), "300 bytes per row need no cut");
}

#[test]
fn long_texts_are_cut_before_the_page_grows() {
    let mut data = rows(10_000);
    for node in &mut data.nodes {
        node.answer = Some("All of this was said before. ".repeat(100));
    }
    let page = render(&data);
    assert!(page.len() < 5_000_000, "{}", page.len());
    assert!(page.contains("texts are cut"), "the cut is mentioned");
}

#[test]
fn no_text_becomes_markup() {
    let page = own_markup(&render(&all(HOSTILE, 0.5)));
    assert!(!page.contains("<script>window") && !page.contains("<img"));
    // The two data elements and the script of the page itself, nothing else.
    assert_eq!(page.matches("<script").count(), 3);
    assert_eq!(page.matches("</script").count(), 3);
    assert!(!page.contains('\0'));
}

#[test]
fn no_number_breaks_a_drawing() {
    let numbers = [0.0, -0.0, 0.5, -3.7, 1e-300, 1e15, -1e15, 1e300, f64::MAX, f64::MIN_POSITIVE];
    for number in numbers.into_iter().chain([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]) {
        let page = own_markup(&render(&all("a name", number)));
        for drawing in page.split("<svg").skip(1) {
            let drawing = drawing.split("</svg>").next().unwrap();
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{number}: {drawing}");
        }
    }
}

#[test]
fn missing_data_is_reported_in_a_sentence() {
    let page = own_markup(&render(&ReportData::default()));
    assert!(!page.contains("<figure") && !page.contains("<table class"));
    let sentences = [
        "Funnel",
        "the run has no attempts yet",
        "the journal has no instructions yet",
        "no instruction was kept",
        "no embeddings were computed",
        "speed over time was not recorded",
        "nothing was trained",
        "none was run",
        "there are no responses from an evaluation",
        "No evaluation was run",
    ];
    for sentence in sentences {
        assert!(page.contains(sentence), "{sentence}");
    }
}

#[test]
fn ids_are_unique_and_every_reference_has_its_element() {
    let mut data = rows(40);
    data.evaluation = Some(evaluation("base", 0.4));
    data.training = all("a", 0.5).training;
    let page = own_markup(&render(&data));
    let values = |attribute: &str| -> Vec<String> {
        let start = format!(" {attribute}=\"");
        let parts = page.split(start.as_str()).skip(1);
        parts.map(|part| part.split('"').next().unwrap_or_default().to_owned()).collect()
    };
    let ids = values("id");
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    for reference in values("aria-labelledby").iter().flat_map(|list| list.split(' ')) {
        assert!(unique.contains(&reference.to_owned()), "{reference}");
    }
    for target in values("href").iter().filter_map(|link| link.strip_prefix('#')) {
        assert!(unique.contains(&target.to_owned()), "{target}");
    }
}
