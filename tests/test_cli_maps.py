"""What follows from a map, at the command line: a chosen threshold, clean masks, polygons, figures, changes, a
report, exports; and bad input."""
import json
import shutil
import time
import warnings

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from satseg_fastai.bundle.file import read_spec
from satseg_fastai.geo.levels import LEVELS
from satseg_fastai.labels.classes import land_cover
from satseg_fastai.synth import make_town, write_town
# noqa: F401, fixtures too
from test_cli import SIDE, fine, folder, noise, out, pixels, posix, refused, save_model, satseg, start, world, write

CORNER = 330_000, 3_060_000  # of what `write` writes, .3 m a pixel


@pytest.fixture(scope='module')
def run(world, tmp_path_factory):
    "A bundle whose threshold, temperature and clean-up were chosen, and its maps of all scenes."
    root = tmp_path_factory.mktemp('run')
    model = save_model(root/'m.safetensors')
    said = fine('threshold', model, '--images', world.images, '--labels', world.labels, '--temperature', '--clean',
                '--plot', root/'curves.png', '-q')
    mapped = fine('predict', model, world.images, '--out', root/'maps', '-q', '--stac')
    return dict(root=root, model=model, maps=root/'maps', said=said, mapped=mapped, mask=root/'maps'/world.mask.name)


def blocks(rows, path, **profile):
    "A mask of the given size with rectangles (row, column, height, width) of class 1."
    x = np.zeros((1, SIDE, SIDE), np.uint8)
    for r, c, h, w in rows: x[0, r:r + h, c:c + w] = 1
    return write(path, x, **profile)


def zone(path, *boxes, crs='EPSG:32645', names=None):
    "Zones in pixels of the grid of `write`."
    x, y = CORNER
    shapes = [
        b if hasattr(b, 'geom_type') else shapely.box(x + .3*b[0], y - .3*b[3], x + .3*b[2], y - .3*b[1])
        for b in boxes
    ]
    geopandas.GeoDataFrame(dict(name=names or [f'zone {i}' for i in range(len(shapes))]), geometry=shapes,
                           crs='EPSG:32645').to_crs(crs).to_file(path)
    return path


# threshold and predict
def test_threshold_is_told_and_stored(run):
    spec = read_spec(run['model'])
    t = spec['threshold']
    assert f"{t['value']:.4f}" in run['said']
    assert 'stored in' in run['said']
    assert (run['root']/'curves.png').stat().st_size > 5000
    assert t['interval']['threshold'][0] <= t['value'] <= t['interval']['threshold'][1] and len(t['groups']) >= 1
    assert spec['temperature'] == spec['calibration']['temperature']
    assert spec['clean']['iou_after'] >= spec['clean']['iou_before']
    assert np.sum(spec['validation']['confusions']) == 3*SIDE*SIDE


def test_predict_uses_what_is_stored(run, world):
    "The mask is the cleaned one; without the clean-up it is the threshold's."
    receipt = json.loads((run['maps']/f'{world.image.stem}.receipt.json').read_text(encoding='utf-8'))
    spec = read_spec(run['model'])
    assert receipt['threshold'] == spec['threshold']['value'] and receipt['model'] == spec
    assert {k: receipt['clean'][k] for k in ('min_object', 'min_hole', 'unit')
            } == {k: spec['clean'][k] for k in ('min_object', 'min_hole', 'unit')}
    raw = run['root']/'raw'
    fine('predict', run['model'], world.image, '--out', raw, '--no-clean', '-q')
    assert (pixels(raw/world.prob.name) == pixels(run['maps']/world.prob.name)).all()
    assert ((pixels(raw/world.prob.name)
             >= np.ceil(receipt['threshold']*LEVELS - 1e-6)) == (pixels(raw/world.mask.name) == 1)).all()
    fine('clean', raw/world.mask.name, '--out', raw/'clean.tif')  # sizes from the receipt beside it
    assert (pixels(raw/'clean.tif') == pixels(run['mask'])).all()
    assert 'STAC items' in run['mapped']
    assert json.loads((run['maps']/'catalog.json').read_text(encoding='utf-8'))['type'] == 'Catalog'


