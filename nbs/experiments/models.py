"""Every model on the same ground, with the same steps or the same seconds: building IoU, boundary IoU, cost.

    python nbs/experiments/models.py town --pace --out pace.jsonl
        seconds a crop and megapixels a second, on a quiet machine
    python nbs/experiments/models.py town --out runs.jsonl             every row and seed with the same steps
    python nbs/experiments/models.py town --like pace.jsonl --out …
        each row with as many crops as fit into the dense model's seconds
    python nbs/experiments/models.py banepa --data DATA --encoder resnet18 …

The town is synthetic and made here. Rows and seeds can be chosen; --jobs runs several at a time, each with --threads
threads. Appends one JSON line a run; summary.py makes tables of them. """
import argparse, json, os, platform, statistics, subprocess, sys, tempfile, time, warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CAP = (128, 64, 48, 32, 24)       # decoder widths on the town
WIDTHS = (256, 128, 64, 32, 16)   # and on real ground: those of segmentation_models.pytorch's Unet
GSD = dict(zanzibar=.148)         # of chips without georeference, m a pixel
CROPS = dict(town=2400, banepa=2304, zanzibar=2304)
ROWS = {
    'dense': ('se_unet', {}), 'stride 4': ('se_unet', dict(coarse_stride=4)), 'stride 4 + PointRend':
        ('se_unet', dict(pointrend=True)), 'FPN': ('fpn', {}), 'FPN + PointRend': ('fpn', dict(pointrend=True)),
    'UNetResNet': ('unet_resnet', {}), 'PSPNet': ('pspnet', {}), 'DeepLabV3': ('deeplab', {}), 'smp Unet': None,
    'smp FPN': None
}
REAL = ('dense', 'stride 4', 'stride 4 + PointRend', 'smp Unet')
SMALL = dict(se_unet=dict(decoder_width=CAP), fpn=dict(pyramid_width=64, width=32), unet_resnet=dict(num_filters=8),
             pspnet=dict(width=64), deeplab=dict(width=64))
LARGE = dict(se_unet=dict(decoder_width=WIDTHS))


