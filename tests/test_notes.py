"Which class a note or an error has: programs tell them apart by it."
import warnings

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from rasterio.transform import from_origin

from satseg_fastai.areas.blocks import blocks_for
from satseg_fastai.areas.figures import area_figures
from satseg_fastai.errors import InResult, LabelsElsewhere, NoBlocks, NoPlace, Note, OneClass, ZonesElsewhere
from satseg_fastai.labels.classes import building
from satseg_fastai.labels.read import open_labels
from satseg_fastai.scene.predict import predict_scene
from satseg_fastai.scores.calibration import fit_temperature
from satseg_fastai.scores.threshold import RocHistogram

PLACE = dict(crs='EPSG:32645', transform=from_origin(330_000, 3_060_000, .5, .5))


def raster(path, bands=1, **place):
    values = np.random.default_rng(0).integers(0, 2, (bands, 40, 50), dtype=np.uint8) + np.uint8(bands > 1)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(path, 'w', driver='GTiff', height=40, width=50, count=bands, dtype='uint8', **place) as d:
            d.write(values)
    return path


def polygons(path, west):
    shapes = [shapely.box(west, 3_059_985, west + 10, 3_059_995)]
    gpd.GeoDataFrame(dict(name=['north']), geometry=shapes, crs='EPSG:32645').to_file(path)
    return path


def classes_of(work):
    "Classes of the notes that some work gives."
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        work()
    return {w.category for w in seen if issubclass(w.category, Note)}


def test_a_scene_without_a_place(tmp_path):
    scene = raster(tmp_path/'a.tif', 3)
    work = lambda: predict_scene(torch.nn.Conv2d(3, 2, 1), scene, tmp_path/'p.tif', size=32, progress=False)
    assert classes_of(work) == {NoPlace}


@pytest.mark.parametrize('west, notes', [(330_005, set()), (390_005, {LabelsElsewhere})])
def test_labels_elsewhere(tmp_path, west, notes):
    scene, labels = raster(tmp_path/'a.tif', 3, **PLACE), polygons(tmp_path/'l.gpkg', west)
    assert classes_of(lambda: open_labels(labels, scene, building())) == notes


@pytest.mark.parametrize('west, notes', [(330_005, set()), (390_005, {ZonesElsewhere})])
def test_zones_elsewhere(tmp_path, west, notes):
    zones = polygons(tmp_path/'z.gpkg', west)
    mask = raster(tmp_path/'a_mask.tif', **PLACE)
    assert classes_of(lambda: area_figures(mask, zones=zones)) == notes
    assert issubclass(ZonesElsewhere, InResult)


def test_a_map_without_validation(tmp_path):
    assert classes_of(lambda: blocks_for(raster(tmp_path/'a_mask.tif', **PLACE))) == {NoBlocks}


def test_figures_in_pixels(tmp_path):
    assert InResult in classes_of(lambda: area_figures(raster(tmp_path/'a_mask.tif')))


@pytest.mark.parametrize('work', [RocHistogram.curves, fit_temperature])
def test_labels_of_one_class(work):
    histogram = RocHistogram()
    histogram.update(np.ones((4, 4), np.uint8), np.full((4, 4), .7, np.float32))
    with pytest.raises(OneClass): work(histogram)
