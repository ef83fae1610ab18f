"Polygons there and back: labels become polygons, files and labels again, on made and on real ground."
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Geod, Transformer
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin

from satseg_fastai.errors import BadInput
from satseg_fastai.labels.classes import building, land_cover
from satseg_fastai.labels.masks import place_of
from satseg_fastai.labels.read import open_labels, write_labels
from satseg_fastai.maps.layers import measure
from satseg_fastai.maps.outlines import better_outlines, in_the_way
from satseg_fastai.maps.polygons import vectorize, write_detections
from satseg_fastai.synth import make_town, write_town
from satseg_fastai.testing import write_raster

DATA = os.environ.get('SATSEG_DATA')
real = pytest.mark.skipif(not DATA or not Path(DATA).is_dir(), reason='SATSEG_DATA names no folder of real imagery')
ZANZIBAR = 'mosaics/zanzibar_A_z20'


def read(path):
    with rasterio.open(path) as ds: return ds.read(1)


def write(path, x, crs='EPSG:32645', transform=from_origin(332_000, 3_058_000, .5, .5), nodata=255, table=None):
    "A raster of one band for each plane."
    tags = dict(classes=json.dumps(table.to_json())) if table else None
    return write_raster(path, x, crs, transform, tags, nodata=nodata)


def iou(a, b): return (a & b).sum()/(a | b).sum()


def there_and_back(label, scene, folder, suffix, **kw):
    "IoU of the buildings of a label with what its polygons, in a file, give back; how many polygons."
    place, first = place_of(scene), open_labels(label, scene, building())
    write_labels(folder/'a.tif', first, scene, building())
    n = vectorize(folder/'a.tif', folder/f'a{suffix}', **kw)
    again = open_labels(folder/f'a{suffix}', scene, building())
    whole = (0, 0, place.height, place.width)
    return iou(first.read(*whole) == 1, again.read(*whole) == 1), n


@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson'])
@pytest.mark.parametrize('kw', [{}, dict(rows=61), dict(separate='watershed'), dict(regularize=True)], ids=str)
def test_a_town_comes_back(tmp_path, suffix, kw):
    "Exactly through a GPKG, to a pixel's corner through seven decimals; right angles cost a little."
    paths = write_town(make_town(300, 340, seed=5), tmp_path)
    agreement, n = there_and_back(paths['label'], paths['image'], tmp_path, suffix, **kw)
    exact = 1 if suffix == '.gpkg' else .9999
    assert n > 5
    assert agreement >= (.93 if 'regularize' in kw else exact)


@real
@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson'])
@pytest.mark.parametrize('scene, label', [
    ('banepa/mosaic.tif', 'banepa/buildings.geojson'),
    (f'{ZANZIBAR}.tif', f'{ZANZIBAR}_buildings.geojson'),
    (f'{ZANZIBAR}.tif', f'{ZANZIBAR}_mask.tif')
])
def test_real_buildings_come_back(tmp_path, scene, label, suffix):
    "Polygons of people, burned, vectorized, burned again."
    agreement, n = there_and_back(Path(DATA)/label, Path(DATA)/scene, tmp_path, suffix)
    print(f'{label} through {suffix}: IoU {agreement:.6f}, {n} polygons')
    assert n > 50
    assert agreement >= .99


@pytest.mark.parametrize('crs', ['EPSG:32616', 'EPSG:4326', 'EPSG:3857'])
def test_the_area_of_a_known_square(tmp_path, crs):
    "A square laid out with geodesics, burned on a fine grid of each CRS: its area within a thousandth."
    geod, corner, side = Geod(ellps='WGS84'), (-87.4, 41.9), 400.
    east = geod.fwd(*corner, 90, side)[:2]
    corners = [corner, east, geod.fwd(*east, 0, side)[:2], geod.fwd(*corner, 0, side)[:2]]
    xs, ys = Transformer.from_crs(4326, crs, always_xy=True).transform(*np.array(corners).T)
    n = 2000
    grid = from_origin(min(xs), max(ys), (max(xs) - min(xs))/n, (max(ys) - min(ys))/n)
    transform = grid @ Affine.translation(-50, -50)
    square = dict(type='Polygon', coordinates=[[*zip(xs, ys), (xs[0], ys[0])]])
    x = rasterize([square], (n + 100, n + 100), transform=transform, dtype='uint8')
    largest = vectorize(write(tmp_path/'m.tif', x, crs, transform)).area_m2.max()
    assert largest/side**2 == pytest.approx(1, abs=.001)