def town(data, work):
    """Twelve towns of 512² to train, one for the threshold, three of 768² for the report: seeds never seen, palettes
    and layouts of training."""
    from satseg_fastai.data.datasets import Pair
    from satseg_fastai.synth import LAYOUTS, PALETTES, make_town, write_town
    pick = lambda d, i: list(d)[i % len(d)]
    def pair(seed, size, i):
        image, label = work/'town/images'/f'{seed}.tif', work/'town/labels'/f'{seed}.tif'
        if not label.is_file():
            write_town(make_town(size, size, seed, palette=pick(PALETTES, i), layout=pick(LAYOUTS, i // 2)),
                       work/'town', f'{seed}')
        return Pair(image, label, f'{seed}')
    return [pair(100 + i, 512, i) for i in range(12)], [pair(300, 512, 1)], [pair(400 + i, 768, 2*i) for i in range(3)]


def ground(site, data, work):
    "Training, threshold and test pairs of a site."
    if site == 'town': return town(data, work)
    from buildings import SITES
    return SITES[site](data, work)[:3]


def smp_model(row, encoder, small):
    "segmentation_models.pytorch's model with the widths of ours."
    import segmentation_models_pytorch as smp
    kw = dict(encoder_name=f'tu-{encoder}', encoder_weights=None, classes=2)
    if row == 'smp Unet': return smp.Unet(decoder_channels=CAP if small else WIDTHS, **kw)
    return smp.FPN(**({**dict(decoder_pyramid_channels=64, decoder_segmentation_channels=32), **kw} if small else kw))


def learner(row, dls, encoder, site, seed):
    "A Learner of one row of the table, from random weights."
    from satseg_fastai.training.learner import seg_learner
    import torch
    small, (row, _, rend) = site == 'town', row.partition('|')
    arch, args = ROWS[row] or ('se_unet', {})
    if rend: args = {**args, 'pointrend': json.loads(rend)}
    learn = seg_learner(dls, arch, encoder, pretrained=False, wd=1e-2, seed=seed, mixed=False,
                        **(SMALL if small else LARGE).get(arch, {}), **args)
    if ROWS[row] is None:
        torch.manual_seed(seed)
        learn.model = smp_model(row, encoder, small)
        learn.splitter, learn.opt = (lambda m: [list(m.parameters())]), None
    return learn


def gmac(model, batch):
    "Multiply-adds an image as the model predicts it, in units of 1e9."
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    with torch.inference_mode(), FlopCounterMode(display=False) as f: model.eval()(batch)
    return f.get_total_flops()/2e9/len(batch)


def seconds(fn, batch):
    "Wall seconds of one call, the accelerator's work included."
    import torch
    sync = torch.cuda.synchronize if batch.is_cuda else (lambda: None)
    sync(); t = time.perf_counter()
    fn(); sync()
    return time.perf_counter() - t


def patches(pairs, dls, n=4, size=256):
    "Real patches of the test ground, normalized."
    import torch
    from satseg_fastai.geo.raster import Scene
    from satseg_fastai.scene.predict import normalize
    found = []
    for p in pairs[:n]*n:
        with Scene(p.image) as s:
            found.append(normalize(*s.read_valid((s.height - size)//2, (s.width - size)//2, size, size), dls.stats))
    return torch.stack([torch.from_numpy(x) for x in found[:n]]).to(dls.device)


def loaders(a):
    "DataLoaders of a site with its recipe's augmentation, and the pairs of all three parts."
    from satseg_fastai.data.loaders import scene_dls, seg_augment
    train, hold, test = ground(a.site, a.data, a.work)
    kw = dict(size=128, augment=seg_augment(max_rotate=0, max_lighting=.25),
              max_scale=1.1) if a.site == 'town' else dict(size=256)
    return scene_dls(train, hold, bs=8, seed=a.seed, num_workers=0, **kw), hold, test


def run_one(a):
    "Train, choose the threshold, report: one line."
    warnings.simplefilter('ignore')
    import torch
    from buildings import at, scored
    from satseg_fastai.geo.raster import Scene
    from satseg_fastai.scores.confusion import ratio
    torch.set_num_threads(a.threads)
    dls, hold, test = loaders(a)
    learn, steps = learner(a.row, dls, a.encoder, a.site, a.seed), max(1, round(a.crops/dls.train.bs))
    wall, cpu = time.perf_counter(), time.process_time()
    with learn.no_bar(), learn.no_logging(): fit_steps(learn, steps, 6e-3 if a.site == 'town' else 2e-3)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    with tempfile.TemporaryDirectory() as tmp:
        h, _ = scored(learn, hold, tmp)
        choice = h.best()
        t, counts = scored(learn, test, tmp, choice.threshold)
    with Scene(test[0].image) as s: gsd = s.gsd or GSD[a.site]
    iou, accuracy = at(t, choice.threshold)
    return dict(
        site=a.site, row=a.row, encoder=a.encoder, seed=a.seed, compare=a.compare, crops=steps*dls.train.bs, iou=iou,
        boundary_iou_3px=float(ratio(*counts)), boundary_band_m=gsd and round(3*gsd, 3), accuracy=accuracy,
        threshold=choice.threshold, gmac_256=round(gmac(learn.model, patches(test, dls)), 4), train_seconds=round(
            wall, 2), train_cpu_seconds=round(cpu, 2), parameters=sum(p.numel() for p in learn.model.parameters()),
        **circumstances(a.threads))


def pace(a, rows, rounds=3):
    "Seconds a crop in training and megapixels a second in prediction, the rows in turn: one line a row."
    warnings.simplefilter('ignore')
    import torch
    torch.set_num_threads(a.threads)
    steps = 12 if a.site == 'town' else 4
    made = {}
    for row in rows:
        dls, _, test = loaders(a)
        learn, batch = learner(row, dls, a.encoder, a.site, 0), patches(test, dls)
        learn.model.to(memory_format=torch.channels_last)  # as the Learner's callback does
        x = dls.train.one_batch()
        opt = torch.optim.AdamW(learn.model.parameters(), 1e-4)
        made[row] = (learn, batch, x, opt)
    found = {row: ([], []) for row in rows}
    for i in range(rounds + 1):
        for row, (learn, batch, x, opt) in made.items():
            train, predict = pair_of_times(learn, batch, x, opt, steps if i else 2)
            if i:
                found[row][0].append(train/steps/len(x[0]))
                found[row][1].append(batch.shape[0]*batch.shape[-1]*batch.shape[-2]/predict/1e6)
    for row, (crop, mps) in found.items():
        line = dict(site=a.site, row=row, encoder=a.encoder, compare='pace', seconds_per_crop=statistics.median(crop),
                    seconds_per_crop_range=[min(crop), max(crop)], megapixels_per_second=statistics.median(mps),
                    megapixels_per_second_range=[min(mps), max(mps)], crop=x[0].shape[-1], batch=len(x[0]),
                    **circumstances(a.threads))
        with open(a.out, 'a') as f: f.write(json.dumps(line) + '\n')
        print(f"{row:24} {line['seconds_per_crop']*1000:8.2f} ms a crop  {line['megapixels_per_second']:8.2f} MP/s",
              flush=True)


def pair_of_times(learn, batch, x, opt, steps):
    "Seconds of some training steps on one batch, and of predicting a batch of patches."
    import torch
    from satseg_fastai.training.pointrend import labels_at, point_loss
    def step():
        out = learn.model(x[0])
        out, extra = (out[0], out[1:]) if isinstance(out, tuple) else (out, ())
        loss = learn.loss_func(out, x[1])
        if len(extra) >= 2: loss = loss + point_loss(extra[0], labels_at(x[1], extra[1]))
        elif extra: loss = loss + .4*learn.loss_func(extra[0], x[1])
        opt.zero_grad(); loss.backward(); opt.step()
    learn.model.train()
    train = seconds(lambda: [step() for _ in range(steps)], batch)
    learn.model.eval()
    with torch.inference_mode():
        return train, statistics.median(seconds(lambda: learn.model(batch), batch) for _ in range(3))


def fit_steps(learn, steps, lr):
    "One cycle over an exact number of steps, without validation."
    from fastai.callback.core import Callback, CancelFitException, CancelValidException
    class Stop(Callback):
        order, done = 70, 0
        def before_validate(self): raise CancelValidException()
        def after_batch(self):
            self.done += 1
            self.learn.pct_train = min(1., self.done/steps)
            if self.done >= steps: raise CancelFitException()
    learn.fit_one_cycle(-(-steps//len(learn.dls.train)), lr, cbs=Stop())


def circumstances(threads):
    "Machine, threads and versions of a figure."
    import torch
    from satseg_fastai import __version__
    machine = torch.cuda.get_device_name() if torch.cuda.is_available(
    ) else f'{platform.machine()}, {os.cpu_count()} cores, no GPU'
    return dict(
        machine=machine, threads=threads, versions=dict(
            satseg_fastai=__version__, torch=torch.__version__, python=platform.python_version()))


def budget(like, site, encoder):
    "Crops of each row that take as the dense model's, by a file of paces."
    lines = [json.loads(line) for line in Path(like).read_text().splitlines()]
    pace = {
        r['row']: r['seconds_per_crop']
        for r in lines
        if r['compare'] == 'pace' and (r['site'], r['encoder']) == (site, encoder)
    }
    return {row: round(CROPS[site]*pace['dense']/p/8)*8 for row, p in pace.items()}


def main(a):
    if a.one: return print(json.dumps(run_one(a)), flush=True)
    ground(a.site, a.data, a.work)
    rows = a.rows if a.rows else list(ROWS) if a.site == 'town' else list(REAL)
    if a.pace: return pace(a, rows)
    crops = budget(a.like, a.site, a.encoder) if a.like else {}
    jobs = [(row, int(seed)) for seed in a.seeds.split(',') for row in rows if not (a.like and row == 'dense')]
    begun = time.perf_counter()
    def one(job):
        row, seed = job
        if time.perf_counter() - begun > a.limit: return print(f'not started: {row} {seed}', file=sys.stderr)
        command = [
            sys.executable, __file__, a.site, '--one', '--row', row, '--seed',
            str(seed), '--crops',
            str(crops.get(row, a.crops or CROPS[a.site])), '--threads',
            str(a.threads), '--encoder', a.encoder, '--compare', 'seconds' if a.like else 'steps',
            *(['--data', str(a.data)] if a.data else []), '--work',
            str(a.work)
        ]
        r = subprocess.run(
            command, capture_output=True, text=True, env={
                **os.environ, 'OMP_NUM_THREADS': str(a.threads),
                'PYTHONPATH': os.pathsep.join([str(HERE.parent.parent),
                                               os.environ.get('PYTHONPATH', '')])
            })
        if r.returncode: return print(f'{row} {seed} failed: {r.stderr[-1500:]}', file=sys.stderr)
        line = r.stdout.strip().splitlines()[-1]
        with open(a.out, 'a') as f: f.write(line + '\n')
        x = json.loads(line)
        print(
            f"{a.site} {row} {seed} [{x['compare']}]: IoU {x['iou']:.4f} boundary {x['boundary_iou_3px']:.4f} "
            f"{x['gmac_256']:.2f} GMAC {x['crops']} crops {x['train_seconds']:.0f} s",
            flush=True)
    with ThreadPoolExecutor(a.jobs) as pool: list(pool.map(one, jobs))


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('site', choices=CROPS)
    p.add_argument('--data', type=Path, default=os.environ.get('SATSEG_DATA'))
    p.add_argument('--encoder', default='test_resnet')
    p.add_argument('--rows', nargs='+', help="names; 'NAME|JSON' gives PointRend other arguments than its own")
    p.add_argument('--seeds', default='0,1,2'); p.add_argument('--crops', type=int)
    p.add_argument('--like', type=Path); p.add_argument('--out', type=Path, default=Path('models.jsonl'))
    p.add_argument('--jobs', type=int, default=1)
    p.add_argument('--threads', type=int, default=os.cpu_count()); p.add_argument('--limit', type=float, default=1e9)
    p.add_argument('--work', type=Path, default=Path('models/experiments'), help='where the town is kept')
    p.add_argument('--one', action='store_true', help=argparse.SUPPRESS)
    p.add_argument('--row', help=argparse.SUPPRESS)
    p.add_argument('--pace', action='store_true', help='only measure speed')
    p.add_argument('--seed', type=int, default=0, help=argparse.SUPPRESS)
    p.add_argument('--compare', default='steps', help=argparse.SUPPRESS)
    main(p.parse_args())
