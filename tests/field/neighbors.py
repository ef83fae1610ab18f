"Neighbors of the other tables' rows: the same kinds, by other ways in."
import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from PIL import Image
from rasterio.transform import from_origin

from satseg_fastai.geo.raster import Scene, write_cog
from satseg_fastai.labels.classes import building
from satseg_fastai.labels.polygons import named_layer, polygon_layer
from satseg_fastai.labels.read import labels_kind, open_labels
from satseg_fastai.scene.engine import check_fits
from satseg_fastai.testing import PLACE, write_raster

from .case import Case

RNG = np.random.default_rng(0)
HOUSES = np.zeros((40, 50), np.uint8)
HOUSES[10:20, 15:30] = 1


def drawn(path, layer, **columns):
    "A layer somebody drew into a GPKG."
    shape = shapely.box(332_002, 3_057_985, 332_010, 3_057_995)
    gpd.GeoDataFrame(columns or dict(surveyor=['Ann']), geometry=[shape], crs=32645).to_file(path, layer=layer)
    return path


def vectorized(folder, dst):
    "Our layer in a file."
    from satseg_fastai.maps.polygons import vectorize
    mask = write_raster(folder/'map_mask.tif', HOUSES, nodata=255)
    return vectorize(mask, dst)


def over_a_drawing(folder): vectorized(folder, drawn(folder/'houses.gpkg', 'houses'))


def drawing_stays(folder):
    "After the refusal the file is as it was."
    path = drawn(folder/'houses.gpkg', 'houses')
    before = path.read_bytes()
    try: vectorized(folder, path)
    except ValueError: pass
    assert path.read_bytes() == before


def over_a_file(ending, *columns):
    "Our layer over a file of one layer, that somebody else wrote or this library did."
    def run(folder):
        frame = gpd.GeoDataFrame({name: ['x'] for name in columns}, geometry=[shapely.box(0, 0, 9, 9)], crs=32645)
        path = folder/f'houses{ending}'
        frame.to_parquet(path) if ending == '.parquet' else frame.to_file(path)
        vectorized(folder, path)
    return run


def over_our_own(ending):
    "A second time, and where the first one found nothing."
    def run(folder):
        path = folder/f'houses{ending}'
        for _ in range(2): vectorized(folder, path)
        nothing = write_raster(folder/'nothing.tif', HOUSES*0, nodata=255)
        from satseg_fastai.maps.polygons import vectorize
        for mask in (nothing, nothing): vectorize(mask, path)
        vectorized(folder, path)
    return run


def over_no_layer(folder):
    (folder/'houses.geojson').write_text('shopping list')
    vectorized(folder, folder/'houses.geojson')


def our_map_as_labels(folder):
    "The user's only layer is not the one of the file's name; ours is."
    path = drawn(folder/'labels.gpkg', 'hand')
    assert polygon_layer(path) == 'hand'
    vectorized(folder, path)
    assert set(pyogrio.list_layers(path)[:, 0]) == {'hand', 'labels'}
    polygon_layer(path)


def named_like_file(folder):
    "Of two drawn layers the one named like the file."
    path = drawn(drawn(folder/'labels.gpkg', 'labels'), 'more')
    assert polygon_layer(path) == 'labels'


def asked(layer):
    "A layer is asked for by its name: the polygons of that one count; a file of one layer is not concerned."
    def run(folder):
        from satseg_fastai.areas.zones import read_zones
        path = drawn(drawn(folder/'zones.gpkg', 'east', name=['a']), 'west', name=['b'])
        only = drawn(folder/'only.gpkg', 'south', name=['c'])
        mask = write_raster(folder/'mask.tif', HOUSES, nodata=255)
        with named_layer(layer), Scene(mask) as scene:
            assert [zone.name for zone in read_zones(only, scene)[0]] == ['c']
            assert [zone.name for zone in read_zones(path, scene)[0]] == ['b']
    return run


