"Polygons of any file and place: formats, broken geometries, the antimeridian, grids that differ, control points."
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from rasterio.control import GroundControlPoint
from rasterio.features import rasterize
from rasterio.rpc import RPC
from rasterio.transform import Affine, from_origin

from satseg_fastai.labels.classes import building
from satseg_fastai.labels.masks import place_of
from satseg_fastai.labels.read import open_labels
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


# --- the antimeridian
FIJI = 180, -16.8
PIXELS = [shapely.box(x, y, x + 9, y + 7) for x in (4, 27, 50) for y in (5, 40)]  # the middle ones lie on 180 degrees


def scene_at(folder, crs, lon, lat, side=.3, name='scene.tif'):
    "A scene of 64 pixels around a place, and its truth."
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    place = from_origin(x - 32*side, y + 32*side, side, side)
    return write_raster(folder/name, np.ones((1, 64, 64), 'uint8'), crs, place)


def truth():
    "The mask of the polygons."
    return rasterize(PIXELS, (64, 64), dtype='uint8')


def on_ground(scene):
    "The polygons in the CRS of a scene."
    with rasterio.open(scene) as opened:
        return shapely.transform(PIXELS, lambda xy: np.column_stack(opened.transform @ xy.T)), opened.crs


def folded(scene, to=4326):
    "The same as tools write it that fold each corner between -180 and 180."
    shapes, crs = on_ground(scene)
    move = pyproj.Transformer.from_crs(crs, to, always_xy=True).transform
    turned = shapely.transform(shapes, lambda xy: np.column_stack(move(*xy.T)))
    if to != 4326: return turned
    return shapely.transform(turned, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]]))


def written(folder, shapes, crs=4326, name='labels.geojson', **more):
    "A vector file."
    gpd.GeoDataFrame(more or {'id': range(len(shapes))}, geometry=list(shapes), crs=crs).to_file(folder/name)
    return folder/name


def check_labels(labels, scene, most=6):
    "The labels of a scene are the truth, but for pixels on outlines."
    read = open_labels(labels, scene, building()).read(0, 0, 64, 64)
    assert (read != truth()).sum() <= most, ((read > 0).sum(), truth().sum())


def labels_across(crs, lon=180., lat=-16.8, side=.3, to=4326):
    "Labels of a scene across the antimeridian in degrees, some of them across it too."
    def run(folder):
        scene = scene_at(folder, crs, lon, lat, side)
        check_labels(written(folder, folded(scene, to), to, 'labels.gpkg'), scene)
    return run


def labels_cut(folder):
    "Cut at the antimeridian, as RFC 7946 wants it; the scene's degrees go on beyond 180."
    scene = scene_at(folder, 'EPSG:4326', *FIJI, 2.8e-6)
    shapes, _ = on_ground(scene)
    west, east = shapely.box(0, -90, 180, 90), shapely.box(180, -90, 360, 90)
    parts = [shapely.intersection(shapes, west),
             shapely.transform(shapely.intersection(shapes, east), lambda xy: xy - (360, 0))]
    parts = np.concatenate(parts)
    check_labels(written(folder, parts[~shapely.is_empty(parts)]), scene)


def labels_of_utm(folder):
    "Of a scene in degrees, drawn in meters: PROJ folds their corners."
    scene = scene_at(folder, 'EPSG:4326', *FIJI, 2.8e-6)
    check_labels(written(folder, folded(scene, 32760), 32760, 'labels.gpkg'), scene)


def labels_other_count(folder):
    "The scene counts from 0 to 360 degrees, its labels from -180 to 180."
    place = from_origin(190, -16, 2.8e-6, 2.8e-6)
    scene = write_raster(folder/'scene.tif', np.ones((1, 64, 64), 'uint8'), 'EPSG:4326', place)
    check_labels(written(folder, folded(scene)), scene)


def labels_folded(folder):
    "Corners at 179.99 and -179.99 degrees, on a scene in degrees: they span the globe."
    scene = scene_at(folder, 'EPSG:4326', *FIJI, 2.8e-6)
    open_labels(written(folder, folded(scene)), scene, building())


