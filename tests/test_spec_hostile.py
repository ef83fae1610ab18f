"Specs and receipts that hold what cannot be used: one line that names the first such value, never a traceback."
import json
import time

import pytest

from satseg_fastai.bundle.spec import Part, Receipt, Size, Text, Threshold, check_spec, checked
from satseg_fastai.errors import BadInput

NAN, INFINITE = float('nan'), float('inf')
DEEP = json.loads('['*900 + ']'*900)
CLASSES = [dict(name='background', color=[0, 0, 0], index=0), dict(name='building', color=[255, 0, 0], index=1)]
GRAY = dict(name='unlabeled', color=[9, 9, 9])
CURVE = dict(thresholds=[.9, .4], tp=[3, 5], fp=[0, 2], positives=6, negatives=9)
INTERVAL = dict(threshold=[.3, .5], iou=[.6, .8], level=.95, units='scenes', n=22)
AUSTIN = dict(iou=None, accuracy=.9, best_iou=.5, curve=None, pixels=9)
THRESHOLD = dict(value=.41, criterion='iou', iou=.7, accuracy=.9, auc=.95, average_precision=.9, scenes=2,
                 trained_on=1, curve=CURVE, interval=INTERVAL, groups=dict(austin=AUSTIN))
HISTORY = dict(phase=[0, 0], epoch=[0, 1], train_loss=[.5, .4], iou=[None, .2], lr=[1e-3, 1e-4])
TEACHER = dict(file='t.safetensors', sha256='0'*64, scenes=12, weight=1.)
PHASES = [dict(name='frozen', epochs=6, lr=1e-3), dict(name='unfrozen', epochs=10, lr=[2e-6, 2e-4])]
RECEIPT = dict(phases=PHASES, scenes=['a.tif', 'b.tif'], batch_size=8, batches=24, crop=128, loss='CrossEntropy',
               weight_decay=.01, optimizer='Adam', seed=0, seconds=345.4, last=dict(valid_loss=.1), device='cpu',
               threads=1, versions=dict(torch='2.15.0'), history=HISTORY, teacher=TEACHER, settings=dict(ema=.99))
VALIDATION = dict(block=256, confusions=[[[5, 1], [2, 9]]]*3, scenes=[0, 0, 1], unit='px',
                  objects=dict(building=[[3, 2], [0, 0], [1, 4.]]), trees=dict(building=[[3, 2]]*3),
                  streets=dict(building=[[3, 2, 9.5, 7]]*3))
TOWN = dict(arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=[32, 16]), n_in=3, n_out=2,
            classes=CLASSES, mean=[120., 118., 110.], std=[40., 41., 42.], patch_size=64, dtype='uint8', gsd=.3,
            bands=[3, 2, 1], ignored=[GRAY], ignore=255, threshold=THRESHOLD, temperature=1.7,
            calibration=dict(ece=.02, bins=[[.03, .01, 99]]*15, temperature=1.7, ece_before=.1),
            clean=dict(unit='px', min_object=9, min_hole=0, opening=0, connectivity=4), validation=VALIDATION,
            receipt=RECEIPT)
NAMES = ('other', 'road', 'water')
SEVERAL = dict(rule='thresholds', values=[.2, .5, .4], mean_iou=dict(argmax=.6, thresholds=.62),
               classes=dict(road=dict(value=.5, iou=.4, curve=CURVE)),
               groups=dict(a=dict(mean_iou=.5, iou=dict(road=None), classes=dict(road=dict(best_iou=.5, curve=CURVE)))))
PLAIN = {name: value for name, value in TOWN.items() if name not in ('threshold', 'validation', 'ignored')}
THREE = {**PLAIN, 'n_out': 3, 'classes': [dict(name=name, color=[i, 0, 0], index=i) for i, name in enumerate(NAMES)]}
APART = {**PLAIN, 'arch': 'pointrend_maskrcnn', 'arch_args': {}, 'things': [1]}


def put(data, path, value):
    "Nested data with another value where the path leads: 'threshold.curve.tp', 'classes.1.name'."
    key, _, rest = path.partition('.')
    key = int(key) if isinstance(data, list) else key
    changed = list(data) if isinstance(data, list) else dict(data)
    changed[key] = put(changed[key], rest, value) if rest else value
    return changed


