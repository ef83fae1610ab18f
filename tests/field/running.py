"How the program is called: names, streams, unexpected errors."
import ast
import os
import re
import subprocess
import sys
import unicodedata
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import patch

import numpy as np

from satseg_fastai.cli import _print_note
from satseg_fastai.errors import BadInput, Note, in_python
from satseg_fastai.files import by_stem, check_vector_path, list_files, read_json, workplace
from satseg_fastai.geo.raster import Scene, list_scenes
from satseg_fastai.testing import write_raster

from .case import Case

ROOT = Path(__file__).resolve().parent.parent.parent
NFC, NFD = (unicodedata.normalize(form, 'São_1') for form in ('NFC', 'NFD'))
ODD = ('काठमांडू_1', 'ภาพ', NFD, 'Plot #5 (50%)', 'ortho[1]', 'a&b', 'a%41', 'x;y', 'x!y', '2020-01-01T10:00',
       "'q\"", 'a,b|c')


# programs
def satseg(*args, **options):
    "Run the program; its exit code, and what it prints."
    words = [sys.executable, '-m', 'satseg_fastai.cli', *map(str, args)]
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, timeout=60) | options
    ended = subprocess.run(words, **options)
    return ended.returncode, (ended.stdout or b'').decode(), (ended.stderr or b'').decode()


def one_line(told, code, words, error):
    "A program that ended with one line that holds these words."
    assert told == code and words in error, error
    assert error.count('\n') == 1 and error.startswith('satseg: ') and 'Traceback' not in error


def called(*args):
    "The same in this process: exit code and what it prints, notes and errors last."
    from typer.testing import CliRunner

    from satseg_fastai.cli import app
    shown = warnings.showwarning
    try: result = CliRunner().invoke(app, [str(arg) for arg in args])
    finally: warnings.showwarning = shown
    return result.exit_code, result.output


def refused_by_program(words, *args):
    "It says it in one line."
    code, text = called(*args)
    one_line(code, 2, words, text)


@cache
def model():
    "A bundle that calls every pixel something."
    import torch

    from satseg_fastai.architectures import create_model
    from satseg_fastai.bundle.file import save_bundle
    path = Path(mkdtemp())/'m.safetensors'
    classes = [dict(name=name, color=[0, 0, 255*i], index=i) for i, name in enumerate(('background', 'bâti'))]
    torch.manual_seed(0)
    network = create_model('se_unet', 'test_resnet', decoder_width=8)
    save_bundle(path, network, dict(
        arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=8), n_in=3, n_out=2, classes=classes,
        mean=[120.]*3, std=[50.]*3, patch_size=64, dtype='uint8', gsd=.5, bands=[1, 2, 3]))
    return path


def image(path, side=64):
    "A scene of noise."
    return write_raster(path, np.random.default_rng(0).integers(1, 255, (3, side, side), np.uint8))


def mask(path, side=64): return write_raster(path, np.eye(side, dtype=np.uint8))


# names
def odd_names(folder):
    "Maps are named after their scenes, and labels are found by the names."
    for name in ODD:
        image(folder/'images'/f'{name}.tif')
        mask(folder/'labels'/f'{name}.tif')
    code, text = called('predict', model(), folder/'images', '--out', folder/'out', '-q')
    assert code == 0, text
    assert {p.name for p in (folder/'out').glob('*_mask.tif')} == {f'{name}_mask.tif' for name in ODD}
    code, text = called('evaluate', folder/'out', folder/'labels')
    assert code == 0, text


def two_forms(folder):
    "A map of one system finds the labels of another."
    from satseg_fastai.data.datasets import folder_pairs
    assert NFC != NFD
    image(folder/'images'/f'{NFD}.tif')
    mask(folder/'labels'/f'{NFC}.tif')
    (pair, ) = folder_pairs(folder/'images', folder/'labels')
    assert pair.label.stem == NFC
    assert called('predict', model(), folder/'images', '--out', folder/'out', '-q')[0] == 0
    code, text = called('evaluate', folder/'out', folder/'labels')
    assert code == 0, text


