"Labels and class tables: what their numbers and colors mean."
import base64
import io
import json
from functools import partial

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from satseg_fastai.data.datasets import folder_pairs
from satseg_fastai.labels.classes import building, class_table, encode
from satseg_fastai.labels.masks import UNLABELED
from satseg_fastai.labels.polygons import class_values
from satseg_fastai.labels.read import labels_kind, open_labels, write_labels
from satseg_fastai.testing import write_raster

from .case import Case

PLACE = from_origin(330_000, 3_060_000, .5, .5)
SIDE = 40
rng = np.random.default_rng(0)
TRUTH = rng.integers(0, 2, (4, 4)).repeat(10, 0).repeat(10, 1).astype(np.uint8)
BLACK_WHITE = class_table({'classes': [{'name': 'ground', 'color': '#000000'}, {'name': 'roof', 'color': '#ffffff'}]})
NOTHING = {'name': 'nothing', 'color': '#000000', 'index': 0, 'ignore': True}
KINDS = [{'name': name, 'color': color, 'index': index}
         for name, color, index in (('ground', '#ffffff', 1), ('roof', '#ff0000', 2))]
SHIFTED = class_table({'classes': [NOTHING, *KINDS]})


def scene(folder, **profile):
    "An image of the truth."
    values = rng.integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
    return write_raster(folder/'scene.tif', values, transform=PLACE, crs='EPSG:32645', **profile)


def tif(folder, values, name='label.tif', colors=None, **profile):
    "A mask on the grid of the scene."
    shape = dict(count=1, height=SIDE, width=SIDE, dtype=values.dtype, crs='EPSG:32645', transform=PLACE)
    with rasterio.open(folder/name, 'w', driver='GTiff', **shape, **profile) as file:
        file.write(values, 1)
        if colors: file.write_colormap(1, colors)
    return folder/name


def png(folder, image, name='label.png'):
    "A mask without a place."
    image.save(folder/name)
    return folder/name


def read(label, image, classes=None):
    "The whole of a label."
    return open_labels(label, image, classes or building()).read(0, 0, SIDE, SIDE)


def agrees(label, image, truth, classes=None):
    "Whether a label reads as the truth."
    np.testing.assert_array_equal(read(label, image, classes), truth)


def palette_png(colors, numbers, folder, classes=None, truth=None):
    "A palette of some colors over some numbers."
    image = Image.fromarray(numbers)
    image.putpalette([part for color in colors for part in color])
    label = png(folder, image)
    if truth is None: read(label, scene(folder), classes)
    else: agrees(label, scene(folder), truth, classes)


def quantized(folder, classes=None):
    "What PIL makes of a black-and-white picture: its palette begins with white."
    label = png(folder, Image.fromarray(TRUTH*255).quantize(2))
    agrees(label, scene(folder), TRUTH, classes)


def min_is_white(values, folder, **profile):
    "A TIFF whose smallest number is shown white."
    read(tif(folder, values, photometric='MINISWHITE', **profile), scene(folder))


