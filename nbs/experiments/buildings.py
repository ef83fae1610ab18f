"""Buildings on real imagery: train, choose the threshold on other ground, report on ground that neither saw.

    python nbs/experiments/buildings.py banepa --data DATA [--model se_unet|smp_unet] [--seed 0] [--crops 2304]

DATA is the folder of real labeled imagery. Writes results/SITE_MODEL_SEED.json beside this file, and the bundle
(se_unet) and the map of the mosaic into --work. """
import argparse, json, os, platform, sys, tempfile, time, warnings
from pathlib import Path

import numpy as np
import torch

from satseg_fastai import __version__
from satseg_fastai.bundle.file import save_bundle
from satseg_fastai.data.datasets import Pair, chips, dubai
from satseg_fastai.data.loaders import scene_dls
from satseg_fastai.files import write_json
from satseg_fastai.geo.raster import Scene, write_cog
from satseg_fastai.labels.classes import dubai as dubai_classes
from satseg_fastai.labels.read import open_labels
from satseg_fastai.maps.mask import classify, write_mask
from satseg_fastai.scene.predict import predict_scene
from satseg_fastai.scores.confusion import boundary_counts, ratio
from satseg_fastai.scores.threshold import RocHistogram, curve_to_json
from satseg_fastai.training.learner import fit_recipe, seg_learner
from satseg_fastai.validation.maps import add_scene

HERE = Path(__file__).parent
WIDTHS = (256, 128, 64, 32, 16)   # the widths of segmentation_models.pytorch's Unet


def banepa(data, work):
    "Rows 220243-220245 to train, 220242 for the threshold, 220241 for the report; and the mosaic of the same ground."
    pairs = chips(data/'banepa/chips', data/'banepa/masks', by='row')
    part = lambda *rows: [p for p in pairs if p.group in rows]
    return part('220243', '220244', '220245'), part('220242'), part('220241'), data/'banepa/mosaic.tif'


def zanzibar(data, work):
    """Zanzibar A at zoom 20 to train (its three columns 638588-638590 for the threshold), B for the report; the
    mosaic is A."""
    pairs = [p for p in chips(data/'hotosm_pairs/z20') if p.group.startswith('zanzibar')]
    a, b = ([p for p in pairs if p.group == f'zanzibar_{s}'] for s in 'AB')
    held = [p for p in a if p.image.stem.split('_')[1] in ('638588', '638589', '638590')]
    return [p for p in a if p not in held], held, b, data/'mosaics/zanzibar_A_z20.tif'


def dubai_buildings(data, work):
    "Tiles 1, 2 and 3 to train, 5 for the threshold, 6 for the report; masks reduced to building and not."
    def binary(p):
        dst = work/'dubai_labels'/f'{p.image.parent.parent.name}_{p.label.stem}.tif'
        with Scene(p.image) as s:
            y = open_labels(p.label, s, dubai_classes()).read(0, 0, s.height, s.width)
            write_cog(dst, s, [(0, np.where(y == 255, 255, y == 0).astype('uint8'))], nodata=255)
        return Pair(p.image, dst, p.group)
    pairs = [binary(p) for p in dubai(data/'dubai')]
    part = lambda *tiles: [p for p in pairs if p.group in tiles]
    return part('tile 1+3', 'tile 2'), part('tile 5'), part('tile 6'), None


SITES = dict(banepa=banepa, zanzibar=zanzibar, dubai=dubai_buildings)


def make_learner(model, dls, seed):
    if model == 'se_unet':
        return seg_learner(dls, encoder='resnet18', pretrained=False, decoder_width=WIDTHS, wd=1e-2, seed=seed)
    import segmentation_models_pytorch as smp
    learn = seg_learner(dls, encoder='test_resnet', pretrained=False, decoder_width=8, wd=1e-2, seed=seed)
    torch.manual_seed(seed)
    learn.model = smp.Unet('resnet18', encoder_weights=None, classes=2)
    learn.splitter = lambda m: [list(m.parameters())]
    learn.opt = None
    return learn


