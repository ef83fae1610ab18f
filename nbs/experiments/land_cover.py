"""Land cover on real imagery: five classes of Dubai from random weights, the thresholds from one tile, the report from
another.

    OMP_NUM_THREADS=1 python nbs/experiments/land_cover.py --data DATA [--seed 0] [--crops 2736]

DATA is the folder of real labeled imagery. Writes results/land_cover_dubai_SEED.json beside this file; the bundle and
the maps go into --work. A bundle that is there already is not trained again. """
import argparse, json, os, platform, sys, warnings
from pathlib import Path

import numpy as np
import torch

from satseg_fastai.bundle.file import read_spec, save_bundle
from satseg_fastai.data.datasets import dubai
from satseg_fastai.data.loaders import scene_dls, seg_augment
from satseg_fastai.files import write_json
from satseg_fastai.labels.classes import dubai as dubai_classes
from satseg_fastai.training.learner import fit_recipe, seg_learner

HERE = Path(__file__).parent
NET = dict(arch='fpn', encoder='resnet18', pyramid_width=64, width=64)


def tiles(data):
    "Tiles 1, 2 and 3 to train, 5 for the thresholds, 6 for the report."
    pairs = dubai(data/'dubai')
    part = lambda *groups: [p for p in pairs if p.group in groups]
    return part('tile 1+3', 'tile 2'), part('tile 5'), part('tile 6')


def trained(bundle, train, hold, seed, crops):
    "Train and keep; validation between epochs looks at one part only, and nothing is chosen by it."
    dls = scene_dls(train, hold[:1], dubai_classes(), size=256, bs=8, stats='data',
                    augment=seg_augment(max_lighting=.3), seed=seed, num_workers=0)
    learn = seg_learner(dls, pretrained=False, wd=1e-2, seed=seed, **NET)
    with learn.no_bar(): fit_recipe(learn, max(1, round(crops/len(dls.train_ds))), 0, lr=2e-3)
    return save_bundle(bundle, learn)


def report(bundle, pairs, folder):
    "Every part mapped once and judged by both rules: pixel counts of truth and map, and what follows from them."
    from satseg_fastai.evaluate.pixels import evaluate
    from satseg_fastai.maps.mask import write_mask
    from satseg_fastai.scores.confusion import Confusion
    from satseg_fastai.workflow import map_scenes
    table, rules = read_spec(bundle).table, ('argmax', 'thresholds')
    sums = {rule: Confusion(table.n) for rule in rules}
    for p, r in zip(pairs, map_scenes(bundle, [p.image for p in pairs], folder, size=512, progress=False)):
        prob, argmax = (folder/f'{p.image.stem}_{end}.tif' for end in ('prob', 'argmax'))
        write_mask(prob, argmax, None, table)
        for rule, mask in zip(rules, (argmax, folder/r['mask'])):
            sums[rule].counts += np.array(evaluate(mask, p.label)['confusion'])
    return {
        rule: dict(mean_iou=c.mean_iou(), accuracy=c.accuracy(), iou=dict(zip(table.names, map(float, c.iou()))),
                   confusion=c.counts.tolist()) for rule, c in sums.items()
    }


def main(a):
    from satseg_fastai.validation.run import choose_threshold
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    warnings.filterwarnings('ignore', message='.*has no CRS')
    train, hold, test = tiles(a.data)
    bundle, maps = a.work/f'land_cover_dubai_{a.seed}.safetensors', a.work/f'land_cover_dubai_{a.seed}'
    a.work.mkdir(parents=True, exist_ok=True)
    if not bundle.is_file(): trained(bundle, train, hold, a.seed, a.crops)
    choice = choose_threshold(bundle, hold, rule='thresholds', size=512, progress=False)
    spec, found = read_spec(bundle), report(bundle, test, maps)
    fit = spec['receipt']
    result = dict(
        site='dubai', **NET, pretrained=False, seed=a.seed,
        crops=fit['batches']*fit['batch_size']*fit['phases'][0]['epochs'], epochs=fit['phases'][0]['epochs'],
        crop=fit['crop'], batch=fit['batch_size'], optimizer='AdamW, one cycle to 2e-3, weight decay 1e-2',
        split=tiles.__doc__, scenes=[len(train), len(hold), len(test)], classes=[c['name'] for c in spec['classes']],
        thresholds=choice['values'], mean_iou_where_chosen=choice['mean_iou'], report=found,
        train_seconds=fit['seconds'], threads=fit['threads'], command=
        f'OMP_NUM_THREADS={fit["threads"]} python nbs/experiments/land_cover.py --data DATA --seed {a.seed} --crops '
        f'{a.crops}',
        machine=
        f'{platform.machine()}, {os.cpu_count()} cores, {fit["threads"]} thread{"s"*(fit["threads"] > 1)}, no GPU'
        if fit['device'] == 'cpu' else fit['device'], versions=fit['versions'])
    write_json(a.out/f'land_cover_dubai_{a.seed}.json', result)
    print(json.dumps(result, indent=1))


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', type=Path, default=os.environ.get('SATSEG_DATA'))
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--crops', type=int, default=2736)
    p.add_argument('--out', type=Path, default=HERE/'results')
    p.add_argument('--work', type=Path, default=Path('models/experiments'))
    a = p.parse_args()
    if not a.data: sys.exit('give the folder of real imagery with --data, or set SATSEG_DATA')
    a.data = Path(a.data)
    main(a)
