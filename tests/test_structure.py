"The house rules that a machine can read: who may import whom, how long a function may be, how large a notebook."
import ast
import builtins
import json
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
LIB = 'satseg_fastai'
NOTEBOOKS = sorted((ROOT/'nbs').glob('[0-9][0-9]*_*.ipynb'))
MODULES = sorted(p for p in (ROOT/LIB).rglob('*.py') if p.name not in ('__init__.py', '_modidx.py'))
LIGHT = {'files': {'numpy', 'rasterio'}, 'maps.run': {'numpy', 'rasterio'}, 'geo.tiling': {'torch', 'rasterio'},
         'models': {'fastai'}, 'bundle': {'fastai'}, 'scene': {'fastai'}}
DEFAULT_EXP = re.compile(r'^#\|\s*default_exp\s+(\S+)', re.M)


@cache
def code_of(notebook):
    "The code cells of a notebook as Python; lines for the shell are dropped."
    cells = [c.source for c in nbformat.read(notebook, 4).cells if c.cell_type == 'code']
    return '\n'.join(re.sub(r'^\s*[%!].*$', 'pass', c, flags=re.M) for c in cells)


def number(notebook): return re.match(r'\d\d[a-z]?(?=_)', notebook.name)[0]


@cache
def numbers():
    "Module name inside the library -> number of its notebook."
    found = ((DEFAULT_EXP.search(code_of(n)), number(n)) for n in NOTEBOOKS)
    return {m[1].removesuffix('.__init__'): k for m, k in found if m}


def absolute(node, package):
    "The module an `import … from` names, in full; `package` is the importing module's package."
    if not node.level: return node.module or ''
    base = package.split('.')[:len(package.split('.')) - node.level + 1]
    return '.'.join(base + ([node.module] if node.module else []))


def names(node, package):
    "Every module that one node may import: `from a import b` may mean a or a.b."
    if isinstance(node, ast.Import): return [a.name for a in node.names]
    if not isinstance(node, ast.ImportFrom): return []
    base = absolute(node, package)
    return [base] + [f'{base}.{a.name}' for a in node.names]


def at_import(tree):
    "The nodes that run when the module is imported: all but the bodies of functions."
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)): todo += ast.iter_child_nodes(node)


def imports(source, package=LIB, walk=ast.walk):
    return {n for node in walk(ast.parse(source)) for n in names(node, package)}


def own(found):
    "Of full module names, those of the library that have a notebook, without the library's name."
    return {n.removeprefix(f'{LIB}.') for n in found} & numbers().keys()


def path_of(module): return ROOT/LIB/f'{module.replace(".", "/")}.py'


@cache
def needs(module):
    "Every module, near or far, that importing a module of the library brings in at once."
    package = '.'.join([LIB, *module.split('.')[:-1]])
    direct = imports(path_of(module).read_text(encoding='utf-8'), package, at_import)
    return direct | {far for near in own(direct) - {module} for far in needs(near)}


def name_of(path): return '.'.join(path.relative_to(ROOT/LIB).with_suffix('').parts)


def test_the_reader_sees_imports():
    "The helpers above find each form of an import, and the delayed ones only when asked to."
    source = 'import a.b\nfrom ..c import d\ndef f():\n    from satseg_fastai.geo.raster import Scene'
    everything = {'a.b', f'{LIB}.c', f'{LIB}.c.d', f'{LIB}.geo.raster', f'{LIB}.geo.raster.Scene'}
    assert imports(source, f'{LIB}.scene') == everything
    assert imports(source, f'{LIB}.scene', at_import) == {'a.b', f'{LIB}.c', f'{LIB}.c.d'}


def test_a_number_a_wing():
    "A notebook is named by its module; those of one wing share a number, and their letters are its rooms in order."
    rooms = {}
    for notebook in NOTEBOOKS:
        module = DEFAULT_EXP.search(code_of(notebook))[1].removesuffix('.__init__')
        if module == '__init__': continue
        assert notebook.stem == f'{number(notebook)}_{module}'
        digits, letter = number(notebook)[:2], number(notebook)[2:]
        if '.' in module: rooms.setdefault((module.split('.')[0], digits), []).append(letter)
    assert len(rooms) == len({wing for wing, _ in rooms}) == len({digits for _, digits in rooms}) > 10
    for letters in rooms.values(): assert ''.join(letters) == 'abcdefghijklmnop'[:len(letters)]


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda n: n.stem)
def test_imports_go_down(notebook):
    "A notebook, its tests included, uses only its own module and those of smaller-numbered notebooks."
    mine = DEFAULT_EXP.search(code_of(notebook))
    above = {m for m in own(imports(code_of(notebook))) if numbers()[m] >= number(notebook)}
    assert above - {mine and mine[1].removesuffix('.__init__')} == set()


