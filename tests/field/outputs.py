"What is read as a map, and what is written: masks, polygons, sidecars, exports."
import sqlite3

import geopandas as gpd
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



def write_polygons(folder, name='east.gpkg', **options):
    "Polygons of the two houses as a file."
    from satseg_fastai.maps.polygons import vectorize
    mask = write_raster(folder/'mask.tif', two_houses())
    vectorize(mask, folder/name, **options)
    return folder/name


def someones(folder, **layers):
    "A GPKG with layers of somebody's."
    import geopandas
    import shapely
    square = shapely.box(332_000, 3_057_900, 332_010, 3_057_910)
    for name, number in layers.items():
        frame = geopandas.GeoDataFrame(dict(who=['me']*number), geometry=[square]*number, crs=32645)
        frame.to_file(folder/'east.gpkg', layer=name, driver='GPKG')
    return folder/'east.gpkg'


def layer_sizes(path):
    import pyogrio
    return {name: pyogrio.read_info(path, layer=name)['features'] for name, _ in pyogrio.list_layers(path)}


def open_elsewhere(folder):
    "QGIS in edit mode: what it has not finished lies in -wal."
    path = write_polygons(folder)
    with sqlite3.connect(path) as database:
        database.execute('pragma journal_mode=wal')
        database.execute('create table note (words)')
        database.commit()
        write_polygons(folder)


def is_whole_after(folder):
    "The refusal leaves the database as it is."
    from satseg_fastai.errors import BadInput
    try: open_elsewhere(folder)
    except BadInput: pass
    with sqlite3.connect(folder/'east.gpkg') as database:
        assert database.execute('pragma integrity_check').fetchone() == ('ok',)
        assert database.execute('select count(*) from east').fetchone() == (2,)
        assert database.execute('select count(*) from note').fetchone() == (0,)


def broke_off(folder):
    "A journal that a crashed program left."
    write_polygons(folder).with_name('east.gpkg-journal').write_bytes(b'hot')
    write_polygons(folder)


def wal_without_database(folder):
    "SQLite would take the -wal for the new file's."
    (folder/'east.gpkg-wal').write_bytes(b'frames')
    write_polygons(folder)


def opened_by_its_link(folder):
    "SQLite puts -wal beside the file that a link leads to."
    path = write_polygons(folder, 'stored/real.gpkg')
    path.with_name('real.gpkg-wal').write_bytes(b'frames')
    (folder/'east.gpkg').symlink_to(path)
    write_polygons(folder)


def opened_meanwhile(folder):
    "Opened while the polygons are traced."
    import shapely

    from satseg_fastai.geo.raster import Scene
    from satseg_fastai.maps.layers import write_layer
    def chunks():
        (folder/'east.gpkg-wal').write_bytes(b'frames')
        yield np.array([shapely.box(0, 0, 1, 1)]), dict(number=np.array([1]))
    with Scene(write_raster(folder/'mask.tif', two_houses())) as scene:
        write_layer(folder/'east.gpkg', chunks(), scene)


def open_in_change(folder):
    "The same check stands before every layer."
    from satseg_fastai.areas.change import compare_maps
    (folder/'change.gpkg-shm').touch()
    maps = [write_raster(folder/name, two_houses()) for name in ('a.tif', 'b.tif')]
    compare_maps(*maps, folder/'change.gpkg')


def other_layers(folder):
    path = someones(folder, drawn=1, trees=3)
    write_polygons(folder)
    assert layer_sizes(path) == dict(drawn=1, trees=3, east=2)


def written_again(folder):
    "Only our own layer is replaced."
    path = someones(folder, drawn=1)
    write_polygons(folder)
    write_polygons(folder, min_area_m2=80)
    assert layer_sizes(path) == dict(drawn=1, east=1)


def other_case(folder):
    "SQLite knows one name in both cases."
    path = write_polygons(folder)
    ours = gpd.read_file(path)
    path.unlink()
    someones(folder, trees=3)
    ours.to_file(path, layer='EAST')
    write_polygons(folder)
    assert layer_sizes(path) == dict(trees=3, east=2)


def table_without_geometry(folder):
    "QGIS' styles, and notes of somebody's."
    path = write_polygons(folder)
    with sqlite3.connect(path) as database: database.execute('create table notes as select 7 as number')
    write_polygons(folder)
    with sqlite3.connect(path) as database:
        assert database.execute('select number from notes').fetchall() == [(7,)]


