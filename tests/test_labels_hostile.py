"Masks, labelme files and vector files that cannot be meant: each is one line that says what to do."
import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.transform import from_origin

from satseg_fastai.errors import BadInput
from satseg_fastai.labels.classes import building, class_table, dubai, encode
from satseg_fastai.labels.masks import Place, mask_coding, scan_mask
from satseg_fastai.labels.polygons import check_vector_units, labelme_shapes
from satseg_fastai.labels.read import open_labels

GRID = from_origin(300000, 3060000, .5, .5)
TOWN = Place('town.tif', 60, 80, rasterio.CRS.from_epsg(32645), GRID)
rng = np.random.default_rng(0)
BLOBS = rng.integers(0, 4, (6, 8)).repeat(10, 0).repeat(10, 1).astype(np.uint8)
MASKS = {
    'ids.png': (BLOBS, 'label ids.png: found the values 0, 1, 2, 3; expected 0 to 1 (background, building)'),
    'lossy.jpg': (rng.integers(0, 256, (60, 80)).astype(np.uint8), 'lossy.jpg is a JPEG, which smears class values;'),
    'noise.png': (rng.integers(0, 256, (60, 80)).astype(np.uint8),
                  'gray levels between 0 and 255; expected 0 to 1 (background, building), 255 for ignore, '
                  'or 0 and 255; save the original mask as PNG, or threshold it'),
    'colors.png': (encode(BLOBS, class_table('a,b,c,d')), 'unknown colors: #'),
    'photo.png': (rng.integers(0, 256, (60, 80, 3)).astype(np.uint8), 'use the original PNG')}


@pytest.mark.parametrize('name', MASKS)
def test_masks_that_fit_nothing(name, tmp_path):
    values, told = MASKS[name]
    Image.fromarray(values).save(tmp_path/name)
    with pytest.raises(BadInput) as error: mask_coding(scan_mask(tmp_path/name), building())
    assert told in str(error.value)


def test_a_mask_of_fractions(tmp_path):
    path = tmp_path/'half.tif'
    values = rng.random((1, 60, 80)).astype('float32')
    with rasterio.open(path, 'w', driver='GTiff', count=1, height=60, width=80, dtype='float32', crs=TOWN.crs,
                       transform=GRID) as file: file.write(values)
    with pytest.raises(BadInput, match='found more than 4096 gray levels'):
        mask_coding(scan_mask(path), building())


def test_no_file(tmp_path):
    with pytest.raises(BadInput, match='does not exist'): scan_mask(tmp_path/'none.png')
    with pytest.raises(BadInput, match='does not exist'): open_labels(tmp_path/'none.png', TOWN, building())


POINTS = {'nothing': None, 'one': [[1, 2]], 'ragged': [[1, 2], [3]], 'text': 'abc', 'an object': [['1', {}]],
          'no number': [[0, 0], [1, float('nan')], [2, 2]], 'far away': [[0, 0], [1e10, 1], [2, 2]]}


@pytest.mark.parametrize('name', POINTS)
def test_labelme_points(name):
    data = dict(shapes=[dict(label='building', points=POINTS[name])])
    with pytest.raises(BadInput, match='shape 1 has unusable points'): labelme_shapes(data, TOWN, building())


SHAPES = {
    'no list of shapes': 3,
    r"unknown labels \['a'\]": [dict(label=['a'])],
    'unknown labels None': [dict()],
    r"shape 1 is a \['x'\]; expected polygon": [dict(label='building', shape_type=['x'], points=[])]}


@pytest.mark.parametrize('told', SHAPES)
def test_labelme_shapes(told):
    with pytest.raises(BadInput, match=told): labelme_shapes(dict(shapes=SHAPES[told]), TOWN, building())


def test_labelme_of_another_size(tmp_path):
    path = tmp_path/'a.json'
    path.write_text(json.dumps(dict(imageHeight='x'*99, imageWidth=80, shapes=[])))
    with pytest.raises(BadInput, match='is for an image of .xxxxxxxx x 80 pixels'): open_labels(path, TOWN, building())


@pytest.fixture
def ground():
    "Two squares on the ground of the town."
    squares = [shapely.box(10, 10, 20, 20), shapely.box(30, 30, 50, 40)]
    return list(shapely.transform(squares, lambda points: np.column_stack(GRID @ points.T)))


def test_files_that_lost_their_crs(ground, tmp_path):
    in_degrees = gpd.GeoSeries(ground, crs=32645).to_crs(4326)
    gpd.GeoDataFrame(geometry=ground, crs=4326).to_file(tmp_path/'meters.geojson')
    gpd.GeoDataFrame(geometry=list(in_degrees), crs=32645).to_file(tmp_path/'degrees.gpkg')
    with pytest.raises(BadInput, match='meters.geojson is in degrees by its CRS, but reaches'):
        open_labels(tmp_path/'meters.geojson', TOWN, building())
    with pytest.raises(BadInput, match='they seem to be degrees: set EPSG:4326'):
        open_labels(tmp_path/'degrees.gpkg', TOWN, building())


QUIET = [('EPSG:4326', (85, 27, 86, 28), True), ('EPSG:32645', (3e5, 3e6, 3.1e5, 3.1e6), False),
         ('EPSG:32645', (0, 0, 5, 5), True), ('EPSG:4326', None, False), ('EPSG:4807', (3e2, 1e2, 4e2, 1e2), False)]


@pytest.mark.parametrize('crs, total, near', QUIET)
def test_coordinates_that_may_be_meant(crs, total, near):
    check_vector_units('a.gpkg', crs, total, near)


def test_vector_files(ground, tmp_path):
    kinds = gpd.GeoDataFrame(dict(kind=['a', 'c']), geometry=ground, crs=32645)
    path = tmp_path/'kinds.gpkg'
    kinds.to_file(path)
    with pytest.raises(BadInput, match='unknown classes c; expected a, b, x or their indices'):
        open_labels(path, TOWN, class_table('a,b,x'), 'kind')
    with pytest.raises(BadInput, match='town.tif has no CRS'): open_labels(path, TOWN._replace(crs=None), building())
    kinds.to_file(tmp_path/'two.gpkg', layer='one')
    kinds.to_file(tmp_path/'two.gpkg', layer='other')
    with pytest.raises(BadInput, match='has 2 polygon layers: one, other; expected one'):
        open_labels(tmp_path/'two.gpkg', TOWN, building())
    broken = tmp_path/'broken.geojson'
    broken.write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(BadInput, match='broken.geojson could not be opened'): open_labels(broken, TOWN, building())


def test_colors_of_another_table(tmp_path):
    Image.fromarray(encode(BLOBS, dubai())).save(tmp_path/'dubai.png')
    with pytest.raises(BadInput, match='use --classes dubai'): open_labels(tmp_path/'dubai.png', TOWN, building())
