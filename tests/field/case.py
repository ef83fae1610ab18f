"One row of a table of conditions from the field."
from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    "A condition and what happens; see tests/test_field.py."
    number: str  # of its kind
    condition: str  # what is odd about the files or the call
    happens: str  # 'refused: WORDS', 'note: WORDS', or a sentence that `run` asserts
    run: Callable  # takes an empty folder
