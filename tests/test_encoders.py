"""Encoders of every kind under every architecture: maps on the image's grid, groups for the optimizer, bundles; and
the old ones bit by bit as they were."""
import hashlib

import pytest
import timm
import torch
from fastai.optimizer import Adam

from satseg_fastai.architectures import create_model
from satseg_fastai.bundle.file import load_bundle, save_bundle
from satseg_fastai.errors import BadInput
from satseg_fastai.models.encoders import layer_rates
from satseg_fastai.scene.predict import predict_array

SMALL = dict(se_unet=dict(decoder_width=16), fpn=dict(pyramid_width=16, width=8), pspnet=dict(width=16),
             deeplab=dict(width=16))
RCNN = dict(channels=16, hidden=16, mlp=16)

# names and shapes of the state, then its values from seed 0, as they were before encoders without stride 2 were taken
BEFORE = [('se_unet', 'resnet18', dict(decoder_width=16), '74fadfb8fca7', 'cce04948f0ab'),
          ('se_unet', 'test_resnet', dict(decoder_width=16, coarse_stride=4), '380783d81118', 'db2d9cce93c3'),
          ('unet_resnet', 'test_resnet', dict(num_filters=4), '754686000ea0', 'aa35a02af721'),
          ('fpn', 'test_resnet', dict(pyramid_width=16, width=8), '006efe968f86', '5eb1738a357f'),
          ('fpn', 'tf_efficientnet_lite0', dict(pyramid_width=16, width=8), 'e9c5a82d33b0', '01faf27363e1'),
          ('pspnet', 'test_resnet', dict(width=16), '1f68592713c9', '102dbbaa4723'),
          ('pspnet', 'test_resnet', dict(width=16, use_unet=False), '6fb4aa3599c6', 'ebabce93dbd1'),
          ('deeplab', 'test_resnet', dict(width=16, pointrend=True), 'b0e1b494e57a', 'fa5ed7a05ad4'),
          ('pointrend_maskrcnn', 'test_resnet', RCNN, 'fd4b8091d9c1', 'cbce13a32aed')]


def digest(net, values):
    "Names and shapes of a state, or its values."
    sha = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        sha.update(tensor.numpy().tobytes() if values else f'{name}{tuple(tensor.shape)}'.encode())
    return sha.hexdigest()[:12]


@pytest.mark.parametrize('arch, encoder, args, names, values', BEFORE)
def test_old_models_are_what_they_were(arch, encoder, args, names, values):
    """A bundle of before finds its tensors; the same seed starts from the same weights, where torch and timm draw
    the same numbers."""
    torch.manual_seed(0)
    net = create_model(arch, encoder, 3, 2, **args)
    assert digest(net, False) == names and len(net.groups()) == 3
    if (torch.__version__[:4], timm.__version__) == ('2.15', '1.0.31'): assert digest(net, True) == values


@pytest.mark.parametrize('arch, encoder', [
    *((a, e) for a in SMALL for e in ('test_convnext', 'test_mambaout', 'test_vit')), ('fpn', 'test_maxvit')])
def test_any_encoder(arch, encoder):
    "Plain and with PointRend: any size, fine maps of the channels told, every parameter in one group and trained."
    args = dict(SMALL[arch], output_stride=32) if arch in ('pspnet', 'deeplab') else SMALL[arch]
    for rend in (False, dict(hidden=16)):
        torch.manual_seed(0)
        net = create_model(arch, encoder, 4, 3, **args, pointrend=rend)
        base = getattr(net, 'base', net)
        ids = [id(p) for group in net.groups() for p in group]
        assert sorted(ids) == sorted(map(id, net.parameters())) and all(net.groups())
        x = torch.randn(2, 4, 70, 90)
        answer = net(x)
        sum(y.square().mean() for y in (answer if isinstance(answer, tuple) else [answer])).backward()
        idle = {n for n, p in net.named_parameters() if p.grad is None}
        # the fine map is PointRend's
        assert not idle or (arch == 'deeplab' and not rend and all('encoder.neck.levels.0' in n for n in idle))
        with torch.no_grad(): y = net.eval()(x)
        assert y.shape == (2, 3, 70, 90) and y.isfinite().all()
        fine = base.coarse_and_fine(torch.randn(1, 4, 256, 256))[1]
        assert [f.shape[1] for f in fine] == base.fine_channels
        if rend: assert sum(base.fine_channels) + 3 == net.head.layers[0].in_channels


def test_bundle_and_map(tmp_path):
    "A plain transformer in a bundle: built without weights, filled, mapped in patches."
    classes = [dict(name='background', color=[0, 0, 0], index=0), dict(name='building', color=[255, 0, 0], index=1)]
    args = SMALL['fpn']
    spec = dict(arch='fpn', encoder='eva02_tiny_patch14_224', arch_args=args, n_in=3, n_out=2, classes=classes,
                mean=[0.]*3, std=[1.]*3)
    net = create_model('fpn', spec['encoder'], **args).eval()
    save_bundle(tmp_path/'m.safetensors', net, spec)
    again, _ = load_bundle(tmp_path/'m.safetensors')
    x = torch.randn(3, 100, 130)
    maps = [predict_array(m, x.numpy(), size=64, device='cpu') for m in (net, again)]
    assert maps[0].shape == (2, 100, 130) and (maps[0] == maps[1]).all()


def test_objects():
    "The instance model over an encoder without stride 2, and over a plain transformer."
    for encoder, n_groups in (('test_convnext', 3), ('test_vit', 8)):
        net = create_model('pointrend_maskrcnn', encoder, 3, 2, **RCNN)
        assert len(net.groups()) == n_groups
        assert sorted(id(p) for g in net.groups() for p in g) == sorted(map(id, net.parameters()))
        with torch.no_grad(): found = net.eval()([torch.randn(3, 70, 90)])
        assert found[0]['masks'].shape[2:] == (70, 90) and net.transform.size_divisible == 32


def test_layers_of_a_transformer():
    "One group a block: fastai spreads a slice over them; frozen, the neck and the decoder still learn."
    net = create_model('fpn', 'test_vit', **SMALL['fpn'])
    groups, opt = net.groups(), Adam(net.groups(), lr=1e-3)
    assert len(groups) == 6 + 2 and layer_rates(groups, 1e-3) == slice(1e-3*.75**7, 1e-3)
    last = set(map(id, groups[-1]))
    assert {id(p) for p in net.encoder.neck.parameters()} <= last
    assert not last & set(map(id, net.encoder.body.parameters()))
    opt.freeze_to(-1)
    assert all(p.requires_grad == (id(p) in last) for p in net.parameters())


@pytest.mark.parametrize('arch, encoder, args, told', [
    ('se_unet', 'shvit_s1', {}, 'none at 2, 4, 8'),
    ('fpn', 'test_coatnet', {}, 'reads images of 160 x 160 pixels only'),
    ('deeplab', 'test_mambaout', {}, 'or take its own stride: output_stride=32'),
    ('unet_resnet', 'convnext_atto', {}, 'none at 2; its skips would be lost'),
    ('fpn', 'convnext_ato', {}, 'is unknown to timm')])
def test_refused(arch, encoder, args, told):
    "One line with the reason."
    with pytest.raises(BadInput, match=told): create_model(arch, encoder, **args)
