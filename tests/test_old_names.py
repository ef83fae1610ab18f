"Names that moved: each is found under its old module, which by itself brings in nothing heavy."
import subprocess
import sys
from importlib import import_module

import pytest

SHOWN = ['vector', 'stats', 'validation', 'report', 'export']
HEAVY = {'numpy', 'rasterio', 'scipy', 'shapely', 'torch', 'fastai', 'pydantic'}


@pytest.mark.parametrize('name', SHOWN)
def test_every_name_is_found(name):
    "And no module of a package has the name of one of them, which it would hide."
    module = import_module(f'satseg_fastai.{name}')
    assert set(module.__all__) == set(dir(module)) and len(set(module.__all__)) == len(module.__all__)
    for home, names in module.HOMES.items():
        for own in names.split():
            assert getattr(module, own) is getattr(import_module(f'satseg_fastai.{home}'), own)
    assert not {home.rpartition('.')[2] for home in module.HOMES if home.startswith(f'{name}.')} & set(module.__all__)
    with pytest.raises(AttributeError, match=f"module 'satseg_fastai.{name}' has no attribute 'gone'"): module.gone


@pytest.mark.parametrize('name', SHOWN)
def test_importing_them_is_light(name):
    code = f'import sys, satseg_fastai.{name}; print(*{HEAVY} & set(sys.modules))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '\n'