def ramp(bits, numbers, folder):
    "A palette that is the gray of each number, filled up with black, as GDAL does."
    count = 2**bits
    values = rng.choice(np.array(numbers, np.uint8), (SIDE, SIDE))
    colors = [(number*255//(count - 1), )*3 for number in range(count)] + [BLACK]*(256 - count)
    kinds = class_table(','.join(f'kind {number}' for number in range(20)))
    palette_png(colors, values, folder, kinds, values)


def reversed_ramp(folder):
    palette_png([(255 - 17*number, )*3 for number in range(16)], THREE, folder, class_table('a,b,c'))


WHITE, DARK, BLACK, RED, BLUE = (255, )*3, (40, )*3, (0, )*3, (255, 0, 0), (0, 0, 255)
THREE = np.tile(np.arange(3, dtype=np.uint8), (SIDE, 14))[:, :SIDE]
BUILDINGS = [
    Case('1', 'a black-and-white picture reduced to two colors by PIL', 'refused: contradict its numbers', quantized),
    Case('1', 'the same, with a class table of black and white', 'it is read by color',
         partial(quantized, classes=BLACK_WHITE)),
    Case('1', "ImageMagick's Group 4: one bit, the smallest number is white", 'refused: say which is meant',
         partial(min_is_white, 1 - TRUTH, nbits=1, compress='CCITTFAX4')),
    Case('1', "GDAL's MINISWHITE of a mask of 0 and 1", 'refused: 0 is #FFFFFF, 1 is #000000',
         partial(min_is_white, TRUTH, nbits=1)),
    Case('1', 'eight bits, the smallest number is white, 0 and 1', 'refused: 0 is #FFFFFF, 1 is #FEFEFE',
         partial(min_is_white, TRUTH)),
    Case('1', 'eight bits, the smallest number is white, 0 and 255', 'refused: 0 is #FFFFFF, 255 is #000000',
         partial(min_is_white, TRUTH*255)),
    Case('1', 'a palette chip that is white everywhere', 'refused: 0 is #FFFFFF',
         partial(palette_png, [WHITE, BLACK], TRUTH*0)),
    Case('1', "a palette that has the table's red at 0", 'refused: 0 is #FF0000, 1 is #0000FF',
         partial(palette_png, [RED, BLUE], TRUTH)),
    Case('1', 'a palette of three grays from light to dark, classes of other colors', 'refused: contradict',
         partial(palette_png, [WHITE, DARK, BLACK], THREE, classes=class_table('a,b,c'))),
    Case('1', 'a palette in which all numbers are black', 'refused: 0 is #000000, 1 is #000000',
         partial(palette_png, [BLACK, BLACK], TRUTH)),
    Case('1', 'a palette of dark and white that agrees with its numbers', 'it is read by number',
         partial(palette_png, [DARK, WHITE], TRUTH, truth=TRUTH)),
    Case('1', 'the grays of four bits', 'it is read by number', partial(ramp, 4, [0, 1, 15])),
    Case('1', 'the grays of two bits', 'it is read by number', partial(ramp, 2, [0, 3])),
    Case('1', 'the grays of one bit, many classes', 'it is read by number', partial(ramp, 1, [0, 1])),
    Case('1', 'the grays of four bits in reverse', 'refused: contradict its numbers', reversed_ramp),
    Case('1', 'a palette whose colors say nothing', 'it is read by number',
         partial(palette_png, [BLUE, (9, 99, 9)], TRUTH, truth=TRUTH))]


def signed(folder, kind='int16', high=1, **profile):
    "-1 in a part of a mask."
    values = TRUTH.astype(kind)*high
    values[:, :10] = -1
    truth = np.where(values == UNLABELED, 255, TRUTH)
    agrees(tif(folder, values, **profile), scene(folder), truth)


def with_alpha(folder):
    "-1 beside transparent pixels."
    values = np.stack([TRUTH.astype('int16'), np.full((SIDE, SIDE), 255, 'int16')])
    values[0, :, :10], values[1, :, 30:] = -1, 0
    truth = np.where(values[1] == 0, 0, np.where(values[0] == -1, 255, TRUTH))
    shape = dict(count=2, height=SIDE, width=SIDE, dtype='int16', crs='EPSG:32645', transform=PLACE)
    with rasterio.open(folder/'label.tif', 'w', driver='GTiff', alpha='yes', **shape) as file: file.write(values)
    agrees(folder/'label.tif', scene(folder), truth)


def fractions(folder):
    "Shares of a pixel beside an alpha band."
    values = np.stack([TRUTH*.7, np.full((SIDE, SIDE), 1.)]).astype('float32')
    shape = dict(count=2, height=SIDE, width=SIDE, dtype='float32', crs='EPSG:32645', transform=PLACE)
    with rasterio.open(folder/'label.tif', 'w', driver='GTiff', alpha='yes', **shape) as file: file.write(values)
    read(folder/'label.tif', scene(folder))


SIGNED = [
    Case('2', '-1 in a mask of int16', 'it is ignored', signed),
    Case('2', '-1 in a mask of int8', 'it is ignored', partial(signed, kind='int8')),
    Case('2', '-1 in a mask of float32', 'it is ignored', partial(signed, kind='float32')),
    Case('2', '-1 in a mask of 0 and 255', 'it is ignored, and 255 is building', partial(signed, high=255)),
    Case('2', '-1 that is declared nodata', 'it is ignored', partial(signed, nodata=-1)),
    Case('2', '-1 in a mask with an alpha band', 'it is ignored, and what is transparent is background', with_alpha),
    Case('2', 'fractions in a mask with an alpha band', 'refused: found the values 0, 0.7', fractions)]


def mixed(folder, *values, **profile):
    "Masks of one training, each with values of its own."
    paths = [tif(folder, np.asarray(value, np.uint8), f'{number}.tif') for number, value in enumerate(values)]
    if profile: tif(folder, np.asarray(values[0], np.uint8), '0.tif', **profile)
    return labels_kind(paths, building())


def each_its_own(folder):
    "All buildings are there, whatever the number is."
    assert mixed(folder, TRUTH*255, TRUTH) is None
    for name in ('0.tif', '1.tif'): agrees(folder/name, scene(folder), TRUTH)


def gray_colors(folder):
    "A mask in three gray bands beside one of numbers."
    paths = [png(folder, Image.fromarray(np.dstack([TRUTH*255]*3)), '0.png'), tif(folder, TRUTH, '1.tif')]
    labels_kind(paths, building())


def declared(folder):
    "255 is nodata where it is declared, and a building where it is not."
    assert mixed(folder, TRUTH*255, TRUTH*255, nodata=255) is None
    agrees(folder/'0.tif', scene(folder), TRUTH*255)
    agrees(folder/'1.tif', scene(folder), TRUTH)


def with_nodata(folder):
    "A nodata value that is no class beside 0 and 255."
    values = np.where(np.arange(SIDE) < 10, np.uint8(128), TRUTH*255)
    agrees(tif(folder, values, nodata=128), scene(folder), np.where(values == 128, 255, TRUTH))


PARTLY = np.where(np.arange(SIDE) < 5, np.uint8(255), TRUTH)
TWO_CODINGS = [
    Case('3', '{0,255} beside {0,1}, no file with both', 'note: each mask is read by its own values',
         lambda folder: mixed(folder, TRUTH*255, TRUTH)),
    Case('3', '{0,255} beside {0,1}, no file with both: the values', 'buildings of both are buildings', each_its_own),
    Case('3', '{0,255} in three gray bands beside {0,1}', 'note: each mask is read by its own values', gray_colors),
    Case('3', '{0,255} beside {0,1,255}', 'refused: holds 255 without 1',
         lambda folder: mixed(folder, TRUTH*255, PARTLY)),
    Case('3', '{0,255} with nodata 255 beside {0,255}', 'each by what it declares', declared),
    Case('3', '{0,255} with nodata 128', '128 is ignored, 255 is building', with_nodata)]


def shifted(table, folder, low=0):
    "Classes 1 and 2, and a number that does not count."
    values = TRUTH + np.uint8(1)
    values[:5] = low
    truth = np.where(values == low, 255, TRUTH)
    table = class_table(table)
    agrees(tif(folder, values), scene(folder), truth, table)
    assert table.names == ['ground', 'roof'] and class_table(table.to_json()) == table


def middle(folder):
    "The ignored number lies between classes."
    table = class_table({'classes': [{'name': 'a', 'color': '#000001', 'index': 0},
                                     {'name': 'cloud', 'color': '#ffffff', 'index': 1, 'ignore': True},
                                     {'name': 'b', 'color': '#000002', 'index': 2}]})
    agrees(tif(folder, THREE), scene(folder), np.uint8([0, 255, 1])[THREE], table)


def back_again(folder):
    "Labels that are written have the numbers of the table."
    label = tif(folder, TRUTH + np.uint8(1))
    write_labels(folder/'out.tif', open_labels(label, scene(folder), SHIFTED), folder/'scene.tif', SHIFTED)
    with rasterio.open(folder/'out.tif') as file: np.testing.assert_array_equal(file.read(1), TRUTH + 1)
    agrees(folder/'out.tif', folder/'scene.tif', TRUTH, SHIFTED)


def column(folder):
    "Numbers in a column of polygons are those of the table."
    assert class_values([1, 2, 0, '2'], 4, SHIFTED, 'a.gpkg').tolist() == [0, 1, 255, 1]


def in_a_bundle(folder):
    "A bundle's spec keeps the numbers."
    from satseg_fastai.bundle.spec import check_spec
    entries = SHIFTED.to_json()['classes']
    ignored = [{**entry, 'color': [0, 0, 0]} for entry in entries if entry['index'] == 255]
    classes = [{**entry, 'color': list(kind.color)} for entry, kind in zip(entries, SHIFTED.classes)]
    spec = dict(arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, classes=classes, ignored=ignored,
                mean=[1.]*3, std=[1.]*3)
    assert check_spec(spec).table == SHIFTED


def foreign_map(folder):
    "A mask of another program, counted with a class table that ignores 0."
    from satseg_fastai.areas.figures import area_figures
    area_figures(tif(folder, TRUTH + np.uint8(1)), classes=SHIFTED)


TABLES = [
    Case('3', '{"index": 0, "ignore": true} in a class table', '0 is ignored, classes are mapped when read',
         partial(shifted, {'classes': [NOTHING, *KINDS]})),
    Case('3', '"ignore": 0 in a class table', '0 is ignored, classes are mapped when read',
         partial(shifted, {'ignore': 0, 'classes': KINDS})),
    Case('3', '"ignore": 0, and a class of index 0', '0 is ignored, classes are mapped when read',
         partial(shifted, {'ignore': 0, 'classes': [{**NOTHING, 'ignore': False}, *KINDS]})),
    Case('3', 'two ignored indices, one above the classes', 'both are ignored',
         partial(shifted, {'classes': [{**NOTHING, 'index': 77}, {**NOTHING, 'name': 'x', 'color': '#010101'}, *KINDS]},
                 low=77)),
    Case('3', 'an ignored index between classes', 'it is ignored, classes are mapped when read', middle),
    Case('3', 'indices 1 and 2, and none is ignored', 'refused: mark these with "ignore": true',
         lambda folder: class_table({'classes': KINDS})),
    Case('3', 'a value that the table does not have', 'refused: 1 ground, 2 roof, 255 or 0 for ignore',
         lambda folder: read(tif(folder, TRUTH + np.uint8(2)), scene(folder), SHIFTED)),
    Case('3', 'labels written with a table that ignores 0', 'they have the numbers of the table', back_again),
    Case('3', 'numbers in a column, with a table that ignores 0', 'they are mapped when read', column),
    Case('3', 'a bundle of a table that ignores 0', 'it keeps the numbers of labels', in_a_bundle),
    Case('3', 'a map of another program, with a table that ignores 0', 'refused: take "ignore" out of the class table',
         foreign_map)]


def photo(folder, orientation, label, name='photo.jpg', label_name='label.png'):
    "A photo that is stored turned, and labels in pixels."
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder/name, exif=exif)
    if label == 'labelme':
        outline = dict(label='building', points=[[1, 1], [9, 1], [9, 9]])
        (folder/'label.json').write_text(json.dumps(dict(imagePath=name, shapes=[outline])))
        return folder/'label.json'
    return png(folder, Image.fromarray(TRUTH), label_name)


def turned(orientation, label, folder, name='photo.jpg'):
    read(photo(folder, orientation, label, name), folder/name)


def map_of_turned(folder):
    "A map of a photo, and labels that name the photo."
    label = photo(folder, 6, 'labelme')
    read(label, scene(folder))


def upright_copy(orientation, shape, folder):
    "The image is an upright copy of the photo that was labeled, of the size that the labels tell."
    label = photo(folder, orientation, 'labelme')
    told = json.loads(label.read_text()) | dict(imageHeight=shape[0], imageWidth=shape[1])
    label.write_text(json.dumps(told))
    image = write_raster(folder/'copy.tif', rng.integers(0, 255, shape).astype('uint8'), crs=None)
    assert read(label, image).sum() > 20


def both_turned(folder):
    "An image and its mask that are stored alike."
    label = photo(folder, 3, 'mask')
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(TRUTH).save(label, exif=exif)
    agrees(label, folder/'photo.jpg', TRUTH)


def upright(folder):
    agrees(photo(folder, 1, 'mask'), folder/'photo.jpg', TRUTH)


TURNED = [
    Case('5', 'EXIF orientation 3 with labelme', 'refused: mogrify -auto-orient', partial(turned, 3, 'labelme')),
    Case('5', 'EXIF orientation 6 with labelme', 'refused: EXIF orientation 6', partial(turned, 6, 'labelme')),
    Case('5', 'EXIF orientation 8 with a mask', 'refused: is stored turned', partial(turned, 8, 'mask')),
    Case('5', 'EXIF orientation 2 (mirrored) with a mask', 'refused: is stored turned', partial(turned, 2, 'mask')),
    Case('5', 'EXIF orientation of a PNG', 'refused: is stored turned', partial(turned, 3, 'mask', name='photo.png')),
    Case('5', 'EXIF orientation of a TIFF', 'refused: is stored turned', partial(turned, 6, 'mask', name='photo.tif')),
    Case('5', 'labelme of a turned photo against a map of it', 'refused: photo.jpg is stored turned', map_of_turned),
    Case('5', 'an image and a mask of the same orientation', 'they are read as they are stored', both_turned),
    Case('5', 'labelme of a turned photo against its upright copy', 'it is read', partial(upright_copy, 6, (30, 20))),
    Case('5', 'the same, upside down', 'note: copy.tif is taken to be upright', partial(upright_copy, 3, (30, 20))),
    Case('5', 'the same, of a square', 'note: copy.tif is taken to be upright', partial(upright_copy, 8, (20, 20))),
    Case('5', 'EXIF orientation 1', 'it is read', upright)]


def cleared(high, folder):
    "Nodata 0, as QGIS and gdal_rasterize -a_nodata 0 write it."
    agrees(tif(folder, TRUTH*np.uint8(high), nodata=0), scene(folder), TRUTH)


def own_map(folder):
    "Nodata of a mask with colors, as satseg predict writes it, is not background."
    values = np.where(np.arange(SIDE) < 10, np.uint8(255), TRUTH)
    colors = {0: BLACK, 1: RED, 255: (0, 0, 0, 0)}
    agrees(tif(folder, values, colors=colors, nodata=255), scene(folder), values)


NODATA = [
    Case('6', 'nodata 0 in a mask of 0 and 1, as a label', '0 is background', partial(cleared, 1)),
    Case('6', 'nodata 0 in a mask of 0 and 255, as a label', '0 is background', partial(cleared, 255)),
    Case('6', 'nodata 1 in a mask of 0 and 1, as a label', 'refused: declares 1 as nodata, which is the class building',
         lambda folder: read(tif(folder, TRUTH, nodata=1), scene(folder))),
    Case('6', 'nodata 0 where 0 is a class of several', 'refused: declares 0 as nodata, which is the class greenery',
         lambda folder: read(tif(folder, TRUTH, nodata=0), scene(folder), class_table('land_cover'))),
    Case('6', 'nodata 0 where the table ignores 0', '0 is ignored',
         lambda folder: agrees(tif(folder, TRUTH, nodata=0), scene(folder), np.where(TRUTH == 1, 0, 255), SHIFTED)),
    Case('6', 'nodata 255 of a map with colors, as a label', 'it is ignored', own_map)]


def labelme(folder, *shapes, classes=None):
    "What a labelme file reads as."
    (folder/'label.json').write_text(json.dumps(dict(imageHeight=SIDE, imageWidth=SIDE, shapes=shapes)))
    return read(folder/'label.json', scene(folder), classes)


def shape(kind, *points, label='building', **more):
    return dict(label=label, shape_type=kind, points=points, **more)


def oriented(folder):
    "A square on its corner."
    painted = labelme(folder, shape('oriented_rectangle', [20, 10], [30, 20], [20, 30], [10, 20]))
    assert painted[20, 20] == painted[13, 20] == 1 and painted[12, 12] == 0 and 190 < painted.sum() < 210


def painted_mask(folder):
    "Pixels as labelme stores them."
    part, file = TRUTH[:21, :31], io.BytesIO()
    Image.fromarray(part*255).save(file, 'PNG')
    text = base64.b64encode(file.getvalue()).decode()
    truth = np.zeros_like(TRUTH)
    truth[5:26, 3:34] = part
    np.testing.assert_array_equal(labelme(folder, shape('mask', [3, 5], [33, 25], mask=text)), truth)


SQUARE = shape('rectangle', [5, 5], [15, 15])
POINT, LINE = shape('point', [1, 1], label='a remark'), shape('linestrip', [1, 1], [5, 5])


def skipped(folder):
    assert labelme(folder, SQUARE, POINT, LINE).sum() == 100


def other_json(data, folder):
    (folder/'label.json').write_text(json.dumps(data))
    read(folder/'label.json', scene(folder))


LENGTHS = [5*SIDE + 10, 20, SIDE - 20, 20, SIDE*SIDE - 6*SIDE - 30]  # columns 5 and 6, rows 10 to 29
RING = dict(segmentation=[[10, 10, 20, 10, 20, 30, 10, 30]])


def coco(*outlines, folder, name='scene.tif', image='scene.tif'):
    "Annotations of one scene, and of another one that has none of these classes."
    own = [dict(id=number, image_id=1, category_id=1, **outline) for number, outline in enumerate(outlines)]
    data = dict(images=[dict(id=1, file_name=name, height=SIDE, width=SIDE), dict(id=2, file_name='other.tif')],
                annotations=[*own, dict(id=99, image_id=2, category_id=2)], categories=[dict(id=1, name='building')])
    (folder/'label.json').write_text(json.dumps(data))
    scene(folder).rename(folder/image)
    return read(folder/'label.json', folder/image)


def coco_kinds(folder):
    "Polygons and run lengths."
    painted = coco(RING, dict(segmentation=dict(size=[SIDE, SIDE], counts=LENGTHS)), folder=folder)
    truth = np.zeros_like(painted)
    truth[10:30, 10:20] = truth[10:30, 5:7] = 1
    np.testing.assert_array_equal(painted, truth)


def coco_folder(folder):
    "One file for two images, in pairs."
    scene(folder).rename(folder/'other.tif')
    coco(RING, folder=folder)
    pairs = folder_pairs(folder/'*.tif', folder/'label.json')
    assert [pair.label.name for pair in pairs] == ['label.json']*2


JSON = [
    Case('37', 'COCO: polygons and run lengths', 'they are read', coco_kinds),
    Case('37', 'COCO: one file for a folder', 'each image has its annotations', coco_folder),
    Case('37', 'COCO: a map of the image', 'it is read',
         lambda folder: coco(RING, folder=folder, image='scene_mask.tif')),
    Case('37', 'COCO without the image', 'refused: label.json has 0 images named scene',
         lambda folder: coco(RING, folder=folder, name='town.tif')),
    Case('37', 'COCO with run lengths of another size', 'refused: annotation 0 has no outline that can be read',
         lambda folder: coco(dict(segmentation=dict(size=[9, 9], counts=[81])), folder=folder)),
    Case('37', 'COCO with boxes alone', 'refused: boxes alone cannot be labels',
         lambda folder: coco(dict(bbox=[1, 1, 5, 5]), folder=folder)),
    Case('37', "labelme's oriented_rectangle", 'it is read', oriented),
    Case('37', "labelme's mask", 'it is read, to the pixel', painted_mask),
    Case('37', "labelme's mask without one", 'refused: shape 1 has no mask that can be read',
         lambda folder: labelme(folder, shape('mask', [3, 5], [33, 25]))),
    Case('37', "labelme's point and linestrip", 'note: 2 of 3 shapes are points or lines and are left out', skipped),
    Case('37', "labelme's point and linestrip: the rest", 'it is read', skipped),
    Case('37', 'ESRI JSON', 'refused: label.json is ESRI JSON',
         partial(other_json, {'geometryType': 'esriGeometryPolygon', 'features': []})),
    Case('37', 'xBD', 'refused: label.json is xBD', partial(other_json, {'features': {'lng_lat': [], 'xy': []}})),
    Case('37', 'TopoJSON', 'refused: label.json is TopoJSON', partial(other_json, {'type': 'Topology', 'objects': {}}))]


def without_data(folder, outside, inside=TRUTH):
    "Unknown colors in the part of a mask where the scene has nothing."
    values = rng.integers(1, 255, (3, SIDE, SIDE), dtype=np.uint8)
    values[:, :, :10] = 0
    image = write_raster(folder/'scene.tif', values, transform=PLACE, crs='EPSG:32645', nodata=0)
    painted = encode(inside, building())
    painted[:, :10] = outside
    label = png(folder, Image.fromarray(painted))
    agrees(label, image, np.where(np.arange(SIDE) < 10, 255, inside))


def some_images(images, folder):
    "Three labels, and images that need two of them."
    for name in ('a1', 'a2', 'b1'):
        for kind in ('images', 'labels'):
            (folder/kind).mkdir(exist_ok=True)
            tif(folder/kind, TRUTH, f'{name}.tif')
    pairs = folder_pairs(images(folder), folder/'labels')
    assert [pair.label.stem for pair in pairs] == ['a1', 'a2']


def missing_label(folder):
    some_images(lambda folder: folder/'images/a*.tif', folder)
    (folder/'labels/a2.tif').unlink()
    folder_pairs(folder/'images/a*.tif', folder/'labels')


def lone_label(folder):
    some_images(lambda folder: folder/'images/a*.tif', folder)
    (folder/'images/b1.tif').unlink()
    folder_pairs(folder/'images', folder/'labels')


HABITS = [
    Case('39', 'unknown colors where the scene has no data', 'they are ignored', partial(without_data, outside=WHITE)),
    Case('39', 'unknown colors where the scene has data', 'refused: unknown colors: #FFFFFF',
         lambda folder: agrees(png(folder, Image.fromarray(np.where(TRUTH[..., None] == 1, np.uint8(255), np.uint8(
             (0, 0, 99))))), scene(folder), TRUTH)),
    Case('39', 'a pattern of images', 'it picks the labels it needs',
         partial(some_images, lambda folder: folder/'images/a*.tif')),
    Case('39', 'a list of images', 'it picks the labels it needs',
         partial(some_images, lambda folder: [folder/'images/a1.tif', folder/'images/a2.tif'])),
    Case('39', 'a pattern of images, one of which has no label', 'refused: 1 of 2 images have no label',
         missing_label),
    Case('39', 'a folder of images and a label too many', 'refused: 1 of 3 labels in', lone_label),
    Case('39', 'a class column of text "1"', 'it is the class of that index',
         lambda folder: np.testing.assert_array_equal(class_values(['1', '0', '1.0'], 3, building(), 'a'), [1, 0, 1])),
    Case('39', 'a class column with a blank at the end', "refused: unknown classes 'building '",
         lambda folder: class_values(['building '], 1, building(), 'a')),
    Case('39', 'a labelme label with a blank at the end', "refused: unknown labels 'building '",
         lambda folder: labelme(folder, shape('rectangle', [1, 1], [5, 5], label='building ')))]

CASES = BUILDINGS + SIGNED + TWO_CODINGS + TABLES + TURNED + NODATA + JSON + HABITS
