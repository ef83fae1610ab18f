"The command line as its users meet it: the whole flow, one line for each mistake, Ctrl-C, a full disk."
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.transform import from_origin
from sklearn.metrics import accuracy_score, jaccard_score
from typer.testing import CliRunner

from satseg_fastai import __version__
from satseg_fastai.architectures import create_model
from satseg_fastai.bundle.file import read_spec, save_bundle, update_spec
from satseg_fastai.cli import app
from satseg_fastai.errors import NoPlace
from satseg_fastai.geo.levels import LEVELS, NODATA
from satseg_fastai.synth import make_scenes

SIDE = 128
TINY = ['--patch', 64, '--encoder', 'test_resnet', '--decoder-width', 16, '--epochs', 1, '--no-pretrained', '--quiet']
SPEC = dict(
    arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=16), n_in=3, n_out=2, mean=[120.]*3,
    std=[50.]*3, patch_size=64, dtype='uint8', gsd=.3, bands=[1, 2, 3], source_count=3,
    classes=[dict(name='background', color=[0, 0, 0], index=0),
             dict(name='building', color=[255, 0, 0], index=1)])
posix = pytest.mark.skipif(os.name != 'posix', reason='POSIX signals and limits')
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONDONTWRITEBYTECODE': '1'}


def satseg(*args):
    "The command line in this process: exit_code, stdout, stderr."
    with warnings.catch_warnings():
        return CliRunner().invoke(app, list(map(str, args)))


def fine(*args):
    "A command that must succeed; what it printed."
    r = satseg(*args)
    assert r.exit_code == 0, f'{r.stderr}\n{r.exception!r}'
    return r.stdout


def names(folder):
    "Every name below a folder but hidden ones, which are what a run left to go on with."
    return {
        p.relative_to(folder).as_posix()
        for p in Path(folder).rglob('*')
        if p.is_file() and not any(q.startswith('.') for q in p.relative_to(folder).parts)
    }


def refused(*args, out=None):
    "A command that must fail with one line; the line. Nothing new may be below `out`."
    before = names(out) if out else None
    r = satseg(*args)
    lines = [line for line in r.stderr.splitlines() if not line.startswith('note: ')]
    assert r.exception is None or isinstance(r.exception, SystemExit), f'a traceback: {r.exception!r}'
    assert r.exit_code == 2 and len(lines) == 1 and lines[0].startswith('satseg: '), (r.exit_code, r.stderr, r.stdout)
    if out: assert names(out) == before
    return lines[0]


def write(path, x, **profile):
    "An array (C,H,W) as a GeoTIFF."
    path.parent.mkdir(parents=True, exist_ok=True)
    place = dict(crs='EPSG:32645', transform=from_origin(330_000, 3_060_000, .3, .3)) | profile
    with rasterio.open(path, 'w', driver='GTiff', height=x.shape[1], width=x.shape[2], count=len(x), dtype=x.dtype,
                       **place) as ds:
        ds.write(x)
    return path


def pixels(path):
    with rasterio.open(path) as ds: return ds.read()


def noise(bands=3, height=SIDE, width=SIDE, dtype='uint8'):
    return np.random.default_rng(bands).integers(1, 250, (bands, height, width)).astype(dtype)


def save_model(path, seed=0, **changes):
    "An untrained bundle."
    torch.manual_seed(seed)
    return save_bundle(path, create_model('se_unet', 'test_resnet', decoder_width=16), SPEC | changes)


@pytest.fixture(scope='session')
def world(tmp_path_factory):
    "Three scenes with labels, an untrained bundle, and a map of the first scene."
    root = tmp_path_factory.mktemp('world')
    paths = make_scenes(root/'town', n=3, size=SIDE, seed=5)
    w = SimpleNamespace(root=root, images=root/'town'/'images', labels=root/'town'/'labels', image=paths[0]['image'],
                        label=paths[0]['label'], colors=paths[0]['classes'], model=save_model(root/'m.safetensors'),
                        maps=root/'maps')
    update_spec(w.model, threshold=dict(value=.5, criterion='iou', iou=.1, accuracy=.5, scenes=1))
    fine('predict', w.model, w.image, '--out', w.maps)
    w.prob, w.mask = w.maps/f'{w.image.stem}_prob.tif', w.maps/f'{w.image.stem}_mask.tif'
    return w


@pytest.fixture
def out(tmp_path):
    (tmp_path/'out').mkdir()
    return tmp_path/'out'


