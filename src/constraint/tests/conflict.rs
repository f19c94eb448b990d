//! Pairs of constraints that conflict, pairs that do not, and what holds for all pairs.

use super::samples;
use crate::constraint::kinds::{
    BulletCount, EndPhrase, ForbiddenWords, InLanguage, Json, Keywords, LowerCase, Mark, NoDigits, Quoted,
    SentenceCount, StartPhrase, Title, TwoAnswers, UpperCase, WithoutMark, WordCount,
};
use crate::constraint::{Bound, Constraint, Language, all_compatible, conflict};

fn read(json: &str) -> Constraint {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_clashes_of_the_parameters_are_found() {
    let at_least = |n| Constraint::from(WordCount { bound: Bound::AtLeast { n } });
    let at_most = |n| Constraint::from(WordCount { bound: Bound::AtMost { n } });
    let sentences = |bound| Constraint::from(SentenceCount { bound });
    let bullets = |n| Constraint::from(BulletCount { bound: Bound::Exactly { n } });
    let word = |word: &str| Constraint::from(Keywords { words: vec![word.to_owned()] });
    let forbidden = |word: &str| Constraint::from(ForbiddenWords { words: vec![word.to_owned()] });
    let without = |mark| Constraint::from(WithoutMark { mark });
    let start = |phrase: &str| Constraint::from(StartPhrase { phrase: phrase.to_owned() });
    let end = |phrase: &str| Constraint::from(EndPhrase { phrase: phrase.to_owned() });
    let language = |language| Constraint::from(InLanguage { language });
    let french = language(Language::French);
    let english = language(Language::English);
    let ps = read(r#"{"kind":"postscript","marker":"P.S."}"#);
    let rare = read(r#"{"kind":"letter_count","letter":"z","relation":"at_most","n":1}"#);
    let clash = [
        (at_least(200), at_most(100), "same kind"),
        (bullets(5), at_most(10), "more words"),
        (at_least(200), sentences(Bound::AtMost { n: 3 }), "more sentences"),
        (sentences(Bound::Exactly { n: 3 }), bullets(3), "sentences are not"),
        (Constraint::from(Json), bullets(3), "JSON"),
        (Constraint::from(Json), Constraint::from(Title), "JSON"),
        (ps.clone(), Constraint::from(Json), "JSON"),
        (without(Mark::Comma), Constraint::from(Json), "JSON"),
        (Constraint::from(LowerCase), Constraint::from(UpperCase), "small and capital"),
        (Constraint::from(LowerCase), start("In short"), "small and capital"),
        (Constraint::from(LowerCase), french.clone(), "English"),
        (french.clone(), word("tree"), "English"),
        (Constraint::from(Quoted), start("so"), "begins"),
        (Constraint::from(Quoted), end("so"), "ends"),
        (end("so"), ps.clone(), "ends"),
        (word("Tree"), forbidden("tree"), "wanted and forbidden"),
        (start("The tree is"), forbidden("tree"), "wanted and forbidden"),
        (end("Any questions?"), without(Mark::Question), "punctuation"),
        (Constraint::from(NoDigits), start("In 1990"), "digits"),
        (rare.clone(), word("puzzle"), "so few"),
        (rare, at_least(100), "so few"),
        (Constraint::from(TwoAnswers), at_most(100), "two answers"),
    ];
    for (a, b, expected) in clash {
        let why = conflict(&a, &b).unwrap_or("no conflict");
        assert!(why.contains(expected), "{a:?} {b:?}: {why}");
    }
    let fine = [
        (bullets(5), at_most(60)),
        (without(Mark::Comma), without(Mark::Question)),
        (Constraint::from(LowerCase), start("in short")),
        (english, word("tree")),
        (Constraint::from(Json), word("tree")),
        (start("well"), end("the end")),
        (word("art"), forbidden("party")),
        (ps, start("Dear Ann")),
        (Constraint::from(TwoAnswers), without(Mark::Comma)),
    ];
    for (a, b) in fine {
        assert_eq!(conflict(&a, &b), None, "{a:?} {b:?}");
    }
}

#[test]
fn conflicts_are_symmetric_and_nothing_goes_with_itself() {
    for a in samples() {
        assert!(conflict(&a, &a).is_some(), "{a:?}");
        for b in samples() {
            assert_eq!(conflict(&a, &b), conflict(&b, &a), "{a:?} {b:?}");
        }
    }
    assert!(!all_compatible(&[Constraint::from(Title), Constraint::from(NoDigits), Constraint::from(Json)]));
}
