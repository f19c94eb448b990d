//! Encodes the texts of the page as compact JSON for its script: nodes as columns, responses by item.
//!
//! Where in the flow: `render` puts the JSON into `script type="application/json"` elements; `page.js`
//! decodes it.
//!
//! The JSON is kept small by simple means: columns instead of objects, one list for names that repeat, and
//! only the part of an instruction that differs from the start of its parent (an evolved instruction is often
//! its parent plus a sentence).
//!
//! **Invariant:** a parent comes before its children, so following parents always ends, whatever ids the data
//! has.
//! **Invariant:** with up to about ten thousand rows, the JSON fits in the given size. Long texts are cut,
//! and the cut is marked.

use super::data::{NodeStatus, ReportData, ReportNode};
use super::text::{count, json_for_html};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Maximum lengths of texts in characters; the first that makes the page small enough is used.
const LIMITS: [usize; 15] =
    [usize::MAX, 4000, 3000, 2200, 1600, 1200, 900, 700, 550, 450, 350, 280, 200, 140, 80];
/// Shortest prefix, in UTF-16 units, that is worth sharing with the parent.
const MIN_SHARED: usize = 12;

/// The JSON for the script.
#[derive(Debug)]
pub(super) struct Embedded {
    /// The nodes as JSON.
    pub(super) nodes: String,
    /// The responses as JSON.
    pub(super) generations: String,
    /// The length in characters that texts were cut to; `None` if they are whole.
    pub(super) cut: Option<usize>,
}

/// Encodes nodes and responses within `room` bytes, cutting texts only as far as needed.
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
    // The size never grows with a smaller limit, so the first limit that fits is found by binary search.
    let index = LIMITS[1..].partition_point(|limit| !fits(&make(*limit))) + 1;
    make(LIMITS[index.min(LIMITS.len() - 1)])
}