@pytest.mark.parametrize('module', MODULES, ids=name_of)
def test_exported_imports_go_down(module):
    "So does the exported module, delayed and relative imports included."
    name = name_of(module)
    package = '.'.join([LIB, *name.split('.')[:-1]])
    found = own(imports(module.read_text(encoding='utf-8'), package)) - {name}
    assert {m for m in found if numbers()[m] >= numbers()[name]} == set()


def private(source):
    """Private names that a module takes from another one of the library: imported, or as an attribute of what it
    imported."""
    tree, modules = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or '').startswith(LIB)):
            modules |= {a.asname or a.name for a in node.names}
            yield from (a.name for a in node.names if re.match('_[a-z]', a.name))
        if isinstance(node, ast.Attribute) and re.match('_[a-z]', node.attr) and getattr(node.value, 'id',
                                                                                         '') in modules:
            yield f'{node.value.id}.{node.attr}'


def test_the_reader_sees_private_names():
    source = 'from .a import _b, c\nfrom satseg_fastai import d\nfrom numpy import _e\nd._f, c.g, c.__doc__'
    assert sorted(private(source)) == ['_b', 'd._f']


@pytest.mark.parametrize('module', MODULES, ids=name_of)
def test_no_private_name_crosses_a_module(module):
    "What another module needs is public, documented and tested."
    assert list(private(module.read_text(encoding='utf-8'))) == []


ENDINGS = r'(_(prob|mask|disagreement|errors)\.tif|(_objects)?\.receipt\.json|_objects\.\w+)'
RUN_FILES = re.compile(rf'_objects|[\w*]*{ENDINGS}')


def run_files(source):
    "Texts in a module that are the name of a run's file, or its end."
    texts = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [text for text in texts if RUN_FILES.fullmatch(text)]


def test_the_reader_sees_names_of_run_files():
    source = "f'{i}_prob.tif', '*_mask.tif', f'{s}.receipt.json', f'{s}_objects{e}', 'a_objects.gpkg'"
    assert len(run_files(source)) == 5 and run_files("'give STEM_prob.tif', 'finds_objects'") == []


@pytest.mark.parametrize('module', [m for m in MODULES if name_of(m) != 'maps.run'], ids=name_of)
def test_one_place_knows_the_names_of_a_run(module):
    "Only maps.run spells the names of the files that satseg predict writes; messages and help may."
    assert run_files(module.read_text(encoding='utf-8')) == []


def barred_from(module):
    "What a module, or its wing, does without."
    return {name for room, names in LIGHT.items() if f'{module}.'.startswith(f'{room}.') for name in names}


@pytest.mark.parametrize('module', [m for m in MODULES if barred_from(name_of(m))], ids=name_of)
def test_light_modules_stay_light(module):
    """Importing models, bundle and scene does not bring in fastai; tiling knows neither tensors nor files, files no
    raster."""
    barred = barred_from(name_of(module))
    assert {n for n in needs(name_of(module)) if n.split('.')[0] in barred} == set()


@pytest.mark.parametrize('module', MODULES, ids=name_of)
def test_functions_are_short_and_shadow_nothing(module):
    "No function's body is longer than 30 lines (parameters have a line each), and no public name hides a builtin."
    tree = ast.parse(module.read_text(encoding='utf-8'))
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [f'{f.name}: {n} lines' for f in functions if (n := f.end_lineno - f.body[0].lineno + 1) > 30] == []
    assert [n.name
            for n in tree.body
            if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and hasattr(builtins, n.name)] == []


def code_lines(path):
    "Lines of Python in a notebook's cells or in a file; commands of the shell aside."
    if path.suffix == '.py': return path.read_text(encoding='utf-8').splitlines()
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == 'code']
    return [line for cell in cells for line in cell.splitlines() if not re.match(r'\s*[%!]', line)]


WRITTEN = [p for folder in ('nbs', 'tests', 'tools', 'benchmarks') for kind in ('py', 'ipynb')
           for p in sorted((ROOT/folder).rglob(f'*.{kind}')) if '.ipynb_checkpoints' not in p.parts]


@pytest.mark.parametrize('path', WRITTEN, ids=lambda p: p.name)
def test_lines_can_be_read(path):
    "At most 120 characters."
    assert [line for line in code_lines(path) if len(line) > 120] == []


