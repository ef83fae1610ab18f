"""What people's files and habits are like, and what happens: every row of the tables in `tests/field/`.

A row is a `Case`: the kind it belongs to, the condition, what happens, and a function that makes it happen in an empty
folder. What happens begins with 'refused:' (one line that a user can act on: BadInput with these words), 'note:' (a
Note with these words, the work goes on), or is a sentence that the function itself asserts."""
import importlib
import warnings
from pathlib import Path

import pytest

from satseg_fastai.errors import BadInput, Note

HERE = Path(__file__).resolve().parent
TABLES = [importlib.import_module(f'field.{path.stem}') for path in sorted((HERE/'field').glob('[a-z]*.py'))
          if path.stem != 'case']
CASES = [case for table in TABLES for case in table.CASES]


def check(case, folder):
    "Let it happen, and see that it is what the row says."
    kind, _, words = case.happens.partition(': ')
    if kind == 'refused':
        with pytest.raises(BadInput) as told: case.run(folder)
        assert words in str(told.value) and '\n' not in str(told.value)
    elif kind == 'note':
        with pytest.warns(Note) as told: case.run(folder)
        assert any(words in str(note.message) for note in told), [str(note.message) for note in told]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            case.run(folder)


@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case.number}-{case.condition}')
def test_what_happens(case, tmp_path): check(case, tmp_path)


def test_no_row_stands_twice():
    "And every row says something."
    rows = [(case.number, case.condition) for case in CASES]
    assert len(rows) == len(set(rows)) and all(case.happens for case in CASES)


def test_the_table_can_fail(tmp_path):
    "A row that promises a refusal, or a note, where there is none is a failure."
    case = CASES[0]._replace(run=lambda folder: None)
    with pytest.raises(pytest.fail.Exception): check(case._replace(happens='refused: something'), tmp_path)
    with pytest.raises(pytest.fail.Exception): check(case._replace(happens='note: something'), tmp_path)
