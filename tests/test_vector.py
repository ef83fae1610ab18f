"Polygons there and back: labels become polygons, files and labels again, on made and on real ground."
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from pyproj import Geod, Transformer
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin

from satseg_fastai.classes import building
from satseg_fastai.labels import open_labels, place_of, write_labels
from satseg_fastai.synth import make_town, write_town
from satseg_fastai.vector import vectorize, write_detections

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
@pytest.mark.parametrize('scene, label', [('banepa/mosaic.tif', 'banepa/buildings.geojson'), ('mosaics/zanzibar_A_z20.tif', 'mosaics/zanzibar_A_z20_buildings.geojson'),
                                          ('mosaics/zanzibar_A_z20.tif', 'mosaics/zanzibar_A_z20_mask.tif')])
def test_real_buildings_come_back(tmp_path, scene, label, suffix):
    "Polygons of people, burned, vectorized, burned again."
    found, n = there_and_back(Path(DATA)/label, Path(DATA)/scene, tmp_path, suffix)
    print(f'{label} through {suffix}: IoU {found:.6f}, {n} polygons')
    assert n > 50 and found >= .99


@pytest.mark.parametrize('crs', ['EPSG:32616', 'EPSG:4326', 'EPSG:3857'])
def test_the_area_of_a_known_square(tmp_path, crs):
    "A square laid out with geodesics, burned on a fine grid of each CRS: its area within a thousandth and what the pixels cost."
    geod, lon, lat, side = Geod(ellps='WGS84'), -87.4, 41.9, 400.
    east = geod.fwd(lon, lat, 90, side)[:2]
    corners = [(lon, lat), east, geod.fwd(*east, 0, side)[:2], geod.fwd(lon, lat, 0, side)[:2]]
    xs, ys = Transformer.from_crs(4326, crs, always_xy=True).transform(*np.array(corners).T)
    n = 2000
    t = from_origin(min(xs), max(ys), (max(xs) - min(xs))/n, (max(ys) - min(ys))/n) @ Affine.translation(-50, -50)
    square = dict(type='Polygon', coordinates=[[*zip(xs, ys), (xs[0], ys[0])]])
    x = rasterize([square], (n + 100, n + 100), transform=t, dtype='uint8')
    with rasterio.open(tmp_path/'m.tif', 'w', driver='GTiff', height=n + 100, width=n + 100, count=1, dtype='uint8', nodata=255, crs=crs, transform=t) as ds: ds.write(x, 1)
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
        assert vectorize(paths['label'], tmp_path/f'e{suffix}', **options) == write_detections([], tmp_path/f'd{suffix}', paths['image'], regularize=True) == 0
        for name in 'ed':
            f = (gpd.read_parquet if suffix == '.parquet' else gpd.read_file)(tmp_path/f'{name}{suffix}')
            assert len(f) == 0 and (suffix == '.geojson' or {'class', 'area_m2', 'regularized', 'iou'} <= set(f.columns))
    assert not open_labels(tmp_path/'e.gpkg', paths['image'], building()).read(0, 0, 128, 128).any()


def test_an_interrupted_layer_is_not_there(tmp_path, monkeypatch):
    "The old layer stays, and nothing lies beside it."
    paths = write_town(make_town(128, 128, seed=2), tmp_path)
    vectorize(paths['label'], tmp_path/'v'/'a.gpkg')
    before = (tmp_path/'v'/'a.gpkg').read_bytes()
    monkeypatch.setattr('satseg_fastai.vector.measure', lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt): vectorize(paths['label'], tmp_path/'v'/'a.gpkg')
    assert [p.name for p in (tmp_path/'v').iterdir()] == ['a.gpkg'] and (tmp_path/'v'/'a.gpkg').read_bytes() == before