/// Cuts `text` to `limit` characters and notes how many were removed.
fn cut(text: &str, limit: usize) -> String {
    // A text has at least as many bytes as characters, so short texts need no counting.
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

/// A list of distinct strings; repeated names are stored as indices into it.
#[derive(Debug, Default)]
struct StringTable {
    list: Vec<String>,
    indices: HashMap<String, usize>,
}

impl StringTable {
    fn index_of(&mut self, word: &str) -> usize {
        if let Some(index) = self.indices.get(word) {
            return *index;
        }
        let index = self.list.len();
        self.list.push(word.to_owned());
        self.indices.insert(word.to_owned(), index);
        index
    }

    /// The index of an optional string. -1 stands for none, because a column of plain numbers is the
    /// shortest.
    fn optional(&mut self, word: Option<&String>) -> i64 {
        word.map_or(-1, |word| self.index_of(word) as i64)
    }
}

/// The nodes as columns, sorted by lineage. `page.js` reads the fields by name.
#[derive(Debug, Default, Serialize)]
struct Columns {
    words: Vec<String>,
    /// Ids as strings, because JavaScript numbers are exact only up to 53 bits.
    id: Vec<String>,
    /// Index of the parent, or -1.
    parent: Vec<i64>,
    /// The parent's id, by index of the child, for parents that are not among the nodes.
    lost: BTreeMap<usize, String>,
    round: Vec<u32>,
    attempt: Vec<u32>,
    operator: Vec<i64>,
    /// 0 for kept, 1 for eliminated, 2 for others.
    status: Vec<u8>,
    reason: Vec<i64>,
    skill: Vec<i64>,
    difficulty: Vec<u8>,
    /// Length in UTF-16 units of the prefix that the instruction shares with its parent's.
    shared: Vec<usize>,
    /// The instruction after the shared prefix.
    text: Vec<String>,
    // Fields that few nodes have, by index.
    input: BTreeMap<usize, String>,
    answer: BTreeMap<usize, String>,
    constraints: BTreeMap<usize, Vec<usize>>,
    /// Rule, whether it passed (1 or 0), and its evidence.
    verdicts: BTreeMap<usize, Vec<(usize, u8, usize)>>,
    prompt_tokens: Vec<u64>,
    completion_tokens: Vec<u64>,
}

impl Columns {
    fn new(nodes: &[ReportNode], limit: usize) -> Self {
        let mut order: Vec<&ReportNode> = nodes.iter().collect();
        order.sort_by_key(|node| (node.root_id, node.id));
        let mut columns = Self::default();
        let mut words = StringTable::default();
        let mut indices: HashMap<u64, usize> = HashMap::with_capacity(order.len());
        let mut texts: Vec<String> = Vec::with_capacity(order.len());
        for (index, node) in order.into_iter().enumerate() {
            // Only earlier nodes are candidates, so that no node becomes its own ancestor.
            let parent = node.parent_id.and_then(|id| indices.get(&id).copied());
            if let (None, Some(id)) = (parent, node.parent_id) {
                columns.lost.insert(index, id.to_string());
            }
            let text = cut(&node.instruction, limit);
            let (bytes, units) = parent.map_or((0, 0), |parent| shared_prefix(&texts[parent], &text));
            columns.parent.push(parent.map_or(-1, |parent| parent as i64));
            columns.shared.push(units);
            columns.text.push(text.get(bytes..).unwrap_or_default().to_owned());
            columns.push_fields(node, &mut words);
            columns.insert_rare_fields(index, node, limit, &mut words);
            texts.push(text);
            indices.entry(node.id).or_insert(index);
        }
        columns.words = words.list;
        columns
    }

    fn push_fields(&mut self, node: &ReportNode, words: &mut StringTable) {
        self.id.push(node.id.to_string());
        self.round.push(node.round);
        self.attempt.push(node.attempt);
        self.operator.push(words.optional(node.operator.as_ref()));
        self.status.push(match node.status {
            NodeStatus::Kept => 0,
            NodeStatus::Eliminated => 1,
            NodeStatus::Other => 2,
        });
        self.reason.push(words.optional(node.reason.as_ref()));
        self.skill.push(words.optional(node.skill.as_ref()));
        self.difficulty.push(node.difficulty.unwrap_or(0));
        self.prompt_tokens.push(node.prompt_tokens);
        self.completion_tokens.push(node.completion_tokens);
    }

    fn insert_rare_fields(&mut self, index: usize, node: &ReportNode, limit: usize, words: &mut StringTable) {
        if !node.input.is_empty() {
            self.input.insert(index, cut(&node.input, limit));
        }
        if let Some(answer) = &node.answer {
            self.answer.insert(index, cut(answer, limit));
        }
        if !node.constraints.is_empty() {
            let list = node.constraints.iter().map(|text| words.index_of(&cut(text, limit)));
            self.constraints.insert(index, list.collect());
        }
        if !node.verdicts.is_empty() {
            let list = node.verdicts.iter().map(|verdict| {
                let detail = words.index_of(&cut(&verdict.detail, limit));
                (words.index_of(&verdict.rule), u8::from(verdict.passed), detail)
            });
            self.verdicts.insert(index, list.collect());
        }
    }
}

/// The length of the common prefix of `parent` and `text` in bytes and in UTF-16 units; 0 if it is too short
/// to be worth sharing.
fn shared_prefix(parent: &str, text: &str) -> (usize, usize) {
    let same = parent.chars().zip(text.chars()).take_while(|(a, b)| a == b);
    let (bytes, units) =
        same.fold((0, 0), |(bytes, units), (c, _)| (bytes + c.len_utf8(), units + c.len_utf16()));
    if units < MIN_SHARED { (0, 0) } else { (bytes, units) }
}

/// An item with the responses to it.
#[derive(Debug, Default, Serialize)]
struct Item {
    number: usize,
    text: String,
    skill: Option<String>,
    difficulty: Option<u8>,
    /// One entry per contestant; null if it did not get the item.
    responses: Vec<Option<Response>>,
}

/// The response of one contestant.
#[derive(Debug, Clone, Serialize)]
struct Response {
    text: String,
    tokens: usize,
    ended: bool,
    /// 1 for right, 0 for wrong, null if it is not scored.
    right: Option<u8>,
    /// For each constraint its name, whether it is met strictly and loosely (1 or 0), and the evidence.
    checks: Vec<(String, u8, u8, String)>,
}

/// The names of the contestants, and all items with their responses.
#[derive(Debug, Serialize)]
struct Items {
    names: Vec<String>,
    items: Vec<Item>,
}

fn items(data: &ReportData, limit: usize) -> Items {
    let mut by_item: BTreeMap<usize, Item> = BTreeMap::new();
    let contestants = data.generations.len();
    for (index, (_, generations)) in data.generations.iter().enumerate() {
        for generation in generations {
            let item = by_item.entry(generation.item).or_insert_with(|| Item {
                number: generation.item,
                text: cut(&generation.instruction, limit),
                skill: generation.skill.clone(),
                difficulty: generation.difficulty,
                responses: vec![None; contestants],
            });
            let all_met =
                (!generation.checks.is_empty()).then(|| generation.checks.iter().all(|check| check.strict));
            item.responses[index] = Some(Response {
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
    fn a_child_stores_only_what_differs_from_its_parent() {
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
    fn missing_parents_cycles_and_duplicate_ids_are_handled() {
        let nodes =
            [node(5, Some(5), "a"), node(6, Some(7), "b"), node(7, Some(6), "c"), node(7, Some(99), "d")];
        let columns = Columns::new(&nodes, usize::MAX);
        for (index, parent) in columns.parent.iter().enumerate() {
            assert!(*parent < index as i64);
        }
        assert_eq!(columns.lost.values().map(String::as_str).collect::<Vec<_>>(), ["5", "7", "99"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 2), "äö… [2 more characters]");
    }
}
