"""The best threshold over 125 million pixels: RocHistogram, streamed, against scikit-learn's roc_curve on the same
pixels.

Prints JSON: the ratio of times, the peak memory of each process, and how far the IoU at our threshold, measured on the
raw scores, is from the best that scikit-learn finds. Making the pixels is not timed. """
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PART = 1 << 20  # pixels made at once


def parts(pixels):
    "Labels and float32 scores in parts, the same in every process."
    for i, start in enumerate(range(0, pixels, PART)):
        rng, n = np.random.default_rng([7, i]), min(PART, pixels - start)
        y = (rng.random(n, dtype=np.float32) < .15).view(np.uint8)
        spread = rng.standard_normal(n, dtype=np.float32)
        yield y, 1 / (1 + np.exp(-(1.4*spread + 3.5*y - 2.5)))


def peak_mb():
    "The most memory this process has held, where the system tells."
    status = Path('/proc/self/status')
    if not status.exists(): return None
    return round(int(status.read_text().split('VmHWM:')[1].split()[0])/1024)


def ours(pixels):
    "Stream the parts; only counting and choosing is timed."
    from satseg_fastai.scores.threshold import RocHistogram
    import sklearn.metrics  # noqa: F401, both sides have it loaded before the clock starts
    hist, seconds = RocHistogram(), 0.
    for y, s in parts(pixels):
        start = time.perf_counter()
        hist.update(y, s)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    best = hist.best()
    return dict(seconds=seconds + time.perf_counter() - start, peak_mb=peak_mb(), threshold=best.threshold)


def theirs(pixels, threshold):
    "Hold all pixels, run roc_curve, take the best IoU; then that of our threshold."
    from sklearn.metrics import roc_curve
    y, s = np.empty(pixels, np.uint8), np.empty(pixels, np.float32)
    for i, (a, b) in enumerate(parts(pixels)): y[i*PART:i*PART + len(a)], s[i*PART:i*PART + len(b)] = a, b
    start = time.perf_counter()
    fpr, tpr, _ = roc_curve(y, s)
    positives = int(y.sum())
    iou = tpr*positives / (positives + fpr*(pixels - positives))
    best = iou.max()
    seconds, mask = time.perf_counter() - start, s >= threshold
    mine = np.count_nonzero(mask & (y == 1)) / np.count_nonzero(mask | (y == 1))
    return dict(seconds=seconds, peak_mb=peak_mb(), best_iou=float(best), iou=mine)


def child(*args):
    "One side in a process of its own."
    return json.loads(
        subprocess.run([sys.executable, __file__, *map(str, args)], check=True, stdout=subprocess.PIPE,
                       text=True).stdout)


def main(pixels):
    "Both sides, and what sets them apart."
    a = child('--side', 'ours', '--pixels', pixels)
    b = child('--side', 'theirs', '--pixels', pixels, '--threshold', a['threshold'])
    return dict(pixels=pixels, ratio=round(b['seconds']/a['seconds'],
                                           1), seconds=round(a['seconds'], 2), sklearn_seconds=round(b['seconds'], 2),
                peak_mb=a['peak_mb'], sklearn_peak_mb=b['peak_mb'], threshold=round(a['threshold'], 6),
                iou=round(b['iou'], 7), iou_behind_sklearn=float(f"{b['best_iou'] - b['iou']:.2e}"))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pixels', type=int, default=125_000_000)
    parser.add_argument('--side', choices=['ours', 'theirs'])
    parser.add_argument('--threshold', type=float)
    args = parser.parse_args()
    if args.side == 'ours': print(json.dumps(ours(args.pixels)))
    elif args.side == 'theirs': print(json.dumps(theirs(args.pixels, args.threshold)))
    else: print(json.dumps(main(args.pixels), indent=1))