def folder(root, images, labels):
    "Folders of scenes and of labels, each a dict name -> array or file to copy."
    for kind, files in (('images', images), ('labels', labels)):
        (root/kind).mkdir(parents=True)
        for name, x in files.items():
            if isinstance(x, Path): (root/kind/name).write_bytes(x.read_bytes())
            else: write(root/kind/name, x, crs=None, transform=None)
    return ['--images', root/'images', '--labels', root/'labels']


# the whole flow
def test_train_info_threshold_predict(world, tmp_path):
    "From scenes to maps; the folder names hold spaces and accents."
    town, model, maps = tmp_path/'Ma ville é', tmp_path/'modèle 1'/'été.safetensors', tmp_path/'cartes à voir'
    scenes = sorted(world.images.glob('*.tif'))
    files = {f'scène {i}.tif': p for i, p in enumerate(scenes)}
    data = folder(town, files, {n: world.labels/p.name for n, p in files.items()})
    said = fine('train', *data, '--out', model, *TINY)
    assert 'building_iou' in said and 'threshold' in said and str(model) in said
    assert [p.name for p in model.parent.iterdir()] == ['été.safetensors']
    shown = fine('info', model)
    assert 'se_unet on test_resnet' in shown and '0 background, 1 building' in shown and '0.30 m' in shown
    spec = json.loads(fine('info', model, '--json'))
    assert spec == read_spec(model) and spec['n_out'] == 2 and len(spec['receipt']['scenes']) == 3

    said = fine('threshold', model, *data, '--criterion', 'accuracy', '--quiet')
    stored = read_spec(model)['threshold']
    assert stored['criterion'] == 'accuracy' and stored['scenes'] == 3 and f'{stored["value"]:.4f}' in said

    said = fine('predict', model, town/'images', '--out', maps, '--quiet')
    stems = [f'scène {i}' for i in range(3)]
    endings = '_prob.tif', '_mask.tif', '_mask.tif.aux.xml', '_mask.qml', '.receipt.json'
    assert names(maps) == {f'{s}{end}' for s in stems for end in endings}
    assert [p.name for p in maps.iterdir() if p.name.startswith('.')] == [] and all(s in said for s in stems)
    for s in stems:
        receipt = json.loads((maps/f'{s}.receipt.json').read_text(encoding='utf-8'))
        level = round(receipt['threshold']*LEVELS)
        prob, mask = pixels(maps/f'{s}_prob.tif'), pixels(maps/f'{s}_mask.tif')
        assert receipt['threshold'] == stored['value'] and prob.std() > 0
        assert ((prob >= level) == (mask == 1)).all() and set(np.unique(mask)) <= {0, 1}

    fine('predict', model, str(town/'images'/'sc*[12].tif'), '--out', maps/'glob')
    fine('predict', model, town/'images'/'scène 0.tif', '--out', maps/'one', '--threshold', 0)
    assert {n.split('_')[0] for n in names(maps/'glob') if n.endswith('_mask.tif')} == {'scène 1', 'scène 2'}
    assert (maps/'glob'/'scène 1_prob.tif').read_bytes() == (maps/'scène 1_prob.tif').read_bytes()
    assert (pixels(maps/'one'/'scène 0_mask.tif') == 1).all()
    assert 'accuracy' in fine('evaluate', maps/'scène 0_mask.tif', town/'labels'/'scène 0.tif')


def test_how_to_train(world, tmp_path):
    """Averaged weights, mixed patches, class weights, the best epoch: told in the receipt, logged, drawn; the
    instance model refuses them."""
    data, log, picture = ['--images', world.images, '--labels', world.labels], tmp_path/'run.csv', tmp_path/'run.png'
    how = [
        '--ema', '--mixup', '.2', '--class-weights', 'balanced', '--weight-decay', '.01', '--keep', 'best',
        '--patience', '5', '--log', log, '--epochs', '2'
    ]
    said = fine('train', *data, '--out', tmp_path/'m.safetensors', *TINY, *how)
    receipt = read_spec(tmp_path/'m.safetensors')['receipt']
    given = receipt['settings']
    assert (given['ema'], given['mixup'], given['keep'], given['patience'],
            receipt['weight_decay']) == (.999, .2, 'best', 5, .01)
    assert 'class weights: background' in said and given['class_weights'][1] > 1
    assert len(log.read_text().splitlines()) == 3 and len(receipt['history']['building_iou']) == 2
    fine('info', tmp_path/'m.safetensors', '--plot', picture)
    assert picture.read_bytes()[:4] == b'\x89PNG'
    odd = {('--ema', 'much'): '--ema', ('--class-weights', '1,2,3'): '3 class weights',
           ('--class-weights', 'x'): 'balanced', ('--keep', 'first'): 'best or last',
           ('--log', tmp_path/'run.txt'): '.csv', ('--arch', 'pointrend_maskrcnn', '--mixup'): 'takes no mixup',
           ('--arch', 'pointrend_maskrcnn', '--ema'): 'takes no ema'}
    for option, says in odd.items():
        tiny = [o for o in TINY if o not in ('--decoder-width', 16)] if '--arch' in option else TINY
        assert says in refused('train', *data, '--out', tmp_path/'no.safetensors', *tiny, *option, out=tmp_path), option
    old = save_bundle(tmp_path/'old.safetensors',
                      create_model(**{k: SPEC[k] for k in ('arch', 'encoder', 'n_in', 'n_out')}, **SPEC['arch_args']),
                      SPEC)
    assert 'holds no history' in refused('info', old, '--plot', tmp_path/'no.png', out=tmp_path)


