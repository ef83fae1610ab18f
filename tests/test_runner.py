"`make test` runs the notebooks by nbdev_test itself, and tells what it says of each."
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbdev.test
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))
import run_tests  # noqa: E402


def asked(monkeypatch, options=()):
    "The notebooks that nbdev_test would run, when it is called in the root with these options."
    calls = []
    def parallel(function, files, **settings):
        calls.append(files)
        return [(True, 0) for _ in files]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(nbdev.test, 'parallel', parallel)
    nbdev.test.nbdev_test(**{name.removeprefix('--'): value for name, value in zip(options[::2], options[1::2])})
    return calls[0]


def test_the_notebooks_are_those_of_nbdev_test(monkeypatch):
    "Its runs are one by one what it runs alone; the experiments, which take hours, are left out by a .notest file."
    whole = asked(monkeypatch)
    parts = [path for options in run_tests.NOTEBOOKS for path in asked(monkeypatch, options)]
    assert sorted(parts) == sorted(whole) and len(whole) > 80
    assert not any('experiments' in path.parts for path in whole)


def notebook(path, *sources):
    "A notebook of code cells."
    cells = [dict(cell_type='code', id=f'a{i}', metadata={}, source=source, outputs=[], execution_count=None)
             for i, source in enumerate(sources)]
    python = dict(kernelspec=dict(display_name='python3', language='python', name='python3'))
    path.write_text(json.dumps(dict(cells=cells, metadata=python, nbformat=4, nbformat_minor=5)), encoding='utf-8')
    return path


@pytest.fixture
def results(tmp_path, monkeypatch):
    "What the runner makes of notebooks in a folder of their own, by the real nbdev_test."
    def run(*flags):
        monkeypatch.setattr(sys, 'argv', ['run_tests.py', *flags])
        return {(Path(r.name).name, r.outcome, r.reason) for r in run_tests.nbdev_test('--path', str(tmp_path))}
    monkeypatch.setattr(run_tests, 'say', lambda text: None)
    return run


def test_what_it_says_of_each(tmp_path, results):
    "A failure and its last line, cells that were left out, and what one notebook leaves to the next."
    notebook(tmp_path/'a.ipynb', 'import sys\nsys.left = 1', '#| slow\n1/0', '#| eval: false\n1/0')
    notebook(tmp_path/'b.ipynb', 'import sys\nassert not hasattr(sys, "left"), "left"')
    assert results() == {('a.ipynb', 'passed', ''), ('a.ipynb', 'skipped', 'cell marked slow'),
                         ('a.ipynb', 'skipped', 'cell marked eval: false'),
                         ('b.ipynb', 'failed', 'AssertionError: left')}
    assert ('a.ipynb', 'failed', 'ZeroDivisionError: division by zero') in results('slow')


def test_one_that_does_not_end(tmp_path, results, monkeypatch):
    "It is ended, with what it started, and the run fails."
    monkeypatch.setattr(run_tests, 'LIMIT', 5)
    notebook(tmp_path/'a.ipynb', '!sleep 100')
    started = time.time()
    assert results() == {('a.ipynb', 'failed', f'nbdev_test ended here, {-signal.SIGKILL}')}
    assert time.time() - started < 50


def test_what_it_prints_is_read():
    "Lines between start and end belong to a notebook, what follows the last one to all."
    text = 'Starting /a b.ipynb\nError\n- Completed /a b.ipynb\nStarting /c.ipynb\n- Completed /c.ipynb\nSuccess.\n'
    process = subprocess.CompletedProcess([], 0, io.StringIO(text))
    process.pid = 0
    assert [heard[:2] for heard in run_tests.listen(process)] == [
        ('/a b.ipynb', 'Error\n'), ('/c.ipynb', ''), (None, 'Success.\n')]
