"What people map and train on: palettes, numbers that are none, files beside files, containers, many pages, odd sizes."
import warnings

import numpy as np
import rasterio
import rasterio.shutil
from PIL import Image

from satseg_fastai.geo.raster import Scene, open_image, open_raster
from satseg_fastai.testing import tiny_scenes, write_raster

from .case import Case

RNG = np.random.default_rng(0)
TOWN = RNG.integers(20, 220, (3, 64, 64)).astype('uint8')


def network(bands=3, stop=None):
    "Two classes by one convolution; it stops like a killed run after some passes."
    import torch
    from torch import nn

    class Tiny(nn.Conv2d):
        "Counts its passes."
        passes = 0
        def forward(self, x):
            self.passes += 1
            if stop and self.passes > stop: raise KeyboardInterrupt
            return super().forward(x)
    torch.manual_seed(0)
    return Tiny(bands, 2, 1)


def mapped(scene, bands=3, stop=None, **settings):
    "Receipt and probabilities of a scene."
    from satseg_fastai.scene.predict import predict_scene
    dst = scene.with_name('map.tif')
    usual = dict(size=32, overlap=0, batch_size=1, device='cpu', progress=False, stats=([100]*bands, [50]*bands))
    receipt = predict_scene(network(bands, stop), scene, dst, **usual | settings)
    with rasterio.open(dst) as file: return receipt, file.read(1)


def trained_on(folder, image, label=None):
    "DataLoaders of one scene and its label."
    from satseg_fastai.data.datasets import Pair
    from satseg_fastai.data.loaders import scene_dls
    with rasterio.open(image) as file: shape = file.shape
    label = label or write_raster(folder/'label.tif', RNG.integers(0, 2, shape).astype('uint8'))
    pairs = [Pair(image, label)]
    return scene_dls(pairs, pairs, size=32, bs=2, device='cpu', num_workers=0)


# 9: numbers that stand for colors

def picture(values=TOWN): return Image.fromarray(np.moveaxis(values, 0, -1))


def with_palette(path, color, **profile):
    "A GeoTIFF whose numbers stand for colors."
    write_raster(path, TOWN[0], photometric='palette', **profile)
    with rasterio.open(path, 'r+') as file: file.write_colormap(1, {v: color(v) for v in range(256)})
    return path


def map_palette(folder): mapped(with_palette(folder/'a.tif', lambda v: (255 - v, v, 7, 255)), 1)


def train_palette(folder): trained_on(folder, with_palette(folder/'a.tif', lambda v: (255 - v, v, 7, 255)))


def map_objects_palette(folder):
    "The same reader as of pixels."
    from satseg_fastai.bundle.spec import Spec
    from satseg_fastai.scene.engine import open_scene
    open_scene(with_palette(folder/'a.tif', lambda v: (v, 9, 255 - v, 255)), None, Spec.unknown())


def open_png(folder):
    picture().quantize(64).save(folder/'a.png')
    open_image(folder/'a.png')


def open_palette_vrt(folder):
    picture().quantize(64).save(folder/'a.tif')
    rasterio.shutil.copy(folder/'a.tif', folder/'a.vrt', driver='VRT')
    open_image(folder/'a.vrt')


def open_reversed(folder): open_image(with_palette(folder/'a.tif', lambda v: (255 - v,)*3 + (255,)))


def open_clear(folder):
    picture().quantize(64).save(folder/'a.png', transparency=3)
    open_image(folder/'a.png')


def open_fax(folder): open_image(write_raster(folder/'a.tif', TOWN[0], photometric='MINISWHITE'))


def open_fax1(folder): open_image(write_raster(folder/'a.tif', TOWN[0] % 2, photometric='MINISWHITE', nbits=1))


def open_fax16(folder): open_image(write_raster(folder/'a.tif', TOWN[0].astype('uint16'), photometric='MINISWHITE'))


def open_gray(folder):
    "Its numbers are its brightness."
    with open_image(with_palette(folder/'a.tif', lambda v: (v, v, v, 255))) as scene:
        assert (scene.read(0, 0, 64, 64)[0] == TOWN[0]).all()


def teach_palette(folder):
    from satseg_fastai.training.teacher import check_unlabeled
    gray = write_raster(folder/'b.tif', TOWN[0])
    check_unlabeled([with_palette(folder/'a.tif', lambda v: (255 - v, v, 7, 255))], gray)