def test_go_on_from_a_bundle(world, tmp_path):
    "--init keeps the order of bands that the bundle was trained in; what it brings itself is not given twice."
    data = ['--images', world.images, '--labels', world.labels]
    fine('train', *data, '--out', tmp_path/'a.safetensors', *TINY, '--bands', '3,1,2')
    fine('train', *data, '--out', tmp_path/'b.safetensors', '--init', tmp_path/'a.safetensors', '--patch', 64,
         '--epochs', 1, '--frozen-epochs', 1, '-q')
    a, b = (read_spec(tmp_path/f'{n}.safetensors') for n in 'ab')
    assert b['bands'] == a['bands'] == [3, 1, 2]
    assert b['arch_args'] == a['arch_args']
    assert [p['name'] for p in b['receipt']['phases']] == ['frozen', 'unfrozen']
    for option in (['--encoder', 'resnet18'], ['--classes', 'building'], ['--decoder-width', '8']):
        line = refused('train', *data, '--out', tmp_path/'c.safetensors', '--init', tmp_path/'a.safetensors', *option,
                       out=tmp_path)
        assert f'--init together with {option[0]}' in line


def scores(y, p):
    "Accuracy and IoU of background and building by scikit-learn."
    return accuracy_score(y, p), [jaccard_score(y, p, pos_label=c) for c in (0, 1)]


@pytest.mark.parametrize('kind', ['mask', 'probability'])
def test_evaluate_equals_sklearn(world, tmp_path, kind):
    "On random maps with nodata and labels with ignored pixels."
    rng = np.random.default_rng(0)
    y = pixels(world.label)[0]
    level = np.clip(.5*y + rng.normal(.25, .2, y.shape), 0, 1)*LEVELS
    y = np.where(rng.random(y.shape) < .1, 255, np.where(rng.random(y.shape) < .2, 1, y)).astype(np.uint8)
    void = rng.random(y.shape) < .1
    label, where = write(tmp_path/'y.tif', y[None]), tmp_path/'map.tif'
    if kind == 'mask': write(where, np.where(void, 255, level > .4*LEVELS).astype(np.uint8)[None], nodata=255)
    else: write(where, np.where(void, NODATA, np.round(level)).astype(np.uint16)[None], nodata=NODATA)
    got = json.loads(fine('evaluate', where, label, '--json', *(['--threshold', .4] if kind == 'probability' else [])))
    keep = ~void & (y != 255)
    found = level > .4*LEVELS if kind == 'mask' else np.round(level) >= .4*LEVELS
    accuracy, iou = scores(y[keep], found[keep].astype(int))
    assert got['pixels'] == keep.sum() and got['accuracy'] == pytest.approx(accuracy, abs=1e-12)
    assert list(got['iou'].values()) == pytest.approx(iou, abs=1e-12)
    assert got['mean_iou'] == pytest.approx(np.mean(iou), abs=1e-12)
    if kind == 'mask': return
    others = [scores(y[keep], (np.round(level) >= t*LEVELS)[keep].astype(int))[1][1] for t in np.linspace(.02, .98, 49)]
    assert got['threshold'] == .4 and got['best_iou'] >= max(others) - 1e-12
    best = scores(y[keep], (np.round(level) >= got['best_threshold']*LEVELS - 1e-6)[keep].astype(int))[1][1]
    assert got['best_iou'] == pytest.approx(best, abs=1e-12)


# rasters and bundles that cannot be used
@pytest.mark.parametrize('kind, says', [('missing', 'does not exist'), ('truncated', 'truncated'),
    ('text', 'could not be opened as a raster'),
    ('bands', 'has 4 bands'), ('uint16', 'holds uint16'),
    ('empty', 'holds no raster'), ('pattern', 'holds no raster')])
