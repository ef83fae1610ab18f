"""Every architecture, plain and with PointRend, held to the same promises: alone, in a Learner, in a bundle, on the
command line."""
import inspect
import json
import warnings
from functools import cache, partial
from types import SimpleNamespace

import matplotlib
matplotlib.use('Agg')  # before anything that draws
import numpy as np
import pytest
import rasterio
import torch
import torch.nn.functional as F
from torch import nn
from typer.testing import CliRunner

from satseg_fastai.architectures import ARCHS, create_model, takes
from satseg_fastai.bundle.file import load_bundle, read_spec, save_bundle
from satseg_fastai.cli import app
from satseg_fastai.models.segmenter import pad_to
from satseg_fastai.pointrend.points import subdivide
from satseg_fastai.scene.predict import predict_array, predict_scene
from satseg_fastai.training.losses import make_loss
from satseg_fastai.training.pointrend import point_loss

SMALL = dict(se_unet=dict(decoder_width=(32, 16, 16, 8, 8)), unet_resnet=dict(num_filters=4),
             fpn=dict(pyramid_width=32, width=32), pspnet=dict(width=32), deeplab=dict(width=32, aux=True))
FULL = {arch for arch, (cls, _) in ARCHS.items() if cls.dense}  # refined in one pass: their decoders cannot stop early
PLAIN = {**{arch: (arch, kw) for arch, kw in SMALL.items()}, 'pspnet_plain': ('pspnet', dict(width=32, use_unet=False))}
REND = {
    f'{name}_rend': (arch, dict(kw, pointrend=dict(hidden=16, refine=arch in FULL)))
    for name, (arch, kw) in PLAIN.items()
}
CASES = {**PLAIN, **REND, 'se_unet_refine': ('se_unet', dict(SMALL['se_unet'], pointrend=dict(hidden=16, refine=True)))}
REFINED = {*REND, 'se_unet_refine'}
AUX = ('pspnet', 'deeplab')
each, each_rend = (pytest.mark.parametrize('name', names) for names in (CASES, REND))


def enliven(net, seed=0):
    "Norms as after training, and a point head that says something: the start values hide mistakes."
    gen = torch.Generator().manual_seed(seed)
    for m in net.modules():
        if not isinstance(m, nn.BatchNorm2d): continue
        for v, (low, high) in ((m.weight, (.5, 1.5)), (m.bias, (-.3, .3)), (m.running_mean, (-.3, .3)), (m.running_var,
                                                                                                         (.5, 1.5))):
            nn.init.uniform_(v, low, high, generator=gen)
    if hasattr(net, 'base'): nn.init.normal_(net.head.out.weight, std=.5, generator=gen)
    return net


def build(name, n_in=3, n_out=2, seed=0, points=None, **more):
    "A small model of a case."
    torch.manual_seed(seed)
    arch, kw = CASES[name]
    net = enliven(create_model(arch, 'test_resnet', n_in, n_out, **{**kw, **more}))
    if points is not None and hasattr(net, 'points'): net.points = points
    return net


@cache
def ready(name): return build(name, n_out=3).eval()


def noise(n_in=3, h=65, w=100, n=2, seed=1):
    return torch.randn(n, n_in, h, w, generator=torch.Generator().manual_seed(seed))


def labels(k, h=65, w=100, n=2, seed=2):
    "Random classes, a corner of which does not count."
    y = torch.randint(0, max(k, 2), (n, h, w), generator=torch.Generator().manual_seed(seed))
    y[:, :9, :9] = 255
    return y


def at_pixels(y, p):
    return torch.stack([i[(q[:, 1]*i.shape[0]).long(), (q[:, 0]*i.shape[1]).long()] for i, q in zip(y, p)])


def total_loss(name, answer, y):
    "What training makes small, from a model's answer in training, computed apart from the library's callbacks."
    out, loss = list(answer) if isinstance(answer, tuple) else [answer], make_loss('ce')
    parts = [loss(F.interpolate(out.pop(0).float(), y.shape[-2:], mode='bilinear'), y)]
    if name in REFINED: parts.append(point_loss(out.pop(0), at_pixels(y, out.pop(0))))
    parts += [.4*loss(F.interpolate(a.float(), y.shape[-2:], mode='bilinear'), y) for a in out]
    return sum(parts), len(parts)