def scored(learn, pairs, folder, threshold=None):
    "Stitched scenes against their labels: the histogram, and the scores at a threshold."
    h, counts = RocHistogram(), np.zeros(2, np.int64)
    for i, p in enumerate(pairs):
        prob = Path(folder)/f'{i}.tif'
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*has no CRS")
            predict_scene(learn.model, p.image, prob, size=512, stats=learn.dls.stats, progress=False)
        add_scene(h, prob, p)
        if threshold is not None:
            with Scene(prob) as s:
                y = open_labels(p.label, s, learn.dls.store.classes).read(0, 0, s.height, s.width)
                m = classify(s.read(0, 0, s.height, s.width), threshold)
            counts += boundary_counts(y == 1, m == 1, 3, (y != 255) & (m != 255))
    return h, counts


def at(h, threshold):
    "IoU and accuracy of a histogram at a threshold."
    c = h.curves()
    i = np.flatnonzero(c.thresholds >= threshold).max()
    return float(c.iou[i]), float(c.accuracy[i])


def main(site, data, model, seed, crops, out, work):
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    work.mkdir(parents=True, exist_ok=True)
    train, hold, test, mosaic = SITES[site](data, work)
    dls = scene_dls(train, hold, size=256, bs=8, seed=seed, num_workers=0)
    epochs = max(1, round(crops/len(dls.train_ds)))
    learn = make_learner(model, dls, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    with learn.no_bar(): fit_recipe(learn, epochs, 0, lr=2e-3)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    with tempfile.TemporaryDirectory() as tmp:
        h, _ = scored(learn, hold, tmp)
        choice = h.best()
        t, counts = scored(learn, test, tmp, choice.threshold)
    iou, accuracy = at(t, choice.threshold)
    result = dict(
        site=site, model=model, encoder='resnet18', pretrained=False, decoder_width=WIDTHS, seed=seed, epochs=epochs,
        crops=epochs*len(dls.train_ds), crop=256, batch=8, optimizer='AdamW, one cycle to 2e-3, weight decay 1e-2',
        split=SITES[site].__doc__, scenes=[len(train), len(hold), len(test)
                                           ], threshold=choice.threshold, iou_where_chosen=choice.iou, iou=iou,
        accuracy=accuracy, boundary_iou_3px=float(ratio(*counts)), best_iou=t.best().iou, train_seconds=round(wall, 1),
        train_cpu_seconds=round(cpu, 1), parameters=sum(p.numel() for p in learn.model.parameters()),
        command=f'python nbs/experiments/buildings.py {site} --data DATA --model {model} --seed {seed} --crops {crops}',
        machine=f'{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, no GPU'
        if not torch.cuda.is_available() else torch.cuda.get_device_name(),
        versions=dict(satseg_fastai=__version__, torch=torch.__version__, python=platform.python_version()))
    if model == 'se_unet': result.update(keep(learn, site, seed, h, choice, mosaic, work))
    write_json(out/f'{site}_{model}_{seed}.json', result)
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, dict)}, indent=1))


def keep(learn, site, seed, h, choice, mosaic, work):
    "The bundle with its threshold, and the map of the mosaic."
    learn.spec['threshold'] = dict(value=choice.threshold, criterion='iou', iou=choice.iou, accuracy=choice.accuracy,
                                   curve=curve_to_json(h.curves()))
    bundle = save_bundle(work/f'{site}_{seed}.safetensors', learn)
    if mosaic is None: return {}
    receipt = predict_scene(bundle, mosaic, work/f'{site}_{seed}_prob.tif', size=512, progress=False)
    write_mask(work/f'{site}_{seed}_prob.tif', work/f'{site}_{seed}_mask.tif', choice.threshold)
    return dict(mosaic=dict(pixels=receipt['height']*
                            receipt['width'], valid_pixels=receipt['valid_pixels'], windows=receipt['windows'],
                            seconds=receipt['seconds'], forward_seconds=receipt['forward_seconds']))


if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('site', choices=SITES)
    a.add_argument('--data', type=Path, default=os.environ.get('SATSEG_DATA'))
    a.add_argument('--model', choices=('se_unet', 'smp_unet'), default='se_unet')
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--crops', type=int, default=2304)
    a.add_argument('--out', type=Path, default=HERE/'results')
    a.add_argument('--work', type=Path, default=Path('models/experiments'))
    a = a.parse_args()
    if not a.data: sys.exit('give the folder of real imagery with --data, or set SATSEG_DATA')
    main(a.site, Path(a.data), a.model, a.seed, a.crops, a.out, a.work)