def test_scene_that_cannot_be_mapped(world, tmp_path, out, kind, says):
    src = tmp_path/'scene.tif'
    if kind == 'truncated':
        write(src, noise())
        src.write_bytes(src.read_bytes()[:-SIDE*SIDE])
    if kind == 'text': src.write_text('no raster', encoding='utf-8')
    if kind == 'bands': write(src, noise(4), photometric='MINISBLACK')
    if kind == 'uint16': write(src, noise(dtype='uint16'))
    if kind == 'empty': src = tmp_path/'empty'; src.mkdir()
    if kind == 'pattern': src = tmp_path/'*.jp2'
    assert says in refused('predict', world.model, src, '--out', out, out=out)


def test_bad_scene_among_good_ones(world, tmp_path, out):
    "It is found before the first window."
    write(tmp_path/'zz.tif', noise(2))
    assert 'has 2 bands' in refused('predict', world.model, world.images, tmp_path/'zz.tif', '--out', out, out=out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize('kind, says', [('missing', 'does not exist'), ('truncated', 'no complete .safetensors'),
    ('pickle', 'pickles'), ('newer', 'schema 99'),
    ('foreign', 'no satseg_fastai spec'), ('other weights', 'does not fit'),
    ('unknown arch', "architecture 'hourglass'")])
@pytest.mark.parametrize('command', ['predict', 'info'])
def test_bundle_that_cannot_be_used(world, tmp_path, out, command, kind, says):
    from safetensors.torch import save_file
    model = tmp_path/'m.safetensors'
    model.write_bytes(world.model.read_bytes())
    if kind == 'missing': model.unlink()
    if kind == 'truncated': model.write_bytes(model.read_bytes()[:-100])
    if kind == 'pickle': torch.save(dict(a=torch.ones(2)), model)
    if kind == 'newer': model.write_bytes(model.read_bytes().replace(b'\\"schema\\": 1,', b'\\"schema\\":99,'))
    if kind == 'foreign': save_file(dict(a=torch.ones(2)), model)
    if kind == 'other weights': update_spec(model, arch_args=dict(decoder_width=8))
    if kind == 'unknown arch': update_spec(model, arch='hourglass')
    if command == 'info' and kind in ('other weights', 'unknown arch'): return  # info reads no weights
    args = (model,) if command == 'info' else (model, world.image, '--out', out)
    assert says in refused(command, *args, out=out)


# options
@pytest.mark.parametrize('options, says', [
    (['--overlap', 2], '--overlap'), (['--overlap', 'x'], '--overlap'), (['--patch', 8], '--patch'),
    (['--batch', 0], '--batch'), (['--context', 1.5], '--context'),
    (['--blend', 'butter'], 'butter'), (['--bands', '1,2'], '2 bands'), (['--bands', '1,2,9'], 'band 9'),
    (['--bands', '1,2,x'], 'whole numbers'), (['--bands', '0,1,2'], 'band 0'),
    (['--threshold', 3], 'between 0 and 1'), (['--device', 'potato'], "device 'potato'"), (['--what'], '--what')])
def test_wrong_option_of_predict(world, out, options, says):
    assert says in refused('predict', world.model, world.image, '--out', out, *options, out=out)


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
@pytest.mark.parametrize('device', ['cuda', 'cuda:7'])
def test_no_gpu(world, out, device):
    assert f'device {device!r}' in refused('predict', world.model, world.image, '--out', out, '--device', device,
                                           out=out)


@pytest.mark.parametrize('args, says', [(['predict'], "'model'"), (['train', '--images', 'x'], "'--out'"),
    (['fly'], "'fly'"), (['train', '--epochs', 'many'], '--epochs')])
def test_incomplete_command(args, says):
    line = refused(*args)
    assert says in line.replace('MODEL', 'model') and '--help' in line


@pytest.mark.parametrize('options, says', [
    (['--arch', 'hourglass'], "architecture 'hourglass'"), (['--encoder', 'resnet1'], "encoder 'resnet1' is unknown"),
    (['--loss', 'regret'], 'regret'),
    (['--valid', 'name:*nowhere*'], 'chooses none'), (['--valid', 'name:*'], 'chooses all'),
    (['--valid', 'group:nobody'], 'chooses none'), (['--valid', '7'], 'between 0 and 1'),
    (['--valid', 'place'], 'random:.2 or none'), (['--valid-images', '.'], 'both or none'),
    (['--aoi', 'nowhere.gpkg'], 'nowhere.gpkg does not exist'), (['--classes', 'houses'], 'class table'),
    (['--decoder-width', '16,x'], 'whole numbers'), (['--decoder-width', '16,8'], 'width'),
    (['--bands', '1,2,7'], 'band 7'), (['--patch', 8], '--patch'),
    (['--weights', 'nowhere.safetensors'], 'nowhere.safetensors'),
    (['--init', 'nowhere.safetensors'], 'nowhere.safetensors'),
    (['--valid', 'blocks', '--patch', 256], 'cannot be cut')])
def test_wrong_option_of_train(world, out, options, says):
    tiny = [] if options[0] == '--init' else TINY
    assert says in refused('train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors',
                           *tiny, *options, out=out)


def test_no_weights_without_a_network(world, out, tmp_path, monkeypatch):
    "The way out is in the message. The hub reads HF_HUB_OFFLINE and HF_HUB_CACHE once, when it is imported."
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path/'cache'))
    line = refused('train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors',
                   '--patch', 64, '--encoder', 'resnet18', out=out)
    assert 'resnet18' in line and '--weights' in line and '--no-pretrained' in line


