"Every check of the project, each part even if an earlier one failed. The last line is 'N passed, N failed, N skipped'."
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fastcore.basics import str2bool
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor

ROOT = Path(__file__).resolve().parent.parent
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'agg', 'PYTHONDONTWRITEBYTECODE': '1'}
# imported once for all files of tests
HEAVY = ['fastai.vision.all', 'torchvision', 'timm', 'sklearn.metrics', 'skimage', 'scipy.ndimage', 'scipy.stats',
         'rasterio', 'geopandas', 'pandas', 'pydantic', 'matplotlib.pyplot', 'pytest', 'hypothesis']
# two runs of nbdev_test: the tutorials take as long as all others
NOTEBOOKS = [('--path', 'nbs/tutorials'), ('--skip_folder_re', '^[_.]|^tutorials$')]
STARTING, COMPLETED, FAILED = 'Starting ', '- Completed ', 'nbdev Tests Failed On The Following Notebooks:'
NEWEST = ROOT/'.venv-newest'
NEWEST_SPEC = ['fastai>=2.8.12', 'fastcore>=2']
LIMIT = 1200  # seconds for one notebook; on a busy machine a tutorial takes ten minutes
FORKS = multiprocessing.get_context('forkserver')
GROUPS = set()  # of processes, which Ctrl-C does not reach


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


def pytest_there(log, method, *options):
    "Run pytest in this process, which is new and has the heavy libraries; all that it prints goes to a file."
    import pytest
    multiprocessing.set_start_method(method, force=True)  # what the tests start, they start as usual
    with open(log, 'w') as file:
        for stream in (1, 2): os.dup2(file.fileno(), stream)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.exit(pytest.main(list(options)))


def forked(folder, *options):
    "Run pytest in a process forked from one that has imported the heavy libraries: (exit code, output)."
    log = Path(folder)/'log'
    process = FORKS.Process(target=pytest_there, args=(log, multiprocessing.get_start_method(), *options))
    process.start()
    process.join()
    return process.exitcode, log.read_text(encoding='utf-8', errors='replace') if log.exists() else ''


def pytest(path):
    "Run pytest on one file, its slow tests only if they were asked for, and read its junit file."
    with tempfile.TemporaryDirectory() as tmp:
        xml = Path(tmp)/'junit.xml'
        slow = ['--slow']*('slow' in sys.argv[1:])
        quiet = '-q', '-p', 'no:cacheprovider', '-W', 'ignore::pytest.PytestAssertRewriteWarning'
        code, text = forked(tmp, *quiet, f'--junitxml={xml}', *slow, str(path))
        results = [case(n) for n in ET.parse(xml).iter('testcase')] if xml.exists() else []
    say(tail(text, 12 if code == 0 else 200))
    seen = any(r.outcome == 'failed' for r in results)
    if code not in (0, 5) and not seen: results.append(Result(f'pytest, exit code {code}', 'failed', tail(text, 3)))
    return results


# notebooks
def why_skipped(cell, flags):
    "The flag that keeps a code cell from being run, or None."
    found = getattr(cell, 'directives_', None) or {}
    if found.get('eval:', [''])[0].lower() == 'false': return 'eval: false'
    return next((f for f in sorted(flags) if f in found), None)


def cells(path):
    "How many code cells of a notebook nbdev_test runs, and how many it does not, by reason."
    nb = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    code = [c for c in nb.cells if c.cell_type == 'code' and 'nbdev_export(' not in c.source]
    if str2bool(getattr(nb, 'frontmatter_', {}).get('skip_exec', False)): return 0, Counter(skip_exec=len(code))
    flags = set(get_config().tst_flags.split()) - set(sys.argv[1:])
    skipped = Counter(reason for c in code if (reason := why_skipped(c, flags)))
    return len(code) - skipped.total(), skipped


class Heard(NamedTuple):
    "What nbdev_test printed while a notebook ran; without a path: of all of them, at the end."
    path: str | None
    text: str
    seconds: float


