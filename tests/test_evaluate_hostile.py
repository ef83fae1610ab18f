"Maps, labels and places that nothing can be counted with: each is named, and nothing is written over."
import numpy as np
import pytest

from satseg_fastai.errors import BadInput
from satseg_fastai.evaluate.pixels import evaluate, write_errors
from satseg_fastai.testing import write_raster

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, (70, 30)).astype(np.uint8)
MAPS = {
    'holds the value 255 and does not declare it as nodata': np.where(LABELS, 255, 0).astype(np.uint8),
    'has 3 bands; expected one band of class indices': np.stack([LABELS]*3),
    'map.tif holds the value 2; expected class indices 0-1': np.where(LABELS, 2, 0).astype(np.uint8)}


@pytest.fixture
def label(tmp_path): return write_raster(tmp_path/'label.tif', LABELS)


@pytest.mark.parametrize('message, values', MAPS.items(), ids=MAPS)
def test_no_map(tmp_path, label, message, values):
    "Neither scores nor an error map."
    mapped = write_raster(tmp_path/'map.tif', values)
    with pytest.raises(BadInput, match=message): evaluate(mapped, label)
    with pytest.raises(BadInput, match=message): write_errors(mapped, label, tmp_path/'errors.tif')
    assert not (tmp_path/'errors.tif').exists()


def test_labels_of_another_size(tmp_path, label):
    small = write_raster(tmp_path/'small.tif', LABELS[:50])
    with pytest.raises(BadInput, match='50'): evaluate(label, small)


@pytest.mark.parametrize('region', [
    (0, 0, 900, 900), (0, 0, 71, 30), (-1, 0, 3, 3), (0, 0, 0, 5), (5, 28, 3, 3)], ids=str)
def test_no_region(label, region):
    with pytest.raises(BadInput, match='the region .* inside the 70 x 30 pixels of label.tif'):
        evaluate(label, label, region=region)


def test_a_mask_has_no_threshold(label):
    with pytest.raises(BadInput, match='a threshold for the mask label.tif'): evaluate(label, label, threshold=.5)


@pytest.mark.parametrize('place, message', [
    ('map.tif', 'map.tif is the map itself; expected another file for the error map'),
    ('f/../label.tif', 'label.tif is the label itself; expected another file for the error map'),
    ('f', 'f is a folder; expected NAME.tif'),
    ('e.png', 'e.png for the error map; expected NAME.tif'),
    ('e', 'e for the error map; expected NAME.tif')])
def test_no_place(tmp_path, label, place, message):
    "What is there stays as it is, and nothing comes."
    mapped = write_raster(tmp_path/'map.tif', LABELS)
    (tmp_path/'f').mkdir()
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(BadInput, match=message): write_errors(mapped, label, tmp_path/place)
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()} == before
