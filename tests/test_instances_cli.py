"""Separate objects at the command line: trained on folders, found in scenes, scored, and refused where pixels are
wanted."""
import json
import shutil

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from rasterio.features import rasterize
from safetensors.torch import load_file
from scipy.ndimage import label as label_pieces

from satseg_fastai.bundle.file import load_bundle, read_spec, save_bundle, update_spec
from satseg_fastai.data.datasets import Pair
from satseg_fastai.instances.detect import Detection
from satseg_fastai.labels.classes import land_cover
from satseg_fastai.maps.polygons import write_detections
from satseg_fastai.scene.instances import predict_instances
from satseg_fastai.training.instances import instance_dls, instance_learner
# noqa: F401, fixtures too
from test_cli import SIDE, fine, names, noise, out, pixels, refused, satseg, save_model, world, write

SMALL = dict(channels=16, hidden=32, mlp=32, anchors=[8, 16, 32, 64, 128], box_score_thresh=0.,
             box_detections_per_img=24)
TINY = [
    '--arch', 'pointrend_maskrcnn', '--encoder', 'test_resnet', '--no-pretrained', '--patch', 64, '--batch', 4,
    '--quiet', *(a for k, v in SMALL.items() for a in ('--set', f'{k}={json.dumps(v)}'))
]
ANY = ['--score', 0, '--patch', 64, '--quiet']  # an untrained model is sure of nothing


@pytest.fixture(scope='session')
def finder(world, tmp_path_factory):
    "An instance Learner, its bundle, and the objects of all scenes as the command line finds them."
    root = tmp_path_factory.mktemp('finder')
    pairs = [Pair(p, world.labels/p.name) for p in sorted(world.images.glob('*.tif'))]
    learn = instance_learner(instance_dls(pairs[:2], pairs[2:], size=64, device='cpu'), 'test_resnet', False, seed=3,
                             metrics=[], path=root, **SMALL)
    model = save_bundle(root/'finder.safetensors', learn)
    said = fine('objects', model, world.images, '--out', root/'found', *ANY)
    return dict(root=root, learn=learn, model=model, found=root/'found', said=said,
                one=root/'found'/f'{world.image.stem}_objects.gpkg')


def rows(frame):
    return sorted(
        zip(frame['class'], frame.class_index, frame.score, frame.touches_edge, frame.area_m2, frame.geometry.area))


def test_objects_are_those_of_python(finder, world):
    "The command line, the bundle and the Learner find the same; files and receipts have the names that they should."
    stems = sorted(p.stem for p in world.images.glob('*.tif'))
    assert names(finder['found']) == {f'{s}_objects{end}' for s in stems for end in ('.gpkg', '.receipt.json')}
    assert [p for p in finder['found'].iterdir() if p.name.startswith('.')] == []
    for m in (finder['learn'], finder['model']):
        want = write_detections(predict_instances(m, world.image, score=0., size=64, device='cpu'), None, world.image)
        got = geopandas.read_file(finder['one'])
        assert rows(got) == rows(want) and len(got) > 5 and f"{finder['one']}  {len(got)} objects" in finder['said']
    with rasterio.open(world.image) as s:
        assert got.crs == s.crs and got.total_bounds[0] >= s.bounds.left and got.total_bounds[3] <= s.bounds.top
    r = json.loads((finder['found']/f'{world.image.stem}_objects.receipt.json').read_text(encoding='utf-8'))
    assert r['objects'] == len(got)
    assert r['output'] == finder['one'].name
    assert r['model'] == read_spec(finder['model'], None)
    assert r['bundle'] == 'finder.safetensors'
    assert r['settings'] == dict(score=0., size=64, overlap=.5, batch_size=4, device=r['settings']['device'],
                                 regularize=False, min_area_m2=0., bands=[1, 2, 3])
    assert {
        'scene', 'height', 'width', 'crs', 'stats', 'versions', 'model_sha256', 'input_sha256', 'windows', 'seconds'
    } <= r.keys()


def test_options(finder, world, tmp_path):
    "Score, smallest area, right angles and formats; maps of the same scene stay."
    every = geopandas.read_file(finder['one'])
    score, area = every.score.median(), every.area_m2.median()
    fine('objects', finder['model'], world.image, '--out', tmp_path, *ANY, '--min-area', area)
    assert rows(geopandas.read_file(tmp_path/finder['one'].name)) == [r for r in rows(every) if r[4] >= area]
    fine('objects', finder['model'], world.image, '--out', tmp_path, *ANY, '--score', score, '--regularize')
    some = geopandas.read_file(tmp_path/finder['one'].name)
    assert 0 < len(some) < len(every) and some.score.min() >= score and {'regularized', 'iou'} <= {*some.columns}
    for kind, read in (('geojson', geopandas.read_file), ('parquet', geopandas.read_parquet)):
        fine('objects', finder['model'], world.image, '--out', tmp_path/kind, *ANY, '--format', kind)
        assert len(read(tmp_path/kind/f'{world.image.stem}_objects.{kind}')) == len(every)
    fine('predict', world.model, world.image, '--out', tmp_path)
    fine('objects', finder['model'], world.image, '--out', tmp_path, *ANY)
    assert json.loads(
        (tmp_path/
         f'{world.image.stem}.receipt.json').read_text(encoding='utf-8'))['mask'] == f'{world.image.stem}_mask.tif'


