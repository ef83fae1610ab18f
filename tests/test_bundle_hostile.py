"Files that are no bundle, or hold a network that their spec does not describe: one line each."
import json

import pytest
import torch
from safetensors.torch import save_file

from satseg_fastai.architectures import create_model
from satseg_fastai.bundle.file import load_bundle, read_spec, save_bundle
from satseg_fastai.errors import BadInput

CLASSES = [dict(name='background', color=[0, 0, 0], index=0), dict(name='building', color=[255, 0, 0], index=1)]
SPEC = dict(arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=8), n_in=3, n_out=2, classes=CLASSES,
            mean=[120.]*3, std=[50.]*3, patch_size=64, dtype='uint8')
SMALL = dict(channels=16, hidden=16, mlp=16, anchors=[8, 16, 32, 64, 128], box_score_thresh=0., frozen_norm=False)
FINDER = {**SPEC, 'arch': 'pointrend_maskrcnn', 'arch_args': SMALL, 'things': [1]}


def misfit(path, network, spec):
    "A bundle as another program would write it: `save_bundle` writes none that cannot be loaded."
    with pytest.raises(BadInput): save_bundle(path, network, spec)
    assert not path.exists()
    save_file(network.state_dict(), path, metadata=dict(satseg_fastai=json.dumps(spec)))
    return path


def refused(path, objects=False):
    with pytest.raises(BadInput) as error: load_bundle(path, objects)
    assert len(str(error.value)) < 1000 and '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('text', [None, '[1]', 'no JSON', '['*9000], ids=['none', 'list', 'text', 'deep'])
def test_a_file_without_a_spec(text, tmp_path):
    metadata = text and dict(satseg_fastai=text)
    save_file({'a': torch.ones(3)}, tmp_path/'foreign.safetensors', metadata=metadata)
    assert 'holds no satseg_fastai spec' in refused(tmp_path/'foreign.safetensors')


@pytest.mark.parametrize('kept', [0, 4, 100, -1000])
def test_a_file_that_was_cut(kept, tmp_path):
    whole = save_bundle(tmp_path/'m.safetensors', create_model('se_unet', 'test_resnet', decoder_width=8), SPEC)
    (tmp_path/'cut.safetensors').write_bytes(whole.read_bytes()[:kept])
    assert 'no complete .safetensors file' in refused(tmp_path/'cut.safetensors')


def test_an_architecture_that_is_none(tmp_path):
    path = misfit(tmp_path/'m.safetensors', torch.nn.Linear(2, 2), {**SPEC, 'arch': 'nonesuch'})
    assert "architecture 'nonesuch'" in refused(path)
    assert read_spec(path).arch == 'nonesuch'


@pytest.fixture(scope='module')
def finder(): return create_model('pointrend_maskrcnn', 'test_resnet', 3, 2, **SMALL)


@pytest.mark.parametrize('odd', [dict(hidden=1 << 50), dict(hidden='x'), dict(anchors=[1, 2]), dict(max_size=10**9),
                                 dict(box_nms_thresh='x')], ids=str)
def test_arguments_that_build_nothing(odd, finder, tmp_path):
    path = misfit(tmp_path/'odd.safetensors', finder, {**FINDER, 'arch_args': {**SMALL, **odd}})
    assert f'odd.safetensors holds a model that cannot be built: {next(iter(odd))}' in refused(path, objects=True)


@pytest.mark.parametrize('name', ['box_head', 'pointrend'])
def test_arguments_that_a_bundle_may_not_give(name, finder, tmp_path):
    path = misfit(tmp_path/'odd.safetensors', finder, {**FINDER, 'arch_args': {**SMALL, name: 1}})
    line = f'odd.safetensors holds a model that cannot be built: pointrend_maskrcnn takes no {name}'
    assert line in refused(path, objects=True)


def test_weights_of_another_width(finder, tmp_path):
    path = misfit(tmp_path/'odd.safetensors', finder, {**FINDER, 'arch_args': {**SMALL, 'hidden': 32}})
    assert 'odd.safetensors does not fit pointrend_maskrcnn on test_resnet' in refused(path, objects=True)