def layer_name(folder): assert layer_sizes(write_polygons(folder, 'upper town.gpkg')) == {'upper town': 2}


def earlier_version(folder):
    "Our only layer, of when all were named polygons, makes way."
    write_polygons(folder, 'polygons.gpkg').rename(folder/'east.gpkg')
    assert layer_sizes(write_polygons(folder)) == dict(east=2)


def no_database(folder):
    (folder/'east.gpkg').write_bytes(b'something else')
    write_polygons(folder)


def pictures_in_it(folder):
    "Tiles of a raster in a GPKG are somebody's, too."
    write_raster(folder/'east.gpkg', np.ones((3, 64, 64), np.uint8), 'EPSG:3857', driver='GPKG')
    write_polygons(folder)


def broken_off_keeps(folder):
    "Work that breaks off leaves the file as it was."
    from satseg_fastai.geo.raster import Scene
    from satseg_fastai.maps.layers import write_layer
    path = someones(folder, drawn=1)
    before = path.read_bytes()
    def chunks(): raise KeyboardInterrupt
    with Scene(write_raster(folder/'mask.tif', two_houses())) as scene:
        try: write_layer(path, map(lambda _: chunks(), [1]), scene)
        except KeyboardInterrupt: pass
    assert path.read_bytes() == before and len(list(folder.glob('*east*'))) == 1


def mask_of(folder, *levels, classes=None, name='town_mask.tif'):
    "A mask whose planes hold one probability each, in levels of 65534."
    from satseg_fastai.maps.mask import write_mask
    planes = np.stack([np.full((64, 64), level, np.uint16) for level in levels])
    prob = write_raster(folder/'town_prob.tif', planes, nodata=65535)
    write_mask(prob, folder/name, classes=classes)
    return folder/name


def written(folder, value, name='town_prob.tif'):
    "A raster of one value as the library writes all of them."
    from satseg_fastai.geo.raster import Scene, write_cog
    values = np.full((64, 64), value, np.uint16)
    with Scene(write_raster(folder/'scene.tif', values)) as like:
        write_cog(folder/name, like, [(0, values)], dtype='uint16')
    return folder/name


def statistics_of_before(folder):
    "QGIS keeps minimum and maximum in .aux.xml, and stretches by them."
    with rasterio.open(written(folder, 3)) as file: assert file.statistics(1).max == 3
    assert (folder/'town_prob.tif.aux.xml').exists()
    with rasterio.open(written(folder, 700)) as file: assert not file.tags(1) and file.statistics(1).max == 700


def statistics_of_a_lost_raster(folder):
    "The raster is gone, its .aux.xml is not."
    with rasterio.open(written(folder, 3)) as file: file.statistics(1)
    (folder/'town_prob.tif').unlink()
    with rasterio.open(written(folder, 700)) as file: assert not file.tags(1)


def statistics_of_a_mask(folder):
    "A mask has class names in its .aux.xml, and no statistics."
    with rasterio.open(mask_of(folder, 0)) as file: file.statistics(1)
    with rasterio.open(mask_of(folder, 65534)) as file: assert not file.tags(1)
    names = (folder/'town_mask.tif.aux.xml').read_text()
    assert 'building' in names and 'STATISTICS' not in names


def overviews_of_before(folder):
    "Beside the raster, made by gdaladdo -ro."
    write_raster(folder/'town_prob.tif.ovr', np.zeros((32, 32), np.uint16), driver='GTiff')
    written(folder, 700)
    assert not (folder/'town_prob.tif.ovr').exists()


def mask_band_of_before(folder):
    "It would hide the new values."
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        hidden = hide_right(write_raster(folder/'town_prob.tif', two_houses()))
    assert hidden.with_name('town_prob.tif.msk').exists()
    with rasterio.open(written(folder, 700)) as file: assert file.read_masks(1).min() == 255


def world_file_of_before(folder):
    (folder/'town_prob.tfw').write_text('0.5\n0\n0\n-0.5\n332000\n3058000\n')
    written(folder, 700)
    assert not (folder/'town_prob.tfw').exists()