@pytest.mark.parametrize('options, says', [(['--criterion', 'f1'], 'f1'), (['--criterion', 'recall=2'], 'recall'),
    (['--criterion', 'precision=1'], 'precision'), (['--rule', 'largest'], 'rule')])
def test_threshold_that_cannot_be(world, tmp_path, options, says):
    model = save_model(tmp_path/'m.safetensors')
    before = model.read_bytes()
    assert says in refused('threshold', model, '--images', world.images, '--labels', world.labels, '-q', *options)
    assert model.read_bytes() == before


def test_several_classes(world, tmp_path):
    "Five classes from color masks: the rule is stored, used, overridden; polygons share borders."
    town = write_town(make_town(160, 320, seed=9), tmp_path, 'wide')
    model = tmp_path/'m.safetensors'
    said = fine('train', '--images', town['image'], '--labels', town['classes'], '--out', model, '--classes',
                'land_cover', '--patch', 64, '--encoder', 'test_resnet', '--decoder-width', 8, '--epochs', 1,
                '--no-pretrained', '-q')
    kept = read_spec(model)['threshold']
    better = 'thresholds' if kept['mean_iou']['thresholds'] > kept['mean_iou']['argmax'] else 'argmax'
    assert 'argmax' in said and kept['rule'] == better
    assert "class 'lane'" in refused('threshold', model, '--images', town['image'], '--labels', town['classes'],
                                     '--roads', 'lane', '-q')
    said = fine('threshold', model, '--images', town['image'], '--labels', town['classes'], '--rule', 'thresholds',
                '--roads', 'utility', '--trees', 'greenery', '-q')
    counted = read_spec(model)['validation']
    assert 'trees mapped' in said
    assert set(counted['objects']) == set(land_cover().names)
    assert (list(counted['trees']), list(counted['streets'])) == (['greenery'], ['utility'])
    values = read_spec(model)['threshold']['values']
    fine('predict', model, town['image'], '--out', tmp_path/'maps', '-q')
    p, m = pixels(tmp_path/'maps'/'wide_prob.tif'), pixels(tmp_path/'maps'/'wide_mask.tif')[0]
    assert (m == (p/np.round(np.array(values)*LEVELS)[:, None, None]).argmax(0)).mean() > .999
    fine('predict', model, town['image'], '--out', tmp_path/'same', '-q', '--threshold', '.2,.2,.2,.2,.2')
    assert (pixels(tmp_path/'same'/'wide_mask.tif')[0] == p.argmax(0)).all()
    assert '5 probabilities' in refused('predict', model, town['image'], '--out', tmp_path/'no', '-q', '--threshold',
                                        '.2', out=tmp_path)
    fine('vectorize', tmp_path/'maps'/'wide_mask.tif', '--out', tmp_path/'x.gpkg', '--simplify', 2)
    shapes = geopandas.read_file(tmp_path/'x.gpkg')
    assert shapely.coverage_is_valid(shapes.geometry.values)
    assert set(shapes['class']) <= set(land_cover().names)
    assert 'probability' in shapes
    assert 'mean IoU' in fine('evaluate', tmp_path/'maps'/'wide_mask.tif', town['classes'], '--errors',
                              tmp_path/'errors.tif')
    assert 'm²' in (text := fine('stats', tmp_path/'maps'/'wide_mask.tif', '--roads', 'utility')) and 'streets' in text


