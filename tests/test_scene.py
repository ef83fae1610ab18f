"""Scene prediction where it is hard: memory, kill -9, Ctrl-C, a full disk, a process without fastai. This file is
also what the child processes run."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window
from torch import nn

from satseg_fastai.errors import BadInput, FailedWork
from satseg_fastai.geo.levels import LEVELS, NODATA
from satseg_fastai.geo.tiling import Grid
from satseg_fastai.scene.predict import Forward, evaluating, normalize, predict_array, predict_scene

STATS = ([120., 110., 100.], [40., 45., 50.])
SIZE = 64  # patch side of the tests that break a run
COMMON = dict(size=SIZE, batch_size=3, stats=STATS, device='cpu', progress=False)
linux = pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='reads /proc/self/status')
posix = pytest.mark.skipif(os.name != 'posix', reason='POSIX signals and limits')


class Net(nn.Module):
    "A small network with BatchNorm; it may pause before each batch, and notes each window that it has done."
    def __init__(self, k=2, pause=0., log=None):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, k, 1))
        self.pause, self.log = pause, log
    def forward(self, x):
        time.sleep(self.pause)
        y = self.body(x)
        if self.log and x.any():  # not the probe for the number of outputs
            with open(self.log, 'a', encoding='ascii') as f: f.write('.'*len(x))
        return y


def write_scene(path, x, nodata=None):
    "An array (C,H,W) as a tiled GeoTIFF."
    from satseg_fastai.testing import write_raster  # brings in fastcore, which a child does without
    return write_raster(path, x, nodata=nodata, tiled=True, blockxsize=256, blockysize=256)


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 255, (3, height, width), dtype='uint8')


def pixels(path):
    with rasterio.open(path) as ds: return ds.read()


def left_over(folder, *known):
    "Names in a folder that are neither known nor the journal, hidden ones too."
    return sorted(p.name for p in Path(folder).iterdir() if p.name not in known)


def child(what, *args, **env):
    "This file in a process of its own: the function `child_<what>`; its last line of output is JSON."
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONDONTWRITEBYTECODE': '1', 'PYTHONFAULTHANDLER': '1', **env}
    return subprocess.Popen([sys.executable, __file__, what, *map(str, args)], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def answer(process):
    "What a child says at its end; its error output is the message of a failure."
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.strip().split('\n')[-1])


# memory
WIDTH, HEIGHTS = 2000, (4000, 10_000)
MEMORY_LIMIT = 120  # MB: patches and batches 60, blocks that GDAL keeps 23, the accumulator 8, a row of the output 3


def status_mb(key):
    return int(Path('/proc/self/status').read_text(encoding='utf-8').split(f'{key}:')[1].split()[0])/1024


def tall_scene(path, height):
    "A three-band scene of noise, written in pieces."
    profile = dict(driver='GTiff', height=height, width=WIDTH, count=3, dtype='uint8', nodata=0, tiled=True,
                   blockxsize=512, blockysize=512)
    piece = noise(512, WIDTH)
    with rasterio.open(path, 'w', crs='EPSG:32645', transform=from_origin(330_000, 3_060_000, .3, .3), **profile) as ds:
        for row in range(0, height, 512):
            rows = min(512, height - row)
            ds.write(piece[:, :rows], window=Window(0, row, WIDTH, rows))


def child_memory(folder, height):
    "Growth of the peak from the moment when the model is loaded and one batch was forwarded."
    folder, net = Path(folder), nn.Conv2d(3, 2, 1)
    with evaluating(net): Forward(net, 'cpu')(torch.ones(4, 3, 512, 512))
    before = status_mb('VmHWM')
    predict_scene(net, folder/f'{height}.tif', folder/f'{height}_prob.tif', size=512, batch_size=4, overlap=.1,
                  device='cpu', progress=False)
    return dict(before=before, growth=status_mb('VmHWM') - before)


@linux
def test_memory_is_flat_in_height(tmp_path):
    """Two and a half times as high, the same peak. Large blocks come from mmap, so that what counts is what is held,
    not how the heap is cut up."""
    for height in HEIGHTS: tall_scene(tmp_path/f'{height}.tif', height)
    children = [child('memory', tmp_path, height, MALLOC_MMAP_THRESHOLD_='1000000') for height in HEIGHTS]
    runs = [answer(process) for process in children]
    low, high = (run['growth'] for run in runs)
    whole = [2*WIDTH*height*4/2**20 for height in HEIGHTS]
    told = (
        f'{WIDTH} px wide, {HEIGHTS[0]} and {HEIGHTS[1]} px high: the peak grew by {low:.0f} and {high:.0f} MB above '
        f'{runs[0]["before"]:.0f} MB; '
        f'an accumulator of the whole scene alone would hold {whole[0]:.0f} and {whole[1]:.0f} MB')
    assert high - low <= .1*high + 8, f'memory grows with the height. {told}'
    assert max(low, high) <= MEMORY_LIMIT, f'more than {MEMORY_LIMIT} MB. {told}'


# kill -9
@pytest.fixture(scope='module')
def calm(tmp_path_factory):
    "A scene, and the bytes and the receipt of an undisturbed run."
    folder = tmp_path_factory.mktemp('calm')
    x = noise(700, 300)
    x[:, :90, :120] = 0
    src = write_scene(folder/'scene.tif', x, nodata=0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    receipt = predict_scene(Net(), src, folder/'prob.tif', **COMMON)
    torch.set_num_threads(threads)
    return src, (folder/'prob.tif').read_bytes(), receipt


def child_predict(src, dst, pause, resume='resume'):
    "A slow run that another process breaks."
    return predict_scene(Net(pause=float(pause), log=f'{dst}.log'), src, dst, **COMMON,
                         resume=resume == 'resume')['windows']


def child_dies(src, dst):
    "A run that kills itself when all rows are done and the raster is half-written."
    import rasterio.shutil
    rasterio.shutil.copy = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
    child_predict(src, dst, 0)


def pieces(dst): return len(list(dst.with_name(f'.{dst.name}.partial').glob('*.npy')))


def wait_for(done, process, seconds=60):
    "Poll until `done()`, as the process lives."
    until = time.time() + seconds
    while not done():
        assert process.poll() is None, f'the child ended early: {process.communicate()[1][-2000:]}'
        assert time.time() < until, f'nothing after {seconds} s'
        time.sleep(.005)


def rows_of_windows(receipt):
    "The first scene row of each row of windows."
    return Grid(receipt['height'], receipt['width'], SIZE).rows


@posix
def test_kill_in_the_middle_and_run_again(calm, tmp_path):
    "The same bytes, and at most two rows of windows twice."
    src, want, receipt = calm
    dst = tmp_path/'prob.tif'
    columns = receipt['windows']//len(rows_of_windows(receipt))
    seed = random.SystemRandom().randrange(1000)
    rng = random.Random(seed)
    process = child('predict', src, dst, .01)
    wanted = rng.randrange(2, 12)
    wait_for(lambda: pieces(dst) >= wanted, process)
    time.sleep(rng.uniform(0, .1))
    process.kill()
    assert process.wait() == -signal.SIGKILL and not dst.exists()
    before = pieces(dst)
    log = Path(f'{dst}.log')
    again = predict_scene(Net(log=log), src, dst, **COMMON)
    told = f'killed after {before} pieces (seed {seed}), resumed at row {again["resumed_at_row"]}'
    assert dst.read_bytes() == want, f'other bytes: {told}'
    assert again['resumed_at_row'] > 0 and again['windows_done'] < receipt['windows'], told
    repeated = len(log.read_text(encoding='ascii')) - (receipt['windows'] - receipt['windows_skipped'])
    assert 0 <= repeated <= 2*columns, f'{repeated} windows computed twice, {columns} a row: {told}'
    assert left_over(tmp_path, 'prob.tif', 'prob.tif.log') == [], told


@posix
def test_kill_while_the_raster_is_written(calm, tmp_path):
    "All rows are in the journal: the raster is written again without the model, and nothing stays behind."
    src, want, receipt = calm
    dst = tmp_path/'prob.tif'
    process = child('dies', src, dst)
    assert process.wait(60) == -signal.SIGKILL and not dst.exists()
    again = predict_scene(Net(), src, dst, **COMMON)
    assert (again['windows_done'], again['resumed_at_row'], dst.read_bytes() == want) == (0, receipt['height'], True)
    assert left_over(tmp_path, 'prob.tif', 'prob.tif.log') == []


@posix
def test_interrupt_leaves_nothing_under_the_name(calm, tmp_path):
    "Ctrl-C ends the run; only a journal to resume from may stay, and not even that without resume."
    left = dict(resume=['.prob.tif.partial'], no=[])
    places = {resume: tmp_path/resume/'prob.tif' for resume in left}
    for dst in places.values(): dst.parent.mkdir()
    runs = {resume: child('predict', calm[0], dst, .02, resume) for resume, dst in places.items()}
    for resume, dst in places.items():
        wait_for(lambda dst=dst: pieces(dst) >= 2, runs[resume])
        runs[resume].send_signal(signal.SIGINT)
    for resume, dst in places.items():
        _, said = runs[resume].communicate(timeout=60)
        assert runs[resume].returncode in (-signal.SIGINT, 130) and 'KeyboardInterrupt' in said, said[-2000:]
        assert left_over(dst.parent, 'prob.tif.log') == left[resume]


# a full disk, a place that is none
def child_limited(src, folder, *limits):
    "One run for each limit on the size of a file, in bytes; what was said and what is there."
    import resource
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    said = {}
    for limit in map(int, limits):
        dst = Path(folder)/str(limit)/'prob.tif'
        dst.parent.mkdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try: said[limit] = ['done', str(predict_scene(Net(), src, dst, **COMMON)['windows'])]
        except Exception as e: said[limit] = [type(e).__name__, str(e)]
        finally: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        said[limit] += [dst.exists(), left_over(dst.parent, dst.name, f'.{dst.name}.partial')]
    return said


@posix
def test_full_disk(calm, tmp_path):
    "Too small for the key, for a row of the journal, for the raster: one line each, and nothing under the final name."
    src, want, receipt = calm
    piece, whole = 2*(SIZE//2)*receipt['width'], len(want)
    limits = [100, 4096, piece//2, piece + 1000, 65_536, whole//2, whole - 5000, whole - 1, 4*whole]
    said = answer(child('limited', src, tmp_path, *limits))
    assert said.pop(str(limits[-1]))[0] == 'done', 'the last limit is large enough'
    for limit, (kind, text, exists, others) in said.items():
        assert kind == 'FailedWork' and '\n' not in text, f'at {limit} bytes: {kind}: {text}'
        assert 'could not be written' in text and 'space' in text, f'no help at {limit} bytes: {text}'
        assert not exists and not others, f'at {limit} bytes: {others}'


@pytest.mark.parametrize('place', ['file/prob.tif', 'file/deeper/prob.tif', 'folder.tif'])
def test_place_that_cannot_be_written(calm, tmp_path, place):
    "A file where a folder should be, a folder where the file should be."
    (tmp_path/'file').write_text('no folder', encoding='utf-8')
    (tmp_path/'folder.tif').mkdir()
    with pytest.raises(BadInput) as e: predict_scene(Net(), calm[0], tmp_path/place, **COMMON)
    assert isinstance(e.value, FailedWork) and '\n' not in str(e.value) and 'could not be written' in str(e.value)
    assert left_over(tmp_path, '.folder.tif.partial') == ['file', 'folder.tif']


# the same from a raster, an array, a bundle
def collar(height, width):
    "True within a turned quadrilateral."
    y, x = np.mgrid[:height, :width]
    down, across = y - height/2, x - width/2
    return (abs(down + .2*across) < .42*height) & (abs(across - .2*down) < .38*width)


@pytest.mark.parametrize('k', [2, 4])
@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_raster_equals_array(tmp_path, k, dtype):
    "From a file with a collar of nodata and odd sides, and from the same pixels in memory."
    valid = collar(211, 157)
    x = noise(211, 157, k)
    x[:, ~valid] = 0
    net, src, size = Net(k), write_scene(tmp_path/'s.tif', x, nodata=0), 48
    receipt = predict_scene(net, src, tmp_path/'p.tif', **{**COMMON, 'size': size}, dtype=dtype)
    p = predict_array(net, normalize(x, valid, STATS), size=size, batch_size=3, device='cpu')
    if k == 2: p = p[1:]
    stored = pixels(tmp_path/'p.tif')
    assert stored.shape == p.shape and p[:, valid].std() > .01 and receipt['valid_pixels'] == valid.sum()
    void = np.isnan(stored) if dtype == 'float32' else stored == NODATA
    assert (void == ~valid).all()
    one, near = (1, 2e-6) if dtype == 'float32' else (LEVELS, .51/LEVELS)
    np.testing.assert_allclose(stored[:, valid]/one, p[:, valid], rtol=0, atol=near)


def child_bundle(bundle, src, dst):
    "Predict from a bundle where fastai cannot be imported."
    assert not [m for m in sys.modules if m.split('.')[0] in ('fastai', 'fastcore')]
    sys.modules['fastai'] = sys.modules['fastcore'] = None
    return predict_scene(bundle, src, dst, device='cpu', progress=False)['seconds']


def test_bundle_predicts_without_fastai(tmp_path):
    "Train here, predict from the file in a process without fastai: the same bytes as with the Learner."
    from satseg_fastai.bundle.file import save_bundle
    from satseg_fastai.data.loaders import scene_dls
    from satseg_fastai.data.datasets import folder_pairs
    from satseg_fastai.training.learner import fit_recipe, seg_learner
    from satseg_fastai.synth import make_scenes
    make_scenes(tmp_path, n=3, size=128, seed=1)
    pairs = folder_pairs(tmp_path/'images', tmp_path/'labels')
    dls = scene_dls(pairs[:2], pairs[2:], size=32, bs=8, device='cpu')
    learn = seg_learner(dls, encoder='test_resnet', pretrained=False, decoder_width=(32, 24, 16, 16, 8))
    with learn.no_bar(), learn.no_logging(): fit_recipe(learn, 1, 0)
    bundle = save_bundle(tmp_path/'m.safetensors', learn)
    predict_scene(learn, pairs[2].image, tmp_path/'here.tif', device='cpu', progress=False)
    answer(child('bundle', bundle, pairs[2].image, tmp_path/'there.tif'))
    assert pixels(tmp_path/'here.tif').std() > 0
    assert (tmp_path/'there.tif').read_bytes() == (tmp_path/'here.tif').read_bytes()


if __name__ == '__main__':
    torch.set_num_threads(1)
    print(json.dumps(globals()[f'child_{sys.argv[1]}'](*sys.argv[2:])))