def layer_option(folder):
    "The command line's --layer, and that it holds for that command alone."
    from typer.testing import CliRunner
    from satseg_fastai.cli import app
    from satseg_fastai.labels.polygons import asked_layer
    path = drawn(drawn(folder/'zones.gpkg', 'east', name=['in the east']), 'west', name=['in the west'])
    mask = write_raster(folder/'mask.tif', HOUSES, nodata=255)
    result = CliRunner().invoke(app, ['stats', str(mask), '--zones', str(path), '--layer', 'west'])
    assert result.exit_code == 0 and 'in the west' in result.output and 'in the east' not in result.output
    assert asked_layer() is None


def layer_in_key(folder):
    "Another layer is another run."
    from satseg_fastai.data.datasets import Pair, Split
    from satseg_fastai.workflow import _Plan
    image = write_raster(folder/'a.tif', RNG.integers(0, 255, (3, 40, 50)).astype('uint8'))
    pair = Pair(image, drawn(drawn(folder/'roofs.gpkg', 'east'), 'west'), 'a')
    plan = _Plan(Split([pair], [pair], 'given'), {}, {}, (1, 0, .1), None)
    keys = [plan.key()]
    for layer in ('east', 'west'):
        with named_layer(layer): keys.append(plan.key())
    assert len(set(keys)) == 3


def fax(folder, black_is=1):
    "A map of another program whose palette begins with white."
    image = Image.fromarray(HOUSES*black_is, 'P')
    image.putpalette([255]*3 + [0]*3 + [128]*762)
    image.save(folder/'fax.png')
    return write_raster(folder/'labels.png', HOUSES, crs=None), folder/'fax.png'


def evaluate_fax(folder):
    from satseg_fastai.evaluate.pixels import evaluate
    labels, mask = fax(folder)
    evaluate(mask, labels)


def vectorize_fax(folder):
    from satseg_fastai.maps.polygons import vectorize
    vectorize(fax(folder)[1], folder/'fax.gpkg')


def own_colors(folder):
    "A palette that says what the numbers say is read, whoever wrote it."
    from satseg_fastai.evaluate.pixels import evaluate
    labels, _ = fax(folder)
    image = Image.fromarray(HOUSES, 'P')
    image.putpalette([0, 0, 0, 255, 0, 0] + [0]*762)
    image.save(folder/'own.png')
    assert evaluate(folder/'own.png', labels)['iou']['building'] == 1


def stale(ending, place=True):
    "What lay beside a raster of this name is gone when it is written again, and says nothing of the new one."
    def run(folder):
        beside = folder/f'map{ending}'
        beside.write_text('.5\n0\n0\n-.5\n100\n200\n')
        scene = write_raster(folder/'scene.tif', HOUSES, crs='EPSG:32645' if place else None)
        with Scene(scene) as like: write_cog(folder/'map.tif', like, [(0, HOUSES)])
        assert not beside.exists()
        with Scene(folder/'map.tif') as back, Scene(scene) as like: assert back.transform == like.transform
    return run


def drawn_table(folder):
    "A table without shapes is somebody's, too."
    import pandas as pd
    pyogrio.write_dataframe(pd.DataFrame(dict(surveyor=['Ann'])), folder/'houses.gpkg', layer='houses')
    vectorized(folder, folder/'houses.gpkg')


def other_case(folder): vectorized(folder, drawn(folder/'houses.gpkg', 'HOUSES'))


def linked_journal(folder):
    "A link to a GPKG that is open elsewhere."
    path = drawn(folder/'real.gpkg', 'hand')
    (folder/'real.gpkg-journal').write_bytes(b'work')
    (folder/'houses.gpkg').symlink_to(path)
    vectorized(folder, folder/'houses.gpkg')