def files_of_others(folder):
    "What belongs to another file stays."
    others = [folder/name for name in ('town_prob.txt', 'town_prob.png', 'town_prob2.tif.aux.xml', 'town_prob.wld')]
    for file in others: file.touch()
    written(folder, 700)
    assert all(file.exists() for file in others)


def small_spec(**more):
    "What a bundle says that was trained on scenes of 30 cm."
    classes = [dict(name=name, color=[200*index, 0, 0], index=index) for index, name in enumerate(('ground', 'roof'))]
    data = dict(n_in=3, mean=[100.]*3, std=[50.]*3, bands=[1, 2, 3], dtype='uint8', gsd=.3, patch_size=64)
    model = dict(arch='fpn', encoder='test_resnet', arch_args={}, n_out=2, threshold=dict(value=.4164))
    return dict(classes=classes, **data, **model, **more)


def small_bundle(folder):
    import torch

    from satseg_fastai.architectures import create_model
    from satseg_fastai.bundle.file import save_bundle
    torch.manual_seed(0)
    return save_bundle(folder/'roofs.safetensors', create_model('fpn', 'test_resnet', 3, 2), small_spec())


def graph_of(nodes, constants, shape=('batch', 1, 512, 512), **keys):
    "An ONNX graph from image to probability, by hand."
    import onnx
    from onnx import helper, numpy_helper
    image, answer = (helper.make_tensor_value_info(name, 1, shape) for name in ('image', 'probability'))
    values = [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()]
    made = [helper.make_node(kind, inputs, [output]) for output, (kind, inputs) in nodes.items()]
    graph = helper.make_graph(made, 'map', [image], [answer], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=8)
    helper.set_model_props(model, keys)
    onnx.checker.check_model(model, full_check=True)
    return model


def settled(beside=0., low=.41999998):
    "Sigmoid and the jump at .4164, which this program computes a little beside ours."
    nodes = dict(p=('Sigmoid', ['image']), q=('Add', ['p', 'beside']), is_high=('GreaterOrEqual', ['q', 'threshold']),
                 above=('Max', ['q', 'high']), below=('Min', ['q', 'low']),
                 probability=('Where', ['is_high', 'above', 'below']))
    return graph_of(nodes, dict(beside=beside, threshold=.4164, high=.42, low=low))


def differences(graph, temperature=1.):
    "What `parity` says of a graph, and the check of it."
    import torch

    from satseg_fastai.bundle.rule import Rule
    from satseg_fastai.export.onnx import check_parity, parity, right_answers
    def want(images): return right_answers((images/temperature).sigmoid(), Rule((.4164,)))
    with torch.no_grad(): off = parity(graph.SerializeToString(), want, (1, 512, 512))
    check_parity(off, False, 'roofs')
    return max(of_batch['largest'] for of_batch in off.values())


def near_the_threshold(folder): assert 4e-6 < differences(settled(beside=5e-6)) < 1e-5


def another_network(folder): differences(settled(), temperature=1.1)


def another_jump(folder): differences(settled(low=.41))


def another_rounding(folder):
    "Only pixels at the threshold may be on its other side."
    differences(settled(beside=2e-4))


def exported(folder, *options, made=None):
    "What `satseg export` says, and the files that are there then; without what is made of ONNX, that fails."
    from typer.testing import CliRunner

    from satseg_fastai.cli import app
    from satseg_fastai.errors import FailedWork
    from satseg_fastai.export import onnx
    def answer(*args, **options):
        if made is None: raise FailedWork('the ONNX graph differs')
        return made
    bundle = small_bundle(folder)
    kept, onnx.export_onnx = onnx.export_onnx, answer
    try: result = CliRunner().invoke(app, ['export', str(bundle), *options])
    finally: onnx.export_onnx = kept
    return result, sorted(file.name for file in folder.iterdir())


def others_are_exported(folder):
    "The item then tells of no ONNX file, not even of an older one."
    import json
    (folder/'roofs.onnx').write_bytes(b'older')
    result, files = exported(folder, '--onnx', '--stac', '--card')
    assert result.exit_code == 2 and 'the ONNX graph differs' in result.output
    assert files == ['roofs.md', 'roofs.onnx', 'roofs.safetensors', 'roofs.stac.json']
    assert list(json.loads((folder/'roofs.stac.json').read_text())['assets']) == ['model']


