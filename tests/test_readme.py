"""The README says what is true now: its tables are those that the notebooks and results give, and its links lead
somewhere."""
import json
import re
import sys
from contextlib import chdir
from pathlib import Path

import nbformat
import pytest
from execnb.shell import CaptureShell

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))
from readme import convert  # noqa: E402

INDEX = ROOT/'nbs'/'index.ipynb'


def markdown(outputs):
    return [''.join(o['data']['text/markdown']) for o in outputs if 'text/markdown' in o.get('data', {})]


def test_tables_are_fresh():
    "Running index.ipynb again gives the outputs that it holds."
    shell, cells = CaptureShell(INDEX), nbformat.read(INDEX, as_version=4).cells
    with chdir(INDEX.parent):
        for cell in (c for c in cells if c.cell_type == 'code' and 'eval: false' not in c.source):
            fresh = markdown(shell.run(cell.source))
            assert not shell.exc, shell.exc
            assert fresh == markdown(cell.outputs), 'run index.ipynb, then make readme'


def test_separate_on_banepa():
    "The building scores that Limits names are those that were measured."
    runs = [
        json.loads(p.read_text(encoding='utf-8'))['depths']
        for p in (ROOT/'nbs'/'experiments'/'results').glob('separate_banepa_*.json')
    ]
    score = lambda depth: sorted(f"{r['reported']['f1']:.2f}"[1:] for run in runs for r in run if r['depth'] == depth)
    told = re.search(r'F1 goes from ([.\d]+)-([.\d]+) to ([.\d]+)-([.\d]+) \(two seeds',
                     (ROOT/'README.md').read_text(encoding='utf-8')).groups()
    assert len(runs) == 2 and list(told) == score(None) + score(.25)


def test_a_list_over_two_cells_is_one(tmp_path):
    "Items of neighboring cells join; what follows a list does not."
    cell, path = nbformat.v4.new_markdown_cell, tmp_path/'i.ipynb'
    nbformat.write(nbformat.v4.new_notebook(
        cells=[cell('- a\n- b'), cell('- c'), cell('end - no item'),
               cell('- d')]), path)
    assert convert(path)[0] == '- a\n- b\n- c\n\nend - no item\n\n- d\n'


def links():
    "Relative links of the README."
    found = re.findall(r'\]\(([^)\s#]+)', (ROOT/'README.md').read_text(encoding='utf-8'))
    return sorted({l for l in found if '://' not in l})


@pytest.mark.parametrize('link', links())
def test_links_lead_somewhere(link): assert (ROOT/link).exists(), f'{link} is missing'
