//! The journal on real files: round trips, atomicity, refusals.

use super::*;
use crate::explain::Explain as _;
use crate::identity::Identity;
use serde_json::json;

fn generation(key: u64) -> Generation {
    Generation {
        prompt_hash: "ab".repeat(16),
        sampling: Sampling {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.1,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
        },
        key,
        prompt_tokens: 120,
        completion_tokens: 17,
        finish_reason: FinishReason::Stop,
    }
}

fn seed(root_index: usize) -> Node {
    let id = node_id(root_index, 0, 0);
    Node {
        id,
        parent_id: None,
        root_id: id,
        round: 0,
        attempt: 0,
        operator: None,
        instruction: format!("Name {root_index} rivers.\nOne per line: \u{1F30A}"),
        input: String::new(),
        skill: Some("Geography".to_owned()),
        difficulty: Some(3),
        generation: None,
        status: Status::Evolved,
        reason: None,
        constraints: Vec::new(),
    }
}

fn child(parent: &Node, round: u32) -> Node {
    let root_index = NodeId::parse(parent.root_id).unwrap().root_index;
    Node {
        id: node_id(root_index, round, 0),
        parent_id: Some(parent.id),
        round,
        operator: Some("deepening".to_owned()),
        generation: Some(generation(u64::MAX - 3)),
        skill: None,
        difficulty: None,
        ..parent.clone()
    }
}

fn insert(store: &mut Store, nodes: &[&Node]) {
    let unit = store.begin().unwrap();
    for node in nodes {
        unit.insert_node(node).unwrap();
    }
    unit.commit().unwrap();
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn rows_come_back_as_they_were_written_also_after_reopening() {
    let (dir, mut store) = store();
    let root = seed(4);
    let evolved = child(&root, 1);
    insert(&mut store, &[&root, &evolved]);
    let answer = Answer { text: "Rhine".to_owned(), generation: generation(5), sample: 2 };
    let verdict = Verdict { rule: "no_gain".to_owned(), passed: true, detail: json!({"margin": -1.25}) };
    let unit = store.begin().unwrap();
    unit.insert_verdict(evolved.id, &verdict).unwrap();
    unit.insert_answer(evolved.id, &answer).unwrap();
    unit.set_status(evolved.id, Status::Kept, None).unwrap();
    unit.set_meta("note", "x").unwrap();
    unit.commit().unwrap();
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    let kept = Node { status: Status::Kept, ..evolved.clone() };
    assert_eq!(store.node(root.id).unwrap().unwrap(), root);
    assert_eq!(store.meta("note").unwrap().as_deref(), Some("x"));
    assert_eq!(
        store.training_rows().unwrap(),
        [TrainingRow { node: kept.clone(), output: "Rhine".to_owned() }]
    );
    let way = store.lineage(evolved.id).unwrap();
    assert_eq!(way.iter().map(|h| h.node.id).collect::<Vec<_>>(), [root.id, evolved.id]);
    assert_eq!(way[1], History { node: kept, verdicts: vec![verdict], answer: Some(answer) });
    assert_eq!(store.family(root.id).unwrap(), way);
    assert!(store.lineage(7).unwrap().is_empty());
    let totals = TokenTotals { prompt_tokens: 240, evolve_tokens: 17, answer_tokens: 17 };
    assert_eq!(store.token_totals().unwrap(), totals);
}

#[test]
fn an_uncommitted_unit_leaves_no_trace() {
    let (_dir, mut store) = store();
    store.begin().unwrap().insert_node(&seed(0)).unwrap();
    assert!(store.node(seed(0).id).unwrap().is_none());
}

#[test]
fn a_lineage_continues_from_a_node_that_was_eliminated_for_one_reason() {
    let (_dir, mut store) = store();
    let (a, b) = (seed(0), seed(1));
    let cut = |parent: &Node, round, reason: &str| Node {
        status: Status::Eliminated,
        reason: Some(reason.to_owned()),
        ..child(parent, round)
    };
    let (a1, b1) = (cut(&a, 1, "long"), cut(&b, 1, "copied"));
    insert(&mut store, &[&a, &b, &a1, &b1]);
    let page = |round, attempt, continues| {
        let page = store.parents_page(round, attempt, 0, 9, continues).unwrap();
        page.iter().map(|node| node.id).collect::<Vec<_>>()
    };
    assert_eq!(page(2, 0, "long"), [a1.id, b.id]);
    assert_eq!(page(2, 0, "other"), [a.id, b.id]);
    // The round does not try its parent again.
    assert_eq!((page(1, 1, "long"), page(1, 1, "other")), (vec![b.id], vec![a.id, b.id]));
}

#[test]
fn the_newest_kept_node_of_each_root_is_evolved() {
    let (_dir, mut store) = store();
    let (a, b) =
        (seed(0), Node { status: Status::Eliminated, reason: Some("refused".to_owned()), ..seed(1) });
    let a1 = Node { status: Status::Kept, ..child(&a, 1) };
    let a2 = Node { status: Status::Eliminated, reason: Some("copied".to_owned()), ..child(&a1, 2) };
    insert(&mut store, &[&a, &b, &a1, &a2]);
    let page = |round, attempt, after, limit| {
        let page = store.parents_page(round, attempt, after, limit, "").unwrap();
        page.iter().map(|node| node.id).collect::<Vec<_>>()
    };
    assert_eq!(page(1, 0, 0, 9), [a.id, b.id]);
    assert_eq!(page(2, 0, 0, 9), [a1.id, b.id]);
    assert_eq!(page(3, 0, 0, 9), [a1.id, b.id]);
    // A further attempt leaves out the roots that have a kept node in this round.
    assert_eq!(page(1, 1, 0, 9), [b.id]);
    assert_eq!(page(2, 1, 0, 9), [a1.id, b.id]);
    assert_eq!((page(2, 0, 0, 1), page(2, 0, a.id, 9)), (vec![a1.id], vec![b.id]));
    let funnel = store.funnel().unwrap();
    assert_eq!(funnel.iter().map(|row| row.count).sum::<u64>(), 4);
    assert_eq!(funnel[0].reason.as_deref(), Some("refused"));
    assert_eq!(funnel[3].operator.as_deref(), Some("deepening"));
}

/// What the disk holds after `kill -9`: the files of an open journal, with the last commits in the `-wal`.
#[test]
fn what_was_committed_survives_a_process_that_never_closed() {
    let (dir, mut store) = store();
    insert(&mut store, &[&seed(0)]);
    let after = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), after.path().join(entry.file_name())).unwrap();
    }
    let store = Store::open_or_create(after.path()).unwrap();
    assert_eq!(store.node(seed(0).id).unwrap(), Some(seed(0)));
}

