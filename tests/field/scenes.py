"What people map and train on: palettes, numbers that are none, files beside files, containers, many pages, odd sizes."
import warnings

import numpy as np
import rasterio
import rasterio.shutil
from PIL import Image

from satseg_fastai.geo.raster import Scene, open_image, open_raster
from satseg_fastai.testing import write_raster

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


# 10: values far from training

def fitting(change, dtype='uint16', force=False, quantiles=True):
    "A model that knows the values of its training is asked whether a scene fits."
    def run(folder):
        from satseg_fastai.bundle.spec import check_spec
        from satseg_fastai.scene.engine import check_fits
        values = RNG.gamma(4, 150, (3, 90, 90)).clip(100, 6000)
        if dtype == 'uint8': values = (values/6).clip(0, 255)
        known = np.quantile(values.reshape(3, -1), (.001, .5, .999), axis=1).T.tolist()
        classes = [dict(name=name, color=[0, 0, index], index=index) for index, name in enumerate(('a', 'b'))]
        spec = dict(arch='fpn', encoder='resnet18', arch_args={}, n_in=3, n_out=2, mean=[1.]*3, std=[1.]*3,
                    dtype=dtype, classes=classes, quantiles=known if quantiles else None)
        most = np.iinfo(dtype).max if dtype.startswith('u') else np.inf
        scene = write_raster(folder/'a.tif', change(values).clip(-np.inf, most).astype(dtype))
        with open_image(scene) as opened: check_fits(opened, check_spec(spec), force)
    return run


def one_band(values):
    "Another unit in one band alone."
    return values*np.array([1, 1, 9])[:, None, None]


def framed(value, dtype='int16', count=3):
    "A frame of one number around a scene, in training and in mapping."
    def run(folder):
        values = RNG.integers(200, 3000, (count, 90, 90)).astype(dtype)
        values[:, :20] = value
        with open_image(write_raster(folder/'a.tif', values)) as scene: tell(scene)
    return run


def tell(scene):
    "The notes of a scene."
    from satseg_fastai.errors import Note
    from satseg_fastai.geo.raster import sample_values, scene_notes
    for note in scene_notes(scene, sample_values(scene)): warnings.warn(note, Note)


def train_notes(folder, image):
    "What is said of a scene before the first step."
    from satseg_fastai.errors import Note
    from satseg_fastai.preflight import scenes_notes
    for note in scenes_notes(trained_on(folder, image).store, 1, {}): warnings.warn(note, Note)


def train_framed(folder):
    values = TOWN.astype('int16')
    values[:, :9] = -9999
    train_notes(folder, write_raster(folder/'a.tif', values))


def bundle_knows(folder):
    "The quantiles of bytes with ImageNet's statistics, too."
    from satseg_fastai.data.loaders import data_spec
    known = data_spec(trained_on(folder, one_file(folder)))['quantiles']
    assert np.allclose(known, np.quantile(TOWN.reshape(3, -1), (.001, .5, .999), axis=1).T, atol=9)


# 13: a band that is called alpha

def with_alpha(folder, alpha):
    values = np.concatenate([TOWN, alpha[None].astype('uint8')])
    return write_raster(folder/'a.tif', values, photometric='RGB', alpha='YES')


def map_infrared(folder):
    with open_image(with_alpha(folder, TOWN[1])) as scene: tell(scene)


def train_infrared(folder): train_notes(folder, with_alpha(folder, TOWN[1]))


def true_alpha(folder):
    "All or nothing, or the same everywhere."
    for alpha in (255*(TOWN[0] > 99), np.full((64, 64), 128)):
        with open_image(with_alpha(folder, alpha)) as scene, warnings.catch_warnings():
            warnings.simplefilter('error')
            tell(scene)


# 31: what is no raster of real numbers of one type

def open_complex(folder):
    profile = dict(driver='GTiff', count=1, height=64, width=64, dtype='complex_int16')
    with rasterio.open(folder/'a.tif', 'w', **profile) as file: file.write(TOWN[:1].astype('complex64'))
    open_raster(folder/'a.tif')


