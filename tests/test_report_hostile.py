"What anyone may have written into a receipt or a tag: one clear line, and no page."
import json
import shutil

import pytest

from satseg_fastai.areas.blocks import map_receipt
from satseg_fastai.errors import BadInput
from satseg_fastai.labels.classes import building
from satseg_fastai.report.example import write_example
from satseg_fastai.report.page import write_report

CLASSES = [dict(name=e.name, color=list(e.color), index=e.index) for e in building().classes]
BLOCK = [[900, 20], [10, 70]]
SPEC = dict(schema=1, arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, classes=CLASSES,
            mean=[1.]*3, std=[1.]*3, threshold=dict(value=.4375), validation=dict(block=256, confusions=[BLOCK]*30))

RECEIPTS = [
    '{oops', '[1]', '5', '['*100_000,
    '{"settings": "abc"}', '{"settings": [1]}',
    '{"settings": {"bands": 5}}', '{"settings": {"bands": "abc"}}', '{"settings": {"bands": []}}',
    '{"settings": {"bands": [true]}}', '{"settings": {"bands": [0]}}',
    '{"model_sha256": [1]}', '{"scene": {"a": 1}}', '{"warnings": 3}', '{"scene": ' + '1'*9999 + '}']

PARTS = [
    dict(settings='abc'), dict(settings=[1]), dict(settings=dict(bands=5)), dict(settings=dict(bands='abc')),
    dict(model_sha256=[1]), dict(scene=[1]), dict(warnings='x')]

MODELS = [
    dict(validation=5), dict(validation=dict(confusions='ab')), dict(calibration=[1]), dict(clean='x'),
    dict(classes=[1])]

THRESHOLDS = [
    dict(criterion={'a': 1}), dict(auc='x'), dict(average_precision=[1]), dict(scenes='many'), dict(interval=[1]),
    dict(curve='x'), dict(groups=[1])]


@pytest.fixture(scope='module')
def example(tmp_path_factory): return write_example(tmp_path_factory.mktemp('example'))


@pytest.fixture
def run(example, tmp_path):
    "A run of one town."
    shutil.copytree(example.run, tmp_path/'run', ignore=shutil.ignore_patterns('town_0*'))
    return tmp_path/'run'


def told(run, **parts):
    "Write more into the receipt of the run."
    receipt = run/'town_1.receipt.json'
    receipt.write_text(json.dumps(json.loads(receipt.read_text(encoding='utf-8')) | parts), encoding='utf-8')


@pytest.mark.parametrize('text', RECEIPTS, ids=lambda text: text[:40])
def test_receipts(tmp_path, text):
    "A receipt that is none says what to do about it."
    path = tmp_path/'a.receipt.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(BadInput, match='; map the scene again, or remove the file'): map_receipt(path)


@pytest.mark.parametrize('parts', PARTS, ids=str)
def test_parts_of_a_receipt(example, run, parts):
    "A part of another kind is one clear line, and no page."
    told(run, **parts)
    with pytest.raises(BadInput): write_report(run, images=example.images)
    assert not (run/'report.html').exists()


@pytest.mark.parametrize('parts', MODELS, ids=str)
def test_specs_in_a_receipt(run, parts):
    "So is a spec that is none."
    told(run, model=SPEC | parts)
    with pytest.raises(BadInput): write_report(run)
    assert not (run/'report.html').exists()


@pytest.mark.parametrize('parts', THRESHOLDS, ids=str)
def test_thresholds_in_a_receipt(run, parts):
    "The value is named."
    told(run, model=SPEC | dict(threshold=dict(value=.4375) | parts))
    name, = parts
    with pytest.raises(BadInput, match=rf'the receipt of town_1: threshold\.{name}\b'): write_report(run)
    assert not (run/'report.html').exists()


@pytest.mark.parametrize('text', ['[1]', '{oops', '{"min_object": "x"}', '{"min_object": [1]}', '5'])
def test_tags(run, text):
    "A clean-up that is none is told with the name of its mask."
    import rasterio
    with rasterio.open(run/'town_1_mask.tif', 'r+', IGNORE_COG_LAYOUT_BREAK='YES') as ds: ds.update_tags(clean=text)
    with pytest.raises(BadInput, match='town_1_mask.tif carries the clean-up'): write_report(run)


def test_the_spec_is_sound(run):
    "What the tables above change is a spec that the report takes."
    told(run, model=SPEC)
    assert write_report(run).is_file()


def test_half_a_character(run):
    "JSON may hold what no text file may."
    told(run, settings=dict(note='NOTE'))
    receipt = run/'town_1.receipt.json'
    receipt.write_text(receipt.read_text(encoding='utf-8').replace('NOTE', r'\ud800'), encoding='utf-8')
    assert write_report(run).is_file()