def report_of_two_forms(folder):
    "The report of maps too."
    from satseg_fastai.report.maps import open_run, with_files
    image(folder/'images'/f'{NFC}.tif')
    assert called('predict', model(), folder/'images', '--out', folder/'out', '-q')[0] == 0
    image(folder/'other'/f'{NFD}.tif')
    (found, ) = with_files(open_run(folder/'out'), folder/'other', None)
    assert found.image.stem == NFD


def both_forms(folder): by_stem([folder/f'{NFC}.tif', folder/f'{NFD}.tif'], 'images')


def polygons(folder, name):
    "A file of one square, written where its name cannot be misread."
    import geopandas
    import shapely
    plain = folder/f'plain{Path(name).suffix}'
    geopandas.GeoDataFrame(geometry=[shapely.box(332_000, 3_057_990, 332_010, 3_058_000)], crs=32645).to_file(plain)
    return plain.rename(folder/name)


def vector_labels(name, folder):
    "As labels."
    from satseg_fastai.labels.classes import building
    from satseg_fastai.labels.read import open_labels
    open_labels(polygons(folder, name), image(folder/'scene.tif'), building()).read(0, 0, 64, 64)


def vector_zones(folder):
    from satseg_fastai.areas.zones import read_zones
    with Scene(mask(folder/'mask.tif')) as scene: read_zones(polygons(folder, 'wards;1.geojson'), scene)


def vector_output(folder):
    from satseg_fastai.maps.layers import check_layer
    check_layer(folder/'x;y.gpkg')


def hashes(folder):
    "These are read as they are."
    from satseg_fastai.labels.polygons import polygon_layer
    for name in ('a#b.gpkg', 'a%41b.geojson', 'a[1].gpkg', 'a&b?c.fgb'): assert polygon_layer(polygons(folder, name))


# places
def pipe(folder):
    os.mkfifo(folder/'pipe')
    return folder/'pipe'


def loop(folder):
    (folder/'loop.tif').symlink_to(folder/'loop.tif')
    return folder/'loop.tif'


def loop_below(folder):
    "Links that lead around do not keep it, and do not count twice."
    image(folder/'scenes'/'a'/'one.tif')
    (folder/'scenes'/'a'/'again').symlink_to(folder/'scenes')
    (folder/'scenes'/'a'/'loop.tif').symlink_to('loop.tif')
    assert list_scenes(folder/'scenes') == [folder/'scenes'/'a'/'one.tif']


def not_utf8(folder):
    (folder/os.fsdecode(b'S\xe3o.tif')).write_bytes(b'x')
    list_scenes(folder)


def not_utf8_direct(folder): Scene(folder/os.fsdecode(b'S\xe3o.tif'))


def barred(folder, use):
    "A folder that only its owner may enter, seen by somebody else."
    image(folder/'scenes'/'own'/'a.tif')
    image(folder/'scenes'/'open'/'b.tif')
    for place in [folder, *folder.parents][:-2]: place.chmod(0o755)
    (folder/'scenes'/'own').chmod(0)
    root = os.geteuid() == 0
    if root: os.seteuid(65534)
    try: use(folder/'scenes')
    finally:
        if root: os.seteuid(0)
        (folder/'scenes'/'own').chmod(0o755)


def long_output(folder):
    with workplace(folder/f'{"a"*240}_prob.tif', 'resume'): pass


# streams
def closed(folder):
    "Nobody listens: it works."
    code, _, error = satseg('info', model(), stdout=None, stderr=subprocess.PIPE, preexec_fn=partial(os.close, 1))
    assert (code, error) == (0, '')


def full(folder):
    with open('/dev/full', 'w') as disk: code, _, error = satseg('info', model(), stdout=disk)
    one_line(code, 2, 'No space left on device', error)


