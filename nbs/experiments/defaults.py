"""The defaults against segmentation_models.pytorch: the same weights, chips, loader and steps.

    python nbs/experiments/defaults.py SITE MODEL --data DATA [--seed 0] [--encoder NAME] [--scratch]
        [--epochs 16] [--set lr=4e-3]

SITE is one to choose on (zanzibar_A, dubai, town) or one for the report (banepa, zanzibar). MODEL is `ours`: `satseg
train` as a user types it, with what --set changes; or smp_unet, smp_fpn: one cycle, cross-entropy, weight decay 1e-2,
batch 8, everything trained. Appends a line to results/defaults.jsonl beside this file. """
import argparse, json, os, platform, shlex, sys, tempfile, time, warnings
from pathlib import Path

import numpy as np
import timm
import torch

from buildings import HERE, at, scored
from satseg_fastai import __version__
from satseg_fastai.bundle.file import load_bundle
from satseg_fastai.data.datasets import chips, dubai, folder_pairs
from satseg_fastai.data.loaders import scene_dls
from satseg_fastai.geo.raster import Scene
from satseg_fastai.labels.classes import class_table
from satseg_fastai.labels.read import open_labels
from satseg_fastai.maps.mask import classify
from satseg_fastai.scene.predict import predict_scene
from satseg_fastai.scores.confusion import Confusion
from satseg_fastai.synth import make_scenes
from satseg_fastai.training.learner import seg_learner
from satseg_fastai.workflow import train

SMP = dict(smp_unet='Unet', smp_fpn='FPN')


def column(pair): return int(pair.image.stem.split('_')[1]) - 638584


def rows_of_banepa(data, work):
    "Banepa: rows 220243-220245 to train, 220242 for the threshold, 220241 for the report."
    pairs = chips(data/'banepa/chips', data/'banepa/masks', by='row')
    part = lambda *rows: [p for p in pairs if p.group in rows]
    return part('220243', '220244', '220245'), part('220242'), part('220241'), 'building'


def zanzibar(data, work):
    "Zanzibar A to train, its four eastern columns for the threshold, B for the report."
    pairs = [p for p in chips(data/'hotosm_pairs/z20') if p.group.startswith('zanzibar')]
    a, b = ([p for p in pairs if p.group == f'zanzibar_{site}'] for site in 'AB')
    return [p for p in a if column(p) < 12], [p for p in a if column(p) >= 12], b, 'building'


def inside_zanzibar(data, work):
    "Inside Zanzibar A: ten western columns to train, two for the threshold, four to choose on."
    a = [p for p in chips(data/'hotosm_pairs/z20') if p.group == 'zanzibar_A']
    return ([p for p in a if column(p) < 10], [p for p in a if 10 <= column(p) < 12],
            [p for p in a if column(p) >= 12], 'building')


def dubai_tiles(data, work):
    "Dubai: tiles 1, 2 and 3 to train, 6 to keep a rule, 5 to choose on; five classes, mean IoU."
    pairs = dubai(data/'dubai')
    part = lambda *tiles: [p for p in pairs if p.group in tiles]
    return part('tile 1+3', 'tile 2'), part('tile 6'), part('tile 5'), 'dubai'


def towns(data, work):
    "Synthetic towns of 640²: six to train, two for the threshold, four to choose on."
    make_scenes(work/'towns', n=12, size=640, seed=5, classes=False)
    pairs = folder_pairs(work/'towns'/'images', work/'towns'/'labels', touching=False)
    return pairs[:6], pairs[6:8], pairs[8:], 'building'


SITES = dict(banepa=rows_of_banepa, zanzibar=zanzibar, zanzibar_A=inside_zanzibar, dubai=dubai_tiles, town=towns)


def staged(pairs, folder, unique):
    "A folder of images and one of labels, as a user has them: links to the files."
    for pair in pairs:
        name = pair.image.stem if unique else f'{pair.image.parent.parent.name}_{pair.image.stem}'.replace(' ', '_')
        for source, kind in ((pair.image, 'images'), (pair.label, 'labels')):
            place = folder/kind
            place.mkdir(parents=True, exist_ok=True)
            for file in source.parent.glob(f'{source.name}*'):
                (place/f'{name}{file.name.removeprefix(source.stem)}').symlink_to(file.resolve())


def ours(site, parts, a, work):
    "`satseg train`, as a user types it: model, statistics, threshold, history."
    sides, unique = zip(('train', 'valid'), parts), site != 'dubai'
    for side, pairs in sides: staged(pairs, work/side, unique)
    folder = lambda side, kind: work/side/kind
    train(folder('train', 'images'), folder('train', 'labels'), work/'model.safetensors', classes=parts[3],
                 valid_images=folder('valid', 'images'), valid_labels=folder('valid', 'labels'), epochs=a.epochs,
                 encoder=a.encoder, pretrained=not a.scratch, seed=a.seed, progress=False, **a.set)
    model, spec = load_bundle(work/'model.safetensors')
    return model, (spec['mean'], spec['std']), spec['threshold'], spec['receipt']['history']