# the promises of a bare model
def test_every_architecture_is_here():
    assert SMALL.keys() == ARCHS.keys() and {CASES[n][0] for n in REND} == set(ARCHS)


@pytest.mark.parametrize('arch', ARCHS)
def test_default_encoder(arch):
    "Each has its own, of real size; it carries no memory here."
    with torch.device('meta'): net = create_model(arch)
    assert net.encoder.name == ARCHS[arch][1] == inspect.signature(ARCHS[arch][0]).parameters['encoder'].default
    ids = [id(p) for g in net.groups() for p in g]
    assert sorted(ids) == sorted(map(id, net.parameters())) and sum(p.numel() for p in net.encoder.parameters()) > 2e7
    assert all(sum(p.numel() for p in g) > 1e5 for g in net.groups())


@each
def test_groups(name):
    "Early encoder, late encoder, the rest: every parameter once; the point head is in the last group."
    net = build(name)
    early, late, rest = ([id(p) for p in g] for g in net.groups())
    assert sorted(early + late + rest) == sorted(map(id, net.parameters())) and early and late and rest
    base = getattr(net, 'base', net)
    assert set(early + late) == set(map(id, base.encoder.parameters()))
    assert set(map(id, base.encoder.body.conv1.parameters())) <= set(early)
    assert set(map(id, base.encoder.body.layer4.parameters())) <= set(late)
    if base is not net: assert set(map(id, net.head.parameters())) <= set(rest)


@each
@pytest.mark.parametrize('size', [(33, 47), (65, 100), (64, 128), (7, 90)])
def test_any_size(name, size):
    "One full-size tensor in evaluation; what is padded is cropped, and leaks nothing but its own reflection."
    net, x = ready(name), noise(h=size[0], w=size[1])
    with torch.no_grad(): y, again = net(x), net(x)
    assert y.shape == (2, 3, *size) and y.dtype == torch.float32 and y.isfinite().all() and y.std((2, 3)).min() > 1e-3
    assert torch.equal(y, again)
    if name == 'se_unet': return  # takes any size as it is, without padding
    with torch.no_grad(): whole = net(pad_to(x, getattr(net, 'base', net).multiple))
    assert torch.equal(y, whole[..., :size[0], :size[1]])


