//! The texts of the page as JSON for the script: nodes as columns, generations by item.
//!
//! Where in the flow: `render` puts the result into `script type="application/json"` elements; `page.js`
//! takes it apart.
//!
//! Small by simple means: columns instead of objects, one list of words for names that repeat, and of an
//! instruction only what does not repeat the beginning of its parent's (an evolved instruction often is its
//! parent and a sentence more).
//!
//! **Invariant:** a parent comes before its children, so what the script follows upwards has an end, whatever
//! ids were given. **Invariant:** texts fit into the room that they are given, as long as there are no more
//! than some ten thousand rows: long ones are cut, and say so.

use super::data::{NodeStatus, ReportData, ReportNode};
use super::text::{count, json_for_html};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Lengths that texts are cut to: the first with which the page is small enough.
const LIMITS: [usize; 15] =
    [usize::MAX, 4000, 3000, 2200, 1600, 1200, 900, 700, 550, 450, 350, 280, 200, 140, 80];
/// Shared beginnings that are shorter are written out.
const LEAST_SHARED: usize = 12;

/// What the script gets.
#[derive(Debug)]
pub(super) struct Embedded {
    /// Nodes.
    pub(super) nodes: String,
    /// Generations.
    pub(super) generations: String,
    /// Characters that texts were cut to, if they were.
    pub(super) cut: Option<usize>,
}

/// Makes both, with whole texts if they fit into `room` bytes.
pub(super) fn embed(data: &ReportData, room: usize) -> Embedded {
    let make = |limit: usize| Embedded {
        nodes: json_for_html(&Columns::new(&data.nodes, limit)),
        generations: json_for_html(&items(data, limit)),
        cut: (limit != usize::MAX).then_some(limit),
    };
    let fits = |embedded: &Embedded| embedded.nodes.len() + embedded.generations.len() <= room;
    let whole = make(LIMITS[0]);
    if fits(&whole) {
        return whole;
    }
    // A smaller limit never makes more: the first that fits is found by halves.
    let place = LIMITS[1..].partition_point(|limit| !fits(&make(*limit))) + 1;
    make(LIMITS[place.min(LIMITS.len() - 1)])
}

/// `text`, cut to about `limit` characters.
fn cut(text: &str, limit: usize) -> String {
    // Bytes are at least as many as characters: nothing is counted where nothing can be too long.
    if text.len() <= limit {
        return text.to_owned();
    }
    let total = text.chars().count();
    if total <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit).collect();
    format!("{start}… [{} more characters]", count((total - limit) as u64))
}

/// Names that repeat, each once.
#[derive(Debug, Default)]
struct Words {
    list: Vec<String>,
    places: HashMap<String, usize>,
}

impl Words {
    fn place(&mut self, word: &str) -> usize {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = self.list.len();
        self.list.push(word.to_owned());
        self.places.insert(word.to_owned(), place);
        place
    }

    /// -1 stands for nothing: a column of plain numbers is the shortest.
    fn maybe(&mut self, word: Option<&String>) -> i64 {
        word.map_or(-1, |word| self.place(word) as i64)
    }
}

/// Nodes as columns, in the order of their lineages.
#[derive(Debug, Default, Serialize)]
struct Columns {
    words: Vec<String>,
    /// As texts: JavaScript's numbers end at 53 bits.
    id: Vec<String>,
    /// Place of the parent, or -1.
    parent: Vec<i64>,
    /// The parent's id where it is not among the nodes.
    lost: BTreeMap<usize, String>,
    round: Vec<u32>,
    attempt: Vec<u32>,
    operator: Vec<i64>,
    /// 0 kept, 1 eliminated, 2 other.
    status: Vec<u8>,
    reason: Vec<i64>,
    skill: Vec<i64>,
    difficulty: Vec<u8>,
    /// UTF-16 units that the instruction shares with its parent's.
    shared: Vec<usize>,
    /// The rest of it.
    text: Vec<String>,
    /// Texts that few have, by place.
    input: BTreeMap<usize, String>,
    answer: BTreeMap<usize, String>,
    constraints: BTreeMap<usize, Vec<usize>>,
    /// (rule, passed, what it saw).
    verdicts: BTreeMap<usize, Vec<(usize, u8, usize)>>,
    prompt_tokens: Vec<u64>,
    completion_tokens: Vec<u64>,
}

impl Columns {
    fn new(nodes: &[ReportNode], limit: usize) -> Self {
        let mut order: Vec<&ReportNode> = nodes.iter().collect();
        order.sort_by_key(|node| (node.root_id, node.id));
        let mut columns = Self::default();
        let mut words = Words::default();
        let mut places: HashMap<u64, usize> = HashMap::with_capacity(order.len());
        let mut texts: Vec<String> = Vec::with_capacity(order.len());
        for (place, node) in order.into_iter().enumerate() {
            // Only what came before: a node is never its own ancestor.
            let parent = node.parent_id.and_then(|id| places.get(&id).copied());
            if let (None, Some(id)) = (parent, node.parent_id) {
                columns.lost.insert(place, id.to_string());
            }
            let text = cut(&node.instruction, limit);
            let (bytes, units) = parent.map_or((0, 0), |parent| shared(&texts[parent], &text));
            columns.parent.push(parent.map_or(-1, |parent| parent as i64));
            columns.shared.push(units);
            columns.text.push(text.get(bytes..).unwrap_or_default().to_owned());
            columns.facts(node, &mut words);
            columns.extras(place, node, limit, &mut words);
            texts.push(text);
            places.entry(node.id).or_insert(place);
        }
        columns.words = words.list;
        columns
    }

