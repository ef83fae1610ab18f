"""What is generated agrees with its source: clean notebooks, exported modules, README. Everything is redone in a
temporary copy."""
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@pytest.fixture
def copy(tmp_path):
    "The notebooks and the settings, in a folder of their own."
    shutil.copy(ROOT/'settings.ini', tmp_path)
    shutil.copytree(ROOT/'nbs', tmp_path/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints', '_*'))
    (tmp_path/'satseg_fastai').mkdir()
    return tmp_path


def nbdev(command, folder):
    "Run one nbdev command there; its error output is the message of a failure."
    env = {k: v for k, v in os.environ.items() if k != 'IN_TEST'}
    done = subprocess.run([BIN/command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def contents(folder, pattern):
    "Relative path -> text, of the files under `folder` that match."
    return {p.relative_to(folder).as_posix(): p.read_text(encoding='utf-8') for p in sorted(folder.rglob(pattern))
            if not {'__pycache__', '.ipynb_checkpoints'} & set(p.parts)}


def differing(a, b): return sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))


def test_notebooks_are_clean(copy):
    "nbdev_clean changes nothing."
    before = contents(copy/'nbs', '*.ipynb')
    nbdev('nbdev_clean', copy)
    unclean = differing(before, contents(copy/'nbs', '*.ipynb'))
    assert before and not unclean, f'run nbdev_clean: {unclean}'


def test_modules_are_exported(copy):
    "nbdev_export makes exactly the modules that are here, and no module is without a notebook."
    nbdev('nbdev_export', copy)
    fresh, here = contents(copy/'satseg_fastai', '*.py'), contents(ROOT/'satseg_fastai', '*.py')
    stale = differing(fresh, here)
    assert fresh and not stale, f'run nbdev_export, and remove modules without a notebook: {stale}'


def test_readme_is_made_from_the_index(tmp_path):
    "tools/readme.py makes the README that is here, pictures included."
    subprocess.run([sys.executable, ROOT/'tools'/'readme.py', '--out', tmp_path], check=True)
    made = [{p.name: p.read_bytes()
             for p in (root/'README.md', *(root/'README_files').glob('*'))}
            for root in (tmp_path, ROOT)]
    stale = differing(*made)
    assert not stale, f'run make readme: {stale}'


def test_the_package_brings_its_data():
    "What lies in the package and is no module is named in setup.py, so that a wheel has it too."
    found = {
        p.relative_to(ROOT/'satseg_fastai').as_posix()
        for p in (ROOT/'satseg_fastai').rglob('*')
        if p.is_file() and p.suffix not in ('.py', '.pyc')
    }
    told = re.search(r"package_data=\{'satseg_fastai': (\[.*?\])\}", (ROOT/'setup.py').read_text(encoding='utf-8'))[1]
    assert found == set(ast.literal_eval(told))