#[test]
fn rows_that_contradict_themselves_are_refused() {
    let (_dir, mut store) = store();
    let root = seed(0);
    insert(&mut store, &[&root]);
    let unit = store.begin().unwrap();
    assert!(unit.insert_node(&root).is_err(), "the same id twice");
    assert!(unit.insert_node(&child(&seed(9), 1)).is_err(), "a child without its parent");
    assert!(unit.set_status(root.id, Status::Eliminated, None).is_err(), "eliminated without a reason");
    assert!(unit.set_status(root.id, Status::Kept, Some("copied")).is_err(), "kept with a reason");
}

#[test]
fn a_changed_identity_is_refused_by_name_with_old_and_new() {
    let (_dir, mut store) = store();
    let identity = |rounds: &str| -> Identity { [("config.rounds", rounds)].into_iter().collect() };
    store.bind(&identity("2")).unwrap();
    store.bind(&identity("2")).unwrap();
    let error = store.bind(&identity("3")).unwrap_err();
    assert!(
        error.to_string().ends_with("started differently: `config.rounds` was `2`, is now `3`"),
        "{error}"
    );
    assert!(error.hint().is_some());
    assert_eq!(store.compare(&identity("3")).unwrap_err().to_string(), error.to_string());
    let error = store.bind(&Identity::default()).unwrap_err();
    assert!(error.to_string().ends_with("`config.rounds` was `2`, is absent"), "{error}");
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    assert!(matches!(Store::open(dir.path()), Err(Error::Missing { .. })));
    std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::NotARun { .. })));
    assert!(matches!(Store::create(dir.path()), Err(Error::NotARun { .. })));
    assert!(!path.exists());

    std::fs::write(&path, "this is no database, and longer than a header of one hundred bytes".repeat(3))
        .unwrap();
    assert!(matches!(Store::open_or_create(dir.path()), Err(Error::Foreign { .. })));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE guests (name)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open_or_create(dir.path()), Err(Error::Foreign { .. })));
    assert_eq!(before, std::fs::read(&path).unwrap());
}

#[test]
fn a_newer_schema_is_refused() {
    let (dir, store) = store();
    store.connection.pragma_update(None, "user_version", schema::SCHEMA_VERSION + 1).unwrap();
    drop(store);
    let error = Store::open_or_create(dir.path()).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found: 3, supported: 2, .. }), "{error}");
}

#[test]
fn a_journal_of_an_earlier_version_is_read_and_gets_what_it_lacks() {
    let (dir, mut store) = store();
    let node = seed(0);
    insert(&mut store, &[&node]);
    // As version 1 had it.
    store
        .connection
        .execute_batch(
            "ALTER TABLE nodes DROP COLUMN constraints; ALTER TABLE answers DROP COLUMN sample;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(store.node(node.id).unwrap(), Some(node.clone()));
    let with = Node { constraints: vec![json!({ "kind": "title" })], ..seed(1) };
    insert(&mut store, &[&with]);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.node(with.id).unwrap(), Some(with));
}

#[test]
fn a_second_process_is_told_that_the_run_is_in_use() {
    let (dir, _store) = store();
    let error = Store::open_or_create(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
}

#[test]
fn a_creation_that_was_cut_short_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), "").unwrap();
    assert!(Store::open_or_create(dir.path()).unwrap().identity().unwrap().is_empty());
    assert!(matches!(Store::create(dir.path()), Err(Error::Exists { .. })));
}

