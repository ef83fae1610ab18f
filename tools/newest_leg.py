"The installed wheel with the newest fastai: import every module, then save a bundle and map a small scene with it."
import importlib
import json
import pkgutil
import sys
import traceback
from pathlib import Path

CLASSES = {'background': [0, 0, 0], 'building': [255, 0, 0]}


def check(name, function, *args):
    "Run one check, print PASSED or FAILED with its name, and return whether it passed."
    try: function(*args)
    except Exception as e:
        traceback.print_exc(file=sys.stdout)
        print(f'FAILED {name}: {type(e).__name__}', *str(e).split('\n')[:1], flush=True)
        return False
    print(f'PASSED {name}', flush=True)
    return True


def modules():
    "Every module of the installed library."
    import satseg_fastai
    return [
        m.name
        for m in pkgutil.walk_packages(satseg_fastai.__path__, 'satseg_fastai.')
        if not m.name.endswith('_modidx')
    ]


def installed_newest():
    "This is the installed wheel, beside fastai 2.8.12 or newer and fastcore 2."
    from importlib.metadata import version

    import satseg_fastai
    number = lambda name: tuple(int(v) for v in version(name).split('.')[:3])
    assert 'site-packages' in satseg_fastai.__file__
    assert number('fastai') >= (2, 8, 12) and number('fastcore') >= (2, 0)
    print(*(f'{n} {version(n)}' for n in ('satseg_fastai', 'fastai', 'fastcore', 'torch')), sep=', ')


def write_scene(path, array):
    "A raster with a grid of its own."
    import rasterio
    from rasterio.transform import from_origin
    profile = dict(driver='GTiff', height=array.shape[1], width=array.shape[2], count=array.shape[0],
                   dtype=array.dtype.name, crs='EPSG:32636', transform=from_origin(500000, 4000000, .5, .5))
    with rasterio.open(path, 'w', **profile) as dst: dst.write(array)


def map_scene(folder):
    "A bundle, saved and used: the map lies on the scene's grid and holds probabilities that vary."
    import numpy as np
    import rasterio
    from satseg_fastai.bundle.file import save_bundle
    from satseg_fastai.architectures import create_model
    from satseg_fastai.scene.predict import predict_scene
    spec = dict(arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, mean=[128.]*3, std=[64.]*3,
                dtype='uint8', patch_size=128,
                classes=[dict(name=name, color=color, index=i) for i, (name, color) in enumerate(CLASSES.items())])
    model = create_model(spec['arch'], encoder=spec['encoder'], n_in=3, n_out=2)
    src, dst, bundle = folder/'scene.tif', folder/'prob.tif', folder/'model.safetensors'
    write_scene(src, np.random.default_rng(0).integers(1, 255, (3, 150, 210), dtype='uint8'))
    save_bundle(bundle, model, spec)
    predict_scene(bundle, src, dst, size=128, progress=False)
    with rasterio.open(src) as a, rasterio.open(dst) as b:
        assert (a.transform, a.crs, a.shape) == (b.transform, b.crs, b.shape), json.dumps(str(b.profile))
        assert b.read(1).std() > 0


def main(folder):
    "Exit code 1 if anything failed."
    done = [check('versions', installed_newest)]
    done += [check(f'import {name}', importlib.import_module, name) for name in modules()]
    done += [check('a bundle maps a scene', map_scene, Path(folder))]
    return not all(done)


if __name__ == '__main__': sys.exit(main(sys.argv[1]))