def read_palette_mask(folder):
    "Masks are numbers, whatever their colors."
    with Scene(with_palette(folder/'a.tif', lambda v: (255 - v, v, 7, 255))) as scene:
        assert (scene.read(0, 0, 64, 64)[0] == TOWN[0]).all()


# 11: numbers that are none

def odd_numbers(*values, dtype='float32', bands=slice(None)):
    "A scene of floats with a few odd pixels."
    floats = TOWN.astype(dtype)
    for number, value in enumerate(values): floats[bands, 9 + number, 9] = value
    return floats


def fed(*values, **settings):
    "What the network gets of such a scene, in training and in mapping."
    def run(folder):
        scene = write_raster(folder/'a.tif', odd_numbers(*values, **settings))
        dls = trained_on(folder, scene)
        mean, std = dls.stats
        assert np.allclose(mean, TOWN.mean((1, 2)), atol=9) and max(std) < 70
        images = dls.valid.one_batch()[0]
        assert images.shape[-1] == 64 and images.isfinite().all() and images.abs().max() < 9
        _, levels = mapped(scene)
        odd = np.zeros((64, 64), bool)
        odd[9:9 + len(values), 9] = 'bands' not in settings
        assert ((levels == 65535) == odd).all()  # no data where no band has any, known elsewhere
    return run


def teach_infinity(folder):
    "The crops that a student learns from a teacher on."
    from satseg_fastai.training.teacher import SoftCrops
    scene = write_raster(folder/'a.tif', odd_numbers(np.inf, -np.inf, bands=1))
    mapped(scene)
    crops = SoftCrops([scene], [folder/'map.tif'], [1, 2, 3], ([100]*3, [50]*3), 64, [0, 1])
    assert all(part.isfinite().all() for number in range(4) for part in crops[number][:2])


# 12: what a scene is read from

def taken_up(make, change, again=False):
    "A run is stopped, something changes, it runs again: from the top, unless nothing changed."
    def run(folder):
        scene = make(folder)
        try: mapped(scene, stop=3)
        except KeyboardInterrupt: pass
        change(folder)
        receipt, _ = mapped(scene)
        assert (receipt['resumed_at_row'] > 0) == again
    return run


def one_file(folder): return write_raster(folder/'a.tif', TOWN)


def vrt(folder, depth=1):
    "A scene made of another file, through VRTs."
    rasterio.shutil.copy(one_file(folder), folder/'v1.vrt', driver='VRT')
    text = (folder/'v1.vrt').read_text()
    for number in range(2, depth + 1):
        (folder/f'v{number}.vrt').write_text(text.replace('>a.tif<', f'>v{number - 1}.vrt<'))
    return folder/f'v{depth}.vrt'


def masked(folder):
    "A scene with a mask beside it."
    path = one_file(folder)
    write_mask(folder)
    return path


def write_mask(folder, most=99):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(folder/'a.tif', 'r+') as file:
        file.write_mask(TOWN[0] < most)


def masked_vrt(folder):
    masked(folder)
    rasterio.shutil.copy(folder/'a.tif', folder/'v.vrt', driver='VRT')
    return folder/'v.vrt'


def replace_tile(folder): write_raster(folder/'a.tif', TOWN[:, ::-1])


def declare(folder):
    "Statistics and nodata stand beside the file."
    text = '<PAMDataset><PAMRasterBand band="1"><NoDataValue>21</NoDataValue></PAMRasterBand></PAMDataset>'
    (folder/'a.tif.aux.xml').write_text(text)


def add_overviews(folder):
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(folder/'a.tif', 'r+') as file: file.build_overviews([2])


def plan_key(images, labels):
    "What tells two trainings apart."
    from satseg_fastai.data.datasets import Pair, Split
    from satseg_fastai.workflow import _Plan
    return _Plan(Split([Pair(images, labels)], [], 'given'), {}, {}, (1, 0, None), None).key()


def trains_anew(make, change):
    "A training with a file that changed is another one."
    def run(folder):
        image = make(folder)
        label = write_raster(folder/'label.tif', TOWN[0] % 2)
        before = plan_key(image, label)
        assert plan_key(image, label) == before
        change(folder)
        assert plan_key(image, label) != before
    return run