def iou(a, b):
    both = a.intersection(b).area
    return both/(a.area + b.area - both)


@pytest.mark.parametrize('kind', ['mask', 'polygons'])
def test_found_objects_are_scored(finder, world, tmp_path, kind):
    "Half of the labels' houses with high scores, all that the model found with low ones: the surest choose first."
    with rasterio.open(world.label) as s: place, y = s.transform, s.read(1)
    houses = [shapely.geometry.shape(g) for g, v in rasterio.features.shapes((y > 0).astype('uint8'), y > 0, 4, place)]
    pick = houses[::2]
    label = world.label
    if kind == 'polygons':
        label = tmp_path/'houses.gpkg'
        geopandas.GeoDataFrame(geometry=houses, crs=rasterio.open(world.image).crs).to_file(label)
    found = []
    for g in pick:
        m = rasterize([g], y.shape, transform=place) > 0
        r, c = np.argwhere(m).min(0)
        found.append(Detection(int(r), int(c), m[m.any(1)][:, m.any(0)], 1, .9))
    junk = [
        d for d in predict_instances(finder['model'], world.image, score=0., size=64) if label_pieces(d.mask)[1] == 1
    ]
    write_detections(found + junk, tmp_path/'found.gpkg', world.image)
    r = json.loads(fine('evaluate', tmp_path/'found.gpkg', label, '--json'))
    left, false = [g for g in houses if g not in pick], geopandas.read_file(tmp_path/'found.gpkg').geometry[len(found):]
    assert (r['tp'] + r['fp'], r['tp'] + r['fn'], r['name']) == (len(found) + len(junk), len(houses), 'building')
    assert len(pick) <= r['tp'] <= len(pick) + sum(any(iou(g, h) > .5 for h in left) for g in false)
    assert 'precision' in fine('evaluate', tmp_path/'found.gpkg', label)


def test_no_object_at_all(finder, world, tmp_path):
    "A score that nothing reaches, and a scene without data: a layer without rows, which can be scored."
    void = write(tmp_path/'void.tif', np.zeros((3, SIDE, SIDE), 'uint8'), nodata=0)
    said = fine('objects', finder['model'], world.image, void, '--out', tmp_path, '--score', 1, '--patch', 64)
    assert said.count('  0 objects') == 2 and len(geopandas.read_file(tmp_path/'void_objects.gpkg')) == 0
    r = json.loads(fine('evaluate', tmp_path/f'{world.image.stem}_objects.gpkg', world.label, '--json'))
    assert (r['tp'], r['fp']) == (0, 0) and r['fn'] > 0


# training
def test_train_info_objects(world, tmp_path):
    "From scenes and color masks to the objects of one class, with its name and its index among five."
    colors = tmp_path/'colors'
    colors.mkdir()
    for p in world.images.glob('*.tif'):
        shutil.copy(world.colors.with_name(world.colors.name.replace(world.image.stem, p.stem)),
                    colors/f'{p.stem}{world.colors.suffix}')
    model = tmp_path/'houses.safetensors'
    said = fine('train', '--images', world.images, '--labels', colors, '--out', model, *TINY, '--epochs', 1,
                '--classes', 'land_cover', '--things', 'buildings')
    assert 'valid_loss' in said
    assert f'model: {model}' in said
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith('.')] == []
    spec = read_spec(model, True)
    assert (spec['things'], len(spec['classes']), spec['receipt']['phases'][0]['epochs'],
            spec['arch_args']['anchors']) == ([3], 5, 1, SMALL['anchors'])
    shown = fine('info', model)
    assert 'pointrend_maskrcnn on test_resnet' in shown
    assert 'objects  buildings' in shown
    assert '3 buildings' in shown
    assert 'threshold' not in shown
    assert json.loads(fine('info', model, '--json')) == spec
    fine('objects', model, world.image, '--out', tmp_path, *ANY)
    found = tmp_path/f'{world.image.stem}_objects.gpkg'
    got = geopandas.read_file(found)
    assert {*got['class']} == {'buildings'} and {*got.class_index} == {3}
    label = colors/f'{world.image.stem}{world.colors.suffix}'
    assert 'has no CRS' in refused('evaluate', found, label, '--classes', 'land_cover')
    r = json.loads(fine('evaluate', found, label, '--classes', 'land_cover', '--scene', world.image, '--json'))
    assert r['tp'] + r['fp'] == len(got) and r['name'] == 'buildings' == land_cover().names[3]