WRONG = {
    'arch': ['fpn\x1b]0;x\x07'],
    'arch_args': [dict(weights='other.safetensors'), dict(encoder='resnet18'), dict(arch='fpn'), DEEP,
                  dict(box_head=put)],
    'n_in': [True],
    'dtype': ['a\nb'],
    'bands': [[0, 1, 2]],
    'ignore': [256],
    'gsd': ['a', INFINITE, NAN, True, 0, -1, 10**400],
    'patch_size': ['64', 10**9, 31, True, -64],
    'mean': [['a']*3, [INFINITE, 1., 1.], [True, 1., 1.], [10**400, 1., 1.]],
    'std': [[0., 1., 1.], [1e-300, 1., 1.], [INFINITE, 1., 1.], [NAN, 1., 1.], [True, 1., 1.]],
    'classes': [[{}, {}], [*CLASSES, 5], DEEP],
    'classes.1.name': ['\x1b]0;title\x07', 3, 'background'],
    'classes.1.index': [-1, True, 2],
    'classes.1.color': [['x'], [256, 0, 0], '#FF0000'],
    'ignored': [[3], [{}], [{**GRAY, 'name': 'a\nb'}], [{**GRAY, 'color': ['x']}], [GRAY, GRAY]],
    'threshold': ['x', DEEP, {}, dict(rule='argmax')],
    'threshold.value': ['x', NAN, True, 2],
    'threshold.rule': ['all'],
    'threshold.criterion': [{'a': 1}, 'iou\x1b[2J'],
    'threshold.iou': ['x'],
    'threshold.auc': ['x', 1.7],
    'threshold.average_precision': [1.5],
    'threshold.scenes': [['a'], -1, []],
    'threshold.trained_on': [1.5],
    'threshold.pixels': [True],
    'threshold.curve': [[1]],
    'threshold.curve.tp': [[1], [1, -2]],
    'threshold.interval': [[.1, .2]],
    'threshold.interval.iou': [[.9, .1]],
    'threshold.groups': [['a']],
    'threshold.groups.austin': [3],
    'threshold.groups.austin.iou': ['good'],
    'temperature': ['hot', 0, INFINITE],
    'calibration.ece': [None],
    'calibration.temperature': [-1],
    'calibration.bins': [3, [[1, 2]], [[.1, .2, .5]], [[.1, 2, 5]], [[.1, .2, -5]], [[True, .2, 5]], ['abc']],
    'clean.unit': ['acre'],
    'clean.min_object': [-1],
    'clean.opening': [[1]],
    'clean.connectivity': [5],
    'validation.block': [0],
    'validation.unit': ['ft'],
    'validation.scenes': [[0, 1], 'ab'],
    'validation.confusions': [[[[1]], [[1, 2]]], [[[1, -2], [3, 4]]], {'a': 1}],
    'validation.objects': [[1], dict(building=[[3, 2]])],
    'validation.trees': [dict(tree=[[3, -2]]*3), dict(tree=[[3, NAN]]*3), dict(tree='abc')],
    'validation.streets': [dict(road=[[3, 2]]*3)],
    'receipt': [DEEP],
    'receipt.phases': [['x'], 5, None, [dict(name='a')], [dict(name='a\x07', epochs=1)],
                       [dict(name='a', epochs='9')], [dict(name='a', epochs=1, lr='x')]],
    'receipt.scenes': [7, [1]],
    'receipt.versions': ['q', dict(torch=2)],
    'receipt.settings': [[]],
    'receipt.seconds': ['9', NAN],
    'receipt.batch_size': ['8'],
    'receipt.crop': [[1]],
    'receipt.seed': ['x'],
    'receipt.loss': [3],
    'receipt.last': [3],
    'receipt.pretrained': ['yes'],
    'receipt.history': [[1], HISTORY | {'\x1b': [0, 0]}],
    'receipt.history.lr': [[1e-3]],
    'receipt.history.iou': [['.2', .3], [NAN, .2]],
    'receipt.history.epoch': [[0, None]],
    'receipt.teacher.scenes': [0],
    'receipt.teacher.weight': ['heavy'],
    'receipt.teacher.sha256': ['0'],
    'receipt.teacher.file': [3],
}
CASES = [(path, value) for path, values in WRONG.items() for value in values]


def test_the_base_is_good():
    "What the cases below change."
    for good in (TOWN, THREE, APART): check_spec(good)


@pytest.mark.parametrize('path,value', CASES, ids=[f'{path}-{index}' for index, (path, _) in enumerate(CASES)])
def test_a_wrong_value_is_named(path, value):
    with pytest.raises(BadInput) as error: check_spec(put(TOWN, path, value))
    line = str(error.value)
    assert line.startswith(f'bundle: {path.split(".")[0]}') and line.isprintable() and len(line) < 500


LINES = {
    'classes.1': (5, 'bundle: classes[1] is 5; expected an object'),
    'mean': ([1.], 'bundle has 1 means for 3 bands'),
    'threshold.curve.tp': ([1, -2], 'bundle: threshold.curve.tp[1] is -2; expected a whole number of 0 or more'),
    'threshold.curve.fp': ([1], 'bundle: threshold.curve holds lists of different lengths'),
    'threshold.rule': ('all', "bundle: threshold.rule is 'all'; expected 'argmax' or 'thresholds'"),
    'threshold.interval.iou': (
        [.9, .1],
        'bundle: threshold.interval.iou is [0.9, 0.1]; expected two numbers from 0 to 1, the smaller one first'),
    'threshold.groups.austin.iou': (
        'good', "threshold.groups.austin.iou is 'good'; expected a number from 0 to 1, or one of each class"),
    'calibration.bins': ([[.1, .2]], 'expected two numbers from 0 to 1 and a count of pixels'),
    'receipt.history.iou': (['.2', .3], "bundle: receipt.history.iou[0] is '.2'; expected a number"),
}