def listen(process):
    "What nbdev_test prints, one notebook after the other; one that takes longer than the limit ends it."
    path, lines, since, clock = None, [], time.time(), None
    for line in process.stdout:
        if line.startswith(STARTING):
            path, lines, since = line.removeprefix(STARTING).strip(), [], time.time()
            clock = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
            clock.start()
        elif line.startswith(COMPLETED):
            clock.cancel()
            yield Heard(path, ''.join(lines), time.time() - since)
            path, lines = None, []
        else: lines.append(line)
    if path: clock.cancel()
    yield Heard(path, ''.join(lines), time.time() - since)


def outcomes(heard, failed):
    "The Results of one notebook; its skipped cells count as skipped, by reason."
    path = os.path.relpath(heard.path, ROOT)
    run, skipped = cells(heard.path)
    told = f'{run} cells run, {skipped.total()} skipped, {heard.seconds:.0f} s'
    say(f"{path}: {'FAILED' if failed else 'ok'}, {told}")
    if failed: say(tail(heard.text))
    return [Result(path, 'failed' if failed else 'passed', tail(heard.text, 1) if failed else '')] + [
        Result(path, 'skipped', f'cell marked {why}') for why in skipped.elements()]


def nbdev_test(*options):
    "nbdev_test itself, all of its notebooks in one process, so that what one leaves behind is seen."
    process = subprocess.Popen(
        [Path(sys.executable).parent/'nbdev_test', '--n_workers', '0', '--do_print', '--flags', ' '.join(sys.argv[1:]),
         *options], cwd=ROOT, env={**ENV, 'PYTHONUNBUFFERED': '1'}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors='replace', start_new_session=True)
    GROUPS.add(process.pid)
    *ended, last = listen(process)
    code = process.wait()
    GROUPS.remove(process.pid)
    _, _, names = last.text.partition(FAILED)
    failed = {line.strip() for line in names.split('\n') if line.startswith('\t')}
    results = [r for heard in ended for r in outcomes(heard, Path(heard.path).name in failed)]
    if last.path: results += outcomes(last._replace(text=f'{last.text}\nnbdev_test ended here, {code}'), True)
    if code and not any(r.outcome == 'failed' for r in results):
        results.append(Result(f'nbdev_test, exit code {code}', 'failed', tail(last.text, 3)))
    return results


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
    "Install into the second environment with the first one's uv; one process will import it, so nothing is compiled."
    code, text = call(
        Path(sys.executable).parent/'uv', 'pip', 'install', '--quiet', '--python', NEWEST/'bin'/'python', *args)
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
def length(path):
    "Bytes of a file of tests and of its tables, which tell about how long it takes."
    tables = (path.parent/path.stem.removeprefix('test_')).glob('*.py')
    return sum(file.stat().st_size for file in (path, *tables))


def checks():
    "(name, function) of every check; what takes longest comes first, so that two at a time end together."
    tests = sorted((ROOT/'tests').glob('test_*.py'), key=length, reverse=True)
    return [(' '.join(['nbdev_test', *options]), partial(nbdev_test, *options)) for options in NOTEBOOKS] + [
        ('wheel', wheel_part), *((f'tests/{p.name}', partial(pytest, p)) for p in tests)]


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


def end(*_):
    "Ctrl-C ends what it does not reach, too."
    for group in GROUPS: os.killpg(group, signal.SIGKILL)
    os._exit(130)


def main():
    "All checks, two at a time, then the sum."
    os.environ.update(ENV)
    FORKS.set_forkserver_preload(HEAVY)
    signal.signal(signal.SIGINT, end)
    with ThreadPoolExecutor(2) as pool: results = [r for found in pool.map(timed, checks()) for r in found]
    say('')
    summary(results)
    say(tally(results))
    return any(r.outcome == 'failed' for r in results) or not results


if __name__ == '__main__': sys.exit(main())