def open_complex64(folder): open_raster(write_raster(folder/'a.tif', TOWN.astype('complex64')))


def open_container(folder):
    for name in 'ab':
        more = dict(append_subdataset='YES') if name == 'b' else {}
        write_raster(folder/'a.gpkg', TOWN, driver='GPKG', raster_table=name, **more)
    open_raster(folder/'a.gpkg')


def mixed_vrt(folder):
    "Bytes and floats in one VRT."
    rasterio.shutil.copy(one_file(folder), folder/'v.vrt', driver='VRT')
    text = (folder/'v.vrt').read_text()
    (folder/'v.vrt').write_text(text.replace('dataType="Byte" band="3"', 'dataType="Float32" band="3"'))
    return folder/'v.vrt'


def open_mixed(folder): open_image(mixed_vrt(folder))


def choose_mixed(folder):
    with open_image(mixed_vrt(folder), [1, 2]) as scene: assert (scene.read(0, 0, 64, 64) == TOWN[:2]).all()


# 40: pages, sizes, places

def map_pages(folder):
    picture().save(folder/'a.tif', save_all=True, append_images=[picture(), picture()])
    with open_image(folder/'a.tif') as scene: tell(scene)


def two_sizes(folder):
    from satseg_fastai.data.datasets import Pair
    from satseg_fastai.data.loaders import Store
    paths = [write_raster(folder/f'{side}.tif', TOWN, transform=rasterio.Affine(side, 0, 332000, 0, -side, 3058000))
             for side in (.3, 1.2)]
    Store([Pair(path, write_raster(folder/'label.tif', TOWN[0] % 2)) for path in paths])


def world_file(folder):
    scene = write_raster(folder/'a.png', TOWN, crs=None, driver='PNG')
    (folder/'a.wld').write_text('.5\n0\n0\n-.5\n100\n200\n')
    mapped(scene)


def remote(place):
    def run(folder): open_image(place)
    return run


PALETTE = 'refused: (a palette); expected bands of brightness or color; gdal_translate -expand rgb a.tif'
UNLIKE = 'refused: as in training; bring it to the units of the training scenes (gdal_translate -scale)'
LOCAL = 'refused: is no path on this machine; expected a local file'
def thin(*shape):
    "A scene that is a line: as many valid pixels as it has, in bounded memory."
    def run(folder):
        scene = write_raster(folder/'a.tif', RNG.integers(0, 255, (3, *shape)).astype('uint8'))
        receipt, levels = mapped(scene, size=64, overlap=.5, batch_size=8)
        assert levels.shape == shape and receipt['valid_pixels'] == shape[0]*shape[1]
    return run


def placed(*transform, crs='EPSG:32645'):
    "A scene with an odd transform."
    def run(folder):
        write_raster(folder/'a.tif', TOWN, crs=crs, transform=rasterio.Affine(*transform))
        Scene(folder/'a.tif')
    return run


