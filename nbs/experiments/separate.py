"""Touching buildings on real ground: what `--separate` finds in the map of a trained network, against building
polygons.

    python nbs/experiments/buildings.py banepa --data DATA --work WORK [--seed 1]
    python nbs/experiments/separate.py --data DATA --work WORK [--seed 1]

Row 220242 (where the threshold was chosen) shows which depth is best, row 220241 was never looked at. Writes
results/separate_banepa_SEED.json. """
import argparse, os, platform, sys, tempfile, time, warnings
from pathlib import Path

from satseg_fastai import __version__
from satseg_fastai.evaluate.objects import object_scores
from satseg_fastai.files import write_json
from satseg_fastai.maps.polygons import vectorize

DEPTHS = None, .05, .1, .15, .25, .4, .6, .8
ROWS = dict(chosen=(512, 0, 512, 3072), reported=(0, 0, 512, 3072))  # rows 220242 and 220241 of the mosaic


def main(data, work, seed, min_area, out):
    mask, prob, found = work/f'banepa_{seed}_mask.tif', work/f'banepa_{seed}_prob.tif', []
    if not mask.is_file(): sys.exit(f'no {mask}: run buildings.py banepa with this --work first')
    with tempfile.TemporaryDirectory() as tmp, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for depth in DEPTHS:
            cpu, shapes = time.process_time(), Path(tmp)/'p.gpkg'
            vectorize(mask, shapes, prob=prob, **({} if depth is None else dict(separate='watershed', depth=depth)))
            cpu = time.process_time() - cpu
            scores = {
                n: object_scores(shapes, data/'banepa/buildings.geojson', scene=mask, region=r, min_area=min_area)
                for n, r in ROWS.items()
            }
            found.append(
                dict(
                    depth=depth, cpu_seconds=round(cpu, 1), **{
                        n: {k: round(s[k], 3) for k in ('tp', 'fp', 'fn', 'precision', 'recall', 'f1')}
                        for n, s in scores.items()
                    }))
            print(
                f'{depth or "whole":>6}  ' +
                '  '.join(f'{n} P {s["precision"]:.3f} R {s["recall"]:.3f} F1 {s["f1"]:.3f}'
                          for n, s in scores.items()) + f'  {cpu:.1f} s', flush=True)
    write_json(
        out/f'separate_banepa_{seed}.json',
        dict(
            site='banepa', seed=seed, min_area_px=min_area, iou=.5, depths=found, satseg_fastai=__version__,
            machine=f'{platform.machine()}, {os.cpu_count()} cores, no GPU used',
            command=f'python nbs/experiments/separate.py --data DATA --work WORK --seed {seed} --min-area {min_area}'))


if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--data', type=Path, default=os.environ.get('SATSEG_DATA'))
    a.add_argument('--work', type=Path, default=Path('models/experiments'))
    a.add_argument('--seed', type=int, default=0)
    a.add_argument('--min-area', type=int, default=300, help='pixels; smaller objects are neither false nor missed')
    a.add_argument('--out', type=Path, default=Path(__file__).parent/'results')
    a = a.parse_args()
    if not a.data: sys.exit('give the folder of real imagery with --data, or set SATSEG_DATA')
    main(Path(a.data), a.work, a.seed, a.min_area, a.out)