def world_area(folder):
    "All of the globe as area of interest still holds a scene beyond 180 degrees."
    scene = scene_at(folder, 'EPSG:4326', *FIJI, 2.8e-6)
    shapes, _ = on_ground(scene)
    labels = written(folder, shapes)
    world = written(folder, [shapely.box(-180, -90, 180, 90)], name='world.geojson')
    assert (open_labels(labels, scene, building(), aoi=world).read(0, 0, 64, 64) == truth()).all()


def zones_across(folder):
    "Zones in degrees on a mask across the antimeridian."
    from satseg_fastai.areas.zones import read_zones
    scene = scene_at(folder, 'EPSG:32760', *FIJI)
    zones, _ = read_zones(written(folder, folded(scene)), place_of(scene))
    assert all(zone.inside > .99 and zone.shape.area < 65 for zone in zones)
    assert len(zones) == len(PIXELS)


def far_groups(folder):
    "A scene of Fiji and one of Zambia at the same latitude."
    from satseg_fastai.data.datasets import Pair, place_groups
    across = scene_at(folder, 'EPSG:32760', *FIJI)
    east = scene_at(folder, 'EPSG:4326', -179.99990, -16.8, 2.8e-6, 'east.tif')
    zambia = scene_at(folder, 'EPSG:32735', 28, -16.8, name='zambia.tif')
    groups = [pair.group for pair in place_groups([Pair(path, path, path.stem) for path in (across, east, zambia)])]
    assert groups == ['scene', 'scene', 'zambia'], groups


def kept_apart(folder):
    "Training ground beyond the antimeridian that validation shows too."
    from satseg_fastai.data.datasets import Pair
    from satseg_fastai.data.ground import keep_apart
    scene = scene_at(folder, 'EPSG:32760', *FIJI)
    place = from_origin(-180, -16.79995, 2.8e-6, 2.8e-6)
    east = write_raster(folder/'east.tif', np.ones((1, 64, 64), 'uint8'), 'EPSG:4326', place)
    for train, valid in ((scene, east), (east, scene)):
        _, left_out, limited = keep_apart([Pair(train, train)], [Pair(valid, valid)])
        assert left_out + limited == 1


def geojson_across(folder):
    "Polygons of a mask in UTM 60 as GeoJSON, which comes back as labels."
    from satseg_fastai.maps.polygons import vectorize
    scene = scene_at(folder, 'EPSG:32760', *FIJI)
    mask = write_raster(folder/'a_mask.tif', truth(), *[getattr(place_of(scene), key) for key in ('crs', 'transform')])
    vectorize(mask, folder/'a.geojson')
    features = json.loads((folder/'a.geojson').read_text())['features']
    shapes = [shapely.geometry.shape(feature['geometry']) for feature in features]
    parts = shapely.get_parts(shapes)
    assert len(shapes) == len(PIXELS) and len(parts) > len(shapes)
    assert all(np.ptp(part.bounds[::2]) < 1 and part.is_valid for part in parts)
    check_labels(folder/'a.geojson', scene)


def objects_across(folder):
    "A map as GeoJSON against labels as GeoJSON, without a raster."
    from satseg_fastai.evaluate.objects import object_scores
    geojson_across(folder)
    scores = object_scores(folder/'a.geojson', folder/'a.geojson')
    assert (scores['tp'], scores['fp'], scores['fn']) == (len(PIXELS), 0, 0), scores
    scores = object_scores(folder/'a.geojson', folder/'a.geojson', scene=folder/'scene.tif')
    assert (scores['tp'], scores['fp'], scores['fn']) == (len(PIXELS), 0, 0), scores


def item_across(crs, lon=180., lat=-16.8):
    "The footprint of a map on both sides, and its box."
    def run(folder):
        from satseg_fastai.export.scenes import scene_item
        path = scene_at(folder, crs, lon, lat, name='a_prob.tif')
        item = scene_item(path)
        west, _, east, _ = item['bbox']
        assert item['geometry']['type'] == 'MultiPolygon' and 179 < west < 180 and -180 < east < -179, item['bbox']
    return run


