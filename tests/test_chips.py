"""Data sets that people have: adjacent chips that say their place in their names, tiles in folders of folders,
labels for a part of a scene."""
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.warp import transform_bounds

from satseg_fastai.bundle.file import read_spec
from satseg_fastai.geo.raster import _tell_named, tile_bounds
from satseg_fastai.labels.classes import dubai, encode
from satseg_fastai.synth import make_scenes
from test_cli import TINY, fine, pixels, refused, satseg

SIDE, ZOOM, X, Y = 64, 19, 386690, 220241


def cut(image, label, root, rows=3, cols=4):
    "Chips of one town as PNG without a place: a folder of images and one of masks."
    for kind, x in (('images', pixels(image)), ('masks', pixels(label)*255)):
        (root/kind).mkdir(parents=True)
        for r in range(rows):
            for c in range(cols):
                part = x[:, r*SIDE:(r + 1)*SIDE, c*SIDE:(c + 1)*SIDE]
                Image.fromarray(part.transpose(1, 2, 0) if len(x) == 3 else part[0]).save(
                    root/kind/f'{ZOOM}_{X + c}_{Y + r}.png')
    return root


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp('chips')
    path, = make_scenes(root/'town', n=1, size=4*SIDE, seed=5)
    return cut(path['image'], path['label'], root/'site')


@pytest.fixture(scope='module')
def tiles(tmp_path_factory):
    "Four tiles of two parts in Dubai's layout, colors and all; the parts of each have the same names."
    root, rng = tmp_path_factory.mktemp('dubai'), np.random.default_rng(0)
    for t in (1, 2, 3, 5):
        for kind in ('images', 'masks'): (root/f'Tile {t}'/kind).mkdir(parents=True)
        for k in (1, 2):
            y = np.kron(rng.integers(0, 5, (4, 5)), np.ones((20, 20))).astype(np.uint8)
            Image.fromarray(np.clip(y[..., None]*40 + rng.integers(0, 30, (80, 100, 3)), 0,
                                    255).astype(np.uint8)).save(root/f'Tile {t}/images/image_part_00{k}.jpg')
            Image.fromarray(encode(y, dubai())).save(root/f'Tile {t}/masks/image_part_00{k}.png')
    (root/'classes.json').write_text('{"classes": []}', encoding='utf-8')
    return root


def test_chips_from_training_to_polygons(town, tmp_path):
    "A tenth of the ground is held out; maps and polygons lie where the names say; one note, not one a chip."
    _tell_named.cache_clear()
    model, maps = tmp_path/'m.safetensors', tmp_path/'maps'
    r = satseg('train', '--images', town/'images', '--labels', town/'masks', '--out', model, '--valid', '.1', *TINY)
    assert r.exit_code == 0, r.stderr
    assert '11 scenes to train on, 1 held out in 1 group by place: 8% of the ground' in r.stdout
    assert r.stderr.count('get it from their names') == 1
    spec = read_spec(model)
    assert np.isclose(spec['gsd'], 40075016.69/2**ZOOM/SIDE*np.cos(np.radians(27.63)), rtol=.01)
    fine('predict', model, town/'images', '--out', maps)
    name = f'{ZOOM}_{X + 1}_{Y + 2}'
    with rasterio.open(maps/f'{name}_mask.tif') as d:
        box = transform_bounds(d.crs, 4326, *d.bounds)
        assert d.crs.to_epsg() == 3857
    assert np.allclose(box, tile_bounds(ZOOM, X + 1, Y + 2), atol=1e-9)
    fine('predict', model, town/f'images/{name}.png', '--out', tmp_path/'all', '--threshold', 0)
    fine('vectorize', tmp_path/f'all/{name}_mask.tif', '--out', tmp_path/'a.geojson')
    shapes = gpd.read_file(tmp_path/'a.geojson')
    assert np.allclose(shapes.total_bounds, box, atol=1e-7)
    assert np.isclose(shapes.area_m2.sum(), (spec['gsd']*SIDE)**2, rtol=.01)
    assert '12 maps' in fine('evaluate', maps, town/'masks')