def nested_conditions(tree):
    "Lines of conditional expressions that hold another one."
    conditions = [n for n in ast.walk(tree) if isinstance(n, ast.IfExp)]
    return [n.lineno for n in conditions if any(isinstance(m, ast.IfExp) for m in ast.walk(n) if m is not n)]


def hidden_names(tree, but_parameters=False):
    "Functions whose local names hide a function, a class or an import of their module."
    own = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    own |= {(a.asname or a.name).split('.')[0] for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))
            for a in n.names}
    for function in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))):
        parameters = set() if but_parameters else {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        if hidden := (parameters | stored) & own: yield getattr(function, 'name', 'lambda'), sorted(hidden)


def test_the_reader_sees_dense_code():
    source = 'import a\ndef f(b):\n    a = 1 if b else 2\n    return 1 if b else 2 if a else 3'
    assert nested_conditions(ast.parse(source)) == [4]
    assert list(hidden_names(ast.parse(source))) == [('f', ['a'])]


@pytest.mark.parametrize('module', MODULES, ids=name_of)
def test_a_line_holds_one_idea(module):
    "No conditional expression inside another, and no local name that hides one of the module's."
    tree = ast.parse(module.read_text(encoding='utf-8'))
    assert nested_conditions(tree) == []
    # an option of the command line may be named as a command
    commands = {'evaluate': ['threshold']} if name_of(module) == 'cli' else {}
    hidden = dict(hidden_names(tree, name_of(module) == 'cli'))
    assert hidden == commands


@pytest.mark.parametrize('notebook', sorted((ROOT/'nbs').rglob('*.ipynb')), ids=lambda n: n.stem)
def test_notebooks_stay_small(notebook):
    "A notebook with its outputs stays under 300 kB."
    assert notebook.stat().st_size < 300_000


@pytest.mark.parametrize('notebook', sorted((ROOT/'nbs').rglob('*.ipynb')), ids=lambda n: n.stem)
def test_notebooks_name_no_machine(notebook):
    "No path of the machine that ran it: neither this checkout, nor a home folder, nor an environment's packages."
    text = notebook.read_text(encoding='utf-8')
    assert [p for p in (f'{ROOT}/', f'{Path.home()}/', '/site-packages/') if p in text] == []


LASTING = 'simplefilter', 'filterwarnings', 'resetwarnings', 'ioff', 'ion'
HARMLESS = re.compile('FutureWarning|IProgress')  # no test of ours asks for these


def lasting(source):
    "Calls of a notebook that change what is warned of, or matplotlib's mode, for all that runs after it."
    tree = ast.parse(source)
    ended = {id(node) for block in ast.walk(tree) if isinstance(block, ast.With)
             for line in block.body for node in ast.walk(line)}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, 'attr', '') in LASTING]
    return [text for n in calls if id(n) not in ended and not HARMLESS.search(text := ast.unparse(n))]


def test_the_reader_sees_what_lasts():
    block = "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n"
    assert lasting(block + "warnings.simplefilter('ignore', FutureWarning)") == []
    assert lasting(block + "warnings.simplefilter('ignore')") == ["warnings.simplefilter('ignore')"]
    assert lasting('with pyplot.ioff(): draw()') == ['pyplot.ioff()']


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda n: n.stem)
def test_notebooks_leave_nothing_behind(notebook):
    "nbdev_test runs many in one process: a filter that lasts swallows the warnings that another one tests."
    assert lasting(code_of(notebook)) == []


@pytest.mark.parametrize('notebook', sorted((ROOT/'nbs'/'tutorials').glob('*.ipynb')), ids=lambda n: n.stem)
def test_tutorials_silence_one_place_at_most(notebook):
    "They come last, and say which module's warnings their text repeats."
    assert [call for call in lasting(code_of(notebook)) if 'module=' not in call] == []


@pytest.mark.parametrize('path', sorted((ROOT/'nbs'/'experiments'/'results').iterdir()), ids=lambda p: p.name)
def test_results_name_no_machine(path):
    "The command of a result is one that anybody can type: no absolute path in it."
    assert re.findall(r'[ =]/\w[^ "]*', ' '.join(commands(json.loads(line) for line in json_lines(path)))) == []


def json_lines(path):
    "The texts of a file of one result, or of one in each line."
    text = path.read_text(encoding='utf-8')
    return text.splitlines() if path.suffix == '.jsonl' else [text]


def commands(results):
    "What was typed for each result, where it says so."
    return [result['command'] for result in results if isinstance(result, dict) and 'command' in result]