def test_labels_of_another_crs_are_moved(tmp_path):
    "Polygons in degrees on a scene in meters, and the other way round."
    paths = write_town(make_town(256, 256, seed=2), tmp_path)
    polygons = vectorize(paths['label'])
    for crs in (4326, 3857, 32644):
        polygons.to_crs(crs).to_file(tmp_path/'f.gpkg')
        back = open_labels(tmp_path/'f.gpkg', paths['image'], building()).read(0, 0, 256, 256)
        assert iou(back == 1, read(paths['label']) == 1) > .999


@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson', '.parquet'])
def test_nothing_is_a_valid_layer(tmp_path, suffix):
    "No building gives a layer with all columns and no row, and such a layer is a label of background."
    if suffix == '.parquet': pytest.importorskip('pyarrow')
    paths = write_town(make_town(128, 128, seed=2), tmp_path)
    with rasterio.open(paths['label'], 'r+') as ds: ds.write(np.zeros((1, 128, 128), np.uint8))
    of_mask, of_objects = tmp_path/f'e{suffix}', tmp_path/f'd{suffix}'
    assert vectorize(paths['label'], of_mask, separate='watershed', simplify=1, regularize=True) == 0
    assert write_detections([], of_objects, paths['image'], regularize=True) == 0
    for path in (of_mask, of_objects):
        frame = gpd.read_parquet(path) if suffix == '.parquet' else gpd.read_file(path)
        assert len(frame) == 0
        if suffix != '.geojson': assert {'class', 'area_m2', 'regularized', 'iou'} <= set(frame.columns)
    if suffix == '.gpkg': assert not open_labels(of_mask, paths['image'], building()).read(0, 0, 128, 128).any()


def interrupted(*a): raise KeyboardInterrupt


def test_an_interrupted_layer_is_not_there(tmp_path, monkeypatch):
    "The old layer stays, and nothing lies beside it."
    paths = write_town(make_town(128, 128, seed=2), tmp_path)
    layer = tmp_path/'v'/'a.gpkg'
    vectorize(paths['label'], layer)
    before = layer.read_bytes()
    monkeypatch.setattr('satseg_fastai.maps.layers.measure', interrupted)
    with pytest.raises(KeyboardInterrupt): vectorize(paths['label'], layer)
    assert [path.name for path in layer.parent.iterdir()] == ['a.gpkg']
    assert layer.read_bytes() == before


# what a mutation once survived
def test_parts_below_the_smallest_area_go(tmp_path):
    "Two squares with a neck, cut apart: the smaller one is then too small."
    x = np.zeros((60, 60), np.uint8)
    x[10:26, 10:26] = x[16:20, 26:28] = x[14:22, 28:36] = 1
    mask = write(tmp_path/'m.tif', x, transform=from_origin(0, 0, .5, .5))
    assert len(vectorize(mask, separate='watershed')) == 2
    assert len(vectorize(mask, separate='watershed', min_area_px=120)) == 1


def test_the_area_may_change_by_no_more_than_told():
    "An outline that right angles make larger: the guard on area alone, with the one on IoU out of the way."
    right, left = [(30, 0), (30, 8), (24, 8), (24, 9), (30, 9), (30, 20)], [(0, 20), (0, 12), (7, 12), (7, 11), (0, 11)]
    rough = shapely.Polygon([(0, 0), *right, *left])
    def straight(change): return better_outlines(np.array([rough]), least=.1, change=change)[0][0]
    grown = abs(straight(1.).area/rough.area - 1)
    assert grown > .001
    assert straight(grown*1.01) is not None
    assert straight(grown*.99) is None


def test_new_outlines_that_overlap_only_each_other():
    old = np.array([shapely.box(0, 0, 10, 10), shapely.box(12, 0, 22, 10)])
    assert in_the_way(old, np.array([shapely.box(0, 0, 11.5, 10), shapely.box(11, 0, 22, 10)])).all()
    assert not in_the_way(old, np.array([shapely.box(0, 0, 11, 10), shapely.box(11.5, 0, 22, 10)])).any()