def test_counts_of_validation_correct(tmp_path):
    "Objects, sizes, trees and widths by the factors of the validation blocks, in the scene and in a zone."
    town, rng = make_town(220, 260, seed=8), np.random.default_rng(0)
    mask = write(tmp_path/'a_mask.tif', town.classes[None], nodata=255)
    with rasterio.open(mask, 'r+') as d: d.update_tags(classes=json.dumps(land_cover().to_json()))
    confusions = rng.multinomial(5000, rng.dirichlet([9, *[.5]*4]*5, 24)).reshape(24, 5, 5)
    halves = rng.integers(1, 9, (24, 1))
    counts = dict(objects=dict(buildings=halves*[4, 3]), trees=dict(greenery=halves*[2, 3]),
                  streets=dict(utility=halves*[12, 12, 2, 3]))
    validation = dict(block=256, confusions=confusions.tolist(), scenes=np.repeat(range(6), 4).tolist(),
                      **{k: {n: v.tolist() for n, v in c.items()} for k, c in counts.items()})
    spec = read_spec(save_model(tmp_path/'m.safetensors')) | dict(
        n_out=5, classes=[dict(name=e.name, color=list(e.color), index=e.index)
                          for e in land_cover().classes], validation=validation)
    (tmp_path/'a.receipt.json').write_text(json.dumps(dict(model=spec)), encoding='utf-8')
    text = fine('stats', mask, '--roads', 'utility', '--trees', 'greenery', '--zones',
                zone(tmp_path/'z.gpkg', (20, 20, 200, 180)), '--out', tmp_path/'f.json')
    f = json.loads((tmp_path/'f.json').read_text(encoding='utf-8'))
    for part in (f, f['zones']['zone 0']):
        for own, key, factor in ((part['classes']['buildings'], 'objects', .75), (part['trees'], 'count', 1.5),
                                 (part['streets'], 'mean', 2/3)):
            assert own[key] and np.allclose([own[f'{key}_{k}'] for k in ('corrected', 'low', 'high')], own[key]*factor)
        b = part['classes']['buildings']
        assert b['mean_object_low'] < b['mean_object_corrected'] < b['mean_object_high']
        assert np.isclose(b['mean_object_corrected']/b['mean_object'],
                          confusions[:, :, 3].sum()/confusions[:, 3].sum()/.75)
    assert text.count('trees: ') == 2 and text.count('m wide on average (95 %') == 2 and 'objects (95 %' in text
    fine('stats', mask, '--trees', 'greenery', '--out', tmp_path/'f.csv')
    assert f"{f['trees']['count']},{f['trees']['count_corrected']}" in (tmp_path/'f.csv').read_text(
        encoding='utf-8').splitlines()[-1]
    shutil.copy(mask, tmp_path/'b_mask.tif')
    (tmp_path/
     'b.receipt.json').write_text(json.dumps(dict(model=spec | dict(validation=dict(validation, trees=None)))),
                                  encoding='utf-8')
    r = satseg('stats', tmp_path/'b_mask.tif', '--trees', 'greenery')
    assert r.exit_code == 0 and '(--trees greenery)' in r.stderr + r.stdout


def test_what_the_last_choice_loses_is_told(world, tmp_path):
    "Ground that was trained on, and a stored temperature that is not asked for again."
    model = tmp_path/'m.safetensors'
    data = ['--images', world.images, '--labels', world.labels]
    fine('train', *data, '--out', model, '--patch', 64, '--encoder', 'test_resnet', '--decoder-width', 8, '--epochs',
         1, '--no-pretrained', '-q', '--valid', '.4')
    assert 'trained_on' not in read_spec(model)['threshold'] and len(read_spec(model)['receipt']['trained']) == 2
    r = satseg('threshold', model, *data, '-q', '--temperature')
    assert r.exit_code == 0
    assert '2 of 3 labeled scenes were trained on' in r.stderr
    assert read_spec(model)['threshold']['trained_on'] == 2
    r = satseg('threshold', model, *data, '-q')
    assert 'the temperature of the last run is removed' in r.stderr and 'temperature' not in read_spec(model)


def test_outputs_that_are_inputs(run, world, tmp_path):
    mask = tmp_path/'m.tif'; shutil.copy(run['mask'], mask)
    before = mask.read_bytes()
    assert 'itself' in refused('evaluate', mask, world.label, '--errors', mask, out=tmp_path)
    assert 'itself' in refused('clean', mask, '--out', mask, '--min-object', 5, out=tmp_path)
    assert 'NAME.tif' in refused('clean', mask, '--out', tmp_path/'c.png', '--min-object', 5, out=tmp_path)
    assert 'a threshold' in refused('evaluate', mask, world.label, '--threshold', .9, out=tmp_path)
    assert '.png' in refused('threshold', save_model(tmp_path/'m.safetensors'), '--images', world.images, '--labels',
                             world.labels, '--plot', tmp_path/'p.foo')
    assert mask.read_bytes() == before