def palette_of(driver, name, **options):
    "Palettes in other formats and by other ways in."
    def run(folder):
        import rasterio.shutil
        from satseg_fastai.geo.raster import open_image
        image = Image.fromarray(RNG.integers(0, 3, (40, 50), dtype=np.uint8), 'P')
        image.putpalette([9, 99, 9, 200, 30, 30, 0, 0, 255] + [0]*759)
        image.save(folder/'p.png')
        if driver: rasterio.shutil.copy(folder/'p.png', folder/name, driver=driver, **options)
        open_image(folder/name, [1])
    return run


def new_part(name, change, content='something else'):
    "A part of a label that changed makes another run."
    def run(folder):
        from satseg_fastai.workflow import _states
        path = change(folder)
        before = _states([path])
        (folder/name).write_text(content)
        assert _states([path]) != before
    return run


def shapefile(folder):
    frame = gpd.GeoDataFrame(dict(kind=['a']), geometry=[shapely.box(0, 0, 1, 1)], crs=32645)
    frame.to_file(folder/'l.shp')
    return folder/'l.shp'


def geodatabase(folder):
    (folder/'l.gdb').mkdir()
    (folder/'l.gdb'/'a00000001.gdbtable').write_bytes(b'table')
    return folder/'l.gdb'


def mask_with_world(folder): return write_raster(folder/'mask.png', HOUSES, crs=None, driver='PNG')


def wide(change):
    "A scene beside a model of wide ranges, as those of Sentinel-2 are."
    def run(folder):
        from satseg_fastai.bundle.spec import check_spec
        from satseg_fastai.scene.engine import check_values
        middles = np.array([700, 900, 1100, 2500.])[:, None]
        values = RNG.lognormal(0, .45, (4, 9000))*middles
        quantiles = np.quantile(values, (.001, .5, .999), axis=1).T.tolist()
        classes = [dict(name=name, color=[i, 0, 0], index=i) for i, name in enumerate(('ground', 'roof'))]
        spec = check_spec(dict(arch='se_unet', encoder='test_resnet', arch_args={}, n_in=4, n_out=2, classes=classes,
                               mean=[1.]*4, std=[1.]*4, dtype='uint16', bands=[1, 2, 3, 4], quantiles=quantiles))
        check_values(change(values).astype(np.uint16), 'a.tif', spec)
    return run


def town(change, side=256, count=1):
    "Chips, by a bundle whose training reaches from black to white; among them a chip of the sea."
    def run(folder):
        from satseg_fastai.bundle.spec import check_spec
        from satseg_fastai.workflow import _check_scenes
        ground = RNG.gamma(6, 17, (3, side, side*count)).clip(0, 255)
        quantiles = np.quantile(np.c_[ground.reshape(3, -1), np.zeros((3, 999))], (.001, .5, .999), axis=1).T.tolist()
        classes = [dict(name=name, color=[i, 0, 0], index=i) for i, name in enumerate(('ground', 'roof'))]
        spec = check_spec(dict(arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, classes=classes,
                               mean=[1.]*3, std=[1.]*3, dtype='uint8', bands=[1, 2, 3], quantiles=quantiles))
        chips = np.split(change(ground).clip(0, 255).astype('uint8'), count, 2)
        if count > 1: chips[0] = RNG.integers(3, 12, chips[0].shape).astype('uint8')
        paths = [write_raster(folder/f'{number}.tif', chip) for number, chip in enumerate(chips)]
        if count > 1: return _check_scenes(paths, spec, None, False)
        with Scene(paths[0]) as scene: check_fits(scene, spec)
    return run


def labels_beside(crs, other):
    "A label 40 pixels off, one of the two without a CRS."
    def run(folder):
        image = write_raster(folder/'a.tif', RNG.integers(0, 255, (3, 40, 50)).astype('uint8'))
        with Scene(image) as scene: assert scene.crs
        moved = from_origin(332_020, 3_058_000, .5, .5)
        for path, own, transform in ((folder/'a.tif', crs, PLACE), (folder/'l.tif', other, moved)):
            values = RNG.integers(0, 2, (3, 40, 50) if path.stem == 'a' else (1, 40, 50)).astype('uint8')
            write_raster(path, values, crs='EPSG:32645', transform=transform)
            if not own: write_without_crs(path, values, transform)
        open_labels(folder/'l.tif', folder/'a.tif', building())
    return run


