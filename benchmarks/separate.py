"""The summits of one large region, where touching buildings are cut: by passes between basins, as the library does,
against an h-maxima reconstruction of scikit-image.

Prints JSON: the ratio of CPU times, how many summits each finds, and for each way the bytes a pixel that it needs above
the input, in a process of its own. The ground is smooth noise, the same for the same seed. The peak is VmHWM, so this
needs Linux. """
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

DEPTH = .25


def memory_mb(kind):
    "VmRSS: what this process holds; VmHWM: the most it has held, in MB of 2^20 bytes."
    return int(Path('/proc/self/status').read_text(encoding='utf-8').split(f'{kind}:')[1].split()[0])/1024


def by_passes(height):
    "As the library does."
    from satseg_fastai.maps.separate import summits
    return summits(height, DEPTH)


def by_reconstruction(height):
    "H-maxima of the logarithm."
    from scipy import ndimage
    from skimage.morphology import local_maxima, reconstruction
    near, g = ndimage.generate_binary_structure(2, 1), np.log(height)
    return ndimage.label(local_maxima(reconstruction(g + np.log1p(-DEPTH), g, footprint=near), footprint=near), near)


WAYS = dict(passes=by_passes, reconstruction=by_reconstruction)


def child(args):
    "Seconds, summits, and bytes a pixel of one way."
    from scipy import ndimage
    rng, way = np.random.default_rng(args.seed), WAYS[args.way]
    way(np.exp(rng.normal(size=(50, 50))))
    height = ndimage.gaussian_filter(rng.standard_normal((args.side, args.side), dtype=np.float32), 4).astype(float)
    height = np.exp(height/height.std())
    before, start = memory_mb('VmRSS'), time.process_time()
    n = way(height)[1]
    cpu = time.process_time() - start
    return dict(cpu=cpu, n=n, pixel_bytes=round((memory_mb('VmHWM') - before)*2**20/height.size, 1))


def main(args):
    "Both in turn, the fastest of each."
    words = [sys.executable, __file__, '--side', str(args.side), '--seed', str(args.seed)]
    env = os.environ | dict(MALLOC_MMAP_THRESHOLD_='100000')
    one = lambda way: json.loads(
        subprocess.run([*words, '--way', way], check=True, stdout=subprocess.PIPE, text=True, env=env).stdout)
    runs = [{w: one(w) for w in WAYS} for _ in range(args.rounds)]
    cpu = {w: [round(r[w]['cpu'], 2) for r in runs] for w in WAYS}
    return dict(side=args.side, ratio=round(min(cpu['passes'])/min(cpu['reconstruction']),
                                            2), cpu_seconds=cpu, summits={w: runs[0][w]['n'] for w in WAYS},
                same=runs[0]['passes']['n'] == runs[0]['reconstruction']['n'],
                pixel_bytes={w: runs[0][w]['pixel_bytes']
                             for w in WAYS}, machine=platform.machine(), python=platform.python_version())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--side', type=int, default=2500, help='pixels of the square region')
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--way', choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(child(args) if args.way else main(args), indent=None if args.way else 1))
