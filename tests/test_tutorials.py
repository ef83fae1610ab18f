"Run All in Jupyter ends well, without data, and starts no work of hours."
import os
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT/'nbs'/'tutorials').glob('*.ipynb'))
EXPERIMENTS = sorted((ROOT/'nbs'/'experiments').glob('*.ipynb'))


def only_by_tag(source):
    "Whether a cell relies on a tag that Jupyter does not know: kept from running, or in need of data unguarded."
    tags = set(re.findall(r'^#\|\s*(eval: false|slow|data|cuda|notest)', source, re.M))
    guarded = re.search("^if 'SATSEG_DATA' in os.environ", source, re.M)
    return bool(tags - {'data'} or 'data' in tags and not guarded)


def test_the_reader_sees_tags():
    assert only_by_tag('#| eval: false\n!satseg train') and only_by_tag("#| data\nopen(os.environ['SATSEG_DATA'])")
    assert not only_by_tag("#| data\nif 'SATSEG_DATA' in os.environ: show()") and not only_by_tag('#| hide\n1')


@pytest.mark.parametrize('notebook', [*TUTORIALS, *EXPERIMENTS], ids=lambda path: path.stem)
def test_run_all_starts_what_can_end(notebook):
    "Commands that take hours are text; cells in need of data look whether it is there."
    cells = nbformat.read(notebook, 4).cells
    assert [c.source for c in cells if c.cell_type == 'code' and only_by_tag(c.source)] == []


@pytest.mark.slow
@pytest.mark.parametrize('notebook', [*TUTORIALS, EXPERIMENTS[0]], ids=lambda path: path.stem)
def test_run_all(notebook, monkeypatch):
    "As Jupyter does: a kernel, every cell, no tags, no data."
    from nbclient import NotebookClient
    monkeypatch.delenv('SATSEG_DATA', raising=False)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    folder = dict(metadata=dict(path=str(notebook.parent)))
    NotebookClient(nbformat.read(notebook, 4), timeout=1200, kernel_name='python3', resources=folder).execute()
