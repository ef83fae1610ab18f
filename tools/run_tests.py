"Every check of the project, each part even if an earlier one failed. The last line is 'N passed, N failed, N skipped'."
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nbdev.doclinks import nbglob

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg', 'PYTHONDONTWRITEBYTECODE': '1'}
# imported once for all notebooks; not fastai, which changes torch.Tensor for those that do without it
HEAVY = ['torch', 'torchvision', 'timm', 'sklearn.metrics', 'skimage', 'scipy.ndimage', 'scipy.stats', 'rasterio',
         'geopandas', 'pandas', 'pydantic', 'matplotlib.pyplot', 'fastcore.all', 'nbdev.test', 'nbdev.export']
NEWEST = ROOT/'.venv-newest'
NEWEST_SPEC = ['fastai>=2.8.12', 'fastcore>=2']
LIMIT = 600  # seconds for one notebook
FORKS = multiprocessing.get_context('forkserver')


class Result(NamedTuple):
    "One check: what it is, 'passed', 'failed' or 'skipped', and why."
    name: str
    outcome: str
    reason: str = ''


def call(*args, **kwargs):
    "Run a command in the root and return (exit code, output)."
    try: done = subprocess.run([str(a) for a in args], cwd=ROOT, env=ENV, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors='replace', **kwargs)
    except subprocess.TimeoutExpired as e: return 124, f'stopped after {e.timeout:.0f} s'
    return done.returncode, done.stdout


def say(text): print(text, flush=True)


def tail(text, lines=40): return '\n'.join(text.rstrip().split('\n')[-lines:])


# pytest
def case(node):
    "One <testcase> of a junit file as a Result."
    name = f"{node.get('classname')}::{node.get('name')}"
    for tag, outcome in (('failure', 'failed'), ('error', 'failed'), ('skipped', 'skipped')):
        if (found := node.find(tag)) is not None: return Result(name, outcome, found.get('message', '').split('\n')[0])
    return Result(name, 'passed')


def pytest(path):
    "Run pytest on one file, its slow tests only if they were asked for, and read its junit file."
    with tempfile.TemporaryDirectory() as tmp:
        xml = Path(tmp)/'junit.xml'
        slow = ['--slow']*('slow' in sys.argv[1:])
        code, text = call(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'--junitxml={xml}', *slow,
                          path)
        results = [case(n) for n in ET.parse(xml).iter('testcase')] if xml.exists() else []
    say(tail(text, 12 if code == 0 else 200))
    seen = any(r.outcome == 'failed' for r in results)
    if code not in (0, 5) and not seen: results.append(Result(f'pytest, exit code {code}', 'failed', tail(text, 3)))
    return results


# notebooks
def notebooks():
    "Those that nbdev_test runs: it leaves out folders that hold a file .notest."
    found = sorted(nbglob(ROOT/'nbs', as_path=True))
    return [path.relative_to(ROOT) for path in found if not (path.parent/'.notest').exists()]


def test_there(log, method, path, *flags):
    "Test a notebook in this process, which is new; all that it prints goes to a file."
    multiprocessing.set_start_method(method, force=True)  # what the notebook starts, it starts as usual
    with open(log, 'w') as file:
        for stream in (1, 2): os.dup2(file.fileno(), stream)
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT/'tools')]
    import run_notebook
    sys.exit(run_notebook.main(path, *flags))


def forked(path):
    "Test a notebook in a process that has the heavy libraries already: (exit code, output)."
    with tempfile.TemporaryDirectory() as tmp:
        log = Path(tmp)/'log'
        process = FORKS.Process(target=test_there, args=(log, multiprocessing.get_start_method(), path, *sys.argv[1:]))
        process.start()
        process.join(LIMIT)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        text = log.read_text(encoding='utf-8', errors='replace') if log.exists() else ''
    return (124, f'{text}\nstopped after {LIMIT} s') if late else (process.exitcode, text)


def notebook(path):
    "Test one notebook in a process of its own; its skipped cells count as skipped, by reason."
    code, text = forked(path)
    text, _, last = text.rstrip().rpartition('\n')
    try: counts = json.loads(last)
    except ValueError: text, counts = f'{text}\n{last}', {'run': 0, 'skipped': {}, 'seconds': 0}
    skipped = counts['skipped']
    told = f"{counts['run']} cells run, {sum(skipped.values())} skipped, {counts['seconds']} s"
    say(f"{path}: {'FAILED' if code else 'ok'}, {told}")
    if code: say(tail(text))
    return [Result(str(path), 'failed' if code else 'passed', tail(text, 1) if code else '')] + [
        Result(str(path), 'skipped', f'cell marked {why}') for why, n in skipped.items() for _ in range(n)]