ACROSS = [
    Case('7', f'labels in degrees across the antimeridian, the scene in {name}', 'every pixel of them is read', run)
    for name, run in {
        'UTM 60': labels_across('EPSG:32760'), 'the Fiji grid': labels_across('EPSG:3460'),
        'polar stereographic': labels_across('EPSG:3413', lat=71), 'Pacific Mercator': labels_across('EPSG:3832'),
        'the Chatham grid, labels in web mercator': labels_across('EPSG:32701', lon=-180, to=3857),
    }.items()] + [
    Case('7', 'labels cut at the antimeridian, a scene whose degrees go on', 'every pixel is read', labels_cut),
    Case('7', 'labels in UTM 60, a scene in degrees across 180', 'every pixel is read', labels_of_utm),
    Case('7', 'a scene from 0 to 360 degrees, labels from -180 to 180', 'every pixel is read', labels_other_count),
    Case('7', 'labels that span the globe, a scene in degrees',
         'refused: around the globe; expected polygons that are cut', labels_folded),
    Case('7', 'the world as area of interest of a scene beyond 180 degrees', 'all of the scene counts', world_area),
    Case('7', 'zones in degrees across the antimeridian', 'they lie where they are', zones_across),
    Case('7', 'a scene of Fiji and one of Zambia', 'groups of their own; a neighbor beyond 180 shares one',
         far_groups),
    Case('7', 'training and validation ground overlap beyond the antimeridian', 'it is seen', kept_apart),
    Case('7', 'polygons across the antimeridian as GeoJSON', 'cut at it, and read back the same', geojson_across),
    Case('7', 'a GeoJSON across the antimeridian is evaluated', 'every object is found', objects_across),
    Case('7', 'a STAC item across the antimeridian, UTM', 'two parts, west is more than east',
         item_across('EPSG:32760')),
    Case('7', 'a STAC item across the antimeridian, Mercator', 'the same', item_across('EPSG:3832')),
]

# --- label rasters on another grid
UTM = 'EPSG:32645'
PLACE = from_origin(366075, 2913925, .5, .5)


def label_raster(crs, transform=PLACE, scene=UTM, place=PLACE):
    "A scene, and a label raster of its size on another grid."
    def run(folder):
        image = write_raster(folder/'scene.tif', np.ones((1, 64, 64), 'uint8'), scene, place)
        label = write_raster(folder/'label.tif', truth(), crs, transform)
        check_labels(label, image, 0)
    return run


def warped(folder, shift=0):
    "A label that gdalwarp brought into web mercator at the size of its image."
    from rasterio.warp import calculate_default_transform
    bounds = rasterio.transform.array_bounds(64, 64, PLACE)
    place, *_ = calculate_default_transform(UTM, 'EPSG:3857', 64, 64, *bounds, dst_width=64, dst_height=64)
    label_raster('EPSG:3857', place)(folder)


OFF = PLACE @ Affine.translation(40, 40)
UP_SIDE_DOWN = Affine(.5, 0, 366075, 0, .5, 2913925 - 32)
SCENE_4326 = from_origin(180, -16.8, 2.8e-6, 2.8e-6), from_origin(-180, -16.8, 2.8e-6, 2.8e-6)
GRIDS = [
    Case('4', 'a label raster in web mercator',
         'refused: pixels away from scene.tif, in EPSG:3857 and not EPSG:32645', warped),
    Case('4', 'a label 40 pixels off in a compound CRS', 'refused: lies 40 pixels away from scene.tif',
         label_raster('EPSG:32645+5773', OFF)),
    Case('4', 'a label on its grid in a compound CRS', 'it is read', label_raster('EPSG:32645+5773')),
    Case('4', 'a label 40 pixels off, the scene in a compound CRS', 'refused: lies 40 pixels away',
         label_raster(UTM, OFF, 'EPSG:32645+5773')),
    Case('4', 'a label in the next UTM zone with the same numbers', 'refused: in EPSG:32644 and not EPSG:32645',
         label_raster('EPSG:32644')),
    Case('4', 'a label with another datum of the same zone', 'refused: in EPSG:32245 and not EPSG:32645',
         label_raster('EPSG:32245')),
    Case('4', 'a label on the same datum by another name (WGS 84 and its WKT)', 'it is read',
         label_raster(rasterio.CRS.from_user_input('+proj=utm +zone=45 +datum=WGS84 +units=m'))),
    Case('4', 'a label that is stored upside down', 'refused: lies 64 pixels away', label_raster(UTM, UP_SIDE_DOWN)),
    Case('4', 'a label at -180, the scene at 180 degrees', 'it is read',
         label_raster('EPSG:4326', SCENE_4326[1], 'EPSG:4326', SCENE_4326[0])),
]

