"""How many crops a second and core the loader gives, and on a GPU how close a Learner's step comes to the bare step.

Prints one JSON line. Crops are counted to the normalized, augmented batch on the CPU, in CPU seconds of one process
with one thread: ours with the scene in memory (warm), from the files (cold) and with memory for a quarter of it (over
budget); beside it fastai with a plain DataBlock on the same windows with the same augmentation, and torchgeo's
RandomGeoSampler, which only reads. All are measured in turn, `--rounds` times, and the fastest of each counts, since a
busy machine disturbs each of them. `ratio` is ours, warm, over fastai. """
import argparse
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from scene import smooth_scene

TARGET, STEP_TARGET = 250, .85


def make_pair(folder, side):
    "A scene of smooth noise and a label of its brighter half."
    import rasterio
    from satseg_fastai.data.datasets import Pair
    image, label = folder/'scene.tif', folder/'label.tif'
    smooth_scene(image, side)
    with rasterio.open(image) as ds: profile, bright = ds.profile, ds.read(1) > 125
    with rasterio.open(label, 'w', **{**profile, 'count': 1, 'nodata': None}) as ds: ds.write(bright.astype('uint8'), 1)
    return Pair(image, label)


def ours(pair, args, memory=None):
    "Our DataLoader as it comes."
    from satseg_fastai.data.loaders import scene_dls
    return scene_dls([pair], [pair], size=args.size, bs=args.batch, num_workers=0, device='cpu', memory=memory).train


def decoded_bytes(args):
    "The scene, its label and its validity in memory."
    return args.side**2*5


def warm(dl):
    "Decode the whole scene."
    store = dl.dataset.store
    for row in range(0, store.shapes[0][0], 64): store.read(0, (row, 0, 1, store.shapes[0][1]))
    return dl


def fastai_stock(pair, args):
    "What a fastai user writes: a DataBlock that reads windows, and fastai's own transforms."
    import rasterio
    from fastai.data.block import DataBlock
    from fastai.data.transforms import IntToFloatTensor, Normalize, RandomSplitter
    from fastai.torch_core import TensorImage, TensorMask
    from fastai.vision.augment import Brightness, Contrast, Dihedral, Rotate, Saturation, setup_aug_tfms
    from rasterio.windows import Window
    from satseg_fastai.data.loaders import IMAGENET, Item, draw_window
    opened = cache(rasterio.open)
    def window(number):
        row, col, height, width = draw_window(Item(0, number, args.size, None), (0, 0, args.side, args.side), 0)
        return Window(col, row, width, height)
    def sized(x, **how):
        return torch.nn.functional.interpolate(torch.from_numpy(x)[None].float(), (args.size, args.size), **how)[0]
    def get_x(number):
        return TensorImage(sized(opened(pair.image).read(window=window(number)), mode='bilinear', antialias=True))
    def get_y(number):
        return TensorMask(
            sized(opened(pair.label).read(1, window=window(number))[None], mode='nearest-exact')[0].long())

    tfms = setup_aug_tfms([
        Dihedral(p=.9),
        Rotate(max_deg=45, p=.5), *(t(max_lighting=.2, p=.75) for t in (Brightness, Contrast, Saturation))
    ])
    scaled = [v/255 for v in np.array(IMAGENET)]
    block = DataBlock(get_x=get_x, get_y=get_y, splitter=RandomSplitter(.01, seed=0),
                      batch_tfms=[IntToFloatTensor(), *tfms, Normalize.from_stats(*scaled)])
    return block.dataloaders(range(4096), bs=args.batch, num_workers=0, device='cpu').train


def torchgeo_stock(pair, args):
    "torchgeo's random windows of the same two rasters, without augmentation; None where it is not installed."
    try:
        from torchgeo.datasets import RasterDataset, stack_samples
        from torchgeo.samplers import RandomGeoSampler
    except ImportError:
        return print('torchgeo is not measured: pip install torchgeo', file=sys.stderr)
    class Masks(RasterDataset): is_image = False
    both = RasterDataset(str(pair.image)) & Masks(str(pair.label))
    sampler = RandomGeoSampler(both, size=args.size, length=1 << 20)
    return torch.utils.data.DataLoader(both, batch_size=args.batch, sampler=sampler, collate_fn=stack_samples)


