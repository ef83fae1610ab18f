"`satseg align` as a user types it, and a teacher that is refused."
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from satseg_fastai.bundle.file import read_spec, update_spec
from satseg_fastai.cli import app
from satseg_fastai.geo.levels import LEVELS, NODATA
from satseg_fastai.geo.raster import Scene, write_cog
from satseg_fastai.labels.masks import Place
from satseg_fastai.synth import make_town

BUNDLE = Path(__file__).parent/'fixtures'/'pretrained_se_unet.safetensors'


def satseg(*args):
    "Exit code, output and error output of the command line."
    r = CliRunner().invoke(app, [str(a) for a in args])
    return r.exit_code, r.stdout, r.stderr


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    "A town's map, and its labels 2 m too far west and 1 m too far north; a random map beside it."
    folder, town = tmp_path_factory.mktemp('align'), make_town(320, 320, 7)
    place = Place('town', 320, 320, town.crs, town.transform)
    truth, rng = town.buildings.astype(float), np.random.default_rng(0)
    moved = ndimage.shift(ndimage.gaussian_filter(truth, 2), (1/.3, 2/.3), order=3, mode='nearest')
    for name, prob in dict(town=.2 + .5*moved + rng.normal(0, .1, truth.shape), noise=rng.random(truth.shape)).items():
        write_cog(folder/'maps'/f'{name}_prob.tif', place, [(0, np.rint(prob.clip(0, 1)*LEVELS).astype(np.uint16))],
                  dtype='uint16', nodata=NODATA, scale=1/LEVELS)
        write_cog(folder/'labels'/f'{name}.tif', place, [(0, town.buildings)])
    return folder


def test_a_shift_is_told_in_words(world):
    rc, out, err = satseg('align', world/'maps', '--labels', world/'labels', '--radius', 5)
    lines = sorted(out.splitlines())
    assert (rc, err, len(lines)) == (0, '', 2)
    assert lines[0].startswith('noise: not to be trusted: ')
    assert lines[1].startswith('town: move the labels 2.0 m east and 1.0 m south to fit the image (')


def test_a_shift_as_json(world):
    rc, out, err = satseg('align', world/'maps', '--labels', world/'labels', '--radius', 5, '--json')
    found = {s['name']: s for s in json.loads(out)}
    assert (rc, err) == (0, '')
    assert (found['town']['verdict'], found['noise']['verdict']) == ('move', 'unsure')
    assert abs(found['town']['meters']['east'] - 2) < .1 and abs(found['town']['meters']['north'] + 1) < .1
    assert abs(found['town']['right'] - 2/.3) < .3 and abs(found['town']['down'] - 1/.3) < .3


def test_moved_labels_fit(world, tmp_path):
    rc, out, err = satseg('align', world/'maps', '--labels', world/'labels', '--radius', 5, '--out', tmp_path/'moved')
    assert rc == 0 and out.splitlines()[-1] == f'{tmp_path}/moved  labels of 2 scenes'
    rc, out, err = satseg('align', world/'maps', '--labels', tmp_path/'moved', '--radius', 5)
    assert rc == 0 and 'town: the labels fit: ' in out
    with Scene(tmp_path/'moved'/'noise.tif') as moved, Scene(world/'labels'/'noise.tif') as was:
        assert (moved.read(0, 0, 320, 320) == was.read(0, 0, 320, 320)).all()


@pytest.mark.parametrize('args, says', [
    (('--radius', '-1'), '--radius'), (('--class', 'water'), "'water' is not in the class table"),
    (('--out', '{world}/labels'), 'would be overwritten'), (('--radius', '0'), 'a radius of 0')])
def test_align_refuses(world, args, says):
    rc, out, err = satseg('align', world/'maps', '--labels', world/'labels', *(a.format(world=world) for a in args))
    assert (rc, out, err.count('\n')) == (2, '', 1) and says in err


@pytest.mark.parametrize('args, says', [
    (('--teacher', '.'), '--teacher without --unlabeled'),
    (('--unlabeled', '.'), '--unlabeled without --teacher'),
    (('--arch', 'pointrend_maskrcnn', '--unlabeled', '.', '--teacher', '.'),
     'a teacher for pointrend_maskrcnn')])
def test_a_teacher_alone_is_refused(world, tmp_path, args, says):
    rc, out, err = satseg('train', '--images', world/'maps', '--labels', world/'labels', '--out',
                          tmp_path/'s.safetensors', *args)
    assert (rc, out, err.count('\n')) == (2, '', 1) and says in err
    assert list(tmp_path.iterdir()) == []


def test_info_names_the_teacher(tmp_path):
    "Who taught a model besides its labels, where its receipt says so."
    model = shutil.copy(BUNDLE, tmp_path/'student.safetensors')
    assert 'teacher' not in satseg('info', model)[1]
    teacher = dict(file='teacher.safetensors', sha256='0'*64, scenes=3, weight=.5)
    update_spec(model, receipt=dict(read_spec(model).get('receipt') or {}, teacher=teacher))
    told = satseg('info', model)[1]
    assert '     teacher  teacher.safetensors on 3 scenes without labels, at weight 0.5\n' in told
