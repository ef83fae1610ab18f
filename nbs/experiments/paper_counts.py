"""The figures of the PointRend paper that need no data, counted on the library's own modules.

Multiply-adds and activations are counted on the meta device, which knows shapes and no values; points on real
subdivisions. A figure stands beside the paper's, and `agrees` says whether it rounds to the digits printed there. """
from collections import defaultdict
from typing import Callable, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from satseg_fastai.instances.masks import PointMask, four_conv_head
from satseg_fastai.models.deeplab import DeepLabV3
from satseg_fastai.models.fpn import SemanticFPN
from satseg_fastai.pointrend.model import PointRend
from satseg_fastai.pointrend.points import grid_coords, subdivide, subdivision_sizes, subdivision_step

LAYERS = nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear
META, CITYSCAPES, N = torch.device('meta'), (1024, 2048), 8096


# counting

@torch.no_grad()
def mult_adds(run):
    "Multiply-adds of everything that `run()` computes."
    with FlopCounterMode(display=False) as counter: run()
    return counter.get_total_flops()//2


@torch.no_grad()
def activations(module, entry, run):
    """Elements of what each layer of a module gives, call by call, and of what `entry`, a part of it, reads first:
    {name: [elements]}."""
    calls = defaultdict(list)
    def given(name): return lambda m, args, out: calls[name].append(out.numel())
    hooks = [m.register_forward_hook(given(n)) for n, m in module.named_modules() if isinstance(m, LAYERS)]
    hooks.append(entry.register_forward_pre_hook(lambda m, args: calls['input'].append(args[0].numel())))
    try: run()
    finally:
        for h in hooks: h.remove()
    return dict(calls)


def peak(calls):
    "Activations where a layer that is called again writes over what it gave: of the steps, one counts."
    return sum(map(max, calls.values()))


def total(calls):
    "Activations where every call counts."
    return sum(map(sum, calls.values()))


# mask heads of one box

class Head(NamedTuple):
    "A mask head and a run of it."
    module:nn.Module
    entry:nn.Module # its part that reads the map of the box
    run:Callable
    def mult_adds(self): return mult_adds(self.run)
    def activations(self): return activations(*self)


def four_conv(r, c=256, k=80):
    "The 4x conv head on a map of r x r."
    with META: head, x = four_conv_head(c, k), torch.empty(1, c, r, r)
    return Head(head, head, lambda: head(x))


def every_step(coarse, point_fn, out_size, points, rank='paper', trace=None):
    "`subdivide` with the steps that it leaves out: those whose whole grid the next one paints over."
    canvas = coarse.float()
    for size in subdivision_sizes(*coarse.shape[-2:], *out_size):
        canvas, idx = subdivision_step(canvas, point_fn, size, lambda band: points, rank)
        if trace is not None: trace.append((size, idx))
    return canvas


def pointrend(how=subdivide, c=256, k=80, hidden=1024, mlp=256):
    "PointRend's mask head; `how` is subdivide or every_step."
    with META: m, x, boxes = PointMask(c, k, hidden, mlp), torch.empty(1, c, 200, 304), [torch.empty(1, 4)]
    def run():
        coarse = m.coarse_logits(x, boxes)
        how(coarse[:, :1], lambda p: m.point_logits(x, boxes, coarse, p)[:, :1], (m.side, m.side), m.n_render, 'paper')
    return Head(m, m.coarse, run)


# points

def star(p):
    "(B,1,P) logits of a star at points (B,P,2)."
    x, y = (p - .5).unbind(-1)
    return 40*(.33 + .09*torch.cos(5*torch.atan2(y, x)) - torch.hypot(x, y))[:, None]


def refine(how, start, size, points):
    "What each step refines of a star that is known on a coarse grid: [(size, flat pixel numbers (1,n))]."
    trace = []
    how(star(grid_coords(*start)).reshape(1, 1, *start), star, size, points, 'paper', trace)
    return trace


def asked(trace): return sum(idx.shape[1] for _, idx in trace)


# semantic models, 19 classes; resnet101 throughout

def deeplab(stride): return DeepLabV3('resnet101', 19, output_stride=stride)
def fpn(*levels): return SemanticFPN('resnet101', 19, levels=levels)


def cells_at_16(encoder, x):
    "How many cells the encoder's map at stride 16 has."
    return encoder(x)[encoder.strides.index(16)][0, 0].numel()


def trained_points(build, h, w):
    "Points of one crop in training, where N is the number of cells of the encoder's map at stride 16."
    with META:
        base, x = build(), torch.empty(2, 3, h, w)
        n = cells_at_16(base.encoder, x)
        return PointRend(base, train_points=n).train()(x)[2].shape[1]


class Semantic(NamedTuple):
    "A model on one image of Cityscapes' size, with and without PointRend."
    coarse:tuple # size of its map
    alone:int # multiply-adds
    rendered:int
    points:int # that PointRend asks for