# --- broken geometries
CORNER = 366080., 2913915.
X, Y = CORNER


def ring_wkb(*rings):
    "A polygon of rings as they are; shapely would close them."
    points = [struct.pack('<I', len(ring)) + b''.join(struct.pack('<dd', *point) for point in ring) for ring in rings]
    return struct.pack('<BII', 1, 3, len(rings)) + b''.join(points)


def surface_wkb(kind, part):
    "A surface of one triangle in space."
    corners = (X, Y, 0), (X + 4, Y, 0), (X, Y + 4, 0), (X, Y, 0)
    face = struct.pack('<BIII', 1, part, 1, 4) + b''.join(struct.pack('<ddd', *corner) for corner in corners)
    return struct.pack('<BII', 1, kind, 1) + face


BROKEN = dict(
    surface=surface_wkb(1015, 1003), tin=surface_wkb(1016, 1017),
    two=ring_wkb([CORNER, (X + 4, Y)]), open=ring_wkb([CORNER, (X + 4, Y), (X + 4, Y + 4)]), one=ring_wkb([CORNER]),
    nan=ring_wkb([CORNER, (float('nan'), Y), (X + 4, Y + 4), CORNER]),
    inf=ring_wkb([CORNER, (float('inf'), Y), (X + 4, Y + 4), CORNER]))


def square(x, y, side=5):
    "A square of the scene's meters."
    return shapely.box(X + x, Y + y - side, X + x + side, Y + y)


def raw_file(path, wkbs):
    "A vector file of geometries as they are."
    kind = 'Polygon' if path.suffix == '.shp' else 'Unknown'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        pyogrio.raw.write(path, np.array(wkbs, object), [np.arange(len(wkbs))], ['n'], crs=UTM, geometry_type=kind)
    return path


def used_as(what, path, scene):
    "A vector file as labels, zones, predictions and area of interest."
    from satseg_fastai.areas.zones import read_zones
    from satseg_fastai.evaluate.objects import object_scores
    if what == 'labels': return open_labels(path, scene, building()).read(0, 0, 64, 64)
    if what == 'zones': return read_zones(path, place_of(scene))[0]
    if what == 'predictions': return object_scores(path, path, scene=scene)
    return open_labels(scene, scene, building(), aoi=path)


def field_scene(folder):
    "A scene around the corner."
    return write_raster(folder/'scene.tif', np.ones((1, 64, 64), 'uint8'), UTM, from_origin(X - 5, Y + 15, .5, .5))


def broken(kind, what, ending):
    "A file whose second feature is broken."
    def run(folder):
        good = shapely.to_wkb([square(0, 0), square(8, 0)]).tolist()
        path = raw_file(folder/f'bad.{ending}', [good[0], BROKEN[kind], good[1]])
        used_as(what, path, field_scene(folder))
    return run


def truncated(ending, what, keep=.7):
    "A file that breaks off."
    def run(folder):
        squares = [square(x, y, .5) for x in range(12) for y in range(12)]
        path = raw_file(folder/f'bad.{ending}', shapely.to_wkb(squares).tolist())
        path.write_bytes(path.read_bytes()[:int(keep*path.stat().st_size)])
        used_as(what, path, field_scene(folder))
    return run


def without(suffix, what):
    "A shapefile that lost one of its files."
    def run(folder):
        path = raw_file(folder/'bad.shp', shapely.to_wkb([square(0, 0)]).tolist())
        path.with_suffix(suffix).unlink()
        used_as(what, path, field_scene(folder))
    return run