def train_shapefile(folder):
    "The parts of a shapefile."
    import geopandas as gpd
    import shapely
    image = one_file(folder)
    gpd.GeoDataFrame(dict(kind=['a']), geometry=[shapely.box(0, 0, 1, 1)], crs=32645).to_file(folder/'l.shp')
    before = plan_key(image, folder/'l.shp')
    (folder/'l.dbf').write_bytes((folder/'l.dbf').read_bytes() + b' ')
    assert plan_key(image, folder/'l.shp') != before


PALETTE = 'refused: (a palette); expected bands of brightness or color; gdal_translate -expand rgb a.tif'
CASES = [
    Case('9', 'a palette scene is mapped', PALETTE, map_palette),
    Case('9', 'a palette scene is trained on', PALETTE, train_palette),
    Case('9', 'objects are looked for in a palette scene', PALETTE, map_objects_palette),
    Case('9', 'a teacher is to teach on a palette scene', PALETTE, teach_palette),
    Case('9', 'a palette PNG', 'refused: gdal_translate -expand rgb a.png', open_png),
    Case('9', 'a VRT of a palette scene', 'refused: gdal_translate -expand rgb a.vrt', open_palette_vrt),
    Case('9', 'a palette of grays in reverse', 'refused: gdal_translate -expand gray a.tif', open_reversed),
    Case('9', 'a palette with a clear color', 'refused: gdal_translate -expand rgba a.png', open_clear),
    Case('9', 'MINISWHITE, eight bits', 'refused: gdal_translate -scale 0 255 255 0', open_fax),
    Case('9', 'MINISWHITE, one bit', 'refused: gdal_translate -scale 0 1 1 0', open_fax1),
    Case('9', 'MINISWHITE, sixteen bits', 'refused: -scale 0 65535 65535 0', open_fax16),
    Case('9', 'a palette whose numbers are its grays', 'it is read as it is', open_gray),
    Case('9', 'a palette mask', 'its numbers are read', read_palette_mask),
    Case('11', 'one +inf pixel in one band', 'it is filled in training and in mapping', fed(np.inf, bands=1)),
    Case('11', '-inf and +inf in all bands', 'no data in training and in mapping', fed(np.inf, -np.inf)),
    Case('11', '-inf in two bands', 'it is filled', fed(-np.inf, bands=slice(2))),
    Case('11', 'the lowest float32 where there is no data', 'no data', fed(np.finfo('float32').min)),
    Case('11', 'the lowest float64 where there is no data', 'no data', fed(np.finfo('float64').min, dtype='float64')),
    Case('11', '1e39 in one band of float64', 'it is filled', fed(1e39, dtype='float64', bands=0)),
    Case('11', 'NaN beside infinity', 'no data where no band has any', fed(np.nan, np.inf)),
    Case('11', 'a teacher on scenes with infinity', 'what is learned is finite', teach_infinity),
    Case('12', 'a stopped run over a VRT whose tile is replaced', 'it begins anew', taken_up(vrt, replace_tile)),
    Case('12', 'a VRT of a VRT', 'it begins anew', taken_up(lambda folder: vrt(folder, 3), replace_tile)),
    Case('12', 'a changed .msk', 'it begins anew', taken_up(masked, lambda folder: write_mask(folder, 150))),
    Case('12', 'a changed .msk under a VRT', 'it begins anew',
         taken_up(masked_vrt, lambda folder: write_mask(folder, 150))),
    Case('12', 'a new .aux.xml', 'it begins anew', taken_up(one_file, declare)),
    Case('12', 'a new .ovr', 'it begins anew', taken_up(one_file, add_overviews)),
    Case('12', 'a VRT where nothing changed', 'it is taken up', taken_up(vrt, lambda folder: None, again=True)),
    Case('12', 'training over a VRT whose tile is replaced', 'another run', trains_anew(vrt, replace_tile)),
    Case('12', 'training where a .msk changed', 'another run',
         trains_anew(masked, lambda folder: write_mask(folder, 150))),
    Case('12', 'training where an .aux.xml is new', 'another run', trains_anew(one_file, declare)),
    Case('12', 'training where the .dbf of a shapefile changed', 'another run', train_shapefile),
]