def crops_a_second(dl, args, skip=1):
    "Over `--batches` batches, in CPU seconds; the first, which also sets things up, does not count."
    batches = iter(dl)
    for _ in islice(batches, skip): pass
    begun = time.process_time()
    n = sum(1 for _ in islice(batches, args.batches))
    return args.batch*n/(time.process_time() - begun)


def measure(pair, args):
    "Crops a second and core of each, the best of the rounds."
    quarter = decoded_bytes(args)//4
    kept = dict(warm=warm(ours(pair, args)), over_budget=warm(ours(pair, args, quarter)),
                fastai=fastai_stock(pair, args), torchgeo=torchgeo_stock(pair, args))
    kept = {name: dl for name, dl in kept.items() if dl is not None}
    found = {name: [] for name in ('cold', *kept)}
    for _ in range(args.rounds):
        found['cold'].append(crops_a_second(ours(pair, args), args, skip=0))
        for name, dl in kept.items(): found[name].append(crops_a_second(dl, args))
    held = kept['warm'].dataset.store.cache
    best = {name: round(max(values), 1) for name, values in found.items()}
    return dict(crops=best, ratio=round(best['warm']/best['fastai'],
                                        2), target=TARGET, megabytes_held=round(held.held*held.size/1e6),
                all={name: [round(v, 1) for v in values] for name, values in found.items()})


def clock(begun=None):
    "Seconds, when the device has nothing left to do."
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter() - (begun or 0)


def bare_step(learn, args, steps):
    """Seconds of a training step on one batch that is already on the device: forward, loss, backward, the same
    optimizer."""
    x, y = (o.as_subclass(torch.Tensor) for o in learn.dls.train.one_batch())
    x = x.contiguous(memory_format=torch.channels_last)
    def step():
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda): loss = learn.loss_func(learn.model(x), y)
        loss.backward(); learn.opt.step(); learn.opt.zero_grad()
    for _ in range(3): step()
    begun = clock()
    for _ in range(steps): step()
    return clock(begun)/steps


def learner_steps(learn):
    """Seconds of a step inside an epoch of the Learner, and of the whole epoch over its steps, the start of the
    workers included."""
    from fastai.callback.core import Callback
    class Clock(Callback):
        order, times = 90, []
        def before_train(self): self.times.clear(); self.times.append(clock())
        def after_batch(self):
            if self.training and self.iter in (2, self.n_iter - 1): self.times.append(clock())
    with learn.no_bar(), learn.no_logging(): learn.fit(3, 1e-4, cbs=(timer := Clock()))
    start, first, last = timer.times
    steps = len(learn.dls.train)
    return (last - first)/(steps - 3), (last - start)/steps


def training(pair, args):
    "The Learner's step with the default loader against the bare step."
    from satseg_fastai.data.loaders import scene_dls
    from satseg_fastai.training.learner import seg_learner
    piece = pair._replace(region=(0, 0, args.size, args.size))
    dls = scene_dls([pair], [piece], size=args.size, bs=args.batch)
    learn = seg_learner(dls, encoder=args.encoder, pretrained=False, metrics=[])
    step, with_start = learner_steps(learn)
    bare = bare_step(learn, args, len(dls.train))
    return dict(
        step_ratio=round(bare/step, 3), epoch_ratio=round(
            bare/with_start, 3), step_target=STEP_TARGET, bare_images=round(args.batch/bare, 1), learner_images=round(
                args.batch/step, 1), workers=dls.train.fake_l.num_workers)


def main(args):
    "The figures, the settings and the machine."
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pair = make_pair(Path(folder), args.side)
        out = measure(pair, args)
        if args.step or torch.cuda.is_available(): out.update(training(pair, args))
    gpu = dict(gpu=torch.cuda.get_device_name()) if torch.cuda.is_available() else {}
    return dict(**out, settings=vars(args), machine=platform.machine(), **gpu, cores=os.cpu_count(),
                threads=torch.get_num_threads(), torch=torch.__version__)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--side', type=int, default=4096, help='pixels of the square scene')
    parser.add_argument('--size', type=int, default=256, help='patch side')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--batches', type=int, default=25, help='of a measurement')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--encoder', default='resnet34', help='of the training step')
    parser.add_argument('--step', action='store_true', help='measure the training step without a GPU too')
    print(json.dumps(main(parser.parse_args())))
