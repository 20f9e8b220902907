"""Reading a pickle that holds nothing but plain values: lists, dictionaries, text and numbers.

A pickle is a program: an ordinary `pickle.load` runs whatever the file's author wrote into it.  Here
no class and no function can be named, so a file can give values and nothing else.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path

from data_manifest.input_files import input_file
from lesionlib.errors import InputError

REMEDY = "Take the list as published, or save it as JSON where it is trusted"


# Python's own reader and not the one in C: there a forged file of a few bytes fills the memory
class _Plain(pickle._Unpickler):
    dispatch = {**pickle._Unpickler.dispatch}
    del dispatch[pickle.BYTEARRAY8[0]]  # takes as much memory as the file claims

    def find_class(self, module: str, name: str):
        raise InputError("a pickle that names a class or function is not opened")


def load_plain(file: Path) -> object:
    """The value in a pickle file of any protocol.

    Raises InputError for a file that names any class or function (NumPy's arrays too), and for one
    that is damaged or no pickle.
    """
    try:
        return _Plain(BytesIO(input_file(file).read_bytes()), encoding="latin-1").load()
    except InputError as error:
        raise InputError(error.what, file, REMEDY) from None
    except Exception as error:  # damaged bytes fail in as many ways as there are instructions
        raise InputError(f"not a readable pickle ({type(error).__name__})", file, REMEDY) from None
