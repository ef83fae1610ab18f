"""Cleaning a mask on disk band by band, against scikit-image on the same mask in memory, and the peak memory of two
heights.

Prints JSON: the ratio of times and whether the pixels are the same, for a square mask; the growth in MB above a process
that has cleaned a small mask, for each height; the seconds of the default grid search on the square. Making masks is
not timed; scikit-image's side includes reading and writing the same files. The peak is VmHWM, so this needs Linux; the
measured processes give arrays and blocks back to the system at once (MALLOC_MMAP_THRESHOLD_), or the gaps that the C
library keeps would blur the figure by a quarter. """
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TARGET_RATIO, TARGET_SPREAD, OBJECT, HOLE = 3., .1, 100, 60


def noise(rows, width, seed):
    "Blobs of every size, a fifth of the area, the same for the same seed."
    from scipy import ndimage
    z = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((rows, width), dtype=np.float32), 4)
    return (z > .84*z.std()).astype(np.uint8)


def make_mask(path, height, width, seed=0):
    "A tiled mask made of bands."
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window
    profile = dict(driver='GTiff', height=height, width=width, count=1, dtype='uint8', nodata=255, crs='EPSG:32645',
                   tiled=True, blockxsize=512, blockysize=512, compress='deflate', zlevel=1,
                   transform=from_origin(330_000, 3_060_000, .3, .3))
    with rasterio.open(path, 'w', **profile) as ds:
        for row in range(0, height, 1000):
            n = min(1000, height - row)
            ds.write(noise(n, width, [seed, row]), 1, window=Window(0, row, width, n))


def peak_mb():
    "The most memory this process has held, in MB of 2^20 bytes."
    return int(Path('/proc/self/status').read_text(encoding='utf-8').split('VmHWM:')[1].split()[0])/1024


def ours(src, dst):
    "Seconds of clean_mask."
    from satseg_fastai.maps.clean import Clean, clean_mask
    start = time.perf_counter()
    found = clean_mask(src, dst, Clean(OBJECT, HOLE))
    return time.perf_counter() - start, found


def theirs(src, dst):
    "Seconds of reading, two calls of scikit-image, and writing."
    from skimage.morphology import remove_small_holes, remove_small_objects
    from satseg_fastai.geo.raster import Scene, write_cog
    start = time.perf_counter()
    with Scene(src) as s:
        x = s.read(0, 0, s.height, s.width)[0]
        y = remove_small_holes(remove_small_objects(x == 1, max_size=OBJECT - 1), max_size=HOLE - 1)
        inside = time.perf_counter() - start
        write_cog(dst, s, [(0, y.astype(np.uint8))], nodata=255)
    return time.perf_counter() - start, inside


def speed(args, folder):
    "Both in turn, the fastest of each, and the search."
    from satseg_fastai.labels.classes import building
    from satseg_fastai.maps.clean import search_clean
    from satseg_fastai.geo.raster import Scene
    src, a, b = (folder/f'{n}.tif' for n in ('square', 'ours', 'theirs'))
    make_mask(src, args.side, args.side)
    runs = [(*ours(src, a), *theirs(src, b)) for _ in range(args.rounds)]
    with Scene(a) as p, Scene(b) as q:
        same = bool((p.read(0, 0, args.side, args.side) == q.read(0, 0, args.side, args.side)).all())
    start = time.perf_counter()
    if args.search: search_clean([(src, b, None)], building())
    search = time.perf_counter() - start
    mine, other = min(r[0] for r in runs), min(r[2] for r in runs)
    return dict(side=args.side, ratio=round(mine/other,
                                            2), target_ratio=TARGET_RATIO, same=same, seconds=round(mine, 2),
                skimage_seconds=round(other, 2), skimage_bare_seconds=round(min(r[3] for r in runs), 2),
                search_seconds=round(search, 1) if args.search else None, **runs[0][1])


def child(args):
    "Clean one mask here; MB before and after."
    small = args.folder/f'small{args.child:07}.tif'
    make_mask(small, 600, 600)
    ours(small, small.with_name(f'small{args.child:07}_clean.tif'))
    before = peak_mb()
    seconds, _ = ours(args.folder/f'{args.child:07}.tif', args.folder/f'{args.child:07}_clean.tif')
    return dict(height=args.child, base_mb=round(before), growth_mb=round(peak_mb() - before),
                seconds=round(seconds, 1))


def memory(args, folder):
    "Each height in a process of its own."
    out = []
    for h in args.height:
        make_mask(folder/f'{h:07}.tif', h, args.width)
        words = [sys.executable, __file__, '--child', str(h), '--folder', str(folder)]
        out.append(
            json.loads(
                subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True,
                               env=os.environ | dict(MALLOC_MMAP_THRESHOLD_='100000')).stdout))
    return out


def main(args):
    "Speed, then memory."
    with tempfile.TemporaryDirectory(dir=args.tmp) as tmp: first, runs = speed(args, Path(tmp)), memory(args, Path(tmp))
    growth = [r['growth_mb'] for r in runs]
    spread = (max(growth) - min(growth))/max(growth)
    return dict(**first, width=args.width, runs=runs, spread=round(spread, 3), target_spread=TARGET_SPREAD,
                reached=first['same'] and first['ratio'] <= TARGET_RATIO and spread <= TARGET_SPREAD,
                machine=platform.machine(), python=platform.python_version())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--side', type=int, default=5000, help='pixels of the square mask')
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--no-search', dest='search', action='store_false', help='leave out the grid search')
    parser.add_argument('--width', type=int, default=5000, help='of the masks whose memory is measured')
    parser.add_argument('--height', type=int, nargs='+', default=[5_000, 20_000])
    parser.add_argument('--tmp', help='where the masks go')
    parser.add_argument('--child', type=int, help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(child(args) if args.child else main(args), indent=None if args.child else 1))