def test_long_sides_follow_the_map():
    "300 km along a parallel of web mercator: not the geodesic between its ends."
    scene = SimpleNamespace(crs=rasterio.crs.CRS.from_epsg(3857), transform=Affine(600, 0, 0, 0, -600, 8_500_000),
                            gsd=300., height=1000, width=1000)
    area, _ = measure(np.array([shapely.box(0, 0, 1000, 500)]), scene)
    ring = shapely.get_coordinates(shapely.segmentize(shapely.box(0, 8_200_000, 600_000, 8_500_000), 500))
    lon, lat = Transformer.from_crs(3857, 4326, always_xy=True).transform(*ring.T)
    assert area[0] == pytest.approx(abs(Geod(ellps='WGS84').polygon_area_perimeter(lon, lat)[0]), rel=1e-5)


# what cannot be done
@pytest.fixture(scope='module')
def rasters(tmp_path_factory):
    "A town's mask and probabilities, and rasters that do not go with it."
    folder = tmp_path_factory.mktemp('rasters')
    town = make_town(100, 120, seed=3)
    levels = np.random.default_rng(0).integers(0, 65535, (1, 100, 120)).astype(np.uint16)
    return SimpleNamespace(
        mask=write(folder/'mask.tif', town.buildings, table=building()),
        cover=write(folder/'cover.tif', town.classes, table=land_cover()),
        picture=write(folder/'picture.tif', town.buildings*np.uint8(255), nodata=None, table=building()),
        image=write(folder/'image.tif', town.image, nodata=0),
        prob=write(folder/'prob.tif', levels, nodata=65535),
        other=write(folder/'other.tif', levels[:, :90], nodata=65535),
        moved=write(folder/'moved.tif', levels, 'EPSG:32644', nodata=65535)
    )


@pytest.mark.parametrize('mask, kw, message', [
    ('picture', {}, 'picture.tif holds the values 255; expected 0 background, 1 building; '
                    'give its class table, or declare 255 as nodata'),
    ('cover', dict(classes=building()), 'cover.tif holds the values'),
    ('prob', dict(classes=building()), 'holds the values'),
    ('image', dict(classes=building()), 'image.tif has 3 bands of uint8; expected a mask: one band of class indices'),
    ('mask', dict(prob='mask'), 'expected a probability raster'),
    ('mask', dict(prob='other'), 'other.tif lies on another grid than mask.tif'),
    ('mask', dict(disagreement='other'), 'other.tif lies on another grid than mask.tif'),
    ('mask', dict(disagreement='image'), 'image.tif has 3 bands; expected one band of disagreement'),
    ('mask', dict(prob='moved'), 'expected a raster of the same rows, columns, transform and CRS'),
    ('mask', dict(separate='magic'), "separate 'magic'; expected 'watershed'"),
    ('mask', dict(separate='watershed', depth=2), 'depth 2; expected a share between 0 and 1'),
    ('mask', dict(separate='watershed', separate_classes='oak'), "class 'oak' is not in the class table"),
    ('mask', dict(connectivity=6), 'expected 4 (by sides) or 8'),
    ('mask', dict(rows=0), 'expected at least one row, and no negative number'),
    ('mask', dict(simplify=-1), 'expected at least one row, and no negative number'),
    ('mask', dict(min_area_m2=-1), 'expected at least one row, and no negative number'),
    ('mask', dict(min_area_px=-1), 'expected at least one row, and no negative number')
])
def test_what_cannot_be_vectorized_is_one_line(rasters, tmp_path, mask, kw, message):
    "Nothing is left behind, either."
    paths = {name: getattr(rasters, kw[name]) for name in ('prob', 'disagreement') if name in kw}
    with pytest.raises(BadInput, match=re.escape(message)) as error:
        vectorize(getattr(rasters, mask), tmp_path/'x.gpkg', **kw | paths)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name, message', [
    ('x.shp', 'x.shp ends in .shp; expected .gpkg, .geojson, .parquet'),
    ('x', 'x ends in nothing; expected .gpkg, .geojson, .parquet')
])
def test_a_format_that_cannot_be_written(rasters, tmp_path, name, message):
    with pytest.raises(BadInput, match=re.escape(message)): vectorize(rasters.mask, tmp_path/name)
    with pytest.raises(BadInput, match=re.escape(message)): write_detections([], tmp_path/name, rasters.mask)


def test_parquet_without_pyarrow(rasters, tmp_path, monkeypatch):
    "The package that is missing is named before any work."
    monkeypatch.setattr('satseg_fastai.maps.layers.find_spec', lambda name: None)
    with pytest.raises(BadInput, match=re.escape('pip install satseg_fastai[parquet]')):
        vectorize(rasters.mask, tmp_path/'x.parquet')
    assert not list(tmp_path.iterdir())
