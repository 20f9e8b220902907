"""The one exception that a user meets for bad input.

What a user can get wrong (a path, a table, an outline, a setting) ends in an :class:`InputError` of
one line: what is wrong, where, and the remedy.  Any other exception is a fault of the library.
"""

from __future__ import annotations

from difflib import get_close_matches


class InputError(Exception):
    """Bad input, with its place and its remedy.

    Parameters
    ----------
    what : str, the fact that is wrong, with its numbers ("patient P07 is in two splits")
    where : object, the file, table row or setting in which it was found
    remedy : str, what the user does about it, as an imperative
    """

    def __init__(self, what: str, where: object = "", remedy: str = ""):
        self.what, self.where, self.remedy = str(what), str(where), str(remedy)
        super().__init__(self.what, self.where, self.remedy)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        cure = f". {self.remedy}" if self.remedy else ""
        line = " ".join(f"{self.what}{place}{cure}".split())
        return line.encode(errors="backslashreplace").decode()  # a path may be no Unicode text

    # Jupyter prints the whole traceback of an exception unless it renders itself
    def _render_traceback_(self) -> list[str]:
        return [f"InputError: {self}"]


def nearest(name: str, known) -> str:
    """Suggest the known name that is most like a given one.

    Parameters
    ----------
    name : str
    known : iterable of str

    Returns
    -------
    str, `"did you mean 'patience'?"`, or all known names where none is similar
    """
    known = sorted(map(str, known))
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(known)