# the wheel, with the newest fastai
def build_wheel(tmp):
    "Build the wheel from a copy, so that the tree stays clean."
    src = Path(tmp)/'src'
    shutil.copytree(ROOT/'satseg_fastai', src/'satseg_fastai', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('settings.ini', 'setup.py', 'README.md', 'LICENSE'):
        if (ROOT/name).exists(): shutil.copy(ROOT/name, src)
    code, text = call(sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', tmp, src)
    if code: raise RuntimeError(tail(text))
    return next(Path(tmp).glob('*.whl'))


def install(*args):
    "Install into the second environment with the first one's uv."
    code, text = call(
        Path(sys.executable).parent/'uv', 'pip', 'install', '--quiet', '--compile-bytecode', '--python',
        NEWEST/'bin'/'python', *args)
    if code: raise RuntimeError(tail(text))


def newest_env(wheel):
    "The second environment: built once for a set of requirements, then only the wheel changes."
    stamp, wanted = NEWEST/'.ready', '\n'.join(NEWEST_SPEC) + (ROOT/'settings.ini').read_text(encoding='utf-8')
    if not stamp.exists() or stamp.read_text(encoding='utf-8') != wanted:
        shutil.rmtree(NEWEST, ignore_errors=True)
        call(sys.executable, '-m', 'venv', '--without-pip', NEWEST)
        install(wheel, *NEWEST_SPEC)
        stamp.write_text(wanted, encoding='utf-8')
    else: install('--no-deps', '--reinstall', wheel)


def wheel_line(line):
    "'FAILED what: why' as a Result."
    outcome, _, rest = line.partition(' ')
    what, _, why = rest.partition(': ')
    return Result(f'wheel: {what}', outcome.lower(), why)


def wheel_part():
    "Build the wheel, install it beside the newest fastai, and run tools/newest_leg.py there."
    with tempfile.TemporaryDirectory() as tmp:
        try: newest_env(build_wheel(tmp))
        except RuntimeError as e: say(str(e)); return [Result('wheel: build and install', 'failed', tail(str(e), 3))]
        code, text = call(NEWEST/'bin'/'python', '-I', ROOT/'tools'/'newest_leg.py', tmp, timeout=LIMIT)
    say(tail(text, 60))
    results = [Result('wheel: build and install', 'passed')] + [wheel_line(line) for line in text.split('\n')
                                                                if line.startswith(('PASSED ', 'FAILED '))]
    if code and not any(r.outcome == 'failed' for r in results):
        results.append(Result('wheel: newest_leg.py', 'failed', tail(text, 3)))
    return results


# all of them
def checks():
    "(name, function) of every check; what takes longest comes first, so that two at a time end together."
    tests = sorted((ROOT/'tests').glob('test_*.py'), key=lambda p: -p.stat().st_size)
    found = sorted(notebooks(), key=lambda p: 'tutorials' not in p.parts)
    tutorials = sum('tutorials' in p.parts for p in found)
    runs = [(str(p), partial(notebook, p)) for p in found]
    return [('wheel', wheel_part), *runs[:tutorials], *((f'tests/{p.name}', partial(pytest, p)) for p in tests),
            *runs[tutorials:]]


def timed(check):
    "Run one check; one that breaks down is one failure, never the end of the run."
    name, run = check
    start = time.time()
    try: results = run()
    except Exception as e: results = [Result(name, 'failed', f'{type(e).__name__}: {e}')]
    say(f'-- {name}: {time.time() - start:.0f} s, {tally(results)}')
    return results


def tally(results):
    "N passed, N failed, N skipped."
    return ', '.join(f'{sum(r.outcome == o for r in results)} {o}' for o in ('passed', 'failed', 'skipped'))


def summary(results):
    "Skips and failures with their reasons, one line each."
    for outcome in ('skipped', 'failed'):
        found = [f'{outcome}: {r.name}: {" ".join(r.reason.split())[:300]}' for r in results if r.outcome == outcome]
        for line in dict.fromkeys(found): say(line + (f' (x{n})' if (n := found.count(line)) > 1 else ''))


def main():
    "All checks, two at a time, then the sum."
    os.environ.update(ENV)
    FORKS.set_forkserver_preload(HEAVY)
    with ThreadPoolExecutor(2) as pool: results = [r for found in pool.map(timed, checks()) for r in found]
    say('')
    summary(results)
    say(tally(results))
    return any(r.outcome == 'failed' for r in results) or not results


if __name__ == '__main__': sys.exit(main())
