"""Soft labels: Zanzibar A is labeled, half of B is not, and the other half of B is reported.

    python nbs/experiments/teacher.py --data DATA --weights tf_efficientnet_lite0.safetensors
        [--seed 0] [--steps 150] [--arch fpn]

Three models of the same encoder and weights: the teacher (A alone), the student (A, and what the teacher says of half
of B, as many steps), and a control (A alone, twice the steps: as many crops as the student sees). One cycle, everything
trained; the threshold of each comes from A's columns 638596-638599, which nobody trains on. Writes
results/teacher_zanzibar_SEED.json beside this file. """
import argparse, json, os, platform, sys, tempfile, time, warnings
from pathlib import Path

import torch
from fastai.callback.core import Callback, CancelFitException

from satseg_fastai import __version__
from satseg_fastai.bundle.file import save_bundle
from satseg_fastai.data.datasets import chips
from satseg_fastai.data.loaders import scene_dls
from satseg_fastai.files import write_json
from satseg_fastai.scene.predict import predict_scene
from satseg_fastai.scores.threshold import RocHistogram
from satseg_fastai.training.learner import seg_learner
from satseg_fastai.training.teacher import SoftCrops, SoftLabels, teacher_facts
from satseg_fastai.validation.maps import add_scene

HERE = Path(__file__).parent
HELD = '638596', '638597', '638598', '638599'             # columns of A for the threshold
BARE = tuple(str(x) for x in range(638586, 638593))       # columns of B without labels; 638593-638599 are reported
ARGS = dict(se_unet=dict(norm='batch', decoder_width=(256, 128, 64, 32, 16)))


def column(pair): return pair.image.stem.split('_')[1]


def parts(data):
    "Pairs to train on, for the threshold, without labels, and for the report."
    pairs = chips(data/'hotosm_pairs/z20')
    a, b = ([p for p in pairs if p.group == f'zanzibar_{site}'] for site in 'AB')
    held, bare = ([p for p in a if column(p) in HELD], [p for p in b if column(p) in BARE])
    return [p for p in a if p not in held], held, bare, [p for p in b if p not in bare]


class Steps(Callback):
    "Ends after so many steps, for a trial of the script."
    run_valid = False
    def __init__(self, most): self.most, self.done = most, 0
    def after_batch(self):
        self.done += 1
        if self.done >= self.most: raise CancelFitException


def trained(train, held, args, steps, soft=None):
    "A Learner after one cycle; its seconds."
    dls = scene_dls(train, held, size=256, bs=8, seed=args.seed, num_workers=0)
    learn = seg_learner(dls, args.arch, 'tf_efficientnet_lite0', weights=args.weights, pretrained=False, wd=1e-2,
                        seed=args.seed, **ARGS.get(args.arch, {}))
    if soft: learn.add_cb(SoftLabels(SoftCrops(*soft, dls.store.bands, dls.stats, 256, [0, 1], args.seed), args.weight))
    epochs, began = max(1, round(steps/len(dls.train))), time.perf_counter()
    learn.unfreeze()
    with learn.no_bar(): learn.fit_one_cycle(epochs, args.lr, cbs=Steps(steps) if steps < len(dls.train) else None)
    return learn, dict(steps=min(steps, epochs*len(dls.train)), epochs=epochs,
                       seconds=round(time.perf_counter() - began, 1))


def histogram(learn, pairs, folder):
    "Stitched chips against their labels."
    found = RocHistogram()
    for i, p in enumerate(pairs):
        predict_scene(learn.model, p.image, Path(folder)/f'{i}.tif', size=256, stats=learn.dls.stats, progress=False)
        add_scene(found, Path(folder)/f'{i}.tif', p)
    return found


def at(h, threshold):
    "IoU and accuracy of a histogram at a threshold."
    c = h.curves()
    i = (c.thresholds >= threshold).nonzero()[0].max()
    return float(c.iou[i]), float(c.accuracy[i])


def scores(learn, held, report):
    "Threshold of the held ground and its IoU elsewhere."
    with tempfile.TemporaryDirectory() as folder:
        choice, there = histogram(learn, held, folder).best(), histogram(learn, report, folder)
    iou, accuracy = at(there, choice.threshold)
    return dict(threshold=float(choice.threshold), iou_where_chosen=float(choice.iou), iou=iou, accuracy=accuracy,
                best_iou=float(there.best().iou))


def main(args):
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    warnings.filterwarnings('ignore', message='.*has no CRS')
    train, held, bare, report = parts(args.data)
    teacher, how = trained(train, held, args, args.steps)
    found = dict(teacher={**scores(teacher, held, report), **how})
    args.work.mkdir(parents=True, exist_ok=True)
    bundle, maps = save_bundle(args.work/f'teacher_{args.seed}.safetensors', teacher), []
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        for i, p in enumerate(bare):
            maps.append(Path(folder)/f'{i}.tif')
            predict_scene(bundle, p.image, maps[-1], progress=False)
        student, how = trained(train, held, args, args.steps, ([p.image for p in bare], maps))
        found['student'] = {**scores(student, held, report), **how, 'teacher': teacher_facts(bundle, bare, args.weight)}
    control, how = trained(train, held, args, 2*args.steps)
    found['control'] = {**scores(control, held, report), **how}
    result = dict(
        site='zanzibar', arch=args.arch, encoder='tf_efficientnet_lite0', weights=Path(args.weights).name,
        seed=args.seed, crop=256, batch=8, weight=args.weight,
        optimizer=f'AdamW, one cycle to {args.lr:g}, weight decay 1e-2, everything trained', split=parts.__doc__,
        chips=[len(p) for p in (train, held, bare, report)], **found, command=
        f'python nbs/experiments/teacher.py --data DATA --weights FILE --seed {args.seed} --steps {args.steps} --arch '
        f'{args.arch} --weight {args.weight:g} --lr {args.lr:g}',
        machine=f'{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, no GPU'
        if not torch.cuda.is_available() else torch.cuda.get_device_name(),
        versions=dict(satseg_fastai=__version__, torch=torch.__version__, python=platform.python_version()))
    write_json(args.out/f'teacher_zanzibar_{args.seed}.json', result)
    print(json.dumps(result, indent=1))


if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--data', type=Path, default=os.environ.get('SATSEG_DATA'))
    a.add_argument('--weights', type=Path, required=True,
                   help='ImageNet weights of tf_efficientnet_lite0, .safetensors with the names of timm')
    a.add_argument('--arch', choices=('fpn', 'se_unet'), default='fpn')
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--steps', type=int, default=150)
    a.add_argument('--lr', type=float, default=2e-3)
    a.add_argument('--weight', type=float, default=1.)
    a.add_argument('--out', type=Path, default=HERE/'results')
    a.add_argument('--work', type=Path, default=Path('models/experiments'))
    a = a.parse_args()
    if not a.data: sys.exit('give the folder of real imagery with --data, or set SATSEG_DATA')
    a.data = Path(a.data)
    main(a)