# folders and labels to train on
def soft(world):
    "A mask that was resized smoothly."
    y = np.asarray(
        Image.fromarray(pixels(world.label)[0]*255).resize((SIDE // 2, SIDE // 2), Image.BILINEAR).resize(
            (SIDE, SIDE), Image.BILINEAR))
    return y[None]


TRIANGLE = dict(type='Polygon', coordinates=[[[87, 27], [88, 27], [88, 28], [87, 27]]])
FEATURE = dict(type='Feature', properties={}, geometry=TRIANGLE)
GEOJSON = json.dumps(dict(type='FeatureCollection', features=[FEATURE]))


def bad_data(kind, world, root):
    "Options of a training whose data have one fault."
    a, b, c = sorted(world.images.glob('*.tif'))
    y = {p.name: world.labels/p.name for p in (a, b, c)}
    x = {p.name: p for p in (a, b, c)}
    if kind == 'label size': y[a.name] = noise(1, SIDE, SIDE + 1) % 2
    if kind == 'soft mask': y[a.name] = soft(world)
    if kind == 'no label': del y[a.name]
    if kind == 'no image': del x[a.name]
    if kind == 'empty': x = {}
    if kind == 'bands': x[a.name] = write(root/'four.tif', noise(4), photometric='MINISBLACK', crs=None, transform=None)
    if kind == 'dtype': x[a.name] = noise(dtype='uint16')
    if kind == 'text': x[a.name] = root/'note.txt'; root.mkdir(); x[a.name].write_text('no raster', encoding='utf-8')
    if kind == 'truncated': x[b.name] = root/'cut.tif'; root.mkdir(); x[b.name].write_bytes(b.read_bytes()[:-20_000])
    if kind == 'NaN':
        x, y = ({f'{i}.tif': z for i in range(3)} for z in (np.full((3, SIDE, SIDE), np.nan, 'float32'), noise(1) % 2))
    data = folder(root/'data', x, y)
    if kind == 'no folder': data[3] = root/'nowhere'
    if kind == 'two of a name': (data[1]/f'{a.stem}.png').write_bytes(world.colors.read_bytes())
    if kind == 'far label': write(data[3]/a.name, noise(1) % 2, transform=from_origin(340_000, 3_060_000, .3, .3))
    if kind in ('invalid GeoJSON', 'vector', 'column'):
        data[3] = root/'houses.geojson'
        data[3].write_text(GEOJSON[:-20] if kind == 'invalid GeoJSON' else GEOJSON, encoding='utf-8')
    if kind == 'vector':
        with rasterio.open(a) as s: plain = s.read()
        write(data[1]/a.name, plain, crs=None, transform=None)
    if kind == 'NaN': data += ['--valid', '.3']
    if kind == 'column': data += ['--attribute', 'roof']
    return data


@pytest.mark.parametrize('kind, says', [
    ('label size', f'{SIDE} x {SIDE + 1} pixels'), ('soft mask', 'gray levels'), ('no label', 'have no label'),
    ('no image', 'no image'), ('empty', 'holds no raster'),
    ('bands', '3 of uint8'), ('dtype', '3 bands of uint16'), ('text', 'could not be opened'), ('NaN', 'valid pixel'),
    ('no folder', 'nowhere'), ('two of a name', 'two images'),
    ('truncated', 'truncated'), ('far label', 'pixels away'), ('invalid GeoJSON', 'houses.geojson'),
    ('vector', 'no CRS'), ('column', "no column 'roof'")])
def test_data_that_cannot_be_trained_on(world, tmp_path, out, kind, says):
    assert says in refused('train', *bad_data(kind, world, tmp_path/'bad'), '--out', out/'m.safetensors', *TINY,
                           out=out)


TABLE = dict(classes=[dict(name='land', color='#000000'), dict(name='house', color='#FF0000')])


@pytest.mark.parametrize('text, says', [('{"classes": [', 'not valid JSON'), ('[]', 'without a list of classes'),
    ('{"classes": [{"name": "land", "color": "red"}]}', "color 'red'"),
    (json.dumps(dict(classes=TABLE['classes'][:1])), 'at least two'),
    (json.dumps(dict(classes=TABLE['classes'][:1]*2)), 'two classes')])
def test_class_table_that_cannot_be_used(world, tmp_path, out, text, says):
    table = tmp_path/'table.json'
    table.write_text(text, encoding='utf-8')
    assert says in refused('train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors',
                           '--classes', table, *TINY, out=out)


def test_unknown_color(world, tmp_path, out):
    "A color mask with one color that the table lacks; it is named."
    y = np.array(Image.open(world.colors).convert('RGB'))
    y[:20, :20] = 18, 52, 86
    Image.fromarray(y).save(tmp_path/f'{world.image.stem}.png')
    line = refused('train', '--images', world.image, '--labels', tmp_path/f'{world.image.stem}.png', '--out',
                   out/'m.safetensors', '--classes', 'land_cover', '--valid', 'blocks', *TINY[2:], '--patch', 32,
                   out=out)
    assert '#123456' in line and 'greenery' in line


def test_threshold_needs_both_classes(world, tmp_path, out):
    data = folder(tmp_path/'data', {world.image.name: world.image},
                  {world.image.name: np.zeros((1, SIDE, SIDE), np.uint8)})
    model = save_model(out/'m.safetensors')
    before = model.read_bytes()
    assert 'no positive pixel' in refused('threshold', model, *data, out=out) and model.read_bytes() == before
    assert 'joy' in refused('threshold', world.model, '--images', world.images, '--labels', world.labels,
                            '--criterion', 'joy', out=out)


def test_evaluate_what_does_not_belong_together(world, tmp_path):
    "Another grid, another place, values and tables that do not fit."
    y = noise(1) % 2
    small = write(tmp_path/'small.tif', y[:, 1:])
    far = write(tmp_path/'far.tif', y, transform=from_origin(340_000, 3_060_000, .3, .3))
    seven, table = write(tmp_path/'seven.tif', y*7), tmp_path/'table.json'
    table.write_text('{', encoding='utf-8')
    here = write(tmp_path/'here.tif', y)
    assert f'{SIDE - 1} x {SIDE} pixels' in refused('evaluate', world.mask, small)
    assert 'pixels away' in refused('evaluate', world.mask, far)
    assert 'value 7' in refused('evaluate', seven, here)
    assert 'found the values 0, 7' in refused('evaluate', here, seven)
    assert 'not valid JSON' in refused('evaluate', here, here, '--classes', table)
    assert 'probability raster' in refused('evaluate', write(tmp_path/'int16.tif', y.astype('int16')), here)
    assert 'does not exist' in refused('evaluate', tmp_path/'gone.tif', here)
    assert 'does not exist' in refused('evaluate', here, tmp_path/'gone.tif')


# places to write to
def test_names_that_collide(world, tmp_path, out):
    twin = tmp_path/'twin'/world.image.name
    twin.parent.mkdir()
    twin.write_bytes(world.image.read_bytes())
    assert f'2 scenes are named {world.image.stem}' in refused(
        'predict', world.model, world.image, twin, '--out', out, out=out)
    own = out/'scene_prob.tif'
    own.write_bytes(world.image.read_bytes())
    (out/'scene.tif').write_bytes(world.image.read_bytes())
    before = own.read_bytes()
    assert 'overwritten by its own map' in refused('predict', world.model, out, '--out', out, out=out)
    assert own.read_bytes() == before


def test_place_that_cannot_be_written(world, tmp_path, out):
    (out/'file').write_text('no folder', encoding='utf-8')
    data = ['--images', world.images, '--labels', world.labels]
    assert 'could not be written' in refused('predict', world.model, world.image, '--out', out/'file'/'maps', out=out)
    assert 'could not be written' in refused('train', *data, '--out', out/'file'/'m.safetensors', *TINY, out=out)
    assert 'use --out m.safetensors' in refused('train', *data, '--out', out/'m.pkl', *TINY, out=out)
    (out/'m.safetensors').mkdir()
    assert 'is a folder' in refused('train', *data, '--out', out/'m.safetensors', *TINY, out=out)


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() == 0, reason='root may write everywhere')
def test_folder_without_the_right_to_write(world, out):
    out.chmod(0o555)
    assert 'could not be written' in refused('predict', world.model, world.image, '--out', out, out=out)
    out.chmod(0o755)