def write_without_crs(path, values, transform):
    "Coordinates of which nobody says what they are, as of a world file."
    import rasterio
    shape = dict(count=len(values), height=40, width=50, dtype='uint8')
    with rasterio.open(path, 'w', driver='GTiff', transform=transform, **shape) as file: file.write(values)


def open_journal(folder):
    "What was committed to a GPKG that is open stands in its -wal."
    from satseg_fastai.workflow import _states
    path = drawn(folder/'l.gpkg', 'l')
    before = _states([path])
    (folder/'l.gpkg-wal').write_bytes(b'more')
    assert _states([path]) != before


def all_full(folder):
    "One mask of 255 alone beside class indices."
    full = write_raster(folder/'a.png', np.full((40, 50), 255, np.uint8), crs=None)
    labels_kind([full, write_raster(folder/'b.png', HOUSES, crs=None)], building())


def turned_scene(folder):
    "A photo that is stored turned is mapped."
    import torch
    from satseg_fastai.scene.predict import predict_scene
    exif = Image.Exif()
    exif[274] = 3
    image = Image.fromarray(RNG.integers(20, 220, (40, 50, 3)).astype(np.uint8))
    image.save(folder/'photo.jpg', exif=exif)
    predict_scene(torch.nn.Conv2d(3, 2, 1), folder/'photo.jpg', folder/'p.tif', size=32, progress=False,
                  stats=([100]*3, [50]*3))


def odd_address(folder):
    "The address of an asset is a URI."
    import json
    from datetime import datetime, timezone
    from urllib.parse import unquote
    from satseg_fastai.export.scenes import export_scenes
    from satseg_fastai.report.example import noisy, write_map
    scene = write_raster(folder/'a#b%20.tif', RNG.integers(20, 220, (3, 40, 50)).astype('uint8'))
    write_map(folder/'run', scene, noisy(HOUSES, 0)[None], building())
    export_scenes(folder/'run', taken=datetime(2024, 6, 1, tzinfo=timezone.utc))
    items = [json.loads(path.read_text()) for path in (folder/'run').glob('*.json')]
    addresses = [asset['href'] for item in items for asset in item.get('assets', {}).values()]
    own = [address for address in addresses if 'prob' in address]
    assert own and all('#' not in address and 'a#b%20' in unquote(address) for address in own)


def local_vsi(folder):
    "A folder on this machine that begins like an address."
    from contextlib import chdir
    write_raster(folder/'vsidata'/'a.tif', HOUSES)
    with chdir(folder), Scene('vsidata/a.tif') as scene: assert scene.height == 40


