"What a notebook's shift-tab shows: no public function hides its arguments behind `**kwargs`."
import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIB = 'satseg_fastai'
MODULES = sorted(p for p in (ROOT/LIB).rglob('*.py') if p.name not in ('__init__.py', '_modidx.py'))
FASTAI_CALLS = 'show', 'get_preds', 'main'  # others call these, with arguments that are theirs


def name_of(path): return '.'.join(path.relative_to(ROOT/LIB).with_suffix('').parts)


def public_functions(tree):
    "Functions, and methods of public classes, that take `**kwargs`, with the class they stand in."
    for node in tree.body:
        if isinstance(node, ast.ClassDef): inside = [(inner, node) for inner in node.body]
        else: inside = [(node, None)]
        for function, owner in inside:
            if not isinstance(function, ast.FunctionDef) or not function.args.kwarg: continue
            names = [function.name, owner.name] if owner else [function.name]
            private = any(name.startswith('_') and name != '__init__' for name in names)
            if not private and function.name not in FASTAI_CALLS: yield function, owner


def delegates(node):
    "Whether a function or a class hands its signature on."
    calls = [d for d in getattr(node, 'decorator_list', []) if isinstance(d, ast.Call)]
    return any(getattr(call.func, 'id', '') == 'delegates' for call in calls)


def hiding(source):
    "Public functions whose `**kwargs` neither delegates nor has a comment with the `name` of where it goes."
    lines = source.splitlines()
    for function, owner in public_functions(ast.parse(source)):
        _, _, comment = lines[function.args.kwarg.lineno - 1].partition('#')
        if delegates(function) or delegates(owner) or re.search(r'`[\w.]+`', comment): continue
        yield function.name


def test_the_reader_sees_hidden_arguments():
    source = ('def a(**kw): pass\n@delegates(a)\ndef b(**kwargs): pass\ndef c(\n    **kw # of `a`\n): pass\n'
              'def d(\n    **kw # of a\n): pass\ndef _e(**kw): pass\nclass F:\n    def g(self, **kw): pass\n'
              '@delegates()\nclass H(F):\n    def __init__(self, **kwargs): pass\n    def show(self, **kw): pass\n')
    assert list(hiding(source)) == ['a', 'd', 'g']


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_no_public_function_hides_its_arguments(path):
    "It delegates, or the comment of its `**kwargs` names the function, the class or the table that knows them."
    assert list(hiding(path.read_text(encoding='utf-8'))) == []


SHOWN = [('training.losses', 'Focal', 'ignore_index'), ('training.metrics', 'IoU', 'name'),
         ('training.instances', 'instance_learner', 'anchors'), ('instances.model', 'pointrend_maskrcnn', 'hidden'),
         ('scene.instances', 'predict_instances', 'overlap'), ('evaluate.objects', 'object_scores', 'min_area'),
         ('maps.clean', 'search_clean', 'most'), ('maps.cut', 'cut_apart', 'depth'),
         ('maps.cut', 'separated', 'blur'), ('areas.measure', 'count_trees', 'radius'),
         ('areas.measure', 'street_width', 'widest'), ('data.loaders', 'SceneLoaders.test_dl', 'with_labels')]


@pytest.mark.parametrize('module,name,argument', SHOWN, ids=lambda text: text)
def test_shift_tab_shows_the_arguments(module, name, argument):
    "Its own arguments are there, and those of the function that it calls, with their defaults."
    shown = import_module(f'{LIB}.{module}')
    for part in name.split('.'): shown = getattr(shown, part)
    parameter = inspect.signature(shown).parameters[argument]
    assert parameter.default is not inspect.Parameter.empty


def test_what_a_function_sets_itself_is_not_offered():
    "`but` leaves out what the caller cannot choose."
    from satseg_fastai.maps.cut import cut_apart
    from satseg_fastai.training.instances import instance_learner
    assert 'prob' not in inspect.signature(cut_apart).parameters
    assert not {'n_in', 'n_out'} & set(inspect.signature(instance_learner).parameters)