# clean, vectorize, stats, change
def test_clean(tmp_path):
    mask = blocks([(10, 10, 20, 20), (60, 60, 2, 2), (90, 90, 12, 12)], tmp_path/'m.tif', nodata=255)
    said = fine('clean', mask, '--out', tmp_path/'c.tif', '--min-object', 50, '--px')
    assert pixels(tmp_path/'c.tif').sum() == 400 + 144 and '4' in said
    fine('clean', mask, '--out', tmp_path/'c.tif', '--min-object', 20)  # m2: 222 pixels
    assert pixels(tmp_path/'c.tif').sum() == 400
    assert 'no sizes' in refused('clean', mask, '--out', tmp_path/'no.tif', out=tmp_path)
    assert '--min-object' in refused('clean', mask, '--out', tmp_path/'no.tif', '--min-object', -1, out=tmp_path)
    assert 'both' in refused('clean', mask, '--out', mask, '--min-object', 5, out=tmp_path) or mask.is_file()


def test_without_a_place_areas_are_pixels(tmp_path):
    "A raster without CRS asked for square meters: pixels, with a note."
    mask = blocks([(10, 10, 20, 20), (60, 60, 2, 2)], tmp_path/'m.tif', crs=None, nodata=255)
    for args, says in [(('clean', mask, '--out', tmp_path/'c.tif', '--min-object', 50), 'taken as pixels'),
                       (('vectorize', mask, '--out', tmp_path/'v.gpkg', '--min-area', 50), 'in pixels'),
                       (('stats', mask), 'in pixels')]:
        r = satseg(*args)
        assert r.exit_code == 0 and says in r.stderr + r.stdout, (args, r.stderr, r.stdout)
    assert pixels(tmp_path/'c.tif').sum() == 400 and geopandas.read_file(tmp_path/'v.gpkg')['area_px'].tolist() == [400]


@pytest.mark.parametrize('kind', ['gpkg', 'geojson', 'parquet'])
def test_polygons_of_a_mask_and_of_an_empty_one(run, tmp_path, kind):
    read = geopandas.read_parquet if kind == 'parquet' else geopandas.read_file
    said = fine('vectorize', run['mask'], '--out', tmp_path/f'a.{kind}')
    found = read(tmp_path/f'a.{kind}')
    assert f'{len(found):,} polygon' in said
    assert ', probabilities of' in said
    assert {'class', 'area_m2', 'perimeter_m', 'probability', 'touches_edge'} <= set(found)
    assert found.area_m2.sum() == pytest.approx((pixels(run['mask']) == 1).sum()*.09, rel=3e-3)
    empty = blocks([], tmp_path/'none.tif')
    for extra in ([], ['--regularize'], ['--separate'], ['--simplify', 1]):
        assert '0 polygons' in fine('vectorize', empty, '--out', tmp_path/f'b.{kind}', *extra)
        assert len(read(tmp_path/f'b.{kind}')) == 0


def test_figures_by_zone(run, tmp_path):
    "Corrected from the receipt beside the mask; a zone outside is told, an invalid one repaired."
    with rasterio.open(run['mask']) as ds: box = shapely.box(*ds.bounds)
    bow = shapely.Polygon([(box.bounds[0], box.bounds[1]), (box.bounds[0] + 20, box.bounds[1] + 20),
                           (box.bounds[0] + 20, box.bounds[1]), (box.bounds[0], box.bounds[1] + 20)])
    with rasterio.open(run['mask']) as ds: crs = ds.crs
    frame = geopandas.GeoDataFrame(dict(name=['all', 'bow', 'far']),
                                   geometry=[box, bow, shapely.transform(box, lambda c: c + 5000)], crs=crs)
    frame.to_crs(3857).to_file(tmp_path/'zones.gpkg')
    r = satseg('stats', run['mask'], '--zones', tmp_path/'zones.gpkg', '--out', tmp_path/'x.json')
    assert r.exit_code == 0 and '95 %' in r.stdout and 'outside of the scene: far' in r.stdout
    f = json.loads((tmp_path/'x.json').read_text(encoding='utf-8'))
    assert f['zones']['all']['classes']['building']['pixels'] == f['classes']['building']['pixels']
    assert f['repaired'] == 1
    assert f['classes']['building']['low'] <= f['classes']['building']['corrected'] <= f['classes']['building']['high']
    fine('stats', run['mask'], '--out', tmp_path/'x.csv')
    assert 'building' in (tmp_path/'x.csv').read_text(encoding='utf-8')


