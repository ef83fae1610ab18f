"The PointRend paper's figures, counted on the library's modules, against the paper and against formulas."
import sys
from pathlib import Path

import nbformat
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT/'nbs'/'experiments'
sys.path.append(str(EXPERIMENTS))
import paper_counts as pc

from satseg_fastai.instances.masks import render_masks
from satseg_fastai.pointrend.points import grid_coords

CHANNELS = [dict(), dict(c=128), dict(k=1), dict(c=48, k=7)]
WIDTHS = [*CHANNELS, dict(hidden=512), dict(mlp=128), dict(c=48, k=7, hidden=72, mlp=40)]


@pytest.fixture(scope='module')
def semantic(): return {name: pc.semantic(build) for name, (build, _) in pc.SEMANTIC.items()}


@pytest.fixture(scope='module')
def figures(): return [f() for f in (pc.table_2, pc.points, pc.stride_16)]


def point_macs(c=256, k=80, mlp=256): return (c + k)*mlp + 2*(mlp + k)*mlp + (mlp + k)*k


def coarse_macs(c=256, k=80, hidden=1024): return 49*4*c*c + 49*c*hidden + hidden**2 + hidden*49*k


def split(c=256, k=80, hidden=1024, mlp=256): return dict(c=c, k=k, hidden=hidden), dict(c=c, k=k, mlp=mlp)


@pytest.mark.parametrize('r, macs, held', [(14, 529_858_560, 514_304), (112, 33_910_947_840, 32_915_456)])
def test_four_conv_head(r, macs, held):
    "Table 2, both rows of the 4x conv head."
    head = pc.four_conv(r)
    assert (head.mult_adds(), pc.peak(head.activations())) == (macs, held)


def test_pointrend_head():
    """Table 2, the row of PointRend: 924.3 M with 4·28² points, 980.1 M with the text's; 733,520 activations at the
    peak."""
    ours, text = pc.pointrend(), pc.pointrend(pc.every_step)
    calls = ours.activations()
    assert (ours.mult_adds(), text.mult_adds()) == (924_286_976, 980_132_864)
    assert (pc.peak(calls), pc.total(calls), pc.total(text.activations())) == (733_520, 2_728_016, 2_894_224)
    assert {n: len(v)
            for n, v in calls.items()
            if len(v) != 4} == dict.fromkeys(['input', 'coarse.conv', 'coarse.fc1', 'coarse.fc2', 'coarse.out'], 1)


@pytest.mark.parametrize('kw', CHANNELS, ids=str)
@pytest.mark.parametrize('r', [6, 14])
def test_four_conv_head_follows_its_channels(r, kw):
    "The counts of any width, by formula."
    c, k = (kw.get(n, d) for n, d in (('c', 256), ('k', 80)))
    head = pc.four_conv(r, **kw)
    assert head.mult_adds() == r*r*(4*9*c*c + 4*c*c + 4*c*k)
    assert pc.peak(head.activations()) == r*r*(c + 4*c + 4*c + 4*k)


@pytest.mark.parametrize('kw', WIDTHS, ids=str)
@pytest.mark.parametrize('how, n', [(pc.subdivide, 4*784),
    pytest.param(pc.every_step, 4*784 + 196, marks=pytest.mark.slow)])
def test_pointrend_head_follows_its_channels(how, n, kw):
    "The counts of any width, by formula: coarse head once, point head at n points."
    coarse, point = split(**kw)
    head, (c, k, hidden, mlp) = pc.pointrend(how, **kw), (*coarse.values(), point['mlp'])
    assert head.mult_adds() == coarse_macs(**coarse) + n*point_macs(**point)
    once, each = 196*c + 49*c + 2*hidden + 49*k, 3*mlp + k
    assert (pc.peak(head.activations()), pc.total(head.activations())) == (once + 784*each, once + n*each)


@pytest.mark.slow
def test_other_channels_other_numbers():
    "No two widths share a count of multiply-adds."
    for build, variants in ((pc.pointrend, WIDTHS), (lambda **kw: pc.four_conv(14, **kw), CHANNELS)):
        assert len({build(**kw).mult_adds() for kw in variants}) == len(variants)


def test_the_library_renders_at_this_cost():
    "`render_masks` takes the multiply-adds that Table 2 is counted with."
    with pc.META:
        m = pc.PointMask(256, 80)
        x = torch.empty(1, 256, 50, 70)
        box = torch.empty(1, 4)
        label = torch.ones(1, dtype=torch.long)
    assert pc.mult_adds(lambda: render_masks(m, x, [box], [label])) == pc.pointrend().mult_adds()