    fn facts(&mut self, node: &ReportNode, words: &mut Words) {
        self.id.push(node.id.to_string());
        self.round.push(node.round);
        self.attempt.push(node.attempt);
        self.operator.push(words.maybe(node.operator.as_ref()));
        self.status.push(match node.status {
            NodeStatus::Kept => 0,
            NodeStatus::Eliminated => 1,
            NodeStatus::Other => 2,
        });
        self.reason.push(words.maybe(node.reason.as_ref()));
        self.skill.push(words.maybe(node.skill.as_ref()));
        self.difficulty.push(node.difficulty.unwrap_or(0));
        self.prompt_tokens.push(node.prompt_tokens);
        self.completion_tokens.push(node.completion_tokens);
    }

    fn extras(&mut self, place: usize, node: &ReportNode, limit: usize, words: &mut Words) {
        if !node.input.is_empty() {
            self.input.insert(place, cut(&node.input, limit));
        }
        if let Some(answer) = &node.answer {
            self.answer.insert(place, cut(answer, limit));
        }
        if !node.constraints.is_empty() {
            let list = node.constraints.iter().map(|text| words.place(&cut(text, limit)));
            self.constraints.insert(place, list.collect());
        }
        if !node.verdicts.is_empty() {
            let list = node.verdicts.iter().map(|verdict| {
                let detail = words.place(&cut(&verdict.detail, limit));
                (words.place(&verdict.rule), u8::from(verdict.passed), detail)
            });
            self.verdicts.insert(place, list.collect());
        }
    }
}

/// Bytes and UTF-16 units that `text` begins with as `parent` does; nothing if it is not worth it.
fn shared(parent: &str, text: &str) -> (usize, usize) {
    let same = parent.chars().zip(text.chars()).take_while(|(a, b)| a == b);
    let (bytes, units) =
        same.fold((0, 0), |(bytes, units), (c, _)| (bytes + c.len_utf8(), units + c.len_utf16()));
    if units < LEAST_SHARED { (0, 0) } else { (bytes, units) }
}

/// Responses to one item.
#[derive(Debug, Default, Serialize)]
struct Item {
    number: usize,
    text: String,
    skill: Option<String>,
    difficulty: Option<u8>,
    /// By place of the contestant; null: it was not asked.
    said: Vec<Option<Said>>,
}

/// What one contestant said.
#[derive(Debug, Clone, Serialize)]
struct Said {
    text: String,
    tokens: usize,
    ended: bool,
    /// 1 right, 0 wrong, null not scored.
    right: Option<u8>,
    /// (name, strictly, loosely, what was found).
    checks: Vec<(String, u8, u8, String)>,
}

/// All items with what everyone said.
#[derive(Debug, Serialize)]
struct Items {
    names: Vec<String>,
    items: Vec<Item>,
}

fn items(data: &ReportData, limit: usize) -> Items {
    let mut by_item: BTreeMap<usize, Item> = BTreeMap::new();
    let contestants = data.generations.len();
    for (place, (_, generations)) in data.generations.iter().enumerate() {
        for generation in generations {
            let item = by_item.entry(generation.item).or_insert_with(|| Item {
                number: generation.item,
                text: cut(&generation.instruction, limit),
                skill: generation.skill.clone(),
                difficulty: generation.difficulty,
                said: vec![None; contestants],
            });
            let all_met =
                (!generation.checks.is_empty()).then(|| generation.checks.iter().all(|check| check.strict));
            item.said[place] = Some(Said {
                text: cut(&generation.response, limit),
                tokens: generation.tokens,
                ended: generation.ended,
                right: generation.right.or(all_met).map(u8::from),
                checks: generation
                    .checks
                    .iter()
                    .map(|check| {
                        let found = cut(&check.found, limit);
                        (check.name.clone(), u8::from(check.strict), u8::from(check.loose), found)
                    })
                    .collect(),
            });
        }
    }
    let names = data.generations.iter().map(|(name, _)| name.clone()).collect();
    Items { names, items: by_item.into_values().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, parent_id: Option<u64>, instruction: &str) -> ReportNode {
        ReportNode { id, parent_id, root_id: 1, instruction: instruction.to_owned(), ..ReportNode::default() }
    }

    #[test]
    fn a_child_has_only_what_its_parent_has_not() {
        let nodes = [
            node(2, Some(1), "Name a river in Asia 😀 that flows north."),
            node(1, None, "Name a river in Asia 😀."),
            node(3, Some(1), "Name a lake."),
        ];
        let columns = Columns::new(&nodes, usize::MAX);
        assert_eq!(columns.parent, [-1, 0, 0]);
        assert_eq!(columns.text[1], " that flows north.");
        assert_eq!(columns.shared, [0, "Name a river in Asia 😀".encode_utf16().count(), 0]);
    }

    #[test]
    fn lone_ids_loops_and_doubles_are_no_trouble() {
        let nodes =
            [node(5, Some(5), "a"), node(6, Some(7), "b"), node(7, Some(6), "c"), node(7, Some(99), "d")];
        let columns = Columns::new(&nodes, usize::MAX);
        for (place, parent) in columns.parent.iter().enumerate() {
            assert!(*parent < place as i64);
        }
        assert_eq!(columns.lost.values().map(String::as_str).collect::<Vec<_>>(), ["5", "7", "99"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 2), "äö… [2 more characters]");
    }
}