def test_change(tmp_path):
    "One stands, one is gone, one is new; the second map lies on another grid and CRS."
    a = blocks([(10, 10, 20, 20), (60, 60, 20, 20)], tmp_path/'a.tif', nodata=255)
    b = blocks([(10, 10, 20, 20), (90, 20, 20, 20)], tmp_path/'b.tif', nodata=255)
    r = json.loads(fine('change', a, b, '--out', tmp_path/'c.gpkg', '--json'))
    assert {k: v['buildings'] for k, v in r['status'].items() if v['buildings']} == dict(standing=1, gone=1, new=1)
    assert sorted(geopandas.read_file(tmp_path/'c.gpkg').status) == ['gone', 'new', 'standing']
    text = fine('change', a, b, '--zones', zone(tmp_path/'z.gpkg', (0, 0, 50, SIDE), crs=4326))
    assert 'zone 0' in text
    far = blocks([(5, 5, 9, 9)], tmp_path/'far.tif', transform=from_origin(400_000, 3_060_000, .3, .3), nodata=255)
    assert 'does not overlap' in refused('change', a, far, '--out', tmp_path/'d.gpkg', out=tmp_path)
    bare = blocks([(5, 5, 9, 9)], tmp_path/'bare.tif', crs=None, transform=from_origin(0, 90, 1, 1))
    assert 'no CRS' in refused('change', a, bare, out=tmp_path)


@posix
@pytest.mark.parametrize('command, name, work', [(('clean', '--min-object', 5), 'c.tif', '.c.tif.clean.partial'),
    (('vectorize',), 'v.gpkg', '.v.gpkg.layer.partial')])
def test_killed_work_is_cleared_away(tmp_path, out, command, name, work):
    "What SIGKILL leaves goes when the command is run again; the work of another output stays."
    busy = write(tmp_path/'busy.tif', noise(1, 3000, 3000) % 2, nodata=255)
    small = blocks([(10, 10, 20, 20)], tmp_path/'small.tif', nodata=255)
    process = start(command[0], busy, '--out', out/name, *command[1:])
    until = time.time() + 90
    while not (out/work).is_dir():
        assert process.poll() is None and time.time() < until, process.communicate()[1][-2000:]
        time.sleep(.005)
    process.kill(); process.communicate()
    assert [p.name for p in out.iterdir() if p.name != work and not p.name.endswith('.cog.partial')] == []
    assert (out/work).is_dir()
    fine(command[0], small, '--out', out/f'other_{name}', *command[1:])
    assert (out/work).is_dir()
    fine(command[0], small, '--out', out/name, *command[1:])
    beside = name, f'{name}.aux.xml', f'{name.removesuffix(".tif")}.qml'
    assert {p.name for p in out.iterdir()} <= {f'{other}{file}' for other in ('', 'other_') for file in beside}
    assert (out/name).is_file()


@posix
@pytest.mark.parametrize('command, name, work', [(('clean', '--min-object', 5), 'c.tif', 'clean'),
    (('clean', '--min-object', 5), 'c.tif', 'cog'), (('vectorize',), 'v.gpkg', 'layer')])