def test_no_validation_and_an_area_of_interest(town, tmp_path):
    "Trained without figures; only chips that the polygons touch, and of those the part inside."
    west, south, _, _ = tile_bounds(ZOOM, X, Y + 1)
    _, _, east, north = tile_bounds(ZOOM, X + 1, Y)
    gpd.GeoDataFrame(geometry=[shapely.box(west + (east - west)/4, south, east - 1e-6, north)],
                     crs=4326).to_file(tmp_path/'aoi.gpkg')
    data = '--images', town/'images', '--labels', town/'masks', '--aoi', tmp_path/'aoi.gpkg'
    r = satseg('train', *data, '--out', tmp_path/'m.safetensors', '--valid', 'none', *TINY)
    assert r.exit_code == 0, r.stderr
    assert r.stderr.count('does not touch') == 8 and 'no figures, no best epoch and no threshold' in r.stderr
    trained = read_spec(tmp_path/'m.safetensors')['receipt']['trained']
    assert sorted(t[3:] for t in trained) == [[64, 32]]*2 + [[64, 64]]*2
    assert 'none chosen' in fine('info', tmp_path/'m.safetensors')
    r = satseg('threshold', tmp_path/'m.safetensors', *data, '--quiet')
    assert r.exit_code == 0 and '4 of 4 labeled scenes were trained on' in r.stderr
    assert read_spec(tmp_path/'m.safetensors')['threshold']['pixels'] == 64*(64 + 32)*2


def test_dubai_by_its_name(tiles, tmp_path):
    "No labels, no classes, whole tiles on one side; threshold and evaluate read the same."
    model = tmp_path/'m.safetensors'
    out = fine('train', '--images', tiles, '--dataset', 'dubai', '--out', model, *TINY)
    spec = read_spec(model)
    assert '6 scenes to train on, 2 held out in 1 group by groups: 25% of the ground' in out
    assert [c['name'] for c in spec['classes']] == dubai().names
    assert {t[0].split('/')[0] for t in spec['receipt']['trained']} in [{'Tile 1', 'Tile 3', t}
                                                                        for t in ('Tile 2', 'Tile 5')]
    r = satseg('threshold', model, '--images', tiles, '--dataset', 'dubai', '--quiet')
    assert r.exit_code == 0 and 'were trained on' not in r.stderr
    for t in (1, 2): fine('predict', model, tiles/f'Tile {t}/images', '--out', tmp_path/f'maps/Tile {t}', '-q')
    assert '4 maps' in fine('evaluate', tmp_path/'maps', tiles, '--dataset', 'dubai')
    labels = tmp_path/'labels'
    for t in (1, 2):
        (labels/f'Tile {t}').mkdir(parents=True)
        [(labels/f'Tile {t}'/p.name).write_bytes(p.read_bytes()) for p in (tiles/f'Tile {t}/masks').iterdir()]
    assert fine('evaluate', tmp_path/'maps', labels) == fine('evaluate', tmp_path/'maps', tiles, '--dataset', 'dubai')


@pytest.mark.parametrize('options, says', [
    (['--labels', 'DUBAI'], 'use --classes dubai'), ([], 'no labels for'),
    (['--dataset', 'spacenet'], 'expected one of inria, dubai'), (['--dataset', 'inria'], 'train/images'),
    (['--labels', 'DUBAI', '--dataset', 'dubai'], 'together with --dataset'),
    (['--dataset', 'dubai', '--valid', 'blocks', '--patch', 256],
     'image_part_001.jpg of 80 x 100 pixels cannot be cut'),
    (['--dataset', 'dubai', '--aoi', 'DUBAI/classes.json'], 'no CRS on the globe'),
    (['--dataset', 'dubai', '--valid', '.2', '--valid-images', 'DUBAI', '--valid-labels', 'DUBAI'],
     'together with --valid-images')])
def test_one_line_each(tiles, tmp_path, options, says):
    options = [str(o).replace('DUBAI', str(tiles)) for o in options]
    assert says in refused('train', '--images', tiles, '--out', tmp_path/'m.safetensors', *TINY, *options, out=tmp_path)