@pytest.mark.parametrize('path', LINES)
def test_the_line_says_what_was_expected(path):
    value, line = LINES[path]
    with pytest.raises(BadInput) as error: check_spec(put(TOWN, path, value))
    assert line in str(error.value)


class Cup(Part):
    size: Size
    label: Text = ''


CUPS = [(dict(size=-1), 'size is -1; expected a number from 0 to 1e+15'), (dict(size=True), 'size is True; expected'),
        (dict(size=NAN), 'size is nan'), (dict(size=10**400), 'size is 1000'), (dict(size=10**9000), 'size is a'),
        (dict(size='3'), "size is '3'"), (dict(size=DEEP), 'size is [[[[[['), ({}, 'size is missing'),
        (dict(size=1, label='a\x1b[2J'), "label is 'a\\x1b[2J'; expected a printable text")]


@pytest.mark.parametrize('cup,line', CUPS, ids=[line for _, line in CUPS])
def test_any_value_can_be_shown(cup, line):
    with pytest.raises(BadInput) as error: checked(Cup, cup, 'a.json')
    assert f'a.json: {line}' in str(error.value)


def test_the_schema_of_a_later_version():
    with pytest.raises(BadInput, match='has bundle schema 9; expected at most 1; update'):
        check_spec({**TOWN, 'schema': 9})


@pytest.mark.parametrize('more', [
    dict(ignore=7), dict(ignored=[]), dict(classes=[*CLASSES, {**GRAY, 'index': 255}], ignored=[]), dict(mine=DEEP),
    dict(receipt={}), dict(receipt=dict(by='hand')), dict(receipt=dict(seed=None)), dict(receipt=dict(history={})),
    dict(threshold=dict(value=.7)), dict(threshold=dict(value=1, criterion='preset')),
    dict(validation={**VALIDATION, 'trees': None}), dict(validation=dict(block=256, confusions=[]))])
def test_what_may_be_there(more):
    check_spec(TOWN | more)


# the rule and the number of classes
@pytest.mark.parametrize('rule', ['thresholds', 'argmax'])
def test_a_rule_of_three_classes(rule):
    "An ignored color is no class."
    check_spec({**THREE, 'threshold': {**SEVERAL, 'rule': rule}})
    check_spec({**THREE, 'classes': [*THREE['classes'], {**GRAY, 'index': 255}], 'threshold': SEVERAL})


RULES = [
    (THREE, dict(threshold=dict(value=.5)),
     'has the threshold 0.5 for 3 classes; expected argmax, or thresholds with 3 values'),
    (TOWN, dict(threshold=SEVERAL), 'threshold or validation of 3 classes; expected 2'),
    (TOWN, dict(validation=dict(block=9, confusions=[[[1]*3]*3])), 'threshold or validation of 3 classes; expected 2'),
    (THREE, dict(threshold={**SEVERAL, 'values': [.1, .2]}),
     'of 2 classes; expected 3 as in its class table; choose it again'),
    (THREE, dict(threshold={**SEVERAL, 'values': [.1, 0, .2]}),
     'bundle: threshold.values[1] is 0; expected a number above 0, at most 1')]


@pytest.mark.parametrize('spec,more,line', RULES, ids=[line for *_, line in RULES])
def test_a_rule_of_other_classes(spec, more, line):
    with pytest.raises(BadInput) as error: check_spec({**spec, **more})
    assert line in str(error.value)


SEVERAL_WRONG = {'groups.a.classes.road.best_iou': 2, 'groups.a.classes.road.iou': {'x': 1}, 'classes.road.value': 2}


@pytest.mark.parametrize('path', SEVERAL_WRONG)
def test_a_wrong_value_of_several_classes(path):
    value = SEVERAL_WRONG[path]
    with pytest.raises(BadInput) as error: checked(Threshold, put(SEVERAL, path, value), 'a')
    assert f'a: {path} is {value}' in str(error.value)


@pytest.mark.parametrize('things', [None, [], [1, 1], [0, 1], [2], [255], ['building'], [True], [-1], [[1]], {'a': 1},
                                    'building', 1], ids=str)
def test_things_that_are_no_classes(things):
    with pytest.raises(BadInput, match='bundle: things'): check_spec({**APART, 'things': things})


# receipts of maps
@pytest.mark.parametrize('wrong', [
    dict(settings='abc'), dict(settings=[1]), dict(settings=dict(bands=5)), dict(settings=dict(bands=[])),
    dict(settings=dict(bands=[True])), dict(settings=dict(bands=[0])), dict(model_sha256=[1]), dict(scene=[1]),
    dict(warnings='x')], ids=str)
def test_receipts(wrong):
    with pytest.raises(BadInput, match=f'a.receipt.json: {next(iter(wrong))}'):
        checked(Receipt, wrong, 'a.receipt.json')


def test_much_of_it():
    "Hundreds of blocks are read in a moment."
    blocks = dict(block=256, confusions=[[[1, 2, 3]]*3]*512, objects=dict(road=[[1, 2.]]*512))
    begun = time.perf_counter()
    check_spec(THREE | dict(threshold=SEVERAL, validation=blocks))
    assert time.perf_counter() - begun < 5
