"""Figures of a scene and its zones, corrected by validation blocks, against the same figures as they are mapped.

Prints JSON: the ratio of CPU times and the seconds of each, for validation blocks of many scenes and of one, with
objects, trees and street widths of five classes; and the peak memory of the process. Making the mask and the zones is
not timed. The peak is VmHWM, so this needs Linux. """
import argparse
import json
import platform
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

LEFT, TOP, PIXEL = 330_000, 3_060_000, .3


def peak_mb():
    "The most memory this process has held, in MB of 2^20 bytes."
    return int(Path('/proc/self/status').read_text(encoding='utf-8').split('VmHWM:')[1].split()[0])/1024


def make_scene(folder, side, zones):
    "A mask of five classes in smooth patches, and square zones that tile it."
    import geopandas, rasterio, shapely
    from rasterio.transform import from_origin
    from scipy import ndimage
    ground = ndimage.zoom(np.random.default_rng(0).random((side//12, side//12)), side/(side//12), order=1)
    x, mask, frame = np.digitize(ground, [.2, .4, .6, .8]).astype(np.uint8), folder/'town_mask.tif', folder/'zones.gpkg'
    profile = dict(driver='GTiff', height=len(x), width=x.shape[1], count=1, dtype='uint8', nodata=255,
                   crs='EPSG:32645', tiled=True, transform=from_origin(LEFT, TOP, PIXEL, PIXEL))
    with rasterio.open(mask, 'w', **profile) as ds: ds.write(x, 1)
    n, step = round(zones**.5), side*PIXEL/round(zones**.5)
    boxes = [
        shapely.box(LEFT + a*step, TOP - (b + 1)*step, LEFT + (a + 1)*step, TOP - b*step)
        for a in range(n)
        for b in range(n)
    ]
    geopandas.GeoDataFrame(dict(name=[str(i) for i in range(n*n)]), geometry=boxes, crs='EPSG:32645').to_file(frame)
    return mask, frame


def validation(scenes, count, names):
    "Blocks with confusions and counts, the same for the same numbers."
    from satseg_fastai.areas.estimate import ValidationBlocks
    rng = np.random.default_rng(1)
    found = rng.multinomial(60_000, rng.dirichlet([9, *[.5]*4]*5, count)).reshape(count, 5, 5)
    h = rng.integers(1, 9, (count, 1))
    return ValidationBlocks(
        found,
        np.arange(count)*scenes // count,
        dict(objects={n: h*[2, 1] for n in names}, trees=dict(greenery=h*[1, 3]),
             streets=dict(utility=h*[12, 12, 2, 4])))


def main(args):
    "As mapped, then corrected by blocks of many scenes and of one."
    from satseg_fastai.labels.classes import land_cover
    from satseg_fastai.areas.figures import area_figures
    seconds, table = {}, land_cover()
    with tempfile.TemporaryDirectory(dir=args.tmp) as tmp, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        mask, zones = make_scene(Path(tmp), args.side, args.zones)
        for name, blocks in dict(mapped=None, scenes=validation(args.scenes, args.blocks, table.names),
                                 one_scene=validation(1, args.blocks, table.names)).items():
            start = time.process_time()
            area_figures(mask, blocks, zones, roads='utility', trees='greenery', classes=table)
            seconds[name] = round(time.process_time() - start, 2)
    return dict(side=args.side, zones=args.zones, blocks=args.blocks, scenes=args.scenes, cpu_seconds=seconds,
                ratio={k: round(seconds[k]/seconds['mapped'], 2) for k in ('scenes', 'one_scene')},
                peak_mb=round(peak_mb()), machine=platform.machine(), python=platform.python_version())


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--side', type=int, default=5000, help='pixels of the square mask')
    parser.add_argument('--zones', type=int, default=100)
    parser.add_argument('--blocks', type=int, default=512)
    parser.add_argument('--scenes', type=int, default=16)
    parser.add_argument('--tmp', help='where mask and zones go')
    print(json.dumps(main(parser.parse_args()), indent=1))
