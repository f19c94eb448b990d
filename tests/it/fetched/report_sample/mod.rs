//! Helper: a made-up run for the tests of the report: everything that the page can show, hostile output
//! included.
//!
//! Texts are put together from lists by a small generator, so that the page looks like one of a real run and
//! is the same on every machine.

mod evaluation;

use evol::report::{
    FunnelCell, MapPoint, MemoryFigure, NodeStatus, ReportData, ReportNode, RuleVerdict, RunManifest,
    SpeedPoint, StepPoint, TrainingCurve, ValidationPoint,
};
use std::collections::BTreeMap;

/// An instruction that does harm on a page that takes it for markup.
pub(crate) const HOSTILE: &str = "<script>window.pwned=1</script><img src=x onerror=alert(1)>";
/// The word that exactly one instruction of the run has.
pub(crate) const RARE: &str = "xylophone";

const SKILLS: [&str; 12] = [
    "writing",
    "reasoning",
    "mathematics",
    "programming",
    "history",
    "biology",
    "cooking",
    "translation",
    "summarization",
    "physics",
    "literature",
    "common_sense",
];
const ASKS: [&str; 12] = [
    "Write a short poem about",
    "Explain to a child",
    "Give three reasons for",
    "Describe the history of",
    "Compare the advantages and drawbacks of",
    "Write a product description for",
    "List the steps to repair",
    "Summarise what is known about",
    "Name common mistakes with",
    "Invent a story about",
    "Make a plan to learn",
    "Write a letter that complains about",
];
const THINGS: [&str; 16] = [
    "a lighthouse on a cliff",
    "prime numbers",
    "sourdough bread",
    "the water cycle",
    "a bicycle with a broken chain",
    "black holes",
    "the French Revolution",
    "sorting algorithms",
    "a garden in a dry climate",
    "night trains",
    "honey bees",
    "public libraries",
    "chess openings",
    "volcanic islands",
    "medieval maps",
    "paper aeroplanes",
];
const ADDED: [(&str, &str); 6] = [
    ("Use at most 60 words.", "at most 60 words"),
    ("Answer in three bullet points.", "exactly 3 bullet points"),
    ("Do not use any commas.", "no commas"),
    ("End with a question.", "ends with a question mark"),
    ("Mention the word “river” twice.", "the word “river” at least 2 times"),
    ("Write everything in lower case.", "all in lower case"),
];
const DEEPER: [&str; 4] = [
    "and say how this changed over the last hundred years",
    "and support every claim with an example",
    "for a reader who has never heard of it",
    "and weigh the costs against the benefits",
];
const OPERATORS: [&str; 5] =
    ["derived_constraints", "verifiable_constraints", "mutation", "deepening", "increase_reasoning"];
const REASONS: [&str; 12] = [
    "constraint_failed",
    "answer_truncated",
    "no_constraint",
    "not_a_request",
    "cosmetic_edit",
    "scaffold_leak",
    "refused",
    "asks_back",
    "duplicate",
    "no_gain",
    "answer_looping",
    "missing_context",
];

/// Numbers that look random.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// A run of `seeds` seeds, trained and evaluated.
pub(crate) fn sample(seeds: usize) -> ReportData {
    let mut dice = Dice::new(7);
    let mut nodes = Vec::new();
    for seed in 0..seeds {
        family(seed, &mut dice, &mut nodes);
    }
    if let Some(node) = nodes.first_mut() {
        HOSTILE.clone_into(&mut node.instruction);
        node.answer = Some(format!("{HOSTILE} & \u{2028} </script>"));
    }
    if let Some(node) = nodes.last_mut() {
        node.instruction += " Think of a ";
        node.instruction += RARE;
        node.instruction += ".";
    }
    let map = nodes.iter().filter(|node| node.status == NodeStatus::Kept).map(|node| {
        let topic = node.root_id % 16;
        let angle = f64::from(topic as u32) * 0.39 + dice.share() * 0.5;
        let radius = 1.0 + (topic % 4) as f64 + dice.share() + 0.35 * f64::from(node.round);
        MapPoint { id: node.id, x: radius * angle.cos(), y: radius * angle.sin() }
    });
    ReportData {
        map: map.collect(),
        manifest: manifest(),
        funnel: funnel(&nodes),
        map_method: Some(
            "Mean token vectors of the model, projected on their first two principal components".into(),
        ),
        speed: (0..240)
            .map(|n| SpeedPoint {
                seconds: f64::from(n) * 1.7,
                tokens_per_second: 128.0 + 14.0 * (f64::from(n) / 17.0).sin() + 10.0 * dice.share(),
            })
            .collect(),
        training: vec![curve("seeds", 0.93, &mut dice), curve("evolved", 0.86, &mut dice)],
        memory: [("weights", 98), ("adapter and its moments", 21), ("activations", 164), ("logits", 50)]
            .map(|(name, mib)| MemoryFigure { name: name.into(), bytes: mib << 20 })
            .to_vec(),
        evaluation: Some(evaluation::evaluation(&mut dice)),
        generations: evaluation::generations(&mut dice),
        nodes,
    }
}

