"""What a whole scene costs beyond the network: wall time of predict_scene over the time of the bare forward passes on
the same batches.

Prints one JSON line. Both are measured in turn, `--rounds` times, and the fastest of each counts; `ratio_inside`
compares the wall time with the forward passes of that same run, which a busy machine disturbs less. `engine_mp_s` are
megapixels of the scene a second that is not spent inside the network: with `--network free`, one 1x1 convolution, what
the engine can do at most. Importing and making the scene are not timed. """
import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

TARGET = 1.05
ENGINE_TARGET = 20
STATS = ([120., 110., 100.], [40., 45., 50.])


class Timed(torch.nn.Module):
    "A network that adds up the time of its forward passes."
    def __init__(self, net): super().__init__(); self.net, self.seconds = net, 0.
    def forward(self, x):
        start = time.perf_counter()
        y = self.net(x)
        if x.is_cuda: torch.cuda.synchronize()
        self.seconds += time.perf_counter() - start
        return y


def smooth_scene(path, side):
    "Smooth noise as a tiled three-band GeoTIFF: it compresses as pictures do, and no window is without data."
    import rasterio
    from rasterio.transform import from_origin
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 1, (1, 3, side//50 + 2, side//50 + 2)).astype('float32'))
    x = torch.nn.functional.interpolate(coarse, (side, side), mode='bilinear')[0].numpy()
    x = np.clip(x*200 + 25 + rng.normal(0, 4, x.shape).astype('float32'), 1, 255).astype('uint8')
    with rasterio.open(path, 'w', driver='GTiff', height=side, width=side, count=3, dtype='uint8', crs='EPSG:32645',
                       nodata=0, tiled=True, blockxsize=256, blockysize=256, compress='deflate',
                       transform=from_origin(330_000, 3_060_000, .3, .3)) as ds:
        ds.write(x)


def batches(src, args):
    "The batches of predict_scene, one at a time."
    from satseg_fastai.geo.raster import Scene
    from satseg_fastai.scene.predict import normalize
    from satseg_fastai.geo.tiling import Grid
    with Scene(src) as scene:
        for band in Grid(scene.height, scene.width, args.size, args.overlap).bands():
            for i in range(0, len(band.windows), args.batch):
                yield np.stack([normalize(*scene.read_valid(*w), STATS) for w in band.windows[i:i + args.batch]])


def bare(net, src, args):
    "Seconds of the forward passes alone; reading is not timed."
    timed = Timed(net)
    with torch.inference_mode():
        for x in batches(src, args): timed(torch.from_numpy(x).to(args.device, memory_format=torch.channels_last))
    return timed.seconds


def whole(net, src, dst, args):
    "Seconds of predict_scene, and of the forward passes in it."
    from satseg_fastai.scene.predict import predict_scene
    timed, start = Timed(net), time.perf_counter()
    receipt = predict_scene(timed, src, dst, size=args.size, overlap=args.overlap, batch_size=args.batch,
                            device=args.device, stats=STATS, progress=False)
    return time.perf_counter() - start, timed.seconds, receipt['windows']


def profiled(net, src, dst, args):
    "Where predict_scene spends its time, by function: cumulative seconds in the main thread."
    import cProfile
    import pstats
    profile = cProfile.Profile()
    profile.runcall(whole, net, src, dst, args)
    stats = pstats.Stats(profile).stats
    wanted = ('add', 'advance', 'finish', 'valid', 'score_levels', '_write_rows', '_verify', '_write', 'copy',
              'result', '__call__', 'file_sha256', 'model_sha256', '_n_out')
    return {f'{Path(f).stem}.{name}': round(t[3], 2) for (f, _, name), t in stats.items()
            if name in wanted and ('satseg' in f or name in ('result', 'copy')) and t[3] > .01}


def build(args):
    "The network, in evaluation mode on its device."
    torch.manual_seed(0)
    if args.network == 'free': return torch.nn.Conv2d(3, 2, 1).eval().to(args.device)
    from satseg_fastai.models.unet import SEDynamicUnet
    net = SEDynamicUnet(args.encoder, decoder_width=args.decoder_width, norm='batch').eval()
    return net.to(args.device, memory_format=torch.channels_last)


def measure(net, src, dst, args):
    "Both in turn; the fastest of each."
    with torch.inference_mode():
        net(torch.from_numpy(next(batches(src, args))).to(args.device, memory_format=torch.channels_last))
    pairs = [(bare(net, src, args), *whole(net, src, dst, args)) for _ in range(args.rounds)]
    forward, wall = min(p[0] for p in pairs), min(p[1] for p in pairs)
    outside = min(p[1] - p[2] for p in pairs)
    engine = dict(engine_mp_s=round(args.side**2/1e6/outside, 2), engine_target=ENGINE_TARGET)
    inside = min(p[1]/p[2] for p in pairs)
    return dict(**engine, ratio=round(wall/forward, 4), ratio_inside=round(inside, 4), target=TARGET,
                seconds=round(wall, 2), forward_seconds=round(forward, 2), windows=pairs[0][3],
                all_seconds=[[round(t, 2) for t in p[:3]] for p in pairs])


def main(args):
    "The figures, the settings and the machine."
    net = build(args)
    with tempfile.TemporaryDirectory() as folder:
        src, dst = Path(folder)/'scene.tif', Path(folder)/'prob.tif'
        smooth_scene(src, args.side)
        out = measure(net, src, dst, args)
        if args.profile: out['profile'] = profiled(net, src, dst, args)
    gpu = dict(gpu=torch.cuda.get_device_name()) if args.device != 'cpu' else {}
    return dict(**out, settings={k: v for k, v in vars(args).items() if k != 'profile'}, machine=platform.machine(),
                **gpu, cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--side', type=int, default=5000, help='pixels of the square scene')
    parser.add_argument('--size', type=int, default=512, help='patch side')
    parser.add_argument('--overlap', type=float, default=.5)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--network', choices=('se_unet', 'free'), default='se_unet')
    parser.add_argument('--encoder', default='test_resnet')
    parser.add_argument('--decoder-width', type=int, nargs='+', default=[128, 64, 48, 32, 24])
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--profile', action='store_true', help='one more run under cProfile')
    print(json.dumps(main(parser.parse_args())))
