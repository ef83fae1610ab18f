"The README says what is true now: its tables are those that the notebooks and results give, and its links lead somewhere."
import re
from contextlib import chdir
from pathlib import Path

import nbformat
import pytest
from execnb.shell import CaptureShell

ROOT = Path(__file__).resolve().parent.parent
INDEX = ROOT/'nbs'/'index.ipynb'


def markdown(outputs): return [''.join(o['data']['text/markdown']) for o in outputs if 'text/markdown' in o.get('data', {})]


def test_tables_are_fresh():
    "Running index.ipynb again gives the outputs that it holds."
    shell, cells = CaptureShell(INDEX), nbformat.read(INDEX, as_version=4).cells
    with chdir(INDEX.parent):
        for cell in (c for c in cells if c.cell_type == 'code' and 'eval: false' not in c.source):
            fresh = markdown(shell.run(cell.source))
            assert not shell.exc, shell.exc
            assert fresh == markdown(cell.outputs), 'run index.ipynb, then make readme'


def links():
    "Relative links of the README."
    found = re.findall(r'\]\(([^)\s#]+)', (ROOT/'README.md').read_text(encoding='utf-8'))
    return sorted({l for l in found if '://' not in l})


@pytest.mark.parametrize('link', links())
def test_links_lead_somewhere(link): assert (ROOT/link).exists(), f'{link} is missing'