/// A journal in a new directory with the seeds of these numbers, closed.
fn part(roots: &[usize]) -> tempfile::TempDir {
    let (dir, mut store) = store();
    let nodes: Vec<Node> = roots.iter().map(|&root| seed(root)).collect();
    insert(&mut store, &nodes.iter().collect::<Vec<_>>());
    dir
}

#[test]
fn parts_are_merged_in_order_and_overlaps_and_gaps_are_refused() {
    let (even, odd) = (part(&[0, 2, 4]), part(&[1, 3]));
    let paths = |parts: &[&tempfile::TempDir]| -> Vec<PathBuf> {
        parts.iter().map(|part| part.path().to_owned()).collect()
    };
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().join("merged");
    let heading = Heading {
        identity: [("a", "1")].into_iter().collect(),
        meta: vec![("b".to_owned(), "2".to_owned())],
    };
    // What an earlier merge has left is overwritten, and the shards may lie there.
    std::fs::create_dir_all(dir.join("shards")).unwrap();
    std::fs::write(dir.join("run.db.merging"), "cut").unwrap();
    let merged = merge(&dir, &paths(&[&odd, &even]), &heading, &mut |_| ()).unwrap();
    assert_eq!(merged, Merged { nodes: 5, answers: 0, verdicts: 0 });
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.attempts(0, 0).unwrap(), (0..5).map(seed).collect::<Vec<_>>());
    assert_eq!(store.identity().unwrap(), heading.identity);
    assert_eq!(store.meta("b").unwrap().as_deref(), Some("2"));
    drop(store);
    let again = merge(&dir, &paths(&[&odd, &even]), &heading, &mut |_| ());
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");

    let refused = |parts: &[&tempfile::TempDir]| {
        let dir = out.path().join("refused");
        let error = merge(&dir, &paths(parts), &heading, &mut |_| ()).unwrap_err();
        assert!(!dir.join(FILE_NAME).exists(), "nothing has the name of a journal");
        error
    };
    let overlap = part(&[1, 2]);
    assert!(matches!(refused(&[&even, &overlap]), Error::Overlap { id: 30_000, .. }));
    assert!(matches!(refused(&[&odd]), Error::Gap { root: 1 }));
    assert!(matches!(refused(&[&even]), Error::Gap { root: 2 }));
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("thesis.tex"), "").unwrap();
    let error = merge(foreign.path(), &paths(&[&even, &odd]), &heading, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::NotARun { .. }), "{error}");
}

#[test]
fn pages_and_counts_of_a_round_are_what_whole_lists_would_be() {
    let (_dir, mut store) = store();
    let seeds: Vec<Node> = (0..7).map(seed).collect();
    let child_of = |seed: &Node, attempt: u32, status, reason: Option<&str>| {
        let id = NodeId { attempt, ..NodeId::parse(child(seed, 1).id).unwrap() };
        Node { id: id.number(), attempt, status, reason: reason.map(str::to_owned), ..child(seed, 1) }
    };
    let mut children = Vec::new();
    for (index, seed) in seeds.iter().enumerate() {
        if index % 3 == 0 {
            children.push(child_of(seed, 0, Status::Eliminated, Some("copied")));
            children.push(child_of(seed, 1, Status::Kept, None));
        } else {
            children.push(child_of(seed, 0, Status::Kept, None));
        }
    }
    insert(&mut store, &seeds.iter().chain(&children).collect::<Vec<_>>());
    let whole = store.attempts(1, 0).unwrap();
    let mut paged: Vec<Node> = Vec::new();
    loop {
        let page = store.attempt_page(1, 0, paged.last().map_or(0, |node| node.id), 2).unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!((paged.len(), paged), (7, whole));
    let kept = |attempt, after, limit| -> Vec<u64> {
        let page = store.kept_page(1, attempt, after, limit).unwrap();
        page.iter().map(|node| node.id).collect()
    };
    assert_eq!(kept(0, 0, 9), [20_100, 30_100, 50_100, 60_100]);
    assert_eq!((kept(0, 30_100, 1), kept(1, 10_101, 9)), (vec![50_100], vec![40_101, 70_101]));
    let count = |attempt, status, reason: Option<&str>, count, first_id| RoundCount {
        attempt,
        status,
        reason: reason.map(str::to_owned),
        count,
        first_id,
    };
    let expected = [
        count(0, Status::Eliminated, Some("copied"), 3, 10_100),
        count(0, Status::Kept, None, 4, 20_100),
        count(1, Status::Kept, None, 3, 10_101),
    ];
    assert_eq!(store.round_counts(1).unwrap(), expected);
    let known = store.known_texts(seeds[3].id).unwrap();
    assert_eq!(known.iter().map(|text| text.id).collect::<Vec<_>>(), [40_000, 40_100, 40_101]);
    assert_eq!(known[1].reason.as_deref(), Some("copied"));
    assert_eq!(store.first_eliminated(1, "copied").unwrap().unwrap().id, 10_100);
    assert_eq!(store.first_eliminated(1, "looping").unwrap(), None);
    assert!(store.has_node(40_101).unwrap() && !store.has_node(50_101).unwrap());
}
