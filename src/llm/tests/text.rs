//! Stop strings and characters that tokens cut apart.

use proptest::prelude::*;

use crate::llm::text::Text;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

/// Pushes pieces until a stop string comes; the text, how many pieces it took, and what was streamed.
fn run(stop: &[String], pieces: &[&[u8]]) -> (String, Option<usize>, String) {
    let mut text = Text::new(stop);
    let mut streamed = String::new();
    let mut stopped_at = None;
    for (index, piece) in pieces.iter().enumerate() {
        let stopped = text.push(piece);
        streamed += &text.settled();
        if stopped {
            stopped_at = Some(index);
            break;
        }
    }
    streamed += &text.rest();
    (text.finish(), stopped_at, streamed)
}

#[test]
fn a_stop_string_ends_the_text_wherever_tokens_cut_it() {
    type Case<'a> = (&'a [&'a [u8]], &'a str, Option<usize>);
    let stop = strings(&["\n\n", "END"]);
    let cases: [Case<'_>; 6] = [
        (&[b"one", b"\n", b"\n", b"two"], "one", Some(2)),
        (&[b"one E", b"N", b"D two"], "one ", Some(2)),
        (&[b"one END two\n\n"], "one ", Some(0)),
        (&[b"one EN", b"one"], "one ENone", None),
        (&[b"E", b"E", b"N", b"D"], "E", Some(3)),
        (&[b"\n\n"], "", Some(0)),
    ];
    for (pieces, text, stopped_at) in cases {
        let (found, at, streamed) = run(&stop, pieces);
        assert_eq!((found.as_str(), at), (text, stopped_at), "{pieces:?}");
        assert_eq!(streamed, text, "{pieces:?}");
    }
}

#[test]
fn an_empty_stop_string_is_none() {
    assert_eq!(run(&strings(&[""]), &[b"a", b"b"]).0, "ab");
    assert_eq!(run(&strings(&["", "b"]), &[b"a", b"b"]).0, "a");
}

#[test]
fn characters_cut_by_tokens_come_whole_and_broken_ones_are_replaced() {
    let euro = "€".as_bytes();
    let (text, _, streamed) = run(&[], &[&euro[..1], &euro[1..2], &euro[2..], b"!", &euro[..2]]);
    assert_eq!(text, "€!\u{FFFD}");
    assert_eq!(streamed, text);
    let mut text = Text::new(&[]);
    text.push(&euro[..2]);
    assert_eq!(text.settled(), "");
    text.push(&euro[2..]);
    assert_eq!(text.settled(), "€");
}

#[test]
fn a_possible_beginning_of_a_stop_string_is_held_back() {
    let stop = strings(&["</child>"]);
    let mut text = Text::new(&stop);
    text.push(b"word </chi");
    assert_eq!(text.settled(), "word ");
    text.push(b"me");
    assert_eq!(text.settled(), "</chime");
}

proptest! {
    /// Against searching the whole text at once, whatever the cuts.
    #[test]
    fn cuts_change_nothing(text in "[ab€\\n]{0,24}", cuts in prop::collection::vec(0_usize..24, 0..8),
                           stop in prop::collection::vec("[ab€\\n]{1,3}", 0..3)) {
        let mut cuts: Vec<usize> =
            cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        let (found, stopped_at, streamed) = run(&stop, &pieces);
        prop_assert_eq!(&streamed, &found);
        let first = stop.iter().filter_map(|s| text.find(s.as_str())).min();
        prop_assert_eq!(stopped_at.is_some(), first.is_some());
        if first.is_none() {
            prop_assert_eq!(found, text);
        } else {
            // The stop string that is complete first ends the text; another may start before it.
            let ends_here = |s: &String| text[found.len()..].starts_with(s.as_str());
            prop_assert!(text.starts_with(&found) && stop.iter().any(ends_here));
        }
    }
}
