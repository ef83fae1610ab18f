"A run opens its model once, and each scene at most twice: to see that it fits, and to read it."
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin
from typer.testing import CliRunner

from satseg_fastai.architectures import create_model
from satseg_fastai import files
from satseg_fastai.bundle import file as bundles
from satseg_fastai.geo import raster
from satseg_fastai.bundle.file import save_bundle
from satseg_fastai.cli import app
from satseg_fastai.data.datasets import Pair
from satseg_fastai.testing import write_raster
from satseg_fastai.validation.run import choose_threshold
from satseg_fastai.workflow import map_objects, map_scenes

SIDE = 96
CLASSES = [dict(name='background', color=[0, 0, 0], index=0), dict(name='building', color=[255, 0, 0], index=1)]
SPEC = dict(arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=8), n_in=3, n_out=2, classes=CLASSES,
            mean=[120.]*3, std=[50.]*3, patch_size=64, dtype='uint8', bands=[3, 2, 1], source_count=3)
PLACE = from_origin(330_000, 3_060_000, .3, .3)
FINDER = Path(__file__).parent/'fixtures'/'finder.safetensors'


@pytest.fixture
def model(tmp_path):
    return save_bundle(tmp_path/'m.safetensors', create_model('se_unet', 'test_resnet', decoder_width=8), SPEC)


@pytest.fixture
def scenes(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(1, 255, (5, 3, SIDE, SIDE)).astype('uint8')
    folder = tmp_path/'scenes'
    return [write_raster(folder/f'{number}.tif', image, transform=PLACE) for number, image in enumerate(images)]


@pytest.fixture
def opened(monkeypatch):
    "How often networks are built and hashed, specs read, rasters opened, and files hashed, by name."
    counts = Counter()

    def count(module, function, name, real=None):
        real = real or getattr(module, function)

        def counting(first, *args, **kwargs):
            counts[name(first)] += 1
            return real(first, *args, **kwargs)
        monkeypatch.setattr(module, function, counting, raising=False)
    count(bundles, '_network', lambda path: 'network')
    count(bundles, 'model_sha256', lambda net: 'hash')
    count(bundles, 'read_spec', lambda path: 'spec')
    count(raster, 'open_raster', lambda path: Path(path).name)
    count(files, 'open', lambda path: f'bytes of {Path(path).name}', open)  # by file_sha256
    return counts


def test_maps_of_five_scenes(model, scenes, tmp_path, opened):
    map_scenes(model, tmp_path/'scenes', tmp_path/'maps', progress=False)
    assert (opened['network'], opened['hash'], opened['spec']) == (1, 1, 1)
    assert [opened[scene.name] for scene in scenes] == [2]*5


def test_threshold_on_five_scenes(model, scenes, tmp_path, opened):
    labels = np.random.default_rng(1).integers(0, 2, (5, SIDE, SIDE)).astype('uint8')
    folder = tmp_path/'labels'
    files = [write_raster(folder/scene.name, label, transform=PLACE) for scene, label in zip(scenes, labels)]
    pairs = [Pair(scene, label) for scene, label in zip(scenes, files)]
    choose_threshold(model, pairs, progress=False)
    assert (opened['network'], opened['hash']) == (1, 1)


def find(scenes, tmp_path):
    map_objects(FINDER, scenes, tmp_path/'objects', score=0., size=64, device='cpu', progress=False)


def test_objects_of_five_scenes(scenes, tmp_path, opened):
    find(scenes, tmp_path)
    assert (opened['network'], opened['hash'], opened['spec']) == (1, 1, 1)


def test_scenes_of_objects_are_opened_twice(scenes, tmp_path, opened):
    find(scenes, tmp_path)
    assert all(opened[scene.name] <= 2 for scene in scenes)


def exported(model):
    "All that one command writes."
    result = CliRunner().invoke(app, ['export', str(model), '--onnx', '--stac', '--card'])
    assert result.exit_code == 0, result.output


def test_export_builds_once(model, opened):
    exported(model)
    assert (opened['network'], opened['spec']) == (1, 1)


def test_export_hashes_once(model, opened):
    exported(model)
    assert opened[f'bytes of {model.name}'] == 1