def test_planted_links_are_not_followed(tmp_path, out, command, name, work):
    mask = blocks([(10, 10, 20, 20)], tmp_path/'small.tif', nodata=255)
    (tmp_path/'theirs').mkdir(); (tmp_path/'theirs'/'file').write_text('theirs', encoding='utf-8')
    link = out/f'.{name}.{work}.partial'; link.symlink_to(tmp_path/'theirs')
    assert f'{link.name} is in the way' in refused(command[0], mask, '--out', out/name, *command[1:], out=out)
    assert link.is_symlink()
    assert [p.name for p in out.iterdir()] == [link.name]
    assert [p.name for p in (tmp_path/'theirs').iterdir()] == ['file']


# evaluate, report, export
def test_evaluate_a_folder(run, world, tmp_path):
    text = fine('evaluate', run['maps'], world.labels, '--objects', '--errors', tmp_path/'errors', '--by', 'scene')
    assert '3 maps' in text
    assert 'objects at IoU 0.5' in text
    assert len(list((tmp_path/'errors').glob('*_errors.tif'))) == 3
    r = json.loads(fine('evaluate', run['maps'], world.labels, '--json', '--by', 'scene'))
    assert len(r['groups']) == 3 and r['total']['pixels'] == sum(g['pixels'] for g in r['groups'].values())
    one = json.loads(fine('evaluate', run['mask'], world.label, '--json'))
    assert one['iou'] == r['groups'][world.image.stem]['iou']
    fine('vectorize', run['mask'], '--out', tmp_path/'x.gpkg')
    assert 'objects at IoU 0.5' in fine('evaluate', tmp_path/'x.gpkg', tmp_path/'x.gpkg')
    lone = tmp_path/'lone'; lone.mkdir(); shutil.copy(world.label, lone)
    assert 'have no label' in refused('evaluate', run['maps'], lone)


def test_report(run, world, tmp_path):
    said = fine('report', run['maps'], '--images', world.images, '--labels', world.labels, '--out', tmp_path/'r.html')
    page = (tmp_path/'r.html').read_text(encoding='utf-8')
    assert 'r.html' in said and world.image.stem in page and 'http://' not in page.replace('http://www.w3.org', '')
    fine('report', run['maps'])
    assert (run['maps']/'report.html').is_file()
    with rasterio.open(world.image) as d:
        west, crs = shapely.box(d.bounds.left, d.bounds.bottom, sum(d.bounds[::2])/2, d.bounds.top), d.crs
    geopandas.GeoDataFrame(dict(ward=['Old Port']), geometry=[west], crs=crs).to_file(tmp_path/'z.gpkg')
    n = len(list(run['maps'].glob('*_mask.tif')))
    fine('report', run['maps'], '--zones', tmp_path/'z.gpkg', '--zone-name', 'ward', '--trees', 'building', '--roads',
         'building', '--out', tmp_path/'z.html')
    page = (tmp_path/'z.html').read_text(encoding='utf-8')
    assert [page.count(t) for t in ('>width of streets<', '>trees<')] == [n + 1, n + 1]
    assert page.count('>Old Port<') == 4
    fine('report', run['maps'], '--trees', 'building', '--out', tmp_path/'t.html')
    assert [(tmp_path/'t.html').read_text(encoding='utf-8').count(t)
            for t in ('>width of streets<', '>trees<', '>Old Port<')] == [0, n, 0]
    for command in (['report', run['maps']], ['stats', run['mask']], ['change', run['mask'], run['mask']]):
        assert '--zone-name without --zones' in refused(*command, '--zone-name', 'ward')
    assert "'palm' is not in the class table" in refused('report', run['maps'], '--trees', 'palm', '--out',
                                                         tmp_path/'p.html')
    assert not (tmp_path/'p.html').exists()
    (tmp_path/'empty').mkdir()
    refused('report', tmp_path/'empty', out=tmp_path)
    refused('report', tmp_path/'gone')