def little_memory(folder):
    "The command line where libraries find no room."
    import resource
    import subprocess
    import sys
    from pathlib import Path
    model = Path(__file__).parent.parent/'fixtures'/'pretrained_se_unet.safetensors'
    scene = write_raster(folder/'a.tif', TOWN)
    command = [sys.executable, '-m', 'satseg_fastai.cli', 'predict', model, scene, '--out', folder/'maps']
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (900 << 20, 900 << 20))
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2 and 'ran out of memory' in done.stderr and 'Traceback' not in done.stderr, done.stderr


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
    Case('10', 'a scene as those of the training', 'no refusal', fitting(lambda values: values)),
    Case('10', 'a scene half as bright', 'no refusal', fitting(lambda values: values/2)),
    Case('10', 'a scene +1000', UNLIKE, fitting(lambda values: values + 1000)),
    Case('10', 'a scene x4', UNLIKE, fitting(lambda values: values*4)),
    Case('10', 'a scene divided by eight', UNLIKE, fitting(lambda values: values/8)),
    Case('10', 'bytes divided by eight', UNLIKE, fitting(lambda values: values/8, 'uint8')),
    Case('10', 'bytes times three, saturated', UNLIKE, fitting(lambda values: values*3, 'uint8')),
    Case('10', 'reflectance as shares of one', UNLIKE, fitting(lambda values: values/10000, 'float32')),
    Case('10', 'decibels', UNLIKE, fitting(lambda values: 10*np.log10(values/1e4), 'float32')),
    Case('10', 'one band in another unit', UNLIKE, fitting(one_band)),
    Case('10', 'a scene x4, --force', 'no refusal', fitting(lambda values: values*4, force=True)),
    Case('10', 'a bundle without quantiles', 'note: does not say what values it was trained on',
         fitting(lambda values: values*4, quantiles=False)),
    Case('10', 'bytes with the statistics of ImageNet', 'the bundle has quantiles', bundle_knows),
    Case('10', 'a frame of -9999', 'note: a.tif is -9999 in all bands of 22% of its pixels', framed(-9999)),
    Case('10', 'a frame of 0', 'note: gdal_edit.py -a_nodata 0 a.tif', framed(0)),
    Case('10', 'a frame of 32767 in one band', 'note: a.tif is 32767 in all bands', framed(32767, count=1)),
    Case('10', 'a frame of -9999 in training', 'note: a.tif is -9999 in all bands', train_framed),
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
    Case('13', 'near infrared is called alpha', 'note: band 4 of a.tif is called alpha', map_infrared),
    Case('13', 'the same in training', 'note: gdal_edit.py -colorinterp_4 undefined a.tif', train_infrared),
    Case('13', 'an alpha band', 'no note', true_alpha),
    Case('31', 'complex integers', 'refused: a.tif holds complex numbers', open_complex),
    Case('31', 'complex floats', 'refused: gdal_calc.py -A a.tif', open_complex64),
    Case('31', 'a GPKG of two rasters', 'refused: a.gpkg holds 2 rasters (GPKG:a.gpkg:a, GPKG:a.gpkg:b)',
         open_container),
    Case('31', 'a VRT of bytes and floats', 'refused: v.vrt has bands of uint8 and float32', open_mixed),
    Case('31', 'its bytes alone', 'they are read', choose_mixed),
    Case('34', 'a scene of 5,000 x 1', 'each pixel is mapped', thin(5000, 1)),
    Case('34', 'a scene of 1 x 9,000', 'each pixel is mapped', thin(1, 9000)),
    Case('34', 'a transform of 1e300', 'refused: where EPSG:32645 is not defined',
         placed(1e300, 0, 1e300, 0, -1e300, 1e300)),
    Case('34', 'coordinates out of the domain of the CRS', 'refused: a.tif lies at 9e+09, 9e+09',
         placed(.5, 0, 9e9, 0, -.5, 9e9)),
    Case('34', 'a transform that is no number', 'refused: is not defined', placed(float('nan'), 0, 0, 0, -1, 0)),
    Case('34', 'pixels without height', 'refused: has pixels of 0 m', placed(.5, 0, 3e5, 0, 0, 3e6)),
    Case('34', 'a latitude of 95', 'refused: in degrees by its CRS',
         placed(1e-5, 0, 10, 0, -1e-5, 95, crs='EPSG:4326')),
    Case('34', 'a process that may have 900 MB', 'one line, exit code 2', little_memory),
    Case('40', 'a TIFF of three pages', 'note: a.tif has 3 pages, of which the first is read', map_pages),
    Case('40', 'scenes of .3 and 1.2 m in one training', 'note: pixels of 0.3 m (0.3.tif) and of 1.2 m', two_sizes),
    Case('40', 'a world file without a CRS', 'note: gdal_edit.py -a_srs EPSG:... a.png', world_file),
    *[Case('40', place, LOCAL, remote(place))
      for place in ('/vsicurl/https://a.org/b.tif', '/vsizip/a.zip/b.tif', 's3://bucket/b.tif', 'https://a.org/b.tif')],
]
