"""Polygons of a mask of 5,000 x 5,000 pixels with 20,000 buildings: seconds of one core, and the peak memory for two
heights.

Prints JSON: processor seconds of `vectorize` to GPKG with probabilities, plain and with each option; the same table
made the usual way (`rasterio.features.shapes` on the whole raster, shapely, geodesic areas, means by `ndimage`, one
write) in the same process, and their ratio; the growth in MB above a process that has vectorized a small mask, for each
height; with `--options change` that of comparing two masks. The peak is VmHWM, so this needs Linux. """
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'GDAL_NUM_THREADS'): os.environ[name] = '1'

TARGET_S, TARGET_SPREAD, SPACING = 15, .1, 35
OPTIONS = dict(plain={}, simplify=dict(simplify=1.), regularize=dict(regularize=True),
               separate=dict(separate='watershed'), all=dict(separate='watershed', simplify=1., regularize=True))


def peak_mb():
    "The most memory this process has held, in MB of 2^20 bytes."
    return int(Path('/proc/self/status').read_text(encoding='utf-8').split('VmHWM:')[1].split()[0])/1024


def houses(rng, row, width):
    "Turned rectangles, one to each cell of a row of cells, far enough apart never to touch."
    import numpy as np
    import shapely
    n = width//SPACING
    (w, h) = rng.uniform(5, 11, (2, n, 1))
    angle = rng.uniform(0, np.pi, (n, 1))
    at = (np.arange(n)[:, None] + .5)*SPACING
    u, v = np.array([-1, 1, 1, -1])*w, np.array([-1, -1, 1, 1])*h
    x, y = at + u*np.cos(angle) - v*np.sin(angle), row + SPACING/2 + u*np.sin(angle) + v*np.cos(angle)
    return shapely.polygons(np.stack([x, y], -1))


def make(folder, height, width, seed=0):
    "A mask and its probabilities, written row of cells by row of cells; how many buildings."
    import numpy as np
    import rasterio
    from affine import Affine
    from rasterio.features import rasterize
    from rasterio.transform import from_origin
    from rasterio.windows import Window
    from scipy.ndimage import gaussian_filter
    rng, count = np.random.default_rng(seed), 0
    profile = dict(driver='GTiff', height=height, width=width, count=1, crs='EPSG:32645',
                   transform=from_origin(332_000, 3_058_000, .3, .3), blockysize=SPACING, compress='deflate', zlevel=1)
    mask, prob = folder/f'{height}_mask.tif', folder/f'{height}_prob.tif'
    with rasterio.open(mask, 'w', dtype='uint8', nodata=255,
                       **profile) as m, rasterio.open(prob, 'w', dtype='uint16', nodata=65535, **profile) as p:
        for row in range(0, height, SPACING):
            n = min(SPACING, height - row)
            shapes = houses(rng, row, width) if n == SPACING else []
            x = rasterize(shapes,
                          (n,
                           width), transform=Affine.translation(0, row), dtype='uint8') if len(shapes) else np.zeros(
                               (n, width), np.uint8)
            count += len(shapes)
            m.write(x, 1, window=Window(0, row, width, n))
            p.write(
                np.rint(gaussian_filter(x.astype('float32'), 1)*65534).astype('uint16'), 1,
                window=Window(0, row, width, n))
    return count


