"""Do the intervals of area figures hold what they promise? Towns mapped by a trained model, their true areas known.

    python nbs/experiments/areas.py map --work DIR
        train a model for each class table, map every town
    python nbs/experiments/areas.py figures --work DIR --out areas.jsonl
        one JSON line for each table, ground and estimator

The towns are synthetic and made here. Estimators were compared on the `dev` towns; `test` and `odd` are for the report.
"""
import argparse, json, os, platform, time, warnings
from pathlib import Path

import numpy as np

TABLES = dict(building=('background', 'building'), five=('background', 'building', 'road', 'water', 'tree'))
COLORS = (0, 0, 0), (255, 0, 0), (128, 128, 128), (0, 0, 255), (0, 160, 0)
# palettes and layouts of training; tropic and organic stay unseen
SEEN = ('tile', 'metal', 'white', 'slate'), ('grid', 'radial', 'rows')
# towns, side, first seed
POOLS = dict(train=(12, 512, 100), hold=(1, 512, 300), valid=(36, 512, 1000), dev=(60, 384, 2000),
             test=(50, 384, 3000), odd=(50, 384, 4000))


def table_of(name):
    "The class table of one of the two models."
    from satseg_fastai.labels.classes import ClassTable
    return ClassTable(tuple((n, COLORS[i], i) for i, n in enumerate(TABLES[name])))


def crown_mask(town):
    "Which greenery lies below a tree's crown."
    r, c = np.mgrid[:town.valid.shape[0], :town.valid.shape[1]] + .5
    x = np.zeros(town.valid.shape, bool)
    for row, col, radius in town.trees: x |= (r - row)**2 + (c - col)**2 < radius**2
    return x & (town.classes == 0)


def truth_of(town, name):
    "Class indices of a town for one of the two models."
    if name == 'building': return town.buildings
    x = np.array([0, 0, 3, 1, 2], np.uint8)[town.classes]
    x[crown_mask(town)] = 4
    return x


