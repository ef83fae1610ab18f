"Broken receipts and rasters of a run: each costs its own map the item, no other."
import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

pytest.importorskip('pystac')
pytest.importorskip('stac_model')
from satseg_fastai.export.scenes import export_scenes

GOOD = {'a.item.json'}


def write_prob(path):
    "A probability raster of stored levels, without nodata."
    levels = np.random.default_rng(0).integers(0, 65535, (1, 64, 96)).astype('uint16')
    profile = dict(driver='GTiff', height=64, width=96, count=1, dtype='uint16', nodata=65535, crs='EPSG:32633',
                   transform=from_origin(500_000, 5_400_000, .3, .3))
    with rasterio.open(path, 'w', **profile) as ds: ds.write(levels)


@pytest.fixture
def run(tmp_path):
    "A folder of two maps."
    for stem in ('a', 'zz'): write_prob(tmp_path/f'{stem}_prob.tif')
    return tmp_path


@pytest.mark.parametrize('data', [b'{', b'[]', '{"a": 1}'.encode('utf-16'), b'['*100_000,
                                  b'{"gsd": ' + b'9'*6000 + b'}'],
                         ids=['open', 'a list', 'utf-16', 'deep', 'a huge number'])
def test_a_broken_receipt(run, data):
    "The other map gets its item; the reason is one line that names the receipt."
    (run/'zz.receipt.json').write_bytes(data)
    done = export_scenes(run)
    assert (set(done['items']), list(done['left'])) == (GOOD, ['zz_prob.tif'])
    reason = done['left']['zz_prob.tif']
    assert '\n' not in reason and 'zz.receipt.json' in reason
    assert {path.name for path in run.glob('*.item.json')} == GOOD


def test_a_cut_raster(run):
    "So does a raster whose end is missing."
    whole = (run/'zz_prob.tif').read_bytes()
    (run/'zz_prob.tif').write_bytes(whole[:-3000])
    done = export_scenes(run)
    assert (set(done['items']), list(done['left'])) == (GOOD, ['zz_prob.tif'])


def test_an_item_stays_when_another_breaks(run):
    "The item of the good map is the same, whatever happens to the other."
    export_scenes(run)
    before = json.loads((run/'a.item.json').read_text())
    (run/'zz.receipt.json').write_bytes(b'{')
    export_scenes(run)
    assert json.loads((run/'a.item.json').read_text()) == before