def usual(mask, prob, dst):
    "The same polygons and columns from the whole raster at once."
    import numpy as np
    import pyogrio
    import rasterio
    import shapely
    from pyproj import Geod, Transformer
    from rasterio.features import shapes
    from scipy import ndimage
    with rasterio.open(mask) as m, rasterio.open(prob) as p:
        x, levels, t, crs = m.read(1), p.read(1), m.transform, m.crs
    labels, n = ndimage.label(x == 1)
    found = [(shapely.geometry.shape(g), int(i))
             for g, i in shapes(labels.astype(np.int32), mask=labels > 0, connectivity=4, transform=t)]
    geometry, number = [g for g, _ in found], np.array([i for _, i in found])
    geod, degrees = Geod(ellps='WGS84'), Transformer.from_crs(crs, 4326, always_xy=True).transform
    size = np.abs(
        [geod.geometry_area_perimeter(shapely.transform(g, lambda c: np.stack(degrees(*c.T), -1))) for g in geometry])
    mean = np.bincount(labels.ravel(), levels.ravel()/65534, n + 1)/np.bincount(labels.ravel(), minlength=n + 1)
    edge = np.isin(number, np.unique(np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    columns = {
        'class': np.full(len(number), 'building', object), 'class_index': np.ones(len(number), np.int32),
        'area_m2': size[:, 0], 'perimeter_m': size[:, 1], 'probability': mean[number], 'touches_edge': edge
    }
    pyogrio.raw.write(dst, shapely.to_wkb(geometry), list(columns.values()), list(columns), geometry_type='Polygon',
                      crs=crs.to_wkt(), driver='GPKG')
    return len(number)


def clock(work):
    "What a call gives, and its seconds of processor."
    start = time.process_time()
    return work(), time.process_time() - start


def speed(args, folder):
    "Seconds of each way on one mask, libraries loaded before; the least of the repeats."
    from satseg_fastai.maps.polygons import vectorize
    make(folder, 200, 400)
    vectorize(folder/'200_mask.tif', folder/'warm.gpkg', prob=folder/'200_prob.tif', regularize=True, simplify=1,
              separate='watershed')
    usual(folder/'200_mask.tif', folder/'200_prob.tif', folder/'warm2.gpkg')
    made, (mask, prob) = make(folder, args.size, args.size), (folder/f'{args.size}_{k}.tif' for k in ('mask', 'prob'))
    out, best = folder/'o.gpkg', lambda work: min((clock(work) for _ in range(args.repeats)), key=lambda r: r[1])
    ways = {k: best(lambda kw=kw: vectorize(mask, out, prob=prob, **kw)) for k, kw in OPTIONS.items()}
    def whole(): (folder/'w.gpkg').unlink(missing_ok=True); return usual(mask, prob, folder/'w.gpkg')
    count, seconds = best(whole)
    assert count == ways['plain'][0] == made, (count, ways['plain'][0], made)
    return dict(polygons=count, seconds={k: round(s, 2) for k, (_, s) in ways.items()}, usual_seconds=round(seconds, 2),
                ratio=round(ways['plain'][1]/seconds, 2))


def polygons(folder, height, option):
    "How many a mask gives, or a comparison of two."
    from satseg_fastai.areas.change import compare_maps
    from satseg_fastai.maps.polygons import vectorize
    mask, dst = folder/f'{height}_mask.tif', folder/f'{height}.gpkg'
    if option != 'change': return vectorize(mask, dst, prob=folder/f'{height}_prob.tif', **OPTIONS[option])
    return sum(s['buildings'] for s in compare_maps(mask, folder/'later'/mask.name, dst)['status'].values())


def child(args, folder):
    "The growth in MB of one height and one set of options."
    height = args.heights[0]
    make(folder, 200, 400); make(folder/'later', 200, 400, 1); polygons(folder, 200, args.option)
    before = peak_mb()
    count = polygons(folder, height, args.option)
    return dict(height=height, option=args.option, polygons=count, growth_mb=round(peak_mb() - before, 1),
                peak_mb=round(peak_mb(), 1))


def memory(args, folder):
    "Each option at each height, in a process of its own."
    (folder/'later').mkdir()
    for height in args.heights: make(folder, height, args.width); make(folder/'later', height, args.width, 1)
    words = [sys.executable, __file__, '--folder', str(folder)]
    run = lambda h, o: json.loads(
        subprocess.run([*words, '--heights', str(h), '--option', o], check=True, stdout=subprocess.PIPE, text=True).
        stdout)
    return [run(h, o) for o in args.options for h in args.heights]


def main(args):
    "Speed, then memory."
    with tempfile.TemporaryDirectory(dir=args.tmp) as folder:
        fast, runs = speed(args, Path(folder)), memory(args, Path(folder))
    spread = {o: round(1 - min(g := [r['peak_mb'] for r in runs if r['option'] == o])/max(g), 3) for o in args.options}
    return dict(size=args.size, width=args.width, **fast, target_seconds=TARGET_S, memory=runs, spread=spread,
                target_spread=TARGET_SPREAD, reached=fast['seconds']['plain'] <= TARGET_S
                and spread.get('plain', 0) <= TARGET_SPREAD, machine=platform.machine(),
                python=platform.python_version())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=5_000, help='rows and columns of the mask that is timed')
    parser.add_argument('--heights', type=int, nargs='+', default=[5_000, 20_000])
    parser.add_argument('--width', type=int, default=5_000)
    parser.add_argument('--repeats', type=int, default=2)
    parser.add_argument('--options', nargs='+', default=['plain', 'all'], choices=[*OPTIONS, 'change'])
    parser.add_argument('--tmp', help='where the masks go')
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--option', default='plain', help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(child(args, args.folder) if args.folder else main(args), indent=None if args.folder else 1))