@contextmanager
def largest_file(size):
    "No file may grow above a number of bytes, which is what a full disk is like."
    import resource
    soft_limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (soft_limit, hard))


@posix
@pytest.mark.parametrize('size', [100, 4000, 20_000])
def test_full_disk_under_predict(world, out, size):
    with largest_file(size): line = refused('predict', world.model, world.image, '--out', out, out=out)
    assert 'space' in line
    fine('predict', world.model, world.image, '--out', out)
    assert (out/world.prob.name).read_bytes() == world.prob.read_bytes() and len(list(out.iterdir())) == 5


@posix
@pytest.mark.parametrize('size', [1000, 60_000, 1_000_000])
def test_full_disk_under_train(world, out, size):
    "Not even the state of the first epoch can be kept, or not the bundle."
    with largest_file(size):
        line = refused('train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors',
                       *TINY, out=out)
    assert 'could not be written' in line and 'space' in line


@posix
def test_full_disk_under_threshold(world, out):
    model = save_model(out/'m.safetensors')
    before = model.read_bytes()
    with largest_file(len(before)//2):
        refused('threshold', model, '--images', world.images, '--labels', world.labels, out=out)
    assert model.read_bytes() == before and names(out) == {'m.safetensors'}


def test_validation_ground_of_one_class(world, tmp_path, out):
    "No threshold can be chosen there: a note, and a bundle without one."
    a, b, c = sorted(p.name for p in world.images.glob('*.tif'))
    data = folder(tmp_path/'data', {n: world.images/n for n in (a, b, c)},
                  {a: np.zeros((1, SIDE, SIDE), np.uint8), b: world.labels/b, c: world.labels/c})
    r = satseg('train', *data, '--out', out/'m.safetensors', *TINY, '--valid', f'name:{a}')
    assert r.exit_code == 0 and 'note: no threshold is chosen: the labels hold no positive pixel' in r.stderr, r.stderr
    assert 'none chosen' in fine('info', out/'m.safetensors')
    assert 'note: the bundle has no threshold' in satseg('predict', out/'m.safetensors', world.image, '--out',
                                                         out).stderr


# nothing to see
def test_scene_without_data(world, tmp_path, out):
    "All nodata is no error: maps of nothing."
    write(tmp_path/'void.tif', np.zeros((3, SIDE, SIDE), np.uint8), nodata=0)
    assert '0 valid pixels' in fine('predict', world.model, tmp_path/'void.tif', '--out', out)
    assert (pixels(out/'void_prob.tif') == NODATA).all() and (pixels(out/'void_mask.tif') == 255).all()
    got = json.loads(fine('evaluate', out/'void_mask.tif', write(tmp_path/'y.tif', noise(1) % 2), '--json'))
    assert got['pixels'] == 0


def test_scene_without_numbers(tmp_path, out):
    model = save_model(tmp_path/'m.safetensors', dtype='float32')
    write(tmp_path/'nan.tif', np.full((3, SIDE, SIDE), np.nan, np.float32))
    fine('predict', model, tmp_path/'nan.tif', '--out', out, '--float32')
    assert np.isnan(pixels(out/'nan_prob.tif')).all() and (pixels(out/'nan_mask.tif') == 255).all()


# Ctrl-C
def start(*args):
    "The command line in a process of its own."
    return subprocess.Popen([sys.executable, '-m', 'satseg_fastai.cli', *map(str, args)], env=ENV,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(process, when):
    "Ctrl-C as soon as `when()`; what was printed."
    until = time.time() + 300  # a busy machine takes minutes to import fastai
    while not when():
        assert process.poll() is None and time.time() < until, process.communicate()[1][-2000:]
        time.sleep(.005)
    process.send_signal(signal.SIGINT)
    said, err = process.communicate(timeout=120)
    assert process.returncode == 130 and err.splitlines()[-1].startswith(
        'satseg: interrupted') and 'Traceback' not in err, (process.returncode, err[-2000:])
    return said


@posix
def test_interrupted_predict_goes_on(world, tmp_path, out):
    src = write(tmp_path/'tall.tif', noise(3, 1200, 200))
    args = ('predict', world.model, src, '--out', out, '--patch', 64, '--batch', 1, '--quiet', '--device', 'cpu')
    process = start(*args)
    interrupt(process, lambda: len(list(out.glob('.tall_prob.tif.partial/*.npy'))) > 4)
    assert names(out) == set()
    fine(*args)
    receipt = json.loads((out/'tall.receipt.json').read_text(encoding='utf-8'))
    assert receipt['resumed_at_row'] > 0
    assert receipt['windows_done'] < receipt['windows']
    assert len(list(out.iterdir())) == 5


@posix
def test_interrupted_train_goes_on(world, out):
    "The same command trains what is left, and nothing stays behind."
    args = [
        'train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors', *TINY, '--epochs',
        20
    ]
    process = start(*args)
    interrupt(process, lambda: any(out.glob('.m.*.state')))
    assert names(out) == set() and len(left := [p.name for p in out.iterdir()]) == 1
    again = satseg(*args)
    assert again.exit_code == 0, again.stderr
    done = [line for line in again.stdout.splitlines() if line.startswith('epoch ')]
    assert 'note' not in again.stderr, again.stderr
    assert 1 <= len(done) < 20 and done[-1].startswith('epoch 19'), f'{left}: {done}'
    assert [p.name for p in out.iterdir()] == ['m.safetensors'] and 'threshold' in read_spec(out/'m.safetensors')


def test_state_of_another_run(world, out):
    "Other settings begin anew, and say so."
    args = ['train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors', *TINY]
    (out/'.m.01234567.state').write_bytes(b'of another run')
    r = satseg(*args)
    assert r.exit_code == 0
    assert 'note: an interrupted run with other settings' in r.stderr
    assert [p.name for p in out.iterdir()] == ['m.safetensors']


@posix
def test_interrupted_choice_of_the_threshold(world, out, monkeypatch):
    "The trained weights are kept without a name; the same command goes on without training."
    from satseg_fastai import workflow
    args = ['train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors', *TINY]
    with monkeypatch.context() as m:
        m.setattr(workflow, 'choose_threshold', lambda *a, **kw: signal.raise_signal(signal.SIGINT))
        r = satseg(*args)
    assert r.exit_code == 130 and names(out) == set() and 'epoch 0' in r.stdout
    said = fine(*args)
    assert 'epoch' not in said
    assert [p.name for p in out.iterdir()] == ['m.safetensors']
    assert 0 < read_spec(out/'m.safetensors')['threshold']['value'] < 1


# what is loaded when
LOADED = '''import sys
from typer.testing import CliRunner
from satseg_fastai.cli import app
commands = ['--help'], ['predict', '--help'], ['info', sys.argv[1]]
assert [CliRunner().invoke(app, command).exit_code for command in commands] == [0, 0, 0]
print([m for m in ('torch', 'fastai', 'timm', 'sklearn', 'scipy', 'matplotlib', 'geopandas') if m in sys.modules])'''


def test_help_and_info_are_light(world):
    "Neither loads torch; the time they take is printed, not judged."
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, '-c', LOADED, world.model], env=ENV, capture_output=True, text=True)
    print(f'help and info: {time.perf_counter() - begun:.2f} s')
    assert (done.returncode, done.stdout.strip()) == (0, '[]'), done.stderr