def item_of(folder, shape, **keys):
    "The asset of an ONNX file in the item of its bundle, and the item."
    import onnx

    from satseg_fastai.export.stac import export_stac
    onnx.save(graph_of(dict(probability=('Sigmoid', ['image'])), {}, shape, **keys), folder/'roofs.onnx')
    item = export_stac(small_bundle(folder), folder/'roofs.json', onnx=folder/'roofs.onnx')
    return item['assets']['onnx'], item


def output_of_the_asset(folder):
    asset, item = item_of(folder, ('batch', 1, 128, 128), seg_thresh='0.42')
    (own,), (of_bundle,) = asset['mlm:output'], item['properties']['mlm:output']
    assert (own['name'], own['result']['shape']) == ('probability', [-1, 1, 128, 128])
    assert own['post_processing_function'][0]['expression'] == 'class 1 where the value is at least 0.42'
    assert (of_bundle['name'], of_bundle['result']['shape']) == ('logits', [-1, 2, 64, 64])
    assert asset['mlm:input'][0]['input']['shape'] == [-1, 3, 128, 128] and asset['mlm:framework'] == 'ONNX'


def output_of_several_classes(folder):
    asset, _ = item_of(folder, ('batch', 4, 64, 64), seg_thresh='0')
    assert asset['mlm:output'][0]['post_processing_function'][0]['expression'] == 'argmax over classes'


def asset_that_is_none(folder):
    from satseg_fastai.export.stac import export_stac
    (folder/'roofs.onnx').write_bytes(b'something else')
    export_stac(small_bundle(folder), folder/'roofs.json', onnx=folder/'roofs.onnx')


def in_web_mercator(folder):
    "At 60 degrees a pixel of 30 cm is 60 cm of Web Mercator."
    from satseg_fastai.bundle.spec import check_spec
    from satseg_fastai.export.onnx import mercator_resolution, notes
    note, = [line for line in notes(check_spec(small_spec())) if 'Web Mercator' in line]
    assert 'type the resolution 30/cos(latitude) cm' in note and '42.43 at 45°, 60 at 60°' in note
    assert mercator_resolution(.3, -60) == 60


def resolution_in_web_mercator(folder):
    "The number is the side of the scene's own pixels."
    from satseg_fastai.export.onnx import mercator_resolution
    from satseg_fastai.geo.raster import Scene, tile_bounds, tile_grid
    crs, place = tile_grid((18, 193384, 111069), 512, 512)
    _, south, _, north = tile_bounds(18, 193384, 111069)
    with Scene(write_raster(folder/'tile.tif', np.zeros((512, 512), np.uint8), crs.to_wkt(), place)) as scene:
        typed = mercator_resolution(scene.gsd, (south + north)/2)
        assert abs(typed - 100*place.a) < .005*typed


def earlier_operators(folder):
    from satseg_fastai.export.onnx import check_opset
    check_opset(settled(), 17)


def later_operators(folder):
    "What was written is what was asked for."
    import onnx

    from satseg_fastai.export.onnx import export_onnx, own_opset
    facts = export_onnx(small_bundle(folder), folder/'roofs.onnx', size=32, opset=20, check=False)
    assert own_opset(onnx.load(folder/'roofs.onnx')) == facts['opset'] == 20


def any_operators(folder):
    "A set that no exporter knows is refused, or written; never another one."
    import torch

    from satseg_fastai.errors import BadInput
    from satseg_fastai.export.onnx import own_opset, traced
    class Map(torch.nn.Module):
        def forward(self, x): return torch.nn.functional.interpolate(x, scale_factor=2, mode='bilinear').sigmoid()
    for asked in (9, 19):
        try: assert own_opset(traced(Map(), 3, 32, asked)) == asked
        except BadInput as error: assert f'operator set {asked}' in str(error)


def number_to_type(folder):
    "The command tells what the file's own note says."
    from satseg_fastai.export.onnx import mercator_note
    made = dict(bytes=1000, size=64, parity={1: dict(largest=0.)}, notes=[mercator_note(.3)])
    result, _ = exported(folder, '--onnx', made=made)
    assert result.exit_code == 0 and 'type the resolution 30/cos(latitude) cm' in result.output