@torch.no_grad()
def semantic(build):
    "The counts of a model."
    with META: model, x = PointRend(build(), points=N).eval(), torch.empty(1, 3, *CITYSCAPES)
    sizes, macs = [], []
    def alone(): sizes.append(model.base.coarse_and_fine(x)[0].shape[-2:])
    macs.append(mult_adds(alone))
    head = activations(model.head, model.head, lambda: macs.append(mult_adds(lambda: model(x))))
    return Semantic(tuple(sizes[0]), *macs, sum(head['out'])//model.base.n_out)


# figures

class Figure(NamedTuple):
    "A row of the table."
    what:str
    ours:float
    paper:str = '' # as printed there; empty: not in the paper
    note:str = ''


UNITS = dict(B=1e9, M=1e6, k=1e3)


def agrees(ours, paper):
    "Whether a count rounds to the paper's digits, '0.9B'; '> 30' asks for more than that."
    if paper.startswith('> '): return ours > float(paper[2:])
    digits = paper.rstrip('BMk').replace(',', '')
    return f'{ours/UNITS.get(paper[-1], 1):.{len(digits.partition(".")[2])}f}' == digits


def table_2():
    "Multiply-adds and activations of the mask heads, 80 classes, 256 channels, one box."
    small, large, ours, text = four_conv(14), four_conv(112), pointrend(), pointrend(every_step)
    macs, held = [h.mult_adds() for h in (small, large, ours, text)], [h.activations() for h in (small, large, ours)]
    return [
        Figure('4x conv, 28x28: multiply-adds', macs[0], '0.5B', 'map of the box 14x14'),
        Figure('4x conv, 224x224: multiply-adds', macs[1], '34B', 'map of the box 112x112'),
        Figure('PointRend, 224x224: multiply-adds', macs[2], '0.9B', 'coarse head and 4·28² points'),
        Figure('the same at 28²·4.25 points', macs[3], '0.9B', 'the points of the text'),
        Figure('4x conv 224x224 / PointRend', macs[1]/macs[2], '> 30', 'less compute'),
        Figure('4x conv, 28x28: activations', peak(held[0]), '0.5M', 'outputs of layers, and the map of the box'),
        Figure('4x conv, 224x224: activations', peak(held[1]), '33M',
               f'without the map of the box {shown(peak(held[1]) - held[1]["input"][0])}'),
        Figure('PointRend, 224x224: activations', peak(held[2]), '0.7M', 'coarse head, map of the box, one step'),
        Figure('the same, all steps', total(held[2]), '0.7M', 'every step kept'),
        Figure('4x conv 224x224 / PointRend',
               peak(held[1])/peak(held[2]), '> 30', 'less memory')
    ]


def points():
    "Steps and points of one mask and of one image."
    text, ours = (refine(how, (7, 7), (224, 224), 28**2) for how in (every_step, subdivide))
    image = refine(subdivide, (64, 128), CITYSCAPES, N)
    pixels = CITYSCAPES[0]*CITYSCAPES[1]
    return [
        Figure('7x7 to 224x224: steps', len(text), '5', ', '.join(str(h) for (h, _), _ in text)),
        Figure('points of all steps', asked(text), '3,332', 'printed as 28²·4.25: 14² at 14x14, then 4·28²'),
        Figure('pixels / points', 224**2/asked(text), '15', '"15 times smaller"'),
        Figure('points that `subdivide` asks for', asked(ours), '',
               '4·28², as detectron2: 28² cover 28x28, so the step before it is left out'),
        Figure('64x128 to 1024x2048: points', asked(image), '32k', f'{len(image)} steps of N = 8,096'),
        Figure('pixels', pixels, '2M', f'{pixels/asked(image):.1f} for each point')
    ]


def stride_16():
    "Maps at stride 16, which the paper takes N from."
    with META: whole = cells_at_16(fpn(2, 3, 4, 5).eval().encoder, torch.empty(1, 3, *CITYSCAPES))
    return [
        Figure('training N, DeepLabV3, crop 768x768', trained_points(lambda: deeplab(16), 768, 768), '2304', '48x48'),
        Figure('training N, SemanticFPN, crop 512x1024', trained_points(lambda: fpn(2, 3, 4, 5), 512, 1024), '2048',
               '32x64'),
        Figure('inference N, image 1024x2048', whole, '8,096', '64x128')
    ]


SEMANTIC = {
    'DeepLabV3, stride 16': (lambda: deeplab(16), '64x128'), 'DeepLabV3, stride 8': (lambda: deeplab(8), '128x256'),
    'SemanticFPN, P2-P5': (lambda: fpn(2, 3, 4, 5), '256x512'), 'SemanticFPN, P3-P5': (lambda: fpn(3, 4, 5), '128x256')
}


# tables

def shown(n):
    "A count for a reader: five digits of a large one."
    if isinstance(n, float): return f'{n:.2f}'
    return f'{n:,}' if n < 1e7 else f'{n/1e6:.5g} M' if n < 1e9 else f'{n/1e9:.5g} B'


def markdown(head, rows):
    return '\n'.join('| ' + ' | '.join(map(str, r)) + ' |' for r in (head, ['---']*len(head), *rows))


def figures_table(figures):
    "Figures beside the paper's."
    row = lambda f: (f.what, shown(f.ours), f.paper or '–', ('yes' if agrees(f.ours, f.paper) else '**no**')
                     if f.paper else '–', f.note)
    return markdown(('quantity', 'ours', 'paper', 'fits', 'note'), map(row, figures))


def semantic_table(counts):
    "Semantic models: {name: Semantic}; the paper has their resolutions only."
    row = lambda name, s: (name, f'{s.coarse[0]}x{s.coarse[1]}', SEMANTIC[name][1], shown(s.alone), shown(s.rendered),
                           f'{100*(s.rendered/s.alone - 1):.1f} %', f'{s.points:,}')
    return markdown(('model', 'its map', 'paper', 'multiply-adds', 'with PointRend', 'more', 'points'),
                    (row(*i) for i in counts.items()))
