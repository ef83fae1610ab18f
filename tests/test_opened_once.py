"A run opens its model once, and each scene at most twice: to see that it fits, and to read it."
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from satseg_fastai import bundle as bundles, raster
from satseg_fastai.bundle import save_bundle
from satseg_fastai.datasets import Pair
from satseg_fastai.models.registry import create_model
from satseg_fastai.validation import choose_threshold
from satseg_fastai.workflow import map_scenes

SIDE = 96
CLASSES = [dict(name='background', color=[0, 0, 0], index=0), dict(name='building', color=[255, 0, 0], index=1)]
SPEC = dict(arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=8), n_in=3, n_out=2, classes=CLASSES,
            mean=[120.]*3, std=[50.]*3, patch_size=64, dtype='uint8', bands=[3, 2, 1], source_count=3)


def write(path, values):
    path.parent.mkdir(exist_ok=True)
    place = dict(crs='EPSG:32645', transform=from_origin(330_000, 3_060_000, .3, .3))
    with rasterio.open(path, 'w', driver='GTiff', count=len(values), height=SIDE, width=SIDE, dtype='uint8',
                       **place) as file:
        file.write(values)
    return path


@pytest.fixture
def model(tmp_path):
    return save_bundle(tmp_path/'m.safetensors', create_model('se_unet', 'test_resnet', decoder_width=8), SPEC)


@pytest.fixture
def scenes(tmp_path):
    rng = np.random.default_rng(0)
    return [write(tmp_path/'scenes'/f'{i}.tif', rng.integers(1, 255, (3, SIDE, SIDE)).astype('uint8'))
            for i in range(5)]


@pytest.fixture
def opened(monkeypatch):
    "How often networks are built and hashed, and rasters opened, by name."
    counts = Counter()

    def count(module, function, name):
        real = getattr(module, function)

        def counting(first, *args):
            counts[name(first)] += 1
            return real(first, *args)
        monkeypatch.setattr(module, function, counting)
    count(bundles, '_network', lambda path: 'network')
    count(bundles, 'model_sha256', lambda net: 'hash')
    count(raster, 'open_raster', lambda path: Path(path).name)
    return counts


def test_maps_of_five_scenes(model, scenes, tmp_path, opened):
    map_scenes(model, tmp_path/'scenes', tmp_path/'maps', progress=False)
    assert (opened['network'], opened['hash']) == (1, 1)
    assert [opened[scene.name] for scene in scenes] == [2]*5


def test_threshold_on_five_scenes(model, scenes, tmp_path, opened):
    rng = np.random.default_rng(1)
    pairs = [Pair(scene, write(tmp_path/'labels'/scene.name, rng.integers(0, 2, (1, SIDE, SIDE)).astype('uint8')))
             for scene in scenes]
    choose_threshold(model, pairs, progress=False)
    assert (opened['network'], opened['hash']) == (1, 1)