def write_pool(pool, work):
    "The towns of one pool and their labels for both models; returns the seeds."
    from satseg_fastai.synth.town import make_town, write_tiff
    n, size, first = POOLS[pool]
    for i, seed in enumerate(range(first, first + n)):
        image = work/pool/'images'/f'{seed}.tif'
        if image.is_file(): continue
        town = make_town(size, size, seed, palette='tropic' if pool == 'odd' else SEEN[0][i % 4],
                         layout='organic' if pool == 'odd' else SEEN[1][i // 4 % 3])
        for name in TABLES: write_tiff(work/pool/name/f'{seed}.tif', truth_of(town, name)[None], town)
        (work/pool/'trees').mkdir(exist_ok=True)
        np.save(work/pool/'trees'/f'{seed}.npy', town.trees)
        write_tiff(image, town.image, town)


def pairs_of(pool, name, work):
    from satseg_fastai.data.datasets import Pair
    return [Pair(p, work/pool/name/p.name, p.stem) for p in sorted((work/pool/'images').glob('*.tif'))]


def train(name, crops, work, seed=0):
    "The demo's small model on the training towns, its threshold from one more town."
    from satseg_fastai.bundle.file import save_bundle
    from satseg_fastai.data.loaders import scene_dls, seg_augment
    from satseg_fastai.training.learner import fit_recipe, seg_learner
    hold = pairs_of('hold', name, work)
    dls = scene_dls(pairs_of('train', name, work), hold, table_of(name), size=128, bs=8, seed=seed,
                    augment=seg_augment(max_rotate=0, max_lighting=.25), max_scale=1.1)
    learn = seg_learner(dls, encoder='test_resnet', pretrained=False, decoder_width=(128, 64, 48, 32, 24), wd=1e-2,
                        seed=seed)
    with learn.no_bar(), learn.no_logging(): fit_recipe(learn, max(1, round(crops/len(dls.train_ds))), 0, lr=6e-3)
    bundle = save_bundle(work/f'{name}.safetensors', learn)
    if name == 'building': choose(bundle, hold)
    return bundle


def choose(bundle, pairs):
    "The threshold, stored in the bundle."
    from satseg_fastai.validation.run import choose_threshold
    choose_threshold(bundle, pairs, progress=False)


def map_all(a):
    "Train both models and map every town that is not for training."
    import torch
    from satseg_fastai.workflow import map_scenes
    torch.set_num_threads(a.threads)
    for pool in POOLS: write_pool(pool, a.work)
    for name in TABLES:
        begun = time.perf_counter()
        bundle = a.work/f'{name}.safetensors'
        if not bundle.is_file(): train(name, a.crops, a.work)
        seconds = round(time.perf_counter() - begun, 1)
        for pool in ('valid', 'dev', 'test', 'odd'):
            map_scenes(bundle, a.work/pool/'images', a.work/pool/f'{name}_maps', progress=False)
        (a.work/f'{name}.json').write_text(json.dumps(dict(train_seconds=seconds, crops=a.crops)))
        print(name, f'trained in {seconds} s, mapped after {time.perf_counter() - begun:.0f} s', flush=True)


def counts_of(mask, label, k, size):
    "Mapped x reference counts of the blocks of one town."
    from satseg_fastai.areas.blocks import block_counts
    return np.concatenate(
        [block_counts(mask[r:r + size], label[r:r + size], k, size) for r in range(0, len(mask), size)])


def load(a, name):
    "Masks and labels of the mapped towns, by pool."
    return {
        pool: [(read_mask(a.work/pool/f'{name}_maps'/f'{p.image.stem}_mask.tif'), read_mask(p.label))
               for p in pairs_of(pool, name, a.work)] for pool in ('valid', 'dev', 'test', 'odd')
    }


def estimators(valid, k):
    """How to make an interval from some validation towns: name -> function (towns, confusion of a scene) -> low,
    high, warned."""
    from satseg_fastai.areas.estimate import block_bootstrap, join_blocks, stratified_areas
    blocks = {size: [counts_of(m, l, k, size) for m, l in valid] for size in (64, 128, 256)}
    def boot(size, scenes):
        def run(pick, t):
            b = join_blocks(blocks[size][i] for i in pick)
            c = block_bootstrap(b if scenes else b.confusions, t.sum(1),
                                t.sum()*len(b.confusions)/b.confusions.sum(), draws=500)
            return c.low, c.high, bool(c.outside)
        return run
    def pixels(pick, t):
        "Pixels of the validation towns as an independent sample."
        s = stratified_areas(np.maximum(sum(blocks[256][i].sum(0) for i in pick), 1e-9) + 2*np.eye(k), t.sum(1))
        return s.area - s.area_pm, s.area + s.area_pm, False

    return {
        'pixels as independent sample': pixels, **{
            f'blocks of {size} px': boot(size, False) for size in (64, 128, 256)
        }, 'blocks of 256 px within scenes': boot(256, True)
    }


def coverage(run, scenes, n_valid, draws, of=36):
    """For each draw of the validation towns the share of scenes whose truth lies inside (draws,K), half widths
    relative to the truth, warnings."""
    hits, widths, warned = [], [], []
    for d in range(draws):
        pick = np.random.default_rng(d).permutation(of)[:n_valid]
        found = [(run(pick, t), t.sum(0)) for t in scenes]
        hits.append(np.mean([(lo <= true) & (true <= hi) for (lo, hi, _), true in found], 0))
        widths.append(np.median([(hi - lo)/2/np.maximum(1, true) for (lo, hi, _), true in found], 0))
        warned.append(np.mean([w for (_, _, w), _ in found]))
    return np.array(hits), np.mean(widths, 0), float(np.mean(warned))


def ground_line(scenes, valid, k):
    "Quality of the maps of one pool, and the error of areas as mapped and as corrected by all validation towns."
    from satseg_fastai.areas.estimate import reference_rates
    t, total = sum(scenes), reference_rates(sum(counts_of(m, l, k, 512).sum(0) for m, l in valid))
    off = lambda f: np.median([abs(f(s) - s.sum(0))/np.maximum(1, s.sum(0)) for s in scenes], 0).round(4).tolist()
    bias = lambda f: (sum(f(s) for s in scenes)/t.sum(0) - 1).round(4).tolist()
    mapped, corrected = (lambda s: s.sum(1)), (lambda s: s.sum(1) @ total)
    return dict(iou=(np.diag(t)/(t.sum(0) + t.sum(1) - np.diag(t))).round(4).tolist(), error_mapped=off(mapped),
                error_corrected=off(corrected), bias_mapped=bias(mapped), bias_corrected=bias(corrected))


BLOCK = 256  # side of the blocks of counts
KINDS = dict(
    building=[('objects', 'building'), ('size', 'building')], five=[('objects', 'building'), ('size', 'building'),
                                                                    ('trees', 'tree'), ('planted', 'tree'),
                                                                    ('width', 'road')])


def sums(points, weights, side):
    from satseg_fastai.validation.blocks import sums_of_blocks
    return sums_of_blocks(points, weights, (0, 0, side, side), BLOCK)


def town_counts(a, name, pool):
    """For each town and kind of count (B,2) or (B,4), as `count_correction` takes them; `planted` are the trees of
    the town instead of the crowns of its label."""
    from satseg_fastai.validation.blocks import raster_marks
    five, side, out = name == 'five', POOLS[pool][1], []
    for p in pairs_of(pool, name, a.work):
        both = [
            raster_marks(path, table_of(name), 'tree' if five else None, 'road' if five else None)
            for path in (a.work/pool/f'{name}_maps'/f'{p.image.stem}_mask.tif', p.label)
        ]
        mask, label = (read_mask(path) for path in (a.work/pool/f'{name}_maps'/f'{p.image.stem}_mask.tif', p.label))
        c = counts_of(mask, label, len(TABLES[name]), BLOCK)
        pair = lambda key, weighted=False: [sums(m[key][0], m[key][1] if weighted else None, side) for m in both]
        own = {
            'objects': np.stack(pair(('objects', 'building')), -1),
            'size': np.stack([c[:, 1].sum(1), c[:, :, 1].sum(1), *pair(('objects', 'building'))], -1)
        }
        if five:
            planted = np.load(a.work/pool/'trees'/f'{p.image.stem}.npy')[:, :2]
            planted = planted[((planted >= 0) & (planted < side)).all(1)]
            own |= dict(trees=np.stack(pair(
                ('trees', 'tree')), -1), planted=np.stack([pair(
                    ('trees', 'tree'))[0], sums(planted, None, side)], -1),
                        width=np.stack([*pair(('streets', 'road'), True), *pair(('streets', 'road'))], -1))
        out.append(own)
    return out


def read_mask(path):
    from satseg_fastai.geo.raster import Scene
    with Scene(path) as s: return s.read(0, 0, s.height, s.width)[0]


def mapped_and_true(v):
    "A town's figure from its sums: a count, or a mean."
    mapped, true, *n = v.sum(0)
    return (mapped, true) if not n else (mapped/n[0] if n[0] else 0, true/n[1] if n[1] else np.nan)


def count_line(valid, towns, kind, draws, n_valid=12):
    "Coverage of a corrected count or mean over the towns where there is any, and its errors."
    from satseg_fastai.areas.estimate import count_correction
    hits, mapped, off, widths, n = [], [], [], [], 0
    for d in range(draws):
        pick = np.random.default_rng(d).permutation(len(valid))[:n_valid]
        values = np.concatenate([valid[i][kind] for i in pick])
        scenes = np.repeat(np.arange(n_valid), [len(valid[i][kind]) for i in pick])
        pairs = [(m, t) for m, t in (mapped_and_true(v[kind]) for v in towns) if m > 0 and t > 0]
        found = [(count_correction(values, m, scenes, (384/BLOCK)**2, draws=500), m, t) for m, t in pairs]
        hits.append(np.mean([c.low <= t <= c.high for c, _, t in found])); n = len(found)
        mapped.append(np.median([abs(m - t)/t for _, m, t in found]))
        off.append(np.median([abs(c.count - t)/t for c, _, t in found]))
        widths.append(np.median([(c.high - c.low)/2/t for c, _, t in found]))
    mean = lambda v: round(float(np.mean(v)), 4)
    return dict(coverage=mean(hits), coverage_sd=round(float(np.std(hits)),
                                                       4), coverage_min=round(float(np.min(hits)), 4),
                half_width=mean(widths), error_mapped=mean(mapped), error_corrected=mean(off), towns=n)


def figures(a):
    "One line for each class table, ground and estimator."
    import torch
    from satseg_fastai import __version__
    where = dict(
        machine=f'{platform.machine()}, {os.cpu_count()} cores, no GPU', threads=a.threads,
        command='python nbs/experiments/areas.py map && python nbs/experiments/areas.py figures',
        versions=dict(satseg_fastai=__version__, torch=torch.__version__, numpy=np.__version__,
                      python=platform.python_version()), pools=POOLS)
    lines = []
    for name, names in TABLES.items():
        maps, k = load(a, name), len(names)
        valid = town_counts(a, name, 'valid')
        runs, about = estimators(maps['valid'], k), json.loads((a.work/f'{name}.json').read_text())
        for pool in ('dev', 'test', 'odd'):
            scenes = [counts_of(m, l, k, 512).sum(0) for m, l in maps[pool]]
            common = dict(model=name, classes=names, ground=pool, scenes=len(scenes))
            lines.append(dict(what='maps', **common, **ground_line(scenes, maps['valid'], k), **about, **where))
            for n_valid in (12, 6, 4) if pool != 'odd' else (12,):
                for how, run in runs.items():
                    hits, width, warned = coverage(run, scenes, n_valid, a.draws)
                    lines.append(
                        dict(what='area', **common, how=how, validation_towns=n_valid, draws=a.draws,
                             coverage=hits.mean(0).round(4).tolist(), coverage_sd=hits.std(0).round(4).tolist(),
                             coverage_min=hits.min(0).round(4).tolist(), half_width=width.round(4).tolist(),
                             warned=round(warned, 4)))
                    print(name, pool, n_valid, how, lines[-1]['coverage'], lines[-1]['half_width'], warned, flush=True)
            towns = town_counts(a, name, pool)
            for n_valid in (12, 6, 4) if pool == 'test' else (12,):
                for kind, cls in KINDS[name]:
                    lines.append(
                        dict(what='count', **common, kind=kind, cls=cls, validation_towns=n_valid, draws=a.draws,
                             **count_line(valid, towns, kind, a.draws, n_valid)))
                    print({k: v for k, v in lines[-1].items() if k != 'classes'}, flush=True)
    a.out.write_text(''.join(json.dumps(line) + '\n' for line in lines))



if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=('map', 'figures'))
    p.add_argument('--work', type=Path, default=Path('models/areas'), help='where the towns and maps are kept')
    p.add_argument('--out', type=Path, default=Path('areas.jsonl'))
    p.add_argument('--crops', type=int, default=4800); p.add_argument('--threads', type=int, default=1)
    p.add_argument('--draws', type=int, default=20, help='of the validation towns')
    warnings.simplefilter('ignore')
    args = p.parse_args()
    map_all(args) if args.what == 'map' else figures(args)