FEATURE_2 = 'refused: bad.gpkg: feature 2 '
SICK = [
    *[Case('32', f'a PolyhedralSurface in a GPKG of {what}', f'{FEATURE_2}is a PolyhedralSurface',
           broken('surface', what, 'gpkg'))
      for what in ('labels', 'zones', 'predictions')],
    Case('32', 'a TIN in a GPKG of labels', f'{FEATURE_2}is a TIN', broken('tin', 'labels', 'gpkg')),
    *[Case('32', f'{name} in a GPKG of {what}', f'{FEATURE_2}is broken', broken(kind, what, 'gpkg'))
      for kind, name in dict(two='a ring of two points', open='an open ring', one='a ring of one point').items()
      for what in ('labels', 'zones', 'predictions')],
    *[Case('32', f'{name} in a GPKG of {what}', f'{FEATURE_2}has coordinates that are no numbers',
           broken(kind, what, 'gpkg'))
      for kind, name in dict(nan='NaN', inf='infinity').items() for what in ('labels', 'zones', 'predictions')],
    Case('32', 'a PolyhedralSurface in FlatGeobuf', 'refused: bad.fgb: feature 1 is a PolyhedralSurface',
         broken('surface', 'labels', 'fgb')),
    Case('32', 'an open ring in FlatGeobuf', 'refused: bad.fgb: feature', broken('open', 'zones', 'fgb')),
    Case('32', 'a ring of two points in a shapefile', 'refused: bad.shp: feature 1 is broken',
         broken('two', 'labels', 'shp')),
    Case('32', 'an open ring in GeoJSON', 'refused: bad.geojson: feature', broken('open', 'predictions', 'geojson')),
    Case('32', 'an open ring in an area of interest', FEATURE_2, broken('open', 'area', 'gpkg')),
    *[Case('32', f'a truncated {ending} of {what}', 'refused: could not be', truncated(ending, what))
      for ending in ('gpkg', 'fgb') for what in ('labels', 'zones', 'predictions')],
    Case('32', 'a truncated shapefile of labels', 'refused: could not be read', truncated('shp', 'labels')),
    Case('32', 'a truncated shapefile of zones', 'refused: could not be read', truncated('shp', 'zones')),
    Case('32', 'a truncated GeoJSON', 'refused: could not be opened', truncated('geojson', 'zones')),
    Case('32', 'a shapefile without its .shx', 'refused: could not be', without('.shx', 'zones')),
    Case('32', 'a shapefile without its .prj', 'refused: has no CRS', without('.prj', 'labels')),
]


# --- formats
def in_format(ending, what):
    "The same three squares in some format."
    def run(folder):
        scene, squares = field_scene(folder), [square(0, 0), square(7, 0), square(0, 7)]
        path = folder/f'plain.{ending}'
        frame = gpd.GeoDataFrame(dict(kind=['a', 'b', 'c']), geometry=squares, crs=UTM)
        save_as(frame, path)
        result = used_as(what, path, scene)
        count = {'labels': lambda: round(result.sum()/100), 'zones': lambda: len(result),
                 'predictions': lambda: result['tp'],
                 'area': lambda: round((result.read(0, 0, 64, 64) == 1).sum()/100)}[what]()
        assert count == 3, count
    return run


def save_as(frame, path):
    "A frame in the format of an ending."
    degrees = {'.geojson', '.geojsonl', '.kml', '.kmz'}
    driver = {'.gdb': 'OpenFileGDB', '.kml': 'KML', '.geojsonl': 'GeoJSONSeq', '.kmz': 'LIBKML'}.get(path.suffix)
    if path.suffix in degrees: frame = frame.to_crs(4326)
    if path.suffix == '.parquet': return frame.to_parquet(path)
    if path.suffix != '.zip': return frame.to_file(path, **(dict(driver=driver) if driver else {}))
    frame.to_file(path.with_suffix('.shp'))
    with zipfile.ZipFile(path, 'w') as archive:
        for ending in ('.shp', '.shx', '.dbf', '.prj'): archive.write(path.with_suffix(ending), f'plain{ending}')


