"What is read as a map, and what is written: masks, polygons, sidecars, exports."
import numpy as np
import rasterio
from affine import Affine

from satseg_fastai.labels.classes import land_cover
from satseg_fastai.testing import PLACE, write_raster

from .case import Case


def two_houses():
    "A map of two houses, (60,80) of 0 and 1."
    town = np.zeros((60, 80), np.uint8)
    town[10:30, 10:30] = 1
    town[40:55, 50:70] = 1
    return town


def one_gone():
    "The same town after the larger house is gone."
    town = two_houses()
    town[:35] = 0
    return town


def hide_right(path):
    "A mask band that hides the right quarter of a map."
    shown = np.full((60, 80), 255, np.uint8)
    shown[:, 60:] = 0
    with rasterio.open(path, 'r+') as file: file.write_mask(shown)
    return path


def share_lost(folder, nodata, place=PLACE):
    "What `change` says of the larger house: 4/7 of the built area."
    from satseg_fastai.areas.change import compare_maps
    before = write_raster(folder/'before.tif', two_houses(), nodata=nodata)
    after = write_raster(folder/'after.tif', one_gone(), transform=place, nodata=nodata)
    return compare_maps(before, after)['share_lost']


def change(folder):
    for nodata in (None, 0, 255): assert round(share_lost(folder, nodata), 4) == .5714


def change_on_another_grid(folder):
    finer = PLACE*Affine.scale(1.0001)
    for nodata in (None, 0, 255): assert round(share_lost(folder, nodata, finer), 4) == .5714


def evaluate(folder):
    "A mask against itself, as map and as label: both houses and all the ground between them."
    from satseg_fastai.evaluate.pixels import evaluate
    mask = write_raster(folder/'mask.tif', two_houses(), nodata=0)
    scores = evaluate(mask, write_raster(folder/'label.tif', one_gone(), nodata=0))
    assert scores['pixels'] == 4800 and scores['confusion'] == [[4100, 400], [0, 300]]


def built_share(folder, **profile):
    from satseg_fastai.areas.measure import mapped_areas
    mask = write_raster(folder/'mask.tif', two_houses(), **profile)
    return round(mapped_areas(mask)['classes']['building']['share'], 4)


def stats(folder): assert built_share(folder, nodata=0) == built_share(folder) == .1458


def clean(folder):
    "A hole of nodata 0 is a hole of background."
    from satseg_fastai.maps.clean import Clean, clean_mask
    town = two_houses()
    town[15:17, 15:17] = 0
    mask = write_raster(folder/'mask.tif', town, nodata=0)
    changed = clean_mask(mask, folder/'clean.tif', Clean(min_hole=10))
    assert changed['holes'] == {'building': 1} and changed['pixels'] == 4


def polygons(folder, values, classes=None, **profile):
    from satseg_fastai.maps.polygons import vectorize
    return vectorize(write_raster(folder/'mask.tif', values, **profile), classes=classes)


def vectorize(folder): assert len(polygons(folder, two_houses(), nodata=0)) == 2


def nodata_is_the_building(folder):
    "Nodata 1 does not take the buildings away, neither as polygons nor as an area."
    assert len(polygons(folder, two_houses(), nodata=1)) == 2 and built_share(folder, nodata=1) == .1458


def nodata_of_land_cover(folder):
    "Class 0 of a table without a background is a class like the others."
    greenery = polygons(folder, two_houses(), land_cover(), nodata=0)
    assert sorted(greenery['class']) == ['greenery', 'soil', 'soil']


def mask_band(folder):
    "What a mask band hides is no polygon and no area."
    from satseg_fastai.areas.measure import mapped_areas
    from satseg_fastai.maps.polygons import vectorize
    mask = hide_right(write_raster(folder/'mask.tif', two_houses()))
    assert vectorize(mask).area_m2.round().tolist() == [100, 38]
    assert mapped_areas(mask)['classes']['building']['pixels'] == 550


def other_nodata(folder):
    "A nodata that is no class is no data, as ever."
    from satseg_fastai.areas.measure import mapped_areas
    town = two_houses()
    town[:, 60:] = 9
    classes = mapped_areas(write_raster(folder/'mask.tif', town, nodata=9))['classes']
    assert (classes['building']['pixels'], classes['background']['pixels']) == (550, 3050)


CASES = [
    Case('6', 'nodata 0 in a mask of 0 and 1, change', '57 % are lost with any nodata', change),
    Case('6', 'nodata 0, change on another grid', '57 % are lost with any nodata', change_on_another_grid),
    Case('6', 'nodata 0 in map and label, evaluate', 'background counts in both', evaluate),
    Case('6', 'nodata 0, stats', 'the share is that of all the ground', stats),
    Case('6', 'nodata 0, clean', 'holes are holes', clean),
    Case('6', 'nodata 0, vectorize', 'as without nodata', vectorize),
    Case('6', 'a nodata that is a class', 'note: is read as background', stats),
    Case('6', 'nodata 1, the building class', 'buildings stay', nodata_is_the_building),
    Case('6', 'nodata 0, a class of land cover', 'it is that class', nodata_of_land_cover),
    Case('6', 'a mask band hides a part of a map', 'polygons and areas leave it out', mask_band),
    Case('6', 'a nodata that is no class', 'no data', other_nodata),
]
