"Blocks in receipts and bundles are files of somebody else: what is no confusion or no count is refused, and named."
import json

import numpy as np
import pytest
import rasterio

from satseg_fastai.areas.blocks import blocks_for, check_blocks
from satseg_fastai.errors import BadInput
from satseg_fastai.labels.classes import building
from satseg_fastai.testing import write_raster

BLOCKS = np.random.default_rng(0).integers(1, 2000, (28, 2, 2)).tolist()
VALIDATION = dict(block=64, confusions=BLOCKS)
SPEC = dict(arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, mean=[0, 0, 0], std=[1, 1, 1],
            classes=[dict(name=entry.name, color=list(entry.color), index=entry.index) for entry in building().classes])
COUNTS = {
    'a list of objects': dict(objects=[1]),
    'objects of one block': dict(objects=dict(building=[[2, 1]])),
    'trees below zero': dict(trees=dict(building=[[2, -1]]*len(BLOCKS))),
    'streets without their lengths': dict(streets=dict(building=[[2, 1]]*len(BLOCKS)))}


@pytest.fixture
def mask(tmp_path):
    "A map of buildings on the globe."
    return write_raster(tmp_path/'a_mask.tif', np.zeros((20, 30), np.uint8), nodata=255)


def write_receipt(mask, validation):
    "The receipt beside the map, with validation of the model that made it."
    receipt = dict(model=SPEC | dict(validation=validation))
    mask.with_name('a.receipt.json').write_text(json.dumps(receipt), encoding='utf-8')


def test_sound_blocks_are_taken(mask):
    "What the cases below spoil is right before."
    write_receipt(mask, VALIDATION)
    np.testing.assert_array_equal(blocks_for(mask).confusions, BLOCKS)


@pytest.mark.parametrize('confusions', [
    [[1, 2], [3]], 'x', [*BLOCKS, [[1, 2], [3, -4]]], None, {'a': 1}, (np.array(BLOCKS)*np.nan).tolist()])
def test_no_confusions(mask, confusions):
    write_receipt(mask, dict(block=64, confusions=confusions))
    with pytest.raises(BadInput, match='a.receipt.json: validation[.]'): blocks_for(mask)


@pytest.mark.parametrize('scenes', ['x', [1], [.5]*len(BLOCKS), [1 << 40]*len(BLOCKS)])
def test_no_scenes(mask, scenes):
    write_receipt(mask, VALIDATION | dict(scenes=scenes))
    with pytest.raises(BadInput, match='a.receipt.json: validation'): blocks_for(mask)


@pytest.mark.parametrize('counts', COUNTS.values(), ids=COUNTS)
def test_no_counts(mask, counts):
    write_receipt(mask, VALIDATION | counts)
    with pytest.raises(BadInput, match='a.receipt.json: validation'): blocks_for(mask)
    with pytest.raises(BadInput, match='x: validation'): check_blocks(VALIDATION | counts, 2, 'x')


@pytest.mark.parametrize('confusions', [BLOCKS[:1], [[[1, 2, 3]]*3]*4, [], [[[0, 0], [0, 0]]]*3])
def test_too_little(confusions):
    "One block, another number of classes, none, nothing counted."
    message = 'x holds no usable validation blocks; expected 2 or more tables of 2 x 2 counts'
    with pytest.raises(BadInput, match=message):
        check_blocks(dict(block=64, confusions=confusions), 2, 'x')


@pytest.mark.parametrize('raw', [
    b'{', b'[]', b'null', b'['*100_000, b'{"a": "\xff"}', b'{"a": ' + b'9'*5000 + b'}', b''],
    ids=lambda raw: str(raw[:8]))
def test_no_receipt(mask, raw):
    mask.with_name('a.receipt.json').write_bytes(raw)
    with pytest.raises(BadInput, match='remove the file'): blocks_for(mask)


@pytest.mark.parametrize('clean', ['{', '[1]', '{"unit": "acre"}', '['*100_000], ids=lambda clean: clean[:16])
def test_no_clean_up(mask, clean):
    "A map's own clean-up that cannot be read."
    sizes = dict(min_object=20., min_hole=0., opening=0., unit='px', connectivity=4)
    receipt = dict(model=SPEC | dict(validation=VALIDATION, clean=sizes))
    mask.with_name('a.receipt.json').write_text(json.dumps(receipt), encoding='utf-8')
    with rasterio.open(mask, 'r+') as ds: ds.update_tags(clean=clean)
    with pytest.raises(BadInput, match='carries a clean-up that cannot be read'): blocks_for(mask)
