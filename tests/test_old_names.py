"Names that moved: each is found under its old module, which by itself brings in nothing heavy."
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import satseg_fastai

LIBRARY = Path(satseg_fastai.__file__).parent
WINGS = [p.parent.name for p in sorted(LIBRARY.glob('*/__init__.py')) if 'HOMES' in p.read_text(encoding='utf-8')]
HEAVY = {'numpy', 'rasterio', 'scipy', 'shapely', 'torch', 'fastai', 'pydantic'}
CONTRACT = {'tiling': 'Grid', 'threshold': 'acc_iou_curves', 'bundle': 'load_bundle', 'learner': 'seg_learner',
            'models.unet': 'SEDynamicUnet', 'pointrend.callback': 'PointRendCallback',
            'scene.predict': 'predict_scene', 'scene.blend': 'context_weights', 'data': 'scene_dls',
            'datasets': 'folder_pairs', 'classes': 'ClassTable', 'labels': 'open_labels', 'losses': 'Focal',
            'models.encoders': 'Encoder', 'models.registry': 'create_model', 'validation': 'choose_threshold',
            'workflow': 'map_scenes'}


def homes_of(name): return satseg_fastai.HOMES.get(name) or import_module(f'satseg_fastai.{name}').HOMES


def shown(name): return name.split('=')[-1]  # own=shown: by another name than at home


@pytest.mark.parametrize('name', [*satseg_fastai.HOMES, *WINGS, 'all'])
def test_every_name_is_found(name):
    "And no room of a wing has the name of one of them, which it would hide."
    module, homes = import_module(f'satseg_fastai.{name}'), homes_of(name)
    assert set(module.__all__) == set(dir(module)) and len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) == {shown(own) for names in homes.values() for own in names.split()}
    for home, names in homes.items():
        for own in names.split():
            assert getattr(module, shown(own)) is getattr(import_module(f'satseg_fastai.{home}'), own.split('=')[0])
    assert not {path.stem for path in LIBRARY.glob(f'{name}/*.py')} & set(module.__all__)
    with pytest.raises(AttributeError, match=f"module 'satseg_fastai.{name}' has no attribute 'gone'"): module.gone


@pytest.mark.parametrize('name', ['tiling', 'models.registry', 'pointrend.callback', 'all', *WINGS])
def test_importing_them_is_light(name):
    code = f'import sys, satseg_fastai.{name}; print(*{HEAVY} & set(sys.modules))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '\n'


@pytest.mark.parametrize('name', CONTRACT)
def test_the_contract_holds(name): assert callable(getattr(import_module(f'satseg_fastai.{name}'), CONTRACT[name]))


def test_an_old_module_is_not_a_file():
    "So that an editor shows each name once."
    assert not [name for name in satseg_fastai.HOMES if (LIBRARY/f"{name.replace('.', '/')}.py").exists()]
