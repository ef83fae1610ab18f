"Polygons there and back: labels become polygons, files and labels again, on made and on real ground."
import os
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

from satseg_fastai.classes import building
from satseg_fastai.labels import open_labels, place_of, write_labels
from satseg_fastai.synth import make_town, write_town
from satseg_fastai.vector import better_outlines, in_the_way, measure, vectorize, write_detections

DATA = os.environ.get('SATSEG_DATA')
real = pytest.mark.skipif(not DATA or not Path(DATA).is_dir(), reason='SATSEG_DATA names no folder of real imagery')


def read(path):
    with rasterio.open(path) as ds: return ds.read(1)


def iou(a, b): return (a & b).sum()/(a | b).sum()


def there_and_back(label, scene, folder, suffix, **kw):
    "IoU of the buildings of a label with what its polygons, in a file, give back."
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
    found, n = there_and_back(paths['label'], paths['image'], tmp_path, suffix, **kw)
    assert n > 5 and found >= (.93 if 'regularize' in kw else 1 if suffix == '.gpkg' else .9999)


@real
@pytest.mark.parametrize('suffix', ['.gpkg', '.geojson'])
@pytest.mark.parametrize('scene, label', [('banepa/mosaic.tif', 'banepa/buildings.geojson'),
    ('mosaics/zanzibar_A_z20.tif', 'mosaics/zanzibar_A_z20_buildings.geojson'),
                                          ('mosaics/zanzibar_A_z20.tif', 'mosaics/zanzibar_A_z20_mask.tif')])
def test_real_buildings_come_back(tmp_path, scene, label, suffix):
    "Polygons of people, burned, vectorized, burned again."
    found, n = there_and_back(Path(DATA)/label, Path(DATA)/scene, tmp_path, suffix)
    print(f'{label} through {suffix}: IoU {found:.6f}, {n} polygons')
    assert n > 50 and found >= .99


@pytest.mark.parametrize('crs', ['EPSG:32616', 'EPSG:4326', 'EPSG:3857'])
def test_the_area_of_a_known_square(tmp_path, crs):
    """A square laid out with geodesics, burned on a fine grid of each CRS: its area within a thousandth and what the
    pixels cost."""
    geod, lon, lat, side = Geod(ellps='WGS84'), -87.4, 41.9, 400.
    east = geod.fwd(lon, lat, 90, side)[:2]
    corners = [(lon, lat), east, geod.fwd(*east, 0, side)[:2], geod.fwd(lon, lat, 0, side)[:2]]
    xs, ys = Transformer.from_crs(4326, crs, always_xy=True).transform(*np.array(corners).T)
    n = 2000
    t = from_origin(min(xs), max(ys), (max(xs) - min(xs))/n, (max(ys) - min(ys))/n) @ Affine.translation(-50, -50)
    square = dict(type='Polygon', coordinates=[[*zip(xs, ys), (xs[0], ys[0])]])
    x = rasterize([square], (n + 100, n + 100), transform=t, dtype='uint8')
    with rasterio.open(tmp_path/'m.tif', 'w', driver='GTiff', height=n + 100, width=n + 100, count=1, dtype='uint8',
                       nodata=255, crs=crs, transform=t) as ds:
        ds.write(x, 1)
    found = vectorize(tmp_path/'m.tif').nlargest(1, 'area_m2').iloc[0]
    assert found.area_m2/side**2 == pytest.approx(1, abs=.001)


def test_labels_of_another_crs_are_moved(tmp_path):
    "Polygons in degrees on a scene in meters, and the other way round."
    paths = write_town(make_town(256, 256, seed=2), tmp_path)
    f = vectorize(paths['label'])
    for crs in (4326, 3857, 32644):
        f.to_crs(crs).to_file(tmp_path/'f.gpkg')
        back = open_labels(tmp_path/'f.gpkg', paths['image'], building()).read(0, 0, 256, 256)
        assert iou(back == 1, read(paths['label']) == 1) > .999


def test_nothing_is_a_valid_layer(tmp_path):
    "No building gives a layer with all columns and no row, and such a layer is a label of background."
    paths = write_town(make_town(128, 128, seed=2), tmp_path)
    with rasterio.open(paths['label'], 'r+') as ds: ds.write(np.zeros((1, 128, 128), np.uint8))
    options = dict(separate='watershed', simplify=1, regularize=True)
    for suffix in ('.gpkg', '.geojson', '.parquet'):
        if suffix == '.parquet': pytest.importorskip('pyarrow')
        assert vectorize(paths['label'], tmp_path/f'e{suffix}', **options) == write_detections(
            [], tmp_path/f'd{suffix}', paths['image'], regularize=True) == 0
        for name in 'ed':
            f = (gpd.read_parquet if suffix == '.parquet' else gpd.read_file)(tmp_path/f'{name}{suffix}')
            assert len(f) == 0
            assert suffix == '.geojson' or {'class', 'area_m2', 'regularized', 'iou'} <= set(f.columns)
    assert not open_labels(tmp_path/'e.gpkg', paths['image'], building()).read(0, 0, 128, 128).any()


def test_an_interrupted_layer_is_not_there(tmp_path, monkeypatch):
    "The old layer stays, and nothing lies beside it."
    paths = write_town(make_town(128, 128, seed=2), tmp_path)
    vectorize(paths['label'], tmp_path/'v'/'a.gpkg')
    before = (tmp_path/'v'/'a.gpkg').read_bytes()
    monkeypatch.setattr('satseg_fastai.vector.measure', lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt): vectorize(paths['label'], tmp_path/'v'/'a.gpkg')
    assert [p.name for p in (tmp_path/'v').iterdir()] == ['a.gpkg'] and (tmp_path/'v'/'a.gpkg').read_bytes() == before


# what a mutation once survived
def test_parts_below_the_smallest_area_go(tmp_path):
    "Two squares with a neck, cut apart: the smaller one is then too small."
    x = np.zeros((60, 60), np.uint8)
    x[10:26, 10:26] = x[16:20, 26:28] = x[14:22, 28:36] = 1
    with rasterio.open(tmp_path/'m.tif', 'w', driver='GTiff', count=1, height=60, width=60, dtype='uint8', nodata=255,
                       crs='EPSG:32645', transform=from_origin(0, 0, .5, .5)) as d:
        d.write(x[None])
    assert len(vectorize(tmp_path/'m.tif', separate='watershed')) == 2
    assert len(vectorize(tmp_path/'m.tif', separate='watershed', min_area_px=120)) == 1


def test_the_area_may_change_by_no_more_than_told():
    "An outline that right angles make larger: the guard on area alone, with the one on IoU out of the way."
    rough = shapely.Polygon([(0, 0), (30, 0), (30, 8), (24, 8), (24, 9), (30, 9), (30, 20), (0, 20), (0, 12), (7, 12),
                             (7, 11), (0, 11)])
    (new,), _ = better_outlines(np.array([rough]), least=.1, change=1.)
    grown = abs(new.area/rough.area - 1)
    assert grown > .001
    assert better_outlines(np.array([rough]), least=.1, change=grown*1.01)[0][0] is not None
    assert better_outlines(np.array([rough]), least=.1, change=grown*.99)[0][0] is None


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
