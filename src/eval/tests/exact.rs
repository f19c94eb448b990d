//! Tests of exact match.

use crate::eval::{Task, is_right};

fn right(response: &str, answer: &str) -> bool {
    is_right(&Task::Exact(answer.to_owned()), response).unwrap()
}

#[test]
fn numbers_are_compared_as_numbers_wherever_they_occur() {
    for response in [
        "Answer: 1,234",
        "answer: 1234.",
        "**Answer:** $1234",
        "First 7, then…\n#### 1234",
        "So it is 1234 apples.",
        "Answer: 1234.0",
        "Answer: 5\nNo.\nAnswer: 1234 km",
        "That makes 1,234!",
        "Answer: \\(1234\\)",
    ] {
        assert!(right(response, "1234"), "{response}");
    }
    for response in ["Answer: 1235", "1234 or 7", "", "Answer:", "twelve", "#### 12340", "Answer: 12 34"] {
        assert!(!right(response, "1234"), "{response}");
    }
    assert!(right("#### 42 apples in 3 boxes", "42") && right("#### Conclusion\nThe total is 42.", "42"));
    assert!(right("Answer: 5 + 7 = 12", "12") && !right("Answer: 12/5", "5") && !right("Answer: 12/5", "12"));
    assert!(right("#### .5", "0.5") && !right("#### 5", ".5") && right("Answer: .50", ".5"));
    assert!(right("It falls to -3.", "-3") && !right("It falls to 3.", "-3"));
    assert!(right("pages 5-3", "3"), "a hyphen between numbers is no sign");
    assert!(right("Answer: 12.5 %", "12.5") && right("€ 40", "40"));
}

#[test]
fn words_are_compared_without_case_and_punctuation() {
    for response in [
        "Answer: Amsterdam",
        "I think so.\n\n\"amsterdam.\"",
        "ANSWER: **Amsterdam**",
        "answer:\u{a0}Amsterdam",
    ] {
        assert!(right(response, "Amsterdam"), "{response}");
    }
    for response in
        ["It is Amsterdam, of course.", "Answer: Rotterdam", "Amsterdam\nAnswer: Rotterdam", "???"]
    {
        assert!(!right(response, "Amsterdam"), "{response}");
    }
}

#[test]
fn no_response_makes_exact_match_panic() {
    for response in
        ["####", "#### ", "İanswer:", "answer:é", "é1", "-", "−", "1", "Answer: ,.,", "１２３", "\u{301}5"]
    {
        for answer in ["5", "x", "-1", "é"] {
            let _ = right(response, answer);
        }
    }
}
