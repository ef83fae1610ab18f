"Polygons of any file and place: formats, broken geometries, the antimeridian, grids that differ, control points."
import os
import subprocess
import sys

import numpy as np
from rasterio.transform import from_origin

from satseg_fastai.testing import write_raster

from .case import Case

DRAW = '''
import sys
from satseg_fastai.data.datasets import Pair, place_groups, split
groups = [f'{letter}{number}' for letter in 'abc' for number in range(2)]
pairs = place_groups([Pair(f'{sys.argv[1]}/{name}.tif', 'y', name) for name in groups])
print([pair.image for pair in split(pairs, '.1', 3).valid])
'''


def split_in_processes(folder):
    "Three groups of two scenes each, of one size."
    scenes = [(letter, number) for letter in range(3) for number in range(2)]
    for letter, number in scenes:
        place = from_origin(5e5 + 9000*letter + 64*number, 3e6, 1, 1)
        write_raster(folder/f'{"abc"[letter]}{number}.tif', np.ones((1, 64, 64), 'uint8'), 'EPSG:32645', place)
    command = [sys.executable, '-W', 'ignore', '-c', DRAW, str(folder)]
    drawn = {subprocess.check_output(command, env=os.environ | {'PYTHONHASHSEED': seed}) for seed in '0123'}
    assert len(drawn) == 1


CASES = [Case('splits', 'groups of one size', 'one seed draws the same split in every process', split_in_processes)]