CASES = [
    Case('1', 'a map whose palette begins with white', 'refused: fax.png', evaluate_fax),
    Case('1', 'the same, vectorized', 'refused: fax.png', vectorize_fax),
    Case('1', 'a map of another program with the colors of the classes', 'it is read', own_colors),
    Case('3', 'a mask of 255 alone beside class indices', 'refused: a.png holds only 255', all_full),
    Case('4', 'coordinates without a CRS, 40 pixels off', 'refused: lies 40 pixels away', labels_beside(True, None)),
    Case('4', 'an image with coordinates and no CRS', 'refused: lies 40 pixels away', labels_beside(None, True)),
    Case('5', 'a photo that is stored turned is mapped', 'note: photo.jpg is stored turned', turned_scene),
    Case('10', 'wide ranges, as they are', 'no refusal', wide(lambda values: values)),
    Case('10', 'wide ranges times five', 'refused: a.tif has values of', wide(lambda values: values*5)),
    Case('10', 'a chip of the sea', 'note: unless it shows water', town(lambda values: values/16)),
    Case('10', 'a chip of sand', 'note: all dark or all bright', town(lambda values: values/16 + 220)),
    Case('10', 'a scene of 600 x 600 divided by eight', 'refused: 0.tif has values of',
         town(lambda values: values/8, 600)),
    Case('10', 'the same times three', 'refused: 0.tif has values of', town(lambda values: values*3, 600)),
    Case('10', 'a folder of chips, one of them of the sea', 'no refusal', town(lambda values: values, 128, 50)),
    Case('10', 'a folder of chips divided by eight', 'refused: the run of 50 scenes has values of',
         town(lambda values: values/8, 128, 50)),
    Case('10', 'a folder of dark chips times three', 'refused: the run of 50 scenes has values of',
         town(lambda values: values*2.25, 128, 50)),
    Case('9', 'one band of a palette is asked for', 'refused: (a palette)', palette_of(None, 'p.png')),
    Case('9', 'a palette in a cloud-optimized TIFF', 'refused: (a palette)', palette_of('COG', 'p.tif')),
    Case('9', 'a palette in a compressed TIFF', 'refused: (a palette)', palette_of('GTiff', 'p.tif', compress='LZW')),
    Case('12', 'the .prj of a shapefile changed', 'another run', new_part('l.prj', shapefile)),
    Case('12', 'a table of a geodatabase changed', 'another run', new_part('l.gdb/a00000001.gdbtable', geodatabase)),
    Case('12', 'a mask gets a world file', 'another run',
         new_part('mask.wld', mask_with_world, '.5\n0\n0\n-.5\n100\n200\n')),
    Case('19', 'a link to a GPKG that is open', 'refused: is open in another program', linked_journal),
    Case('20', 'a drawn layer named in capitals', 'refused: holds a layer HOUSES', other_case),
    Case('20', 'a table without shapes named like the file', 'refused: holds a layer houses', drawn_table),
    Case('21', 'a stale .wld of a scene without a place', 'it is gone', stale('.wld', place=False)),
    Case('21', 'a stale table of values', 'it is gone', stale('.tif.vat.dbf')),
    Case('21', "stale statistics of ERDAS", 'they are gone', stale('.tif.aux')),
    Case('12', 'a GPKG of labels that is open elsewhere', 'another run', open_journal),
    Case('20', 'a hand-drawn layer named like the file', 'refused: holds a layer houses that satseg did not write',
         over_a_drawing),
    Case('20', 'the same: the file', 'is as it was', drawing_stays),
    Case('20', 'a hand-drawn GeoJSON named like the output', 'refused: 1 shapes that satseg did not write',
         over_a_file('.geojson', 'surveyor')),
    Case('20', 'a hand-drawn GeoParquet', 'refused: 1 shapes that satseg did not write',
         over_a_file('.parquet', 'surveyor')),
    Case('20', 'our own GeoJSON', 'is replaced', over_our_own('.geojson')),
    Case('20', 'our own GeoParquet', 'is replaced', over_our_own('.parquet')),
    Case('20', 'a .geojson that is none', 'refused: holds no layer that could be read', over_no_layer),
    Case('38', 'our map written beside drawn labels', 'refused: has 2 polygon layers', our_map_as_labels),
    Case('38', 'a layer that is asked for', 'its polygons are read', asked('west')),
    Case('38', 'a layer that is not there', "refused: has no polygon layer 'north'; expected one of", asked('north')),
    Case('12', 'labels of another layer', 'another run', layer_in_key),
    Case('38', '--layer at the command line', 'its polygons are read', layer_option),
    Case('38', 'two drawn layers, one named like the file', 'note: its layer labels is read', named_like_file),
    Case('33', '# and % in an address of STAC', 'are quoted', odd_address),
    Case('40', 'a local folder that begins with vsi', 'it is opened', local_vsi)]