def several_layers(name, what='zones'):
    "A GPKG of two polygon layers, and one of points."
    def run(folder):
        scene, path = field_scene(folder), folder/'many.gpkg'
        for layer, shapes in {name: [square(0, 0)], 'area': [square(0, 0), square(7, 0)],
                              'trees': [shapely.Point(X, Y)]}.items():
            gpd.GeoDataFrame(geometry=shapes, crs=UTM).to_file(path, layer=layer)
        result = used_as(what, path, scene)
        assert what != 'zones' or len(result) == 1
    return run


def own_parquet(folder):
    "The polygons that vectorize writes as GeoParquet, compared with the mask."
    from satseg_fastai.evaluate.objects import object_scores
    from satseg_fastai.maps.polygons import vectorize
    mask = write_raster(folder/'a_mask.tif', truth(), UTM, PLACE)
    vectorize(mask, folder/'a.parquet')
    scores = object_scores(folder/'a.parquet', mask)
    assert (scores['tp'], scores['fp'], scores['fn']) == (len(PIXELS), 0, 0)


def no_geo_parquet(folder):
    "A table without geometries."
    import pandas as pd
    pd.DataFrame(dict(a=[1])).to_parquet(folder/'table.parquet')
    used_as('labels', folder/'table.parquet', field_scene(folder))


ENDINGS = 'gpkg', 'geojson', 'geojsonl', 'shp', 'zip', 'fgb', 'kml', 'kmz', 'gdb', 'parquet'
FORMATS = [
    *[Case('38', f'{what} as {ending}', 'all three polygons are there', in_format(ending, what))
      for ending in ENDINGS for what in ('labels', 'zones', 'predictions')],
    Case('38', 'an area of interest as GeoParquet', 'all three polygons are there', in_format('parquet', 'area')),
    Case('38', 'our own GeoParquet is evaluated', 'every object is found', own_parquet),
    Case('38', 'a GPKG with several polygon layers', 'refused: name it (--layer',
         several_layers('homes')),
    Case('38', 'a GPKG whose layer is named like the file', 'that layer is read', several_layers('many')),
    Case('38', 'a Parquet file without geometries', 'refused: table.parquet could not be read', no_geo_parquet),
]

# --- control points
def control_points(folder):
    "A scene that four control points place."
    points = [GroundControlPoint(row=row, col=col, x=X + col, y=Y - row) for row in (0, 64) for col in (0, 64)]
    return write_raster(folder/'scene.tif', np.ones((1, 64, 64), 'uint8'), UTM, None, gcps=points)


def camera_model(folder):
    "A scene that an RPC places."
    one, none = [1.] + [0.]*19, [0., 1.] + [0.]*18
    terms = dict(line_num_coeff=none, line_den_coeff=one, samp_num_coeff=none, samp_den_coeff=one)
    scales = dict(height_off=0, height_scale=1, lat_off=27, lat_scale=1, long_off=85, long_scale=1)
    model = RPC(**terms, **scales, line_off=32, line_scale=32, samp_off=32, samp_scale=32)
    return write_raster(folder/'scene.tif', np.ones((1, 64, 64), 'uint8'), None, None, rpcs=model)


def carried(make):
    "The probability raster and its mask."
    def run(folder):
        import torch
        from satseg_fastai.maps.mask import write_mask
        from satseg_fastai.scene.predict import predict_scene
        predict_scene(torch.nn.Conv2d(1, 2, 1), make(folder), folder/'a_prob.tif', stats=([0.], [1.]), size=64)
        write_mask(folder/'a_prob.tif', folder/'a_mask.tif')
        for name in ('scene', 'a_prob', 'a_mask'):
            with rasterio.open(folder/f'{name}.tif') as file: assert file.gcps[0] or file.rpcs, name
    return run


PLACED = [
    Case('40', 'a scene placed by control points', 'note: carries the control points', carried(control_points)),
    Case('40', 'a scene placed by a camera model (RPC)', 'note: carries the control points', carried(camera_model)),
]
CASES = [Case('splits', 'groups of one size', 'one seed draws the same split in every process', split_in_processes),
         *ACROSS, *GRIDS, *SICK, *FORMATS, *PLACED]