def test_hooks_are_removed():
    "Counting leaves a module as it was, also when the run fails."
    head = pc.four_conv(4, 8, 2)
    def broken(): raise RuntimeError('broken')
    head.activations()
    with pytest.raises(RuntimeError, match='broken'): pc.activations(head.module, head.entry, broken)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in head.module.modules())


def test_points_of_a_mask():
    """7 to 224: five steps, 3,332 points in the paper's count; 3,136 where the covered step is left out, with the
    same result."""
    coarse, fine = torch.randn(2, 1, 7, 7), torch.randn(2, 1, 224, 224)
    seen, results = {}, {}
    for how in (pc.every_step, pc.subdivide):
        count, trace = [], []
        def at(p):
            count.append(p.shape[1])
            return torch.nn.functional.grid_sample(fine, 2*p[:, :, None] - 1, align_corners=False)[..., 0]
        results[how] = how(coarse, at, (224, 224), 28**2, 'paper', trace)
        assert count == [idx.shape[1] for _, idx in trace]
        assert all(len(i.unique()) == len(i) for _, idx in trace for i in idx)
        seen[how] = count
    assert seen == {pc.every_step: [196, 784, 784, 784, 784], pc.subdivide: [784]*4}
    assert torch.equal(results[pc.every_step], results[pc.subdivide])
    assert (sum(seen[pc.every_step]), round(224**2/sum(seen[pc.every_step]), 2)) == (3332, 15.06)


def test_points_of_an_image():
    "64x128 to 1024x2048: 4 steps of 8,096 points, 1/64 of the pixels, and the star comes out."
    trace = pc.refine(pc.subdivide, (64, 128), pc.CITYSCAPES, pc.N)
    assert [size for size, _ in trace] == [(128, 256), (256, 512), (512, 1024), (1024, 2048)]
    assert all(len(idx[0].unique()) == pc.N for _, idx in trace)
    assert (pc.asked(trace), 1024*2048) == (32_384, 2_097_152) and 2_097_152//32_384 == 64
    whole = pc.star(grid_coords(64, 128)).reshape(1, 1, 64, 128)
    sharp = pc.subdivide(whole, pc.star, pc.CITYSCAPES, pc.N, 'paper')
    exact = pc.star(grid_coords(*pc.CITYSCAPES)).reshape(sharp.shape)
    assert torch.equal(sharp > 0, exact > 0)


def test_training_points(figures):
    "N of the crops of section 5, and of another crop."
    assert [f.ours for f in figures[2]] == [2304, 2048, 8192]
    assert pc.trained_points(lambda: pc.fpn(3, 4, 5), 256, 320) == 320


def test_semantic_models(semantic):
    "Tables 6 and 7: the resolutions; and what PointRend adds is its points through its head."
    for name, s in semantic.items():
        assert 'x'.join(map(str, s.coarse)) == pc.SEMANTIC[name][1]
        assert s.rendered - s.alone == s.points*point_macs(256, 19, 256)
    assert [s.points//pc.N for s in semantic.values()] == [4, 3, 2, 3]


@pytest.mark.parametrize('ours, paper, fits', [(924_286_976, '0.9B', True), (980_132_864, '0.9B', False),
    (33.4e9, '34B', False), (15.06, '15', True),
    (32_384, '32k', True), (32_768, '32k', False), (3332, '3,332', True),
    (3136, '3,332', False), (30.1, '> 30', True), (29.9, '> 30', False)])
def test_agrees(ours, paper, fits):
    "Rounding to the printed digits."
    assert pc.agrees(ours, paper) == fits


def test_the_notebook_shows_these_numbers(figures, semantic):
    "The tables in the notebook are those that the modules give now, and exactly three rows do not fit the paper."
    cells = nbformat.read(EXPERIMENTS/'02_pointrend_paper.ipynb', 4).cells
    shown = [o['data'].get('text/markdown') for c in cells if c.cell_type == 'code' for o in c.outputs if 'data' in o]
    assert {*map(pc.figures_table, figures), pc.semantic_table(semantic)} <= set(shown)
    bad = [f.what for part in figures for f in part if f.paper and not pc.agrees(f.ours, f.paper)]
    assert bad == ['the same at 28²·4.25 points', 'the same, all steps', 'inference N, image 1024x2048']