def test_predict_needs_no_fastai():
    modules = ', '.join(f'satseg_fastai.{name}' for name in ('scene.predict', 'bundle', 'workflow', 'evaluate'))
    code = f"import sys; sys.modules['fastai'] = None; import {modules}"
    done = subprocess.run([sys.executable, '-c', code], env=ENV, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version_and_help():
    assert satseg('--version').stdout.strip() == __version__
    r = satseg()
    assert 'predict' in r.stdout + r.stderr and r.exit_code == 2
    for command in ('train', 'threshold', 'predict', 'evaluate', 'info', 'doctor', 'demo'):
        assert command in fine('--help') and fine(command, '--help').startswith(f'Usage: satseg {command} ')


def test_notes_are_of_this_library(world, out, monkeypatch):
    "What this library notes is a line; what others warn of is silent."
    from satseg_fastai import workflow
    def warns(*args, **kw):
        warnings.warn('mine', NoPlace)
        warnings.warn('of torch', UserWarning)
    monkeypatch.setattr(workflow, 'map_scenes', warns)
    assert satseg('predict', world.model, world.image, '--out', out).stderr == 'note: mine\n'


@pytest.mark.parametrize('word', ['--size', '--size='])
def test_old_words_work_and_say_so(world, out, word):
    "The patch side was --size and --crop; it is --patch in each command."
    side = ['--size', 64] if word == '--size' else ['--size=64']
    r = satseg('predict', world.model, world.image, '--out', out, *side, '--quiet')
    assert r.exit_code == 0 and 'note: --size is called --patch now' in r.stderr.splitlines()
    receipt, = out.glob('*.receipt.json')
    assert json.loads(receipt.read_text(encoding='utf-8'))['settings']['size'] == 64
    assert '--size' not in satseg('predict', '--help').stdout


def test_memory_is_one_line(world, out, monkeypatch):
    "A process that runs out of memory says which options help."
    from satseg_fastai import workflow
    def full(*args, **kw): raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')
    monkeypatch.setattr(workflow, 'map_scenes', full)
    assert '--batch' in refused('predict', world.model, world.image, '--out', out, out=out)
