"`make test` runs the notebooks that nbdev_test runs, with its function and its flags."
import sys
from fnmatch import fnmatch
from pathlib import Path

import nbdev.test
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT/'tools'))
import run_notebook  # noqa: E402
import run_tests  # noqa: E402


def asked(monkeypatch, **options):
    "What nbdev_test would run, and with what, when it is called in the root."
    calls = []
    def parallel(function, files, **settings):
        calls.append((function, files, settings))
        return [(True, 0) for _ in files]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(nbdev.test, 'parallel', parallel)
    nbdev.test.nbdev_test(**options)
    return calls[0]


def test_the_notebooks_are_those_of_nbdev_test(monkeypatch):
    "The experiments, which take hours, are left out by their .notest file."
    _, files, _ = asked(monkeypatch)
    assert [ROOT/path for path in run_tests.notebooks()] == sorted(files)
    assert not any(fnmatch(path, '*/experiments/*') for path in files) and len(files) > 80


@pytest.mark.parametrize('flags', ['', 'slow', 'slow data'])
def test_a_notebook_is_tested_as_nbdev_test_does(monkeypatch, flags):
    "The same function, the same cells left out, the same place of the library."
    function, files, settings = asked(monkeypatch, flags=flags)
    assert function is run_notebook.test_nb
    calls = []
    monkeypatch.setattr(run_notebook, 'test_nb', lambda *args, **kw: calls.append((args, kw)) or (True, 0))
    assert run_notebook.main(files[0], *flags.split()) == 0
    (args, own), = calls
    assert args == (files[0], ) and own['basepath'] == settings['basepath']
    assert set(own['skip_flags']) == set(settings['skip_flags']) - set(settings['force_flags'])