def broken(folder):
    "Whoever reads has gone, as head does."
    read, write = os.pipe()
    os.close(read)
    code, _, error = satseg('info', model(), '--json', stdout=write)
    os.close(write)
    one_line(code, 2, 'Broken pipe', error)


def ascii_output(folder, words='_1.tif does not exist', **environment):
    "What a terminal cannot show is told by its number."
    code, _, error = satseg('info', folder/f'{NFC}.tif', env={**os.environ, **environment})
    one_line(code, 2, words, error)
    if 'PYTHONUTF8' in words: return
    path = model().with_name('नमस्ते ².safetensors')
    path.write_bytes(model().read_bytes())
    code, text, error = satseg('info', path, env={**os.environ, **environment})
    assert code == 0 and ('1 bâti' in text or r'1 b\xe2ti' in text) and not error, (text, error)


C_LOCALE = partial(ascii_output, LC_ALL='C')
C_WITHOUT_UTF8 = partial(ascii_output, words='set PYTHONUTF8=1', LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
ASCII = partial(ascii_output, PYTHONIOENCODING='ascii')

NAMES = [
    Case('33', 'scenes of all kinds of names: Devanagari, Thai, #, %, [, &, ;, !, :, quotes', 'maps keep them, labels '
         'are found', odd_names),
    Case('33', 'a scene whose accents are two signs, labels whose accents are one', 'they are one name', two_forms),
    Case('33', 'a report of such maps', 'the image is found', report_of_two_forms),
    Case('33', 'two scenes whose names differ in that alone', 'refused: two images are named', both_forms),
    Case('33', 'labels with ; in the name', 'refused: has ; in its name', partial(vector_labels, 'a;b.gpkg')),
    Case('33', 'labels with ! in the name', 'refused: has ! in its name', partial(vector_labels, 'a!b.fgb')),
    Case('33', 'zones with ; in the name', 'refused: has ; in its name', vector_zones),
    Case('33', 'polygons to be written under a name with ;', 'refused: has ; in its name', vector_output),
    Case('33', 'a folder with ! above a vector file', 'refused: has ! in its name',
         lambda folder: check_vector_path(folder/'new!'/'a.gpkg')),
    Case('33', 'vector files with #, %, [, & or ?', 'they are read', hashes),
    Case('33', 'a pipe for a scene', 'refused: is a pipe or a device', lambda folder: Scene(pipe(folder))),
    Case('33', 'a pipe for JSON', 'refused: is a pipe or a device', lambda folder: read_json(pipe(folder), 'classes')),
    Case('33', 'a pipe for a bundle', 'the program says it in one line',
         lambda folder: refused_by_program('is a pipe', 'info', pipe(folder))),
    Case('33', 'a device for an output', 'the program says it in one line', lambda folder: refused_by_program(
        'is a pipe or a device', 'vectorize', mask(folder/'mask.tif'), '--out', '/dev/null')),
    Case('33', 'a link to itself', 'refused: Too many levels of symbolic links', lambda folder: Scene(loop(folder))),
    Case('33', 'a link to itself for an image of evaluate', 'the program says it in one line',
         lambda folder: refused_by_program('symbolic links', 'evaluate', loop(folder), mask(folder/'mask.tif'))),
    Case('33', 'links that lead around, below a folder of scenes', 'every scene once', loop_below),
    Case('33', 'a name that is not UTF-8', "refused: o.tif' is not UTF-8", not_utf8_direct),
    Case('33', 'such a name in a folder', "refused: o.tif' is not UTF-8", not_utf8),
    Case('33', 'a name of 300 letters', 'refused: File name too long', lambda folder: Scene(folder/f'{"a"*300}.tif')),
    Case('33', 'a scene whose maps would have too long a name', 'refused: a shorter name', long_output),
    Case('33', 'a folder of scenes that may not be entered', 'refused: Permission denied',
         lambda folder: barred(folder, lambda scenes: list_scenes(scenes/'own'))),
    Case('33', 'a folder below that may not be entered', 'refused: Permission denied',
         lambda folder: barred(folder, lambda scenes: list_files(scenes, {'.tif'}, deep=True))),
    Case('33', 'a scene in such a folder', 'refused: Permission denied',
         lambda folder: barred(folder, lambda scenes: Scene(scenes/'own'/'a.tif'))),
    Case('33', 'stdout is closed', 'it works', closed),
    Case('33', 'stdout is full', 'one line, exit code 2', full),
    Case('33', 'stdout is a pipe that nobody reads', 'one line, exit code 2', broken),
    Case('33', 'LC_ALL=C', 'names are printed', C_LOCALE),
    Case('33', "LC_ALL=C without Python's own UTF-8", 'one line', C_WITHOUT_UTF8),
    Case('33', 'ASCII output', 'names are printed', ASCII)]


# unexpected errors
def with_bug(*more):
    "A program with a bug, made so that one command breaks."
    program = """import sys
import satseg_fastai.bundle.file as file
def read_spec(*args): raise KeyError("x")
file.read_spec = read_spec
from satseg_fastai.cli import main
sys.argv[0] = 'satseg'
main()"""
    words = [sys.executable, '-c', program, 'info', str(model()), *more]
    ended = subprocess.run(words, capture_output=True, cwd=ROOT, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def bug(folder, error=None, words='unexpected: KeyError', code=1):
    "It is one line, of a program or in this process."
    if error is None: told, _, text = with_bug()
    else:
        with patch('satseg_fastai.bundle.file.read_spec', side_effect=error): told, text = called('info', model())
    one_line(told, code, words, text)
    if code == 1: assert 'run again with --debug, and please report it' in text


def bug_with_debug(folder):
    code, _, text = with_bug('--debug')
    assert code == 1 and 'Traceback' in text and 'KeyError' in text and 'read_spec' in text, text


def debug_anywhere(folder):
    assert called('--debug', 'info', model())[0] == called('info', '--debug', model())[0] == 0
    code, text = called('info', folder/'gone.safetensors', '--debug')
    one_line(code, 2, 'gone.safetensors', text)


BUGS = [
    Case('35', 'a bug in a command', "one line that begins with 'unexpected', exit code 1", bug),
    Case('35', 'a bug whose message has several lines', 'one line', partial(bug, error=ValueError('a\nb\nc'),
                                                                           words='unexpected: ValueError: a b c')),
    Case('35', 'an error without a message', 'one line', partial(bug, error=AssertionError(),
                                                                 words='unexpected: AssertionError')),
    Case('35', 'an error of a file that nobody foresaw', 'one line of what the system says, exit code 2', partial(
        bug, error=OSError(5, 'Input/output error', 'disk.tif'), words='disk.tif: Input/output error', code=2)),
    Case('35', 'the memory is not enough', 'one line, exit code 2', partial(
        bug, error=MemoryError('no room'), words='ran out of memory (no room)', code=2)),
    Case('35', 'a bug, with --debug', 'the traceback', bug_with_debug),
    Case('35', '--debug before or after the command, and with a mistake of the user', 'it changes nothing else',
         debug_anywhere),
    Case('35', 'a scene that does not exist', 'refused: gone.tif', lambda folder: Scene(folder/'gone.tif'))]

# tests
IGNORING = """import signal, subprocess, sys
from conftest import heed_interrupts
if sys.argv[1:]: heed_interrupts()
child = [sys.executable, '-c', 'import signal; signal.raise_signal(signal.SIGINT)']
sys.exit(subprocess.run(child, stderr=subprocess.DEVNULL).returncode)"""


def interrupted(folder):
    "With the tests' own setting a child heeds it; without, it does not."
    import signal
    environment = {**os.environ, 'PYTHONPATH': str(ROOT/'tests')}
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    run = partial(subprocess.run, env=environment, preexec_fn=ignore, timeout=60)
    assert run([sys.executable, '-c', IGNORING]).returncode == 0
    assert run([sys.executable, '-c', IGNORING, 'heed']).returncode == -signal.SIGINT % 256


def filters(folder):
    "The check of the notebooks' structure finds it."
    from test_structure import lasting
    assert lasting("import warnings\nwarnings.simplefilter('ignore', UserWarning)")
    assert not lasting("with warnings.catch_warnings():\n    warnings.simplefilter('ignore')")


def experiments(folder):
    "nbdev_test leaves them out by itself."
    assert (ROOT/'nbs'/'experiments'/'.notest').is_file()


def run_all(folder):
    "Jupyter knows no tags."
    from test_tutorials import EXPERIMENTS, TUTORIALS, only_by_tag, test_run_all_starts_what_can_end
    assert only_by_tag('#| slow\n!make') and len(TUTORIALS) > 4 and len(EXPERIMENTS) > 0
    for notebook in (*TUTORIALS, *EXPERIMENTS): test_run_all_starts_what_can_end(notebook)


def jupyter_is_there(folder):
    "What `make notebooks` needs is named, and locked."
    lines = (ROOT/'settings.ini').read_text(encoding='utf-8').splitlines()
    (wanted,) = [line.partition('=')[2].split() for line in lines if line.startswith('notebooks_requirements')]
    assert {'jupyterlab', 'ipywidgets'} <= set(wanted)
    locked = (ROOT/'requirements.lock').read_text(encoding='utf-8')
    assert all(f'\n{name}==' in locked for name in wanted)


TESTS = [
    Case('25', 'Run All in Jupyter', 'no cell starts hours of work, or stops without data', run_all),
    Case('25', 'Jupyter itself', 'is an extra, and locked', jupyter_is_there),
    Case('24', 'a notebook that silences warnings for those after it in the process', 'a test finds it', filters),
    Case('24', 'experiments that take hours', 'nbdev_test leaves them out', experiments),
    Case('43', 'tests started by nohup with &, which ignores Ctrl-C', 'children are interrupted all the same',
         interrupted)]

# what is shown
def interval(folder):
    "That of the figure."
    from satseg_fastai.report.tables import corrected_text
    figure = dict(corrected=21_000, low=0, high=44_200)
    assert corrected_text(figure, 'm2') == '2.1 ha (0 ha – 4.42 ha)'
    assert corrected_text(dict(corrected=9_000, low=80, high=10_400), 'm2') == '9,000 m² (80 m² – 10,400 m²)'


def report_title(folder):
    "The scene's name, with all its signs; of several maps, the folder's."
    from satseg_fastai.report.page import write_report
    image(folder/'images'/'Plot #5 <a>.tif')
    assert called('predict', model(), folder/'images', '--out', folder/'out', '-q')[0] == 0
    page = write_report(folder/'out').read_text(encoding='utf-8')
    assert '<h1>Plot #5 &lt;a&gt;</h1>' in page and '<title>Plot #5 &lt;a&gt;</title>' in page


def first_layer(folder):
    "Errors are shown first where there are two classes alone."
    script = (ROOT/'satseg_fastai'/'report'/'page.js').read_text(encoding='utf-8')
    assert "names.includes('error') && !several ? 'error' : 'mask'" in script


def legends(folder):
    from satseg_fastai.report.plots import plot_validation
    from satseg_fastai.scores.threshold import RocHistogram, curve_to_json
    histogram, random = RocHistogram(), np.random.default_rng(0)
    truth = random.random((64, 64)) > .5
    histogram.update(truth.astype(np.uint8), (.6*truth + .4*random.random((64, 64))).astype(np.float32))
    axes = plot_validation(dict(value=.5, curve=curve_to_json(histogram.curves())))
    told = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in axes[0, :3]]
    assert told == [['all'], ['all'], ['IoU', 'accuracy', 'threshold 0.500']]


def quiet_import(folder):
    "fastai's own warning is not shown; others are."
    program = 'import warnings, satseg_fastai\nfor word in ("`torch.jit.script` is deprecated", "other"):' \
              ' warnings.warn(word, FutureWarning)'
    error = subprocess.run([sys.executable, '-c', program], capture_output=True, cwd=ROOT, text=True).stderr
    assert 'other' in error and 'jit' not in error


def no_bars(folder):
    "What goes into a file is a line an epoch, whatever the Learner is asked for."
    from .training import learner
    with redirect_stdout(StringIO()) as printed:
        learn = learner(folder)
        learn.fit(1, 1e-3)
        learn.validate()
        learn.tta(n=1)
    text = printed.getvalue()
    assert 'train_loss' in text and not {'█', '\r', '|'} & set(text), text


def texts_of(module):
    "Texts of a module, but for docstrings; what is put into one is {}."
    tree = ast.parse(module.read_text(encoding='utf-8'))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in inner: continue
        if isinstance(node, ast.JoinedStr): yield ''.join(getattr(part, 'value', '{}') if isinstance(
            part, ast.Constant) else '{}' for part in node.values)
        if isinstance(node, ast.Constant) and isinstance(node.value, str): yield node.value


def parameters_of(module):
    "Names of the parameters of a module's functions."
    functions = [n for n in ast.walk(ast.parse(module.read_text(encoding='utf-8'))) if isinstance(n, ast.FunctionDef)]
    return {a.arg for f in functions if f.name[0] != '_' for a in (*f.args.args, *f.args.kwonlyargs)}


def told_parameters(folder):
    "Each option that a message names is a parameter of some function of that name."
    modules = [path for path in (ROOT/'satseg_fastai').rglob('*.py') if path.name not in ('cli.py', '_modidx.py')]
    known = set().union(*map(parameters_of, modules))
    told = {text: in_python(text) for module in modules for text in texts_of(module) if '--' in text}
    names = [(text, re.findall(r'\w+', message.rpartition(' (in Python: ')[2])) for text, message in told.items()
             if message != text]
    assert len(names) > 30
    assert [(text, name) for text, own in names for name in own if name not in known] == []


def both_users(folder):
    "The same mistake in Python, and as it is typed."
    from satseg_fastai.data.datasets import labeled_split
    for number in range(2):
        image(folder/'images'/f's{number}.tif')
        mask(folder/'masks'/f's{number}.tif')
    asked = folder/'images', folder/'masks'
    try: labeled_split(*asked, valid='group:zz')
    except BadInput as error: message = str(error)
    assert '--valid group:zz' in message and message.endswith('(in Python: valid).')
    code, text = called('train', '--images', asked[0], '--labels', asked[1], '--valid', 'group:zz',
                        '--out', folder/'m.safetensors')
    one_line(code, 2, '--valid group:zz', text)
    assert text == f'satseg: {message.removesuffix(" (in Python: valid).")}.\n'


def note_of_both(folder):
    "Notes too."
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        warnings.warn('try a larger --radius', Note)
    assert str(seen[0].message) == 'try a larger --radius (in Python: radius)'
    with redirect_stderr(StringIO()) as printed: _print_note(seen[0].message, Note, '', 0)
    assert printed.getvalue() == 'note: try a larger --radius\n'


SHOWN = [
    Case('42', 'an interval whose ends are of other size than its figure', 'one unit', interval),
    Case('42', 'a report of one scene', 'it is titled after the scene', report_title),
    Case('42', 'a report of several classes, with labels', 'it opens on the class map', first_layer),
    Case('42', 'a picture of a validation with one curve', 'legends say what is drawn', legends),
    Case('42', 'fastai is imported', 'no FutureWarning', quiet_import),
    Case('42', 'a training whose output goes into a file', 'lines, and no bars', no_bars),
    Case('42', 'an option in a message', 'in Python it is named as a parameter, too', both_users),
    Case('42', 'an option in a note', 'in Python it is named as a parameter, too', note_of_both),
    Case('42', 'options in any message', 'are parameters of that name', told_parameters)]

CASES = [*NAMES, *BUGS, *TESTS, *SHOWN]
