"Sizes, masks and places that a clean-up cannot be made of: each is named, and nothing is left behind."
import os

import numpy as np
import pytest
import rasterio

from satseg_fastai.errors import BadInput, FailedWork
from satseg_fastai.labels.classes import building, dubai, named_table
from satseg_fastai.maps.clean import Clean, InFolder, check_clean, clean_array, clean_mask, read_clean, search_clean
from satseg_fastai.testing import write_raster

TABLE = named_table(['background', 'roof', 'road'])
MASK = np.random.default_rng(0).integers(0, 3, (200, 90)).astype(np.uint8)
LATE = np.where(np.arange(MASK.size).reshape(MASK.shape) == MASK.size - 1, 7, MASK).astype(np.uint8)


@pytest.mark.parametrize('how, message', [
    (Clean(min_hole=-1), 'min_hole is -1; expected a number, 0 or more'),
    (Clean(connectivity=6), 'connectivity 6; expected 4'),
    (Clean(unit='ha'), "expected 'px' or 'm2'"),
    *((Clean(size), 'min_object is') for size in (float('nan'), float('inf'), '3', None, True))], ids=str)
def test_no_sizes(how, message):
    with pytest.raises(BadInput, match=message): check_clean(how)


@pytest.mark.parametrize('data', [[1], None, 'x', 3], ids=str)
def test_no_clean_up(data):
    with pytest.raises(BadInput, match='expected a dict with min_object'): read_clean(data)


@pytest.mark.parametrize('table, how, message', [
    (dubai(), Clean(3, 3), 'expected classes with a background'),
    (building(), Clean(3), 'the mask holds the value 2; expected class indices 0-1'),
    (dubai(), Clean(-3), 'min_object is -3')])
def test_no_array(table, how, message):
    with pytest.raises(BadInput, match=message): clean_array(MASK, table, how)


@pytest.mark.parametrize('values, nodata, how, classes, message', [
    (MASK, 255, Clean(-1), None, 'min_object is -1'),
    (MASK, 255, Clean(3, connectivity=6), None, 'connectivity 6'),
    (MASK.astype(np.uint16), 65535, Clean(3), TABLE, 'has 1 bands of uint16; expected a mask'),
    (MASK, 255, Clean(3), building(), 'mask.tif holds the value 2; expected class indices 0-1'),
    (LATE, 255, Clean(3), TABLE, 'holds the value 7'),
    (np.where(MASK == 1, 255, 0).astype(np.uint8), None, Clean(3), building(), 'write 1 for what 255 means')])
def test_no_mask(tmp_path, values, nodata, how, classes, message):
    "Nothing is left, though the fault lies in the last row."
    mask = write_raster(tmp_path/'mask.tif', values, nodata=nodata)
    with pytest.raises(BadInput, match=message):
        clean_mask(mask, tmp_path/'clean.tif', how, rows=64, classes=classes or TABLE)
    assert os.listdir(tmp_path) == ['mask.tif']


@pytest.mark.parametrize('place, message', [
    ('x/../mask.tif', 'is the mask itself; expected another file for the clean mask'),
    ('.', 'is a folder; expected NAME.tif'),
    ('no.png', 'no.png for the clean mask; expected NAME.tif')])
def test_no_place(tmp_path, place, message):
    mask = write_raster(tmp_path/'mask.tif', MASK, nodata=255)
    with pytest.raises(BadInput, match=message): clean_mask(mask, tmp_path/place, Clean(3), classes=TABLE)
    assert os.listdir(tmp_path) == ['mask.tif']


def test_a_file_is_no_folder(tmp_path):
    mask = write_raster(tmp_path/'mask.tif', MASK, nodata=255)
    with pytest.raises(FailedWork, match='could not be written: '):
        clean_mask(mask, mask/'no.tif', Clean(3), classes=TABLE)


def full(*args, **kwargs): raise rasterio.errors.RasterioIOError('full')


def test_a_full_disk(tmp_path, monkeypatch):
    "A layer that cannot be written is a failure with the folder's name."
    monkeypatch.setattr('rasterio.open', full)
    with pytest.raises(FailedWork, match='could not take an intermediate layer'): InFolder(tmp_path, 200, 90)([MASK])


@pytest.mark.parametrize('given, message', [
    (dict(objects=(-5,)), 'min_object is -5'),
    (dict(unit='ha'), "unit 'ha'"),
    (dict(connectivity=3), 'connectivity 3')], ids=str)
def test_no_search(tmp_path, given, message):
    mask = write_raster(tmp_path/'mask.tif', MASK, nodata=255)
    with pytest.raises(BadInput, match=message): search_clean([(mask, mask, None)], TABLE, **given)


def test_no_masks():
    with pytest.raises(BadInput, match='no labeled masks'): search_clean([], building())
