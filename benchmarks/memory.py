"""The peak memory of predicting wide scenes of two heights, above a process that holds the model and has forwarded one
batch.

Prints JSON: the growth in MB for each height, how far the two are apart, and both against the targets. The scenes are
sparse GeoTIFFs with one filled part a row of windows, the model is one 1x1 convolution. The peak is VmHWM, so this
needs Linux. """
import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET_MB, TARGET_SPREAD = 1024, .1


def peak_mb():
    "The most memory this process has held, in MB of 2^20 bytes."
    return int(Path('/proc/self/status').read_text(encoding='utf-8').split('VmHWM:')[1].split()[0])/1024


def sparse_scene(path, height, width, filled, nodata):
    "A tiled three-band GeoTIFF whose blocks exist only in its first `filled` columns; the others read as 0."
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window
    rng = np.random.default_rng(0)
    profile = dict(driver='GTiff', height=height, width=width, count=3, dtype='uint8', crs='EPSG:32645',
                   transform=from_origin(330_000, 3_060_000, .3, .3), nodata=nodata, tiled=True, blockxsize=512,
                   blockysize=512, sparse_ok=True, bigtiff='IF_SAFER')
    with rasterio.open(path, 'w', **profile) as ds:
        for row in range(0, height, 512):
            h, w = min(512, height - row), min(filled, width)
            ds.write(rng.integers(1, 255, (3, h, w), dtype='uint8'), window=Window(0, row, w, h))


def child(args, folder):
    "Predict one scene here; MB before and after."
    import numpy as np
    import torch
    from satseg_fastai.scene.predict import Forward, evaluating, predict_scene
    torch.manual_seed(0)
    net = torch.nn.Conv2d(3, args.classes, 1)
    with evaluating(net): Forward(net, 'cpu')(np.ones((args.batch, 3, args.size, args.size), np.float32))
    before, start = peak_mb(), time.perf_counter()
    receipt = predict_scene(net, folder/f'{args.height[0]}.tif', folder/f'{args.height[0]}_prob.tif', size=args.size,
                            overlap=args.overlap, batch_size=args.batch, device='cpu', dtype=args.dtype,
                            progress=False)
    return dict(height=args.height[0], base_mb=round(before), growth_mb=round(peak_mb() - before),
                seconds=round(time.perf_counter() - start,
                              1), windows=receipt['windows'], windows_skipped=receipt['windows_skipped'])


def measure(args, height, folder):
    "Make the scene, and predict it in a process of its own."
    sparse_scene(folder/f'{height}.tif', height, args.width, args.filled, None if args.full else 0)
    words = [sys.executable, __file__, *sys.argv[1:], '--height', str(height), '--folder', str(folder)]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(args):
    "Each height in turn, and what sets them apart."
    with tempfile.TemporaryDirectory(dir=args.tmp) as folder:
        runs = [measure(args, h, Path(folder)) for h in args.height]
    growth = [r['growth_mb'] for r in runs]
    spread = (max(growth) - min(growth))/max(growth)
    return dict(width=args.width, size=args.size, overlap=args.overlap, batch=args.batch, classes=args.classes,
                dtype=args.dtype, runs=runs, growth_mb=max(growth), target_mb=TARGET_MB, spread=round(spread, 3),
                target_spread=TARGET_SPREAD, reached=max(growth) <= TARGET_MB and spread <= TARGET_SPREAD,
                machine=platform.machine(), python=platform.python_version())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--width', type=int, default=60_000)
    parser.add_argument('--height', type=int, nargs='+', default=[4_000, 8_000])
    parser.add_argument('--size', type=int, default=1024)
    parser.add_argument('--overlap', type=float, default=.5)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--classes', type=int, default=2)
    parser.add_argument('--dtype', default='uint16')
    parser.add_argument('--filled', type=int, default=2048, help='columns with data')
    parser.add_argument('--full', action='store_true', help='no nodata value: every window is computed')
    parser.add_argument('--tmp', help='where the scenes go')
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(child(args, args.folder) if args.folder else main(args), indent=None if args.folder else 1))