def legend(path):
    "Value, label, color and alpha of each entry of a QGIS style."
    from xml.etree import ElementTree
    style = ElementTree.parse(path)
    assert style.find('.//rasterrenderer').get('type') == 'paletted'
    return [[entry.get(key) for key in ('value', 'label', 'color', 'alpha')] for entry in style.iter('paletteEntry')]


BUILDING_LEGEND = [['0', 'background', '#000000', '0'], ['1', 'building', '#ff0000', '255']]


def legend_of_a_mask(folder): assert legend(mask_of(folder, 0).with_suffix('.qml')) == BUILDING_LEGEND


def legend_of_land_cover(folder):
    "Without a background nothing is clear."
    entries = legend(mask_of(folder, *[9]*5, classes=land_cover()).with_suffix('.qml'))
    assert [entry[1] for entry in entries] == land_cover().names and {entry[3] for entry in entries} == {'255'}


def legend_of_a_clean_mask(folder):
    from satseg_fastai.maps.clean import Clean, clean_mask
    clean_mask(mask_of(folder, 0), folder/'clean.tif', Clean(min_object=5))
    assert legend(folder/'clean.qml') == BUILDING_LEGEND


def legend_of_errors(folder):
    from satseg_fastai.evaluate.pixels import write_errors
    label = write_raster(folder/'label.tif', np.ones((64, 64), np.uint8))
    write_errors(mask_of(folder, 0), label, folder/'errors.tif')
    entries = legend(folder/'errors.qml')
    assert [entry[1] for entry in entries] == ['right background', 'hit', 'false', 'missed'] and entries[0][3] == '0'


def names_with_signs(folder):
    from satseg_fastai.labels.classes import ClassTable
    table = ClassTable((('ground', '#000000', 0), ('roof "flat" <5°> & more', '#ff8800', 1)))
    entries = legend(mask_of(folder, 0, classes=table).with_suffix('.qml'))
    assert entries[1][1] == 'roof "flat" <5°> & more'


def style_of_before(folder):
    "Ours follows the classes; one that somebody saved stays."
    from satseg_fastai.labels.classes import ClassTable
    path = mask_of(folder, 0).with_suffix('.qml')
    mask_of(folder, 0, classes=ClassTable((('ground', '#000000', 0), ('roof', '#ff8800', 1))))
    assert legend(path)[1][1:3] == ['roof', '#ff8800']
    path.write_text('<qgis/>')
    mask_of(folder, 0)
    assert path.read_text() == '<qgis/>'


def run_of_maps(folder, *names):
    "A folder of maps with two houses each."
    for number, name in enumerate(names):
        place = PLACE*Affine.translation(200*number, 0)
        write_raster(folder/'maps'/f'{name}_mask.tif', two_houses(), transform=place, nodata=255)
    return folder/'maps'


def satseg(*args):
    "What a command says, and its exit code."
    from typer.testing import CliRunner

    from satseg_fastai.cli import app
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return result.output, result.exit_code


def vectorize_folder(folder):
    said, code = satseg('vectorize', run_of_maps(folder, 'a', 'b', 'c'), '--out', folder/'polygons')
    assert code == 0 and '6 polygons of 3 masks' in said
    files = sorted(file.name for file in (folder/'polygons').iterdir())
    assert files == ['a.gpkg', 'b.gpkg', 'c.gpkg'] and layer_sizes(folder/'polygons'/'b.gpkg') == dict(b=2)


def vectorize_folder_into_a_file(folder):
    from satseg_fastai.cli import _vectorize_all
    _vectorize_all(run_of_maps(folder, 'a'), folder/'all.gpkg', {})


def stats_folder(folder):
    "Areas of both, and their sum."
    said, code = satseg('stats', run_of_maps(folder, 'a', 'b'), '--out', folder/'areas.csv')
    assert code == 0 and 'total of 2 maps: 2,400 m²' in said and '350 m² as mapped, 14.6 %; 4 objects' in said
    rows = (folder/'areas.csv').read_text().splitlines()
    assert len(rows) == 7 and [row.split(',')[0] for row in rows[1::2]] == ['a_mask.tif', 'b_mask.tif',
                                                                            'total of 2 maps']