def test_export(run, tmp_path):
    onnx = pytest.importorskip('onnxruntime')
    said = fine('export', run['model'], '--onnx', '--stac', '--card', '--out', tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {'m.onnx', 'm.stac.json', 'm.md'} and 'largest difference' in said
    keys = onnx.InferenceSession(tmp_path/'m.onnx').get_modelmeta().custom_metadata_map
    assert json.loads(keys['model_type']) == 'Segmentor'
    assert abs(json.loads(keys['seg_thresh']) - read_spec(run['model'])['threshold']['value']) <= .0051
    assert 'IoU' in (tmp_path/'m.md').read_text(encoding='utf-8')
    assert 'onnx' in json.loads((tmp_path/'m.stac.json').read_text(encoding='utf-8'))['assets']
    assert 'STAC items' in fine('export', run['maps'], '--stac')
    assert 'nothing to export' in refused('export', run['model'])
    refused('export', tmp_path/'gone.safetensors', '--card', out=tmp_path)


# bad input
def test_a_mask_with_values_that_are_no_class(tmp_path):
    seven = write(tmp_path/'seven.tif', np.array(noise(1) % 2*7), nodata=255)
    for command in (['clean', seven, '--out', tmp_path/'c.tif', '--min-object',
                     5], ['vectorize', seven, '--out', tmp_path/'v.gpkg'], ['stats', seven]):
        line = refused(*command, out=tmp_path)
        assert '7' in line and 'background' in line, line


def test_white_that_is_not_declared(tmp_path):
    "A {0,255} mask says 255 for buildings; no command takes that for no data without a word."
    white = write(tmp_path/'white.tif', np.array(noise(1) % 2*255, np.uint8))
    good = blocks([(5, 5, 9, 9)], tmp_path/'good.tif', nodata=255)
    for command in (['clean', white, '--out', tmp_path/'c.tif', '--min-object',
                     5], ['vectorize', white, '--out',
                          tmp_path/'v.gpkg'], ['stats', white], ['change', good, white], ['evaluate', white, good]):
        assert '255' in (line := refused(*command, out=tmp_path)) and 'nodata' in line, line


@pytest.mark.parametrize('command', ['clean', 'vectorize', 'stats'])
@pytest.mark.parametrize('kind, says', [('probability', 'a mask'), ('scene', 'a mask'), ('gone', 'does not exist')])
def test_what_is_no_mask(run, world, tmp_path, command, kind, says):
    src = dict(probability=world.prob, scene=world.image, gone=tmp_path/'gone.tif')[kind]
    more = dict(clean=['--out', tmp_path/'c.tif', '--min-object', 5], vectorize=['--out', tmp_path/'v.gpkg'],
                stats=[])[command]
    assert says in refused(command, src, *more, out=tmp_path)


def test_places_that_cannot_be_written(run, tmp_path):
    assert '.gpkg' in refused('vectorize', run['mask'], '--out', tmp_path/'x.dxf', out=tmp_path)
    assert '.csv' in refused('stats', run['mask'], '--out', tmp_path/'x.xls', out=tmp_path)
    assert '.html' in refused('report', run['maps'], '--out', tmp_path/'x.pdf', out=tmp_path)
    assert 'mask' in refused('vectorize', run['mask'], '--out', run['mask'])


def test_degrees_given_as_meters(world, tmp_path):
    "A projected CRS with degrees for coordinates; zones in a geographic CRS with meters."
    mask = blocks([(10, 10, 20, 20)], tmp_path/'m.tif', transform=from_origin(85.5, 27.6, 3e-6, 3e-6), nodata=255)
    assert 'degrees' in refused('stats', mask)
    good = blocks([(10, 10, 20, 20)], tmp_path/'g.tif', nodata=255)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        geopandas.GeoDataFrame(dict(name=['a']), geometry=[shapely.box(330_000, 3_059_000, 331_000, 3_060_000)],
                               crs=4326).to_file(tmp_path/'z.gpkg')
    assert 'degrees' in refused('stats', good, '--zones', tmp_path/'z.gpkg')


def test_zones_of_another_ground(tmp_path):
    "All zones outside: told by name, and the scene's own figures stand."
    mask = blocks([(10, 10, 20, 20)], tmp_path/'m.tif', nodata=255)
    r = satseg('stats', mask, '--zones', zone(tmp_path/'z.gpkg', (5000, 5000, 6000, 6000)))
    assert r.exit_code == 0 and 'zone 0' in r.stdout + r.stderr and 'outside' in r.stdout + r.stderr
