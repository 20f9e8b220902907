"""Ids of patients, images and lesions as tables spoil them.

Two spellings of one id put one patient into two splits; two ids that were lost make one of two.
"""

from __future__ import annotations

import re
import unicodedata

# English, German, French, Spanish, Italian, Portuguese, Dutch; not gen, mag, set and out, which are
# words of ids, too
_MONTH = (
    r"(?:jan|feb|m[aä]r|mrz|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|janv|févr|mars|avr|juin"
)
_MONTH += r"|juil|août|sept|déc|ene|abr|ago|dic|giu|lug|ott|fev|mrt|mei)"
# what spreadsheets and scripts leave in the place of an id
LOST_IDS = {
    "a rounded number in scientific notation": r"\d[.,]\d+e\+?\d+|\de\+\d+",
    "a spreadsheet's error": r"#+|#\D+[!?]|#DIV/0!|#N/?[AV]",
    "a date that was made of an id": rf"\d{{1,4}}[-. ]+{_MONTH}\.?|{_MONTH}[-. ]+\d{{1,4}}"
    r"|\d{4}-\d\d-\d\d 00:00:00",
    "a word for an id that is missing": r"nan|<na>|nat|none|null",
}


def plain_id(name: str) -> str:
    """An id without what is lost on the way from one table to another.

    That is case, blanks (no-break ones, too), the form of accents, zeros in front of a number, and
    ".0" after it.
    """
    text = "".join(unicodedata.normalize("NFKC", str(name)).casefold().split())
    text = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) != "Cf")
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"^(\d+)\.0+$", r"\1", text))