def stats_folder_as_json(folder):
    import json
    satseg('stats', run_of_maps(folder, 'a', 'b'), '--out', folder/'areas.json')
    maps = json.loads((folder/'areas.json').read_text())
    areas = [part['classes']['building']['area'] for part in maps]
    assert len(maps) == 3 and abs(sum(areas[:2]) - areas[2]) < 1e-6


def stats_of_two_units(folder):
    "Pixels and square meters are not added."
    from satseg_fastai.areas.figures import area_figures, total_figures
    maps = run_of_maps(folder, 'a')
    write_raster(maps/'b_mask.tif', two_houses(), crs=None)
    assert total_figures([area_figures(mask) for mask in sorted(maps.iterdir())]) is None


def folder_without_masks(folder):
    from satseg_fastai.maps.run import find_masks
    (folder/'maps').mkdir()
    find_masks(folder/'maps')


def specks(folder):
    "Thirty pixels alone beside two houses."
    town = two_houses()
    town[2:4:2, 2:62:2] = 1
    polygons(folder, town)


def no_specks(folder):
    "Few, or few among many, are no note."
    import warnings

    from satseg_fastai.errors import Note
    few = two_houses()
    few[2, 2:12:2] = 1
    with warnings.catch_warnings():
        warnings.simplefilter('error', Note)
        polygons(folder, few)
        many = np.zeros((60, 80), np.uint8)
        for row in range(0, 60, 10):
            for col in range(0, 80, 10): many[row:row + 8, col:col + 8] = 1
        many[9, 9:49:10] = 1
        polygons(folder, many)


def path_before_torch(folder):
    "In a process of its own: the line comes, torch does not."
    import subprocess
    import sys
    code = ('import sys\nfrom satseg_fastai.cli import main\nsys.argv = ["satseg", *sys.argv[1:]]\n'
            'try: main()\nexcept SystemExit as end: print(end.code, "torch" in sys.modules)\n')
    args = ['predict', 'gone.safetensors', 'scenes', '--out', 'maps']
    made = subprocess.run([sys.executable, '-c', code, *args], cwd=folder, capture_output=True, text=True)
    assert made.stdout.split() == ['2', 'False'] and 'gone.safetensors does not exist' in made.stderr


def paths_of_every_kind(folder):
    "A zone file, labels, one of several scenes."
    mask = write_raster(folder/'a_mask.tif', two_houses())
    for args in (['stats', mask, '--zones', folder/'no.gpkg'], ['evaluate', mask, folder/'no.tif'],
                 ['predict', mask, mask, folder/'no.tif', '--out', folder/'maps'],
                 ['train', '--images', folder/'no', '--out', folder/'m.safetensors']):
        said, code = satseg(*args)
        assert code == 2 and 'does not exist' in said and '/no' in said