def test_train_inside_an_area_of_interest(world, tmp_path):
    "Only ground inside the polygons is trained on; a scene that they do not touch is left out."
    with rasterio.open(world.image) as s: box, crs = s.bounds, s.crs
    west = shapely.box(box.left, box.bottom, (box.left + box.right)/2, box.top)
    geopandas.GeoDataFrame(geometry=[west], crs=crs).to_file(tmp_path/'aoi.gpkg')
    images, labels = tmp_path/'images', tmp_path/'labels'
    for place, source in ((images, world.images), (labels, world.labels)):
        place.mkdir()
        for p in source.glob('*.tif'): shutil.copy(p, place)
    model = tmp_path/'west.safetensors'
    fine('train', '--images', images, '--labels', labels, '--out', model, *TINY, '--epochs', 1, '--valid', 'none',
         '--aoi', tmp_path/'aoi.gpkg')
    assert read_spec(model, True)['receipt']['trained'] == [[world.image.name, 0, 0, SIDE, SIDE//2]]


def test_interrupted_training_goes_on(world, out, monkeypatch):
    "The same command after a Ctrl-C gives the weights that one run gives."
    from satseg_fastai.training.learner import Checkpoint
    run = lambda name: [
        'train', '--images', world.images, '--labels', world.labels, '--out', out/name/'m.safetensors', *TINY,
        '--epochs', 2
    ]
    fine(*run('a'))
    saved = Checkpoint.after_epoch
    def stop(self): saved(self); raise KeyboardInterrupt
    monkeypatch.setattr(Checkpoint, 'after_epoch', stop)
    r = satseg(*run('b'))
    assert r.exit_code == 130 and 'run the same command again' in r.stderr and not (out/'b'/'m.safetensors').exists()
    monkeypatch.setattr(Checkpoint, 'after_epoch', saved)
    fine(*run('b'))
    a, b = (load_file(out/n/'m.safetensors') for n in 'ab')
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) and names(out/'b') == {'m.safetensors'}


@pytest.mark.parametrize('options, says', [
    (['--pointrend'], 'takes no pointrend'), (['--loss', 'dice'], 'takes no loss'),
    (['--preset', 'unet_resnet'], 'takes no preset'), (['--decoder-width', 16], 'takes no decoder_width'),
    (['--set', 'wings=2'], 'takes no wings'), (['--set', 'hidden="x"'], "hidden 'x'"),
    (['--set', 'box_head=1'], 'takes no box_head'), (['--things', 'towers'], "class 'towers'"),
    (['--classes', 'land_cover'], '--things'), (['--encoder', 'resnet1'], "encoder 'resnet1' is unknown"),
    (['--arch', 'fpn', '--things', 'building'], 'things building for a model')])
def test_wrong_option_of_training(world, out, options, says):
    tiny = TINY[:TINY.index('--set')] if '--arch' in options else TINY
    assert says in refused('train', '--images', world.images, '--labels', world.labels, '--out', out/'m.safetensors',
                           *tiny, '--epochs', 1, *options, out=out)


# what is refused
@pytest.mark.parametrize('command', [
    ['predict', 'MODEL', 'SCENE', '--out', 'OUT'], ['threshold', 'MODEL', '--images', 'IMAGES', '--labels', 'LABELS'],
    ['stats', 'MASK', '--model', 'MODEL'], ['clean', 'MASK', '--out', 'OUT/x.tif', '--model', 'MODEL'],
    ['report', 'MAPS', '--model', 'MODEL', '--out', 'OUT/x.html'],
    *(['export', 'MODEL', f'--{to}', '--out', 'OUT'] for to in ('onnx', 'stac', 'card')),
    ['train', '--images', 'IMAGES', '--labels', 'LABELS', '--out', 'OUT/m.safetensors', '--init', 'MODEL']],
    ids=lambda c: f'{c[0]} {c[2] if c[0] == "export" else ""}')
def test_where_pixels_are_wanted(finder, world, out, command):
    at = dict(MODEL=finder['model'], SCENE=world.image, IMAGES=world.images, LABELS=world.labels, MASK=world.mask,
              MAPS=world.maps, OUT=out)
    before = finder['model'].read_bytes()
    line = refused(*(at.get(a, str(a).replace('OUT/', f'{out}/')) for a in command), out=out)
    assert 'finder.safetensors finds separate objects (pointrend_maskrcnn)' in line
    assert 'satseg objects' in line
    assert finder['model'].read_bytes() == before


def test_where_a_map_is_wanted(finder, world, out):
    "Polygons are no mask, and a model of pixels finds no objects."
    line = refused('objects', world.model, world.image, '--out', out, out=out)
    assert 'gives a class to each pixel (se_unet)' in line and 'satseg predict' in line
    assert 'raster' in refused('vectorize', finder['one'], '--out', out/'x.gpkg', out=out)
    assert 'threshold' in refused('evaluate', finder['one'], world.label, '--threshold', .5)
    assert '--scene for a raster' in refused('evaluate', world.mask, world.label, '--scene', world.image)


@pytest.mark.parametrize('kind, says', [('missing', 'does not exist'), ('bands', 'has 4 bands'),
    ('uint16', 'holds uint16'), ('twice', '2 scenes are named'), ('format', 'ends in .shp'), ('score', '--score'),
    ('overlap', '--overlap'),
    ('area', '--min-area'), ('device', "device 'potato'"),
    ('device late', 'band 9'), ('itself', 'overwritten')])
def test_scenes_and_options_that_cannot_be(finder, world, tmp_path, out, kind, says):
    "One line, before the first window of the first scene."
    scene = tmp_path/'scene.tif'
    more = dict(format=['--format', 'shp'], score=['--score', 2], overlap=['--overlap', 0], area=['--min-area', -1],
                device=['--device', 'potato']).get(kind, [])
    if kind == 'bands': write(scene, noise(4), photometric='MINISBLACK')
    if kind == 'uint16': write(scene, noise(dtype='uint16'))
    if kind == 'twice': scene = write(tmp_path/world.image.name, noise())
    if kind in ('format', 'score', 'overlap', 'area', 'device', 'device late'): write(scene, noise())
    if kind == 'device late': more = ['--bands', '1,2,9']
    if kind == 'itself':
        scene = write(out/'a_objects.gpkg.tif', noise())
        shutil.move(scene, out/'a.tif')
        scene = out/'a.tif'
        (out/'a_objects.gpkg').symlink_to(scene)
    assert says in refused('objects', finder['model'], world.image, scene, '--out', out, *ANY, *more, out=out)


def test_other_values_by_force(finder, tmp_path):
    scene = write(tmp_path/'scene.tif', noise(dtype='uint16'), transform=rasterio.Affine(3, 0, 0, 0, -3, 0))
    r = satseg('objects', finder['model'], scene, '--out', tmp_path, *ANY, '--force')
    assert r.exit_code == 0 and 'm a pixel, the model was trained at' in r.stderr, r.stderr


def test_scene_without_a_place(finder, tmp_path):
    "Pixels instead of meters, and it says so."
    r = satseg('objects', finder['model'], write(tmp_path/'scene.tif', noise(), crs=None, transform=None), '--out',
               tmp_path, *ANY)
    assert r.exit_code == 0
    assert 'areas and lengths are in pixels' in r.stderr
    assert 'area_px' in geopandas.read_file(tmp_path/'scene_objects.gpkg').columns


@pytest.mark.parametrize('change, says', [(dict(arch_args=SMALL | dict(box_roi_pool=1)), 'takes no box_roi_pool'),
    (dict(arch_args=SMALL | dict(max_size=10**9)), 'max_size 1000000000'),
    (dict(arch_args=SMALL | dict(hidden=64)), 'does not fit'),
    (dict(arch='se_unet', arch_args={}, things=None), 'gives a class to each pixel'),
    (dict(encoder='resnet18'), 'does not fit'),
    (dict(n_in=4, mean=[1.]*4, std=[1.]*4, quantiles=None), 'has 3 bands')])
def test_bundle_that_lies(finder, world, tmp_path, out, change, says):
    model = tmp_path/'m.safetensors'
    shutil.copy(finder['model'], model)
    update_spec(model, **change)
    assert says in refused('objects', model, world.image, '--out', out, out=out)


def test_round_trip_of_every_bit(finder):
    net, spec = load_bundle(finder['model'], True)
    mine = finder['learn'].model.state_dict()
    assert all(torch.equal(v, mine[k]) for k, v in net.state_dict().items())
    assert spec == json.loads(json.dumps(finder['learn'].spec))
    assert not net.training


def test_interrupted_in_the_middle(finder, world, out, monkeypatch):
    "Ctrl-C while objects are written: no file, nothing hidden, and what stood there before stays."
    from satseg_fastai.scene import instances
    found = instances.stream_instances
    def stop(*args, **kw):
        yield from list(found(*args, **kw))[:3]
        raise KeyboardInterrupt
    monkeypatch.setattr(instances, 'stream_instances', stop)
    before = out/finder['one'].name
    shutil.copy(finder['one'], before)
    r = satseg('objects', finder['model'], world.image, '--out', out, *ANY)
    assert r.exit_code == 130 and list(out.iterdir()) == [before] and before.read_bytes() == finder['one'].read_bytes()