fn manifest() -> RunManifest {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    RunManifest {
        title: "quickstart".into(),
        evol_version: "0.1.0".into(),
        reproduce: "evol run runs/quickstart/config.toml --model \
                    ~/.cache/evol/models/SmolLM2-135M-Instruct.Q4_1.gguf --out runs/again"
            .into(),
        model_name: format!("SmolLM2 135M Instruct, Q4_1 {HOSTILE}"),
        model_sha256: "5a1395716f7913741cc51d98581b9b1228d80987a9f7d3664106742eb06bba83".into(),
        seed: 1,
        config_toml:
            "model = \"smollm2-135m-instruct\"\nseed = 1\n\n[evolve]\nrounds = 2\n\n[train]\nr = 8\n\
             learning_rate = 2e-4\n"
                .into(),
        hashes: vec![
            pair("seeds, BLAKE3", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
            pair("prompts, BLAKE3", "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"),
        ],
        machine: vec![
            pair("processor", "Intel Xeon Processor @ 2.80GHz, 2 cores"),
            pair("memory", "23.5 GiB"),
            pair("platform", "linux x86_64"),
        ],
        licences: vec![pair("model", "apache-2.0"), pair("seeds", "Apache-2.0")],
        seconds: [("evolve", 395.0), ("export", 0.4), ("train", 136.0), ("check", 4.0), ("evaluate", 288.0)]
            .map(|(stage, seconds)| (stage.to_owned(), seconds))
            .to_vec(),
    }
}

/// A seed and what became of it in two rounds.
fn family(seed: usize, dice: &mut Dice, nodes: &mut Vec<ReportNode>) {
    let root_id = (seed as u64 + 1) * 10_000;
    let instruction = format!("{} {}.", dice.of(&ASKS), dice.of(&THINGS));
    let skill = Some((*dice.of(&SKILLS)).to_owned());
    let answered = dice.share() < 0.95;
    nodes.push(ReportNode {
        id: root_id,
        root_id,
        instruction: instruction.clone(),
        skill: skill.clone(),
        difficulty: Some(2 + dice.below(3) as u8),
        status: if answered { NodeStatus::Kept } else { NodeStatus::Eliminated },
        reason: (!answered).then(|| "answer_truncated".to_owned()),
        answer: answered.then(|| answer(dice)),
        completion_tokens: 90 + dice.below(80) as u64,
        prompt_tokens: 40,
        ..ReportNode::default()
    });
    let mut parent = (root_id, instruction, Vec::new());
    for round in 1..=2 {
        for attempt in 0..3 {
            let child = child(root_id, &parent, (round, attempt), skill.clone(), dice);
            let kept = child.status == NodeStatus::Kept;
            if kept {
                parent = (child.id, child.instruction.clone(), child.constraints.clone());
            }
            nodes.push(child);
            if kept {
                break;
            }
        }
    }
}

fn child(
    root_id: u64,
    (parent_id, instruction, constraints): &(u64, String, Vec<String>),
    (round, attempt): (u32, u32),
    skill: Option<String>,
    dice: &mut Dice,
) -> ReportNode {
    let operator = *dice.of(&OPERATORS);
    let (sentence, constraint) = *dice.of(&ADDED);
    let mut constraints = constraints.clone();
    let instruction = match operator {
        "mutation" => format!("{} {}.", dice.of(&ASKS), dice.of(&THINGS)),
        "deepening" | "increase_reasoning" => {
            format!("{} {}.", instruction.trim_end_matches('.'), dice.of(&DEEPER))
        }
        _ => {
            constraints.push(constraint.to_owned());
            format!("{instruction} {sentence}")
        }
    };
    let kept = dice.share() < 0.42;
    // The first reasons are the most frequent.
    let reasons = 3 + dice.below(REASONS.len() - 2);
    let reason = *dice.of(&REASONS[..reasons]);
    let late = reason.starts_with("answer") || reason == "constraint_failed" || reason == "refused";
    let failed = RuleVerdict {
        rule: reason.to_owned(),
        passed: false,
        detail: format!("{constraint}: found {}", 61 + dice.below(60)),
    };
    let harder = RuleVerdict {
        rule: "harder".into(),
        passed: true,
        detail: format!("probability {:.2}", 0.5 + dice.share() / 2.0),
    };
    ReportNode {
        id: root_id + u64::from(round) * 100 + u64::from(attempt),
        parent_id: Some(*parent_id),
        root_id,
        round,
        attempt,
        operator: Some(operator.to_owned()),
        instruction,
        skill,
        difficulty: kept.then(|| (3 + round as usize + dice.below(4)) as u8),
        status: if kept { NodeStatus::Kept } else { NodeStatus::Eliminated },
        reason: (!kept).then(|| reason.to_owned()),
        verdicts: if kept { vec![harder] } else { vec![failed] },
        answer: (kept || late).then(|| answer(dice)),
        constraints,
        prompt_tokens: 210 + dice.below(60) as u64,
        completion_tokens: 60 + dice.below(190) as u64,
        ..ReportNode::default()
    }
}

fn answer(dice: &mut Dice) -> String {
    let sentences = [
        "It is useful to begin with the parts that are easy to see, and to leave the others for later.",
        "Many people remember it from school, but few could say how it works.",
        "The first attempts failed because the material was too heavy.",
        "- Take your time.\n- Ask someone who has done it before.\n- Write down what you find.",
        "In the end the river decides where the road goes.",
        "What would you do in its place?",
    ];
    let n = 2 + dice.below(4);
    (0..n).map(|_| *dice.of(&sentences)).collect::<Vec<_>>().join(" ")
}

fn funnel(nodes: &[ReportNode]) -> Vec<FunnelCell> {
    let mut cells: BTreeMap<(u32, Option<String>), FunnelCell> = BTreeMap::new();
    for node in nodes {
        let cell = cells.entry((node.round, node.operator.clone())).or_insert_with(|| FunnelCell {
            round: node.round,
            operator: node.operator.clone(),
            ..FunnelCell::default()
        });
        cell.attempts += 1;
        cell.kept += u64::from(node.status == NodeStatus::Kept);
        if let Some(reason) = &node.reason {
            *cell.eliminated.entry(reason.clone()).or_default() += 1;
        }
    }
    cells.into_values().collect()
}

fn curve(name: &str, end: f64, dice: &mut Dice) -> TrainingCurve {
    let steps = 120_u64;
    let at = |step: u64| end + (1.09 - end) * (-(step as f64) / 35.0).exp();
    TrainingCurve {
        name: name.to_owned(),
        steps: (1..=steps)
            .map(|step| StepPoint {
                step,
                loss: at(step) - 0.02 + 0.12 * (dice.share() - 0.5),
                learning_rate: 2e-4 * (step as f64 / 10.0).min(1.0) * (1.0 - step as f64 / 130.0),
                grad_norm: 0.6 + dice.share() * 0.5 + 2.0 * (-(step as f64) / 10.0).exp(),
                tokens_per_second: 372.0 + 22.0 * dice.share(),
                peak_memory_bytes: Some((260 << 20) + ((step.min(30)) << 21)),
            })
            .collect(),
        validation: (0..=steps).step_by(20).map(|step| ValidationPoint { step, loss: at(step) }).collect(),
    }
}