@each_rend
def test_points_of_a_padded_image_are_the_image_s(name):
    "In training: coordinates reach from edge to edge of the image, and lie there where the features were read."
    net, x = build(name), noise()
    for m in net.train().modules():
        if isinstance(m, (nn.BatchNorm2d, nn.Dropout, nn.Dropout2d)): m.eval()
    with torch.no_grad():
        coarse, logits, p, *aux = net(x)
        padded = pad_to(x, net.base.multiple)
        low, fine, low_aux = net.base.coarse_and_fine(padded)
        again = net.at_points(low, fine, p*torch.tensor([100/padded.shape[-1], 65/padded.shape[-2]]))
    assert len(aux) == (low_aux is not None) and (p.shape[1] == logits.shape[-1] == max(196, 65*100//16))
    assert 0 <= p.min() and p.max() <= 1 and (p.amin((0, 1)) < .05).all() and (p.amax((0, 1)) > .95).all()
    torch.testing.assert_close(logits, again, rtol=1e-3, atol=1e-3)
    for y, small in zip((coarse, *aux), (low, low_aux)):
        assert y.shape == (2, 2, 65, 100)
        torch.testing.assert_close(y, F.interpolate(small, padded.shape[-2:], mode='bilinear')[..., :65, :100])


@each_rend
def test_refined(name):
    "The answer of evaluation is the head's where it was asked, and the coarse map elsewhere."
    net, x = ready(name), noise(h=64, w=128)
    with torch.no_grad():
        coarse = net.base.eval()(x)
        changed = ((net(x) - coarse).abs() > 1e-3).any(1).float().mean((1, 2))
    assert (changed > .004).all() and net.points == 'auto'
    if name.startswith('unet_resnet'): assert (changed <= 1/32).all()


@each
@pytest.mark.parametrize('n_in', [1, 5])
def test_bands(name, n_in):
    "Any number of bands, each of which counts."
    net, x = build(name, n_in=n_in, points=256).eval(), noise(n_in, 64, 64)
    with torch.no_grad():
        y = net(x)
        for band in range(n_in):
            z = x.clone()
            z[:, band] = z[:, band].flip(-1)
            assert ((net(z) - y).abs().amax((1, 2, 3)) > 1e-3).all()
    assert y.shape == (2, 2, 64, 64)


@each
@pytest.mark.parametrize('k', [1, 3])
@pytest.mark.parametrize('half', [False, True])
def test_trains(name, k, half):
    """One logit or several, float32 or bfloat16 autocast: a finite loss of all its parts, and a gradient for every
    parameter."""
    net, x, y = build(name, n_out=k).train(), noise(n=4), labels(k, n=4)
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16, enabled=half): loss, parts = total_loss(name, net(x), y)
    loss.backward()
    assert parts == 1 + (name in REFINED) + name.startswith(AUX) and .3 < loss.item() < 50
    grads = {n: p.grad for n, p in net.named_parameters()}
    assert [n for n, g in grads.items() if g is None or not g.isfinite().all()] == []
    silent = [n for n, g in grads.items() if not g.abs().sum()]
    assert len(silent) <= .05*len(grads), silent
    with torch.no_grad(): assert net.eval()(x).shape == (4, k, 65, 100)


@each
def test_one_logit_is_a_sigmoid(name):
    "A map of one logit is that of two, the other being 0, also where PointRend looks for its points."
    one, loss, x, y = build(name, n_out=1, points=512).eval(), make_loss('ce'), noise(h=64, w=64), labels(1, 64, 64)
    base = getattr(one, 'base', one)
    with torch.no_grad():
        [*(base.classifier if hasattr(base, 'classifier') else base.head).modules()][-1].bias -= base(x).median()
        z, share = one(x), (base(x) > 0).float().mean()
    assert .4 < share < .6 and torch.equal(loss.activation(z), z.sigmoid())
    torch.testing.assert_close(loss(z, y), F.binary_cross_entropy_with_logits(z[:, 0][y != 255], y[y != 255].float()))
    if base is one: return
    with torch.no_grad():
        coarse, fine, _ = base.coarse_and_fine(x)
        both = lambda t: torch.cat([torch.zeros_like(t), t], 1)
        pair = subdivide(both(coarse), lambda p: both(one.at_points(coarse, fine, p)), (64, 64), 512)
    torch.testing.assert_close(pair[:, 1:], z, rtol=1e-4, atol=1e-4)


def near(a, b, atol, share=1.):
    "Whether enough values are near; the choice of a point may tip where two are as good."
    assert ((a - b).abs() <= atol).float().mean() >= share, (a - b).abs().max()


@each
def test_channels_last(name):
    net, x = build(name, n_out=3, points=512).eval(), noise()
    with torch.no_grad():
        want = net(x)
        got = net.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    assert next(p for p in net.parameters()
                if p.ndim == 4 and p.shape[1] > 1 and p.shape[-1] > 1).is_contiguous(memory_format=torch.channels_last)
    near(got, want, 1e-4)


@each
def test_bfloat16(name):
    "Autocast on the CPU: near float32; PointRend's map is painted in float32."
    net, x = build(name, n_out=3, points=10**6).eval(), noise()  # all points: none is chosen otherwise
    with torch.no_grad():
        want = net(x)
        with torch.autocast('cpu', torch.bfloat16): half = net(x)
    assert half.dtype == (torch.float32 if hasattr(net, 'base') else torch.bfloat16) and half.isfinite().all()
    assert 0 < (half - want).abs().mean() < .05*want.std() and (half.argmax(1) == want.argmax(1)).float().mean() > .95


# torch.compile
QUICK = 'se_unet', 'fpn_rend'


@pytest.mark.parametrize('name', [pytest.param(n, marks=[pytest.mark.slow]*(n not in QUICK))
                                  for arch in SMALL for n in (arch, f'{arch}_rend')])
def test_compiles_whole(name):
    "One graph without a break in evaluation; with PointRend where the number of points is given."
    net, x = build(name, n_out=3, points=256).eval(), noise()
    torch._dynamo.reset()
    with torch.no_grad(): near(torch.compile(net, backend='eager', fullgraph=True)(x), net(x), 1e-5)


def test_compiles_in_parts_where_the_image_sets_the_points():
    "points='auto' reads a number of pixels back, which breaks the graph; the answers are the same."
    graphs, net, x = [], ready('fpn_rend'), noise()
    def count(graph, _): graphs.append(graph); return graph.forward
    torch._dynamo.reset()
    with torch.no_grad(): near(torch.compile(net, backend=count)(x), net(x), 1e-5)
    assert len(graphs) > 1


@pytest.mark.parametrize('name', ['fpn', pytest.param('pspnet_rend', marks=pytest.mark.slow)])
def test_compiles_in_training(name):
    "The same loss and gradients, the points drawn alike."
    grads, x, y = [], noise(h=64, w=64), labels(2, 64, 64)
    torch._dynamo.reset()
    for how in (lambda net: net, partial(torch.compile, backend='eager', fullgraph=True)):
        net = build(name).train()
        torch.manual_seed(0)
        total_loss(name, how(net)(x), y)[0].backward()
        grads.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    near(*grads, 1e-5)


# in a Learner
@pytest.fixture(scope='module')
def town(tmp_path_factory):
    "Three scenes with labels."
    from satseg_fastai.data.datasets import folder_pairs
    from satseg_fastai.synth import make_scenes
    root = tmp_path_factory.mktemp('town')
    make_scenes(root, n=3, size=96, seed=1)
    return SimpleNamespace(root=root, pairs=folder_pairs(root/'images', root/'labels'))


def learner(town, name, **kw):
    from satseg_fastai.data.loaders import scene_dls
    from satseg_fastai.training.learner import seg_learner
    arch, args = CASES[name]
    dls = scene_dls(town.pairs[:2], town.pairs[2:], size=32, bs=8, device='cpu')
    return seg_learner(dls, arch, 'test_resnet', pretrained=False, **{**args, **kw})


def quiet(learn, do, *args, **kw):
    with learn.no_bar(), learn.no_logging(): return do(*args, **kw)


@cache
def parts():
    """A callback that keeps the model's answers as they come and, once every other part has joined, the loss that is
    said and the one that is due."""
    from fastai.callback.core import Callback
    class Raw(Callback):
        order, run_valid = 4, False
        def after_pred(self): self.learn.raw = self.pred
    class Parts(Callback):
        order, run_valid = 5.9, False
        def __init__(self, case): self.case, self.rows = case, []
        def after_loss(self):
            due, n = total_loss(self.case, self.learn.raw, self.yb[0])
            self.kind = self.learn.raw[0].dtype
            self.rows.append((self.loss_grad.item(), due.item(), n, tuple(self.pred.shape[-2:])))
    return lambda name: [Raw(), Parts(name)]


def check_parts(rows, name):
    "Every batch's loss is what is due, of all parts, for a full-size tensor."
    assert rows
    for said, due, n, size in rows:
        assert n == 1 + (name in REFINED) + name.startswith(AUX) and size == (32,
                                                                              32) and abs(said - due) < 1e-4*due, rows


each_learner = pytest.mark.parametrize('name', [
    'se_unet_rend', 'unet_resnet_rend', 'fpn_rend', 'pspnet_rend', 'pspnet_plain_rend', 'deeplab_rend', 'pspnet',
    'deeplab'
])


@each_learner
def test_learner(town, tmp_path, name):
    "Training, and fastai's own tools, none of which knows of points: one full-size tensor for them all."
    import matplotlib.pyplot as plt
    from fastai.learner import load_learner
    learn, spies = learner(town, name), parts()(name)
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    quiet(learn, learn.fit, 1, 1e-3, cbs=spies)
    check_parts(spies[1].rows, name)
    after = {k: v.clone() for k, v in learn.model.state_dict().items()}
    assert sum(not torch.equal(before[k], v) for k, v in after.items()) > .9*len(after)

    quiet(learn, learn.lr_find, num_it=3, show_plot=False, suggest_funcs=None)
    assert all(torch.equal(after[k], v) for k, v in learn.model.state_dict().items())
    x, y = learn.dls.valid.one_batch()
    with torch.no_grad(): z = learn.model.eval()(x.as_subclass(torch.Tensor))
    loss, accuracy, *_ = quiet(learn, learn.validate)
    probs, targets = quiet(learn, learn.get_preds)
    assert z.shape == (1, 2, 96, 96) and torch.equal(targets, y.as_subclass(torch.Tensor).cpu())
    torch.testing.assert_close(probs, z.softmax(1), rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(make_loss('ce')(z, y).item(), rel=1e-4)
    assert accuracy == pytest.approx((z.argmax(1) == targets)[targets != 255].float().mean().item(), abs=1e-4)
    classes, _, p = quiet(learn, learn.predict, learn.dls.valid_ds.items[0])
    torch.testing.assert_close(p, probs[0], rtol=1e-4, atol=1e-5)
    assert (torch.as_tensor(classes) == probs[0].argmax(0)).float().mean() > .999
    quiet(learn, learn.show_results, max_n=1)
    assert sum(len(ax.images) for ax in plt.gcf().axes) == 4
    plt.close('all')

    learn.export(tmp_path/'e.pkl')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # fastai's word on the safety of pickles
        loaded = load_learner(tmp_path/'e.pkl')
    save_bundle(tmp_path/'m.safetensors', learn)
    for how, model in dict(learner=learn, export=loaded, bundle=tmp_path/'m.safetensors').items():
        predict_scene(model, town.pairs[2].image, tmp_path/f'{how}.tif', device='cpu', progress=False)
    maps = {how: rasterio.open(tmp_path/f'{how}.tif').read() for how in ('learner', 'export', 'bundle')}
    assert all(np.array_equal(maps['learner'], m) for m in maps.values())
    assert maps['learner'].std() > 0
    assert maps['learner'].shape[-2:] == (96, 96)


@each_learner
def test_mixed_precision(town, monkeypatch, name):
    "fastai's own callback, told that the CPU is its GPU: each part of the loss is still there."
    from fastai.callback import fp16
    monkeypatch.setattr(fp16, 'autocast', lambda _, dtype: torch.autocast('cpu', dtype))
    monkeypatch.setattr(fp16, 'GradScaler', lambda *_, **kw: torch.amp.GradScaler('cpu', enabled=False))
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
    learn, spies = learner(town, name).to_bf16(), parts()(name)
    try: quiet(learn, learn.fit, 1, 1e-3, cbs=spies)
    finally: torch.set_autocast_enabled('cpu', False)  # where a batch fails, fastai stays in it
    check_parts(spies[1].rows, name)
    assert spies[1].kind == torch.bfloat16


@each_learner
def test_gradient_accumulation(town, name):
    "Every part is divided, none twice."
    from fastai.callback.core import Callback
    from fastai.callback.training import GradientAccumulation
    class Divided(Callback):
        order, run_valid = 7, False
        def after_loss(self):
            self.learn.shares = [*getattr(self.learn, 'shares', []), (self.loss_grad/self.loss).item()]
    learn, spies = learner(town, name), parts()(name)
    quiet(learn, learn.fit, 1, 1e-3, cbs=[*spies, GradientAccumulation(16), Divided()])
    check_parts(spies[1].rows, name)
    assert learn.shares == pytest.approx([.5]*len(learn.shares))


@each_learner
def test_frozen(town, name):
    "freeze leaves the decoder and the point head to train, and norms; nothing else moves."
    learn = learner(town, name, wd=0.)
    learn.create_opt()
    learn.freeze()
    norms = {id(p) for m in learn.model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    early, late, rest = learn.model.groups()
    frozen = [p for p in early + late if id(p) not in norms]
    before = {p: p.detach().clone() for p in learn.model.parameters()}
    assert len(learn.opt.param_lists) == 3
    assert not any(p.requires_grad for p in frozen)
    assert all(p.requires_grad for p in rest)
    quiet(learn, learn.fit, 1, 1e-2)
    assert all(torch.equal(before[p], p) for p in frozen)
    moved = {id(p) for p in rest if not torch.equal(before[p], p)}
    assert len(moved) > .9*len(rest)
    assert name not in REFINED or {id(p) for p in learn.model.head.parameters()} <= moved


@pytest.mark.parametrize('name', ['fpn_rend', 'pspnet'])
def test_train_metrics(town, name):
    "Metrics of training batches see the coarse map at full size."
    learn = learner(town, name)
    learn.recorder.train_metrics = True
    quiet(learn, learn.fit, 1, 1e-3)
    row = dict(zip(learn.recorder.metric_names[1:-1], learn.recorder.values[0]))
    assert {n.split('_')[0] for n in row} == {'train', 'valid'}
    assert len(row) == 8
    assert all(0 <= v < 20 for v in row.values())
    assert 0 < row['train_accuracy'] < 1


def test_interrupted_with_points(town, tmp_path):
    "The points are drawn on from where they were: the same weights as without the interruption."
    from fastai.callback.core import Callback
    from satseg_fastai.training.learner import fit_recipe
    class Stop(Callback):
        def before_validate(self):
            if self.epoch == 1: raise KeyboardInterrupt
    def run(file=None, cbs=()):
        learn = learner(town, 'fpn_rend').add_cbs(cbs)
        try: quiet(learn, fit_recipe, learn, 2, 0, checkpoint=file)
        except KeyboardInterrupt: pass
        return learn.model.state_dict()
    calm = run()
    run(tmp_path/'run.state', [Stop()])
    torn = run(tmp_path/'run.state')
    assert all(torch.equal(v, torn[k]) for k, v in calm.items())


@pytest.mark.parametrize('name', ['fpn_rend', 'unet_resnet'])
def test_learner_of_one_logit(name):
    "A binary model of one map: nothing but the loss has to know."
    import fastai.callback.progress  # gives Learner no_bar
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from satseg_fastai.training.pointrend import PointRendCallback
    x = noise(n=8, h=40, w=33)
    dls = DataLoaders(*[DataLoader(list(zip(x, (x.mean(1) > 0).long())), bs=4)]*2, device='cpu')
    learn = Learner(dls, build(name, n_out=1), loss_func=make_loss('ce'), cbs=[PointRendCallback()])
    spies = parts()(name)
    quiet(learn, learn.fit, 6, 3e-3, cbs=spies)
    losses = [said for said, *_ in spies[1].rows]
    assert losses == pytest.approx([due for _, due, *_ in spies[1].rows], rel=1e-4) and len(losses) == 12 and sum(
        losses[-2:]) < sum(losses[:2]), losses
    probs, _ = quiet(learn, learn.get_preds)
    assert probs.shape == (8, 1, 40, 33) and 0 < probs.min() < probs.max() < 1


@pytest.mark.parametrize('arch', ARCHS)
def test_default_encoder_of_a_learner(town, arch, monkeypatch):
    "seg_learner asks for the architecture's own, and says so in the spec."
    from satseg_fastai.training import learner as module
    asked, dls = [], learner(town, 'fpn').dls
    monkeypatch.setattr(
        module, 'create_model',
        lambda arch, encoder, *args, **kw: asked.append(encoder) or create_model(arch, 'test_resnet', *args, **kw))
    learn = module.seg_learner(dls, arch, pretrained=False, **SMALL[arch])
    assert asked == [ARCHS[arch][1]] == [learn.spec['encoder']]


# in a bundle
OTHER = dict(se_unet=dict(decoder_width=(32, None, 16, 8, 8), se=False, norm='group', side=True),
             unet_resnet=dict(num_filters=4, norm='batch'), fpn=dict(pyramid_width=16, width=24, levels=(3, 4, 5)),
             pspnet=dict(width=32, pyramid_sizes=(1, 2, 4), output_stride=16,
                         use_unet=False), deeplab=dict(width=16, rates=(2, 5), output_stride=16, aux=True))
POINTS = dict(points=300, train_points=60, k=4, beta=.5, hidden=24, layers=2, image=True, padding_mode='zeros')
SPEC = dict(encoder='test_resnet', mean=[120.]*5, std=[50.]*5)


@pytest.mark.parametrize('arch', ARCHS)
@pytest.mark.parametrize('rend', [False, True])
@pytest.mark.parametrize('k', [1, 3])
def test_bundle(tmp_path, arch, rend, k):
    "Arguments far from the defaults, tuples among them, come back from the file, and the same logits bit by bit."
    assert OTHER.keys() == ARCHS.keys()
    torch.manual_seed(0)
    args = dict(OTHER[arch], **(dict(pointrend=dict(POINTS, refine=arch in FULL)) if rend else {}),
                **(dict(coarse_stride=8) if rend and takes(arch, 'coarse_stride') else {}))
    net, x = enliven(create_model(arch, 'test_resnet', 5, k, **args)).eval(), noise(5)
    classes = [dict(name=f'c{i}', index=i, color=[i]*3) for i in range(max(k, 2))]
    save_bundle(tmp_path/'m.safetensors', net, dict(SPEC, arch=arch, arch_args=args, n_in=5, n_out=k, classes=classes))
    torch.manual_seed(1)
    again, spec = load_bundle(tmp_path/'m.safetensors')
    assert spec['arch_args'] == json.loads(json.dumps(args)) and not again.training
    with torch.no_grad(): assert torch.equal(net(x), again(x))
    assert str(again) == str(net) and all(torch.equal(v, again.state_dict()[n]) for n, v in net.state_dict().items())
    if rend:
        assert {n: getattr(again, n) for n in ('points', 'train_points', 'k', 'beta', 'image', 'padding_mode')
                } == {n: v for n, v in POINTS.items() if n not in ('hidden', 'layers')}


@pytest.mark.parametrize('arch', ARCHS)
def test_arguments_count(arch):
    "Each of them makes another network."
    other = str(create_model(arch, 'test_resnet', **OTHER[arch]))
    for name in OTHER[arch]:
        assert str(create_model(arch, 'test_resnet',
                                **{k: v for k, v in OTHER[arch].items() if k != name})) != other, name


# on the command line
def satseg(*args):
    with warnings.catch_warnings(): return CliRunner().invoke(app, list(map(str, args)))


SETS = dict(se_unet=['decoder_width=[32,16,16,8,8]'], unet_resnet=['num_filters=4'],
            fpn=['pyramid_width=16', 'width=16',
                 'levels=[3,4,5]'], pspnet=['width=32', 'pyramid_sizes=(1,2,4)',
                                            'use_unet=false'], deeplab=['width=16', 'rates=[2,5]', 'aux=true'])


@pytest.mark.parametrize('arch', ARCHS)
@pytest.mark.parametrize('rend', [False, True])
def test_satseg_train(town, tmp_path, arch, rend):
    "From scenes to a map by one name."
    out = tmp_path/'m.safetensors'
    extra = [] if not rend else ['--set', 'pointrend={"refine": true}'] if arch in FULL else ['--pointrend']
    r = satseg('train', '--images', town.root/'images', '--labels', town.root/'labels', '--out', out, '--arch', arch,
               '--encoder', 'test_resnet', '--no-pretrained', '--patch', 32, '--epochs', 1, '--quiet',
               *(a for s in SETS[arch] for a in ('--set', s)), *extra)
    assert r.exit_code == 0, f'{r.stderr}\n{r.exception!r}'
    spec, (net, _) = read_spec(out), load_bundle(out)
    assert spec['arch'] == arch
    assert 0 < spec['threshold']['value'] < 1
    assert hasattr(net, 'base') == rend
    assert type(getattr(net, 'base', net)) is ARCHS[arch][0]
    for name, value in (s.split('=') for s in SETS[arch]):
        assert spec['arch_args'][name] == json.loads(value.replace('(', '[').replace(')', ']'))
    r = satseg('predict', out, town.pairs[2].image, '--out', tmp_path/'maps', '--quiet')
    assert r.exit_code == 0, f'{r.stderr}\n{r.exception!r}'
    with rasterio.open(next((tmp_path/'maps').glob('*_prob.tif'))) as ds:
        assert (ds.height, ds.width) == (96, 96) and ds.read().std() > 0


def test_what_the_command_line_refuses(town, tmp_path):
    "One line for what no architecture can be."
    data = [
        'train', '--images', town.root/'images', '--labels', town.root/'labels', '--out', tmp_path/'m.safetensors',
        '--encoder', 'test_resnet', '--no-pretrained', '--patch', 32
    ]
    for args, says in ((['--arch', 'unet9'], "architecture 'unet9'"), ([
            '--arch', 'fpn', '--set', 'use_unet=true'
    ], 'fpn takes no use_unet'), (['--arch', 'fpn', '--set', 'levels'], 'NAME=VALUE'), ([
            '--arch', 'unet_resnet', '--pointrend'
    ], 'one pass at full size'), (['--arch', 'pspnet', '--set', 'pyramid_sizes=wide'], 'pyramid_sizes'), ([
            '--arch', 'fpn', '--set', 'width=wide'
    ], 'width'), (['--arch', 'fpn', '--set', 'pointrend={"pints": 3}'], 'pints')):
        r = satseg(*data, *args)
        lines = [line for line in r.stderr.splitlines() if not line.startswith('note: ')]
        assert r.exit_code == 2 and len(lines) == 1 and says in lines[0], (args, r.stderr, r.exception)
    assert not (tmp_path/'m.safetensors').exists()


class Tired(nn.Module):
    "A model that stops the run after some batches."
    def __init__(self, net, batches): super().__init__(); self.net, self.left = net, batches
    def forward(self, x):
        self.left -= 1
        if self.left < 0: raise KeyboardInterrupt
        return self.net(x)


def test_interrupted_map_has_the_same_bytes(town, tmp_path):
    """PointRend counts its points by what it sees; a map that was interrupted is still the same, and one with other
    points is begun anew."""
    net = create_model('se_unet', 'test_resnet', pointrend=dict(hidden=16), **SMALL['se_unet']).eval()
    for p in net.head.parameters(): nn.init.normal_(p, std=.5)
    kw = dict(size=32, overlap=.5, batch_size=3, stats=([120., 110., 100.], [60., 60., 60.]), device='cpu',
              progress=False)
    scene = town.pairs[2].image
    predict_scene(Tired(net, 99), scene, tmp_path/'calm.tif', **kw)
    with pytest.raises(KeyboardInterrupt): predict_scene(Tired(net, 9), scene, tmp_path/'torn.tif', **kw)
    assert predict_scene(Tired(net, 99), scene, tmp_path/'torn.tif', **kw)['resumed_at_row'] > 0
    assert (tmp_path/'torn.tif').read_bytes() == (tmp_path/'calm.tif').read_bytes()
    with pytest.raises(KeyboardInterrupt): predict_scene(Tired(net, 9), scene, tmp_path/'other.tif', **kw)
    net.points = 64
    assert predict_scene(Tired(net, 99), scene, tmp_path/'other.tif', **kw)['resumed_at_row'] == 0
    one, three = (predict_array(net,
                                np.random.default_rng(0).normal(size=(3, 100, 130)).astype('float32'), size=64,
                                batch_size=n, device='cpu') for n in (1, 3))
    assert abs(one - three).max() < 1e-4