def smp_learner(model, parts, a):
    "Their model in our loader; the encoder's tensors are those of our own pretrained one."
    import segmentation_models_pytorch as smp
    classes = class_table(parts[3])
    dls = scene_dls(parts[0], parts[1], classes, seed=a.seed, num_workers=0)
    learn = seg_learner(dls, encoder='test_resnet', pretrained=False, decoder_width=8, wd=1e-2, seed=a.seed)
    torch.manual_seed(a.seed)
    name = a.encoder if a.encoder.startswith('resnet') else f'tu-{a.encoder}'
    learn.model = getattr(smp, SMP[model])(name, encoder_weights=None, classes=classes.n)
    if not a.scratch: learn.model.encoder.model.load_state_dict(pretrained_state(a.encoder))
    learn.splitter, learn.opt = lambda m: [list(m.parameters())], None
    return learn


def pretrained_state(encoder):
    from satseg_fastai.models.encoders import Encoder
    return Encoder(encoder, pretrained=True).body.state_dict()


def theirs(parts, a):
    "segmentation_models.pytorch, as its users train it: model, statistics, no threshold, history."
    learn = smp_learner(a.model, parts, a)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(a.epochs, a.set.get('lr', 2e-3))
    names = learn.recorder.metric_names[1:-1]
    history = {name: [round(float(v), 5) for v in column] for name, column in zip(names, zip(*learn.recorder.values))}
    return learn.model.eval(), learn.dls.stats, {}, history


def buildings_scores(model, parts, stats, threshold, folder):
    "Building and boundary IoU on the last part; where no threshold is given it is chosen on the second."
    learn = argparse.Namespace(
        model=model, dls=argparse.Namespace(stats=stats, store=argparse.Namespace(classes=class_table('building'))))
    if threshold is None: threshold = scored(learn, parts[1], folder)[0].best().threshold
    histogram, counts = scored(learn, parts[2], folder, threshold)
    iou, accuracy = at(histogram, threshold)
    return dict(threshold=threshold, iou=iou, accuracy=accuracy, best_iou=histogram.best().iou,
                boundary_iou_3px=float(counts[0]/counts[1]))


def classes_scores(model, parts, stats, values, folder):
    "Mean IoU on the last part, of the most likely class or of thresholds."
    classes, confusion = class_table(parts[3]), None
    for pair in parts[2]:
        predict_scene(model, pair.image, folder/'p.tif', size=512, stats=stats, progress=False)
        with Scene(folder/'p.tif') as p, Scene(pair.image) as scene:
            window = (0, 0, scene.height, scene.width)
            found, true = classify(p.read(*window), values), open_labels(pair.label, scene, classes).read(*window)
        confusion = confusion or Confusion(classes.n)
        confusion.update(true, found, ignore=classes.ignore)
    return dict(iou=float(confusion.mean_iou()), classes=[round(float(v), 4) for v in confusion.iou()])


def main(a):
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', os.cpu_count())))
    warnings.filterwarnings('ignore', message='.*has no CRS')
    with tempfile.TemporaryDirectory() as tmp:
        work = Path(tmp)
        parts = SITES[a.site](a.data, work)
        wall, cpu = time.perf_counter(), time.process_time()
        model, stats, rule, history = ours(a.site, parts, a, work) if a.model == 'ours' else theirs(parts, a)
        given = rule.get('values') if rule.get('rule') == 'thresholds' else rule.get('value')
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        score = buildings_scores if parts[3] == 'building' else classes_scores
        result = dict(label=a.label, site=a.site, model=a.model, encoder=a.encoder, pretrained=not a.scratch,
                      seed=a.seed, epochs=a.epochs, set=a.set, **score(model, parts, stats, given, work))
    result.update(
        split=SITES[a.site].__doc__, scenes=[len(p) for p in parts[:3]], seconds=round(wall, 1),
        cpu_seconds=round(cpu, 1), command='python nbs/experiments/defaults.py ' + shlex.join(a.typed),
        machine=machine(), history=history, versions=dict(satseg_fastai=__version__, torch=torch.__version__,
                                                          timm=timm.__version__, python=platform.python_version()))
    with open(a.out, 'a') as file: file.write(json.dumps(result) + '\n')
    print(json.dumps(result))


def machine():
    if torch.cuda.is_available(): return torch.cuda.get_device_name()
    return f'{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, no GPU'


def setting(text):
    name, _, value = text.partition('=')
    for read in (json.loads, float):
        try: return name, read(value)
        except ValueError: pass
    return name, value


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('site', choices=SITES)
    p.add_argument('model', choices=('ours', *SMP))
    p.add_argument('--data', type=Path, default=os.environ.get('SATSEG_DATA'))
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--encoder', default='tf_efficientnet_lite0')
    p.add_argument('--scratch', action='store_true')
    p.add_argument('--epochs', type=int, default=16)
    p.add_argument('--set', type=setting, action='append', default=[])
    p.add_argument('--label', help='what the notebook calls it; default: the model and what --set says')
    p.add_argument('--out', type=Path, default=HERE/'results'/'defaults.jsonl')
    a = p.parse_args()
    if not a.data: sys.exit('give the folder of real imagery with --data, or set SATSEG_DATA')
    a.typed = [t for t in sys.argv[1:]]
    a.set, a.data = dict(a.set), Path(a.data)
    a.label = a.label or ', '.join([a.model, *(f'{name} {value}' for name, value in a.set.items())])
    main(a)