def patterns_are_paths(folder):
    "A pattern is nobody's mistake yet."
    from satseg_fastai.cli import _is_missing
    for text in ('a/*.tif', 'https://x.org/a.tif', '/vsizip/a.zip/a.tif'): assert not _is_missing(type(folder)(text))
    assert _is_missing(folder/'gone.tif') and not _is_missing(type(folder)('a'*5000))


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
    Case('19', 'a GPKG that QGIS has open', 'refused: close it in QGIS', open_elsewhere),
    Case('19', 'after that refusal', 'the database is whole, with what the other program wrote', is_whole_after),
    Case('19', 'a -journal that a crash left', 'refused: east.gpkg-journal lies beside it', broke_off),
    Case('19', 'a -wal without its GPKG', 'refused: east.gpkg-wal lies beside it', wal_without_database),
    Case('19', 'open by the file that a link leads to', 'refused: real.gpkg-wal lies beside it', opened_by_its_link),
    Case('19', 'opened while polygons are traced', 'refused: close it in QGIS', opened_meanwhile),
    Case('19', 'a -shm beside the layer of change', 'refused: change.gpkg-shm lies beside it', open_in_change),
    Case('20', 'a GPKG with layers of somebody\'s', 'they stay', other_layers),
    Case('20', 'so it is told', 'note: keeps its other layers: drawn, trees', other_layers),
    Case('20', 'written twice', 'only our own layer is replaced', written_again),
    Case('20', 'a layer of our name in capitals', 'is the same layer', other_case),
    Case('20', 'a table without geometry', 'it stays', table_without_geometry),
    Case('20', 'the name of the layer', 'is that of the file', layer_name),
    Case('20', 'our only layer, named polygons', 'is replaced', earlier_version),
    Case('20', 'a GPKG that is none', 'refused: remove it, or write to another file', no_database),
    Case('20', 'a GPKG of raster tiles', 'refused: remove it, or write to another file', pictures_in_it),
    Case('20', 'work that breaks off', 'the file stays as it was', broken_off_keeps),
    Case('21', 'statistics in .aux.xml of the raster of before', 'go with it', statistics_of_before),
    Case('21', 'overviews beside the raster of before', 'go with it', overviews_of_before),
    Case('21', 'a .msk of the raster of before', 'goes with it', mask_band_of_before),
    Case('21', 'a world file of the raster of before', 'goes with it', world_file_of_before),
    Case('21', '.aux.xml of a raster that is gone', 'does not describe the new one', statistics_of_a_lost_raster),
    Case('21', 'files with similar names', 'stay', files_of_others),
    Case('21', 'statistics of a mask of before', 'go, class names stay', statistics_of_a_mask),
    Case('22', 'an ONNX file beside a bundle, STAC', 'each asset has the mlm:output of what it points to',
         output_of_the_asset),
    Case('22', 'an ONNX file of several classes, STAC', 'its mlm:output is argmax', output_of_several_classes),
    Case('22', 'a file that is no ONNX file, STAC', 'refused: roofs.onnx is no ONNX file', asset_that_is_none),
    Case('22', 'Deepness in Web Mercator', 'the number to type is told', in_web_mercator),
    Case('22', 'satseg export --onnx', 'it tells that number', number_to_type),
    Case('22', 'a tile of Web Mercator', 'the number is the side of its pixels', resolution_in_web_mercator),
    Case('22', 'an operator set that the exporter cannot write', 'refused: operator set 17; expected 18',
         earlier_operators),
    Case('22', 'a later operator set', 'it is written', later_operators),
    Case('22', 'operator sets that the exporter knows or not', 'never another one than was asked for', any_operators),
    Case('23', 'a pixel at the threshold in ONNX', 'may be on either side', near_the_threshold),
    Case('23', 'an ONNX file of another network', 'refused: differs from the bundle', another_network),
    Case('23', 'an ONNX file that jumps elsewhere', 'refused: differs from the bundle', another_jump),
    Case('23', 'an ONNX file off by more than rounding', 'refused: differs from the bundle', another_rounding),
    Case('23', '--onnx fails beside --stac and --card', 'those are made, then it is told', others_are_exported),
    Case('36', 'a mask in QGIS', 'a style with two entries, the background clear', legend_of_a_mask),
    Case('36', 'land cover in QGIS', 'a style with five entries, none clear', legend_of_land_cover),
    Case('36', 'a clean mask in QGIS', 'has its style, too', legend_of_a_clean_mask),
    Case('36', 'a map of errors in QGIS', 'an entry for each kind, what is right is clear', legend_of_errors),
    Case('36', 'class names with <, & and quotes', 'stand in the style', names_with_signs),
    Case('36', 'a style that is there already', 'ours follows the classes, others stay', style_of_before),
    Case('41', 'vectorize of a folder', 'a GPKG of each mask, and a total', vectorize_folder),
    Case('41', 'vectorize of a folder into one file', 'refused: a folder, which gets a GPKG of each mask',
         vectorize_folder_into_a_file),
    Case('41', 'stats of a folder', 'figures of each map, and a total', stats_folder),
    Case('41', 'stats of a folder as JSON', 'a list, the total last', stats_folder_as_json),
    Case('41', 'stats of maps in pixels and in meters', 'have no total', stats_of_two_units),
    Case('41', 'a folder without masks', 'refused: holds no *_mask.tif', folder_without_masks),
    Case('41', 'a map full of specks', 'note: 30 of 32 polygons are below 10 m²; leave them out with '
         'min_area_m2=10 (--min-area 10)', specks),
    Case('41', 'a map with few specks', 'no note', no_specks),
    Case('41', 'a path that is not there', 'is told before torch is imported', path_before_torch),
    Case('41', 'paths that are not there, in every command', 'one line', paths_of_every_kind),
    Case('41', 'patterns and addresses', 'are for whoever reads them', patterns_are_paths),
]
