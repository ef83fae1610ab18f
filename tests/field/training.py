"Training and the bundles it writes: data, metrics, losses, callbacks, workers."
import warnings
from functools import partial

import numpy as np

from satseg_fastai.errors import BadInput
from satseg_fastai.testing import PLACE, write_raster

from .case import Case

SMALL = dict(encoder='test_resnet', pretrained=False, decoder_width=8, mixed=False)


def scenes(folder, bands=3, dtype='uint8', gain=1., number=2, side=64, squares=6):
    "Bright squares on noise, and their masks; the pairs."
    from satseg_fastai.data.datasets import folder_pairs
    for i in range(number):
        rng = np.random.default_rng(i)
        mask = np.zeros((side, side), np.uint8)
        for row, col in rng.integers(0, side - 16, (squares, 2)): mask[row:row + 16, col:col + 16] = 1
        image = gain*(rng.normal(60, 8, (bands, side, side)) + 60*mask)
        place = PLACE @ type(PLACE).translation(1000*i, 0)
        write_raster(folder/'images'/f's{i}.tif', image.astype(dtype), transform=place)
        write_raster(folder/'masks'/f's{i}.tif', mask, transform=place)
    return folder_pairs(folder/'images', folder/'masks')


def loaders(folder, data=None, **settings):
    from satseg_fastai.data.loaders import scene_dls
    pairs = scenes(folder, **(data or {}))
    defaults = dict(size=32, bs=2, valid_size=96, num_workers=0, device='cpu', augment=[])
    return scene_dls(pairs[:-1], pairs[-1:], **{**defaults, **settings})


def learner(folder, data=None, dls=None, **settings):
    from satseg_fastai.training.learner import seg_learner
    return seg_learner(dls or loaders(folder, data), path=folder, **{**SMALL, **settings})


def quiet(learn):
    if hasattr(learn, 'progress'): learn.remove_cb(learn.progress)
    learn.logger = lambda row: None
    return learn


def fit(learn, epochs=1, rate=1e-3, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        quiet(learn).fit(epochs, rate, **settings)
    return learn


def saved_stats(path):
    from satseg_fastai.bundle.file import read_spec
    return read_spec(path).mean[0]


def other_dls(folder):
    return loaders(folder/'other', dict(dtype='uint16', gain=9.)), loaders(folder, dict(dtype='uint16'))


def follows_data(folder):
    from satseg_fastai.bundle.file import save_bundle
    other, first = other_dls(folder)
    learn = fit(learner(folder, dls=first))
    learn.dls = other
    path = save_bundle(folder/'m.safetensors', fit(learn))
    assert np.isclose(saved_stats(path), other.stats[0][0]) and not np.isclose(saved_stats(path), first.stats[0][0])


def knows_all_ground(folder):
    other, first = other_dls(folder)
    learn = fit(learner(folder, dls=first))
    learn.dls = other
    assert len(fit(learn).spec['receipt']['trained']) == 2


def follows_size(folder):
    first = loaders(folder)
    learn = fit(learner(folder, dls=first))
    learn.dls = loaders(folder/'larger', size=48)
    assert (fit(learn).spec['crop'], learn.spec['patch_size']) == (48, 192)


def swapped_before_saving(folder):
    from satseg_fastai.bundle.file import save_bundle
    other, first = other_dls(folder)
    learn = fit(learner(folder, dls=first))
    learn.dls = other
    save_bundle(folder/'m.safetensors', learn)


def other_bands(folder):
    learn = learner(folder)
    learn.dls = loaders(folder/'five', dict(bands=5, dtype='uint16'))
    fit(learn)


def normalized_twice(folder):
    from fastai.data.transforms import Normalize
    dls = loaders(folder)
    dls.add_tfms([Normalize.from_stats([.5]*3, [.5]*3, cuda=False)], 'after_batch')
    learner(folder, dls=dls)


def stats_changed(folder):
    learn = learner(folder)
    learn.dls.stats = ([1., 1., 1.], [2., 2., 2.])
    fit(learn)


def true_figures(learn):
    "Pixel accuracy, IoU and Dice of the positive class by hand."
    logits, target = quiet(learn).get_preds()
    counts = target != 255
    found, true = (logits.argmax(1) == 1)[counts], (target == 1)[counts]
    both, either = (found & true).sum(), (found | true).sum()
    return float((found == true).float().mean()), float(both/either), float(2*both/(both + either))


def check_metric(folder, metric, which, late=False):
    learn = learner(folder, metrics=[] if late else [metric])
    if late: learn.metrics = [metric]
    fit(learn)
    assert np.isclose(learn.recorder.values[-1][-1] or 0, true_figures(learn)[which] or 0, atol=1e-5)


def own_accuracy(logits, labels): return (logits.argmax(1) == labels).float().mean()


def dice(folder):
    from fastai.metrics import Dice
    check_metric(folder, Dice(), 2)


def dice_set_later(folder):
    from fastai.metrics import Dice
    check_metric(folder, Dice(), 2, late=True)


def jaccard(folder):
    from fastai.metrics import JaccardCoeff
    check_metric(folder, JaccardCoeff(), 1)


def by_sklearn(folder):
    from fastai.metrics import skm_to_fastai
    from sklearn.metrics import jaccard_score
    check_metric(folder, skm_to_fastai(jaccard_score, axis=1), 1)


def ignores_another(folder):
    from satseg_fastai.training.metrics import IoU
    learner(folder, metrics=[IoU(1, ignore_index=0)])


def tta_turned_back(folder):
    import torch
    learn = quiet(learner(folder))
    class Bright(torch.nn.Linear):  # answers pixel by pixel, so that turns change nothing
        def forward(self, x): return torch.stack([-x[:, 0], x[:, 0]], 1).as_subclass(torch.Tensor)
    learn.model = Bright(1, 1)
    plain = learn.get_preds()[0]
    for settings in (dict(n=7), dict(use_max=True), dict(n=3, beta=.5)):
        assert torch.allclose(learn.tta(**settings)[0], plain, atol=1e-6)
    assert all(torch.allclose(part, plain, atol=1e-6) for part in learn.tta(beta=None)[0])


def tta_with_transforms(folder):
    from fastai.vision.augment import Zoom
    learner(folder).tta(batch_tfms=[Zoom()])


def tta_of_objects(folder):
    from satseg_fastai.training.instances import InstanceLearner
    InstanceLearner.tta(None)


def tracked(folder, tracker, classes=('background', 'forest loss'), **settings):
    "The tracker after one epoch of a class with a misleading name."
    from satseg_fastai.labels.classes import class_table
    dls = loaders(folder, classes=class_table(list(classes)))
    learn = learner(folder, dls=dls, cbs=[tracker], **settings)
    fit(learn)
    assert tracker.comp is np.greater and tracker.min_delta >= 0


def keeps_best(folder):
    from fastai.callback.tracker import SaveModelCallback
    tracked(folder, SaveModelCallback('forest loss_iou'))


def stops_early(folder):
    from fastai.callback.tracker import EarlyStoppingCallback
    tracked(folder, EarlyStoppingCallback('forest loss_boundary_iou', min_delta=.01))


def reduces_rate(folder):
    from fastai.callback.tracker import ReduceLROnPlateau
    tracked(folder, ReduceLROnPlateau('error_iou'), ('background', 'error'))


def loss_still_falls(folder):
    from fastai.callback.tracker import SaveModelCallback
    tracker = SaveModelCallback('valid_loss')
    fit(learner(folder, cbs=[tracker]))
    assert tracker.comp is np.less


def own_best_of_loss(folder):
    from satseg_fastai.training.callbacks import KeepBest
    from satseg_fastai.training.metrics import IoU
    keep = KeepBest('forest loss')
    fit(learner(folder, metrics=[IoU(1, name='forest loss')], cbs=[keep]))
    assert not keep.least


def class_named_mean(folder):
    from satseg_fastai.labels.classes import class_table
    from satseg_fastai.training.learner import default_metrics
    names = [metric.name for metric in default_metrics(class_table(['background', 'mean', 'road']))]
    assert len(set(names)) == len(names) and names[1] == 'mean_iou'


def weights_beside_loss(folder):
    from satseg_fastai.training.losses import CrossEntropy
    learner(folder, loss=CrossEntropy(), class_weights=[1., 5.])


def balanced_beside_function(folder):
    import torch.nn.functional as F
    learner(folder, loss=lambda logits, target: F.cross_entropy(logits, target, ignore_index=255),
            class_weights='balanced')


def with_init(folder, **settings):
    from satseg_fastai.bundle.file import save_bundle
    learn = learner(folder)
    path = save_bundle(folder/'m.safetensors', learn)
    from satseg_fastai.training.learner import seg_learner
    return seg_learner(learn.dls, init=path, path=folder, mixed=False, **settings)


def other_arch(folder): with_init(folder, arch='fpn')


def same_arch(folder): assert with_init(folder, arch='se_unet').spec['arch'] == 'se_unet'


def init_of_objects(folder):
    from satseg_fastai.workflow import train
    train(folder, folder, folder/'m.safetensors', init=folder/'gone.safetensors', arch='pointrend_maskrcnn')


def init_and_classes(folder):
    from satseg_fastai.bundle.file import save_bundle
    from satseg_fastai.workflow import train
    path = save_bundle(folder/'m.safetensors', learner(folder))
    train(folder/'images', folder/'masks', folder/'n.safetensors', init=path, classes='land_cover', progress=None)


def infinite(folder, **settings):
    import torch
    learn = learner(folder, **settings)
    with torch.no_grad(): next(learn.model.parameters()).view(-1)[0] = torch.inf
    return learn


def infinite_loss(folder): fit(infinite(folder))


def infinite_within_recipe(folder):
    from satseg_fastai.training.learner import fit_recipe
    try: fit_recipe(quiet(infinite(folder)), 2, 0, checkpoint=folder/'state')
    except BadInput: assert not (folder/'state').exists()
    else: raise AssertionError('it went on')


def bundle_stays(folder):
    from satseg_fastai.bundle.file import save_bundle
    path = save_bundle(folder/'m.safetensors', learner(folder))
    before = path.read_bytes()
    try: save_bundle(path, infinite(folder))
    except BadInput: assert path.read_bytes() == before
    else: raise AssertionError('it was written')


def nan_weights_saved(folder):
    from satseg_fastai.bundle.file import save_bundle
    learn = learner(folder)
    next(learn.model.buffers()).fill_(float('nan'))
    save_bundle(folder/'m.safetensors', learn)


def nan_loss(folder):
    learn = learner(folder)
    learn.loss_func = lambda logits, labels: logits.sum()*float('nan')
    fit(learn)


def search_goes_on(folder):
    "A search for the rate may end in a loss that is no number."
    import fastai.callback.schedule
    import torch
    learn = quiet(learner(folder))
    with torch.no_grad(): next(learn.model.parameters()).view(-1)[0] = torch.inf
    learn.lr_find(num_it=2, show_plot=False, suggest_funcs=())


def all_background(folder):
    fit(learner(folder, dict(squares=0)))


def by_recipe(folder):
    from satseg_fastai.training.learner import fit_recipe
    fit_recipe(quiet(learner(folder, dict(squares=0))), 1, 0)


def vector_labels(folder, swap=False, away=0., corner=(16, 16)):
    "Two scenes and one file of roofs, placed as asked; the folders."
    import geopandas
    import shapely
    pairs = scenes(folder)
    roofs = []
    for i in range(len(pairs)):
        place = PLACE @ type(PLACE).translation(1000*i, 0)
        (left, top), (right, bottom) = place @ corner, place @ (corner[0] + 16, corner[1] + 16)
        roofs.append(shapely.box(left + away, bottom, right + away, top))
    if swap: roofs = [shapely.transform(roof, lambda points: points[:, ::-1]) for roof in roofs]
    path = folder/'roofs.gpkg'
    geopandas.GeoSeries(roofs, crs='EPSG:32645').to_file(path)
    return folder/'images', path


def train_on(folder, **where):
    from satseg_fastai.workflow import train
    images, labels = vector_labels(folder, **where)
    train(images, labels, folder/'m.safetensors', valid='none', crop=32, batch=2, epochs=1, frozen=0, progress=None,
          clean=False, **{name: value for name, value in SMALL.items() if name != 'mixed'})


def rare_positive(folder):
    "One roof in a scene of more windows than the sample has is no reason to refuse."
    from satseg_fastai.preflight import check_classes, label_shares
    dls = loaders(folder)
    few = label_shares(dls.store, [0], 8, most=1)
    whole = label_shares(dls.store, [0], 8, most=None)
    assert check_classes(whole) == [] and few != whole


def of_fastai(folder):
    from fastai.data.core import DataLoaders
    from satseg_fastai.training.learner import seg_learner
    data = [(np.zeros(3), 0)]*4
    seg_learner(DataLoaders.from_dsets(data, data, bs=2, num_workers=0), **SMALL)


def more_callbacks(folder):
    from fastai.callback.core import Callback
    class Seen(Callback):
        count = 0
        def after_epoch(self): self.count += 1
    seen = Seen()
    fit(learner(folder, cbs=seen))
    assert seen.count == 1


def with_loss(folder, loss, **settings):
    fit(learner(folder, loss=loss, **settings))


def flat_loss(folder):
    from fastai.losses import CrossEntropyLossFlat
    with_loss(folder, CrossEntropyLossFlat(axis=1))


def flat_loss_told(folder):
    from fastai.losses import CrossEntropyLossFlat
    with_loss(folder, CrossEntropyLossFlat(axis=1, ignore_index=255))


def torch_loss(folder):
    import torch
    with_loss(folder, torch.nn.CrossEntropyLoss())


def function_that_learns_from_all(folder):
    with_loss(folder, lambda logits, labels: (logits[:, 1] - labels.float()).square().mean())


def function_that_knows(folder):
    import torch.nn.functional as F
    with_loss(folder, lambda logits, labels: F.cross_entropy(logits, labels, ignore_index=255))


def weights_as_array(folder):
    import torch
    for weights in (np.array([1., 5.]), torch.tensor([1., 5.]), (1, 5), [np.float32(1), np.float32(5)]):
        assert learner(folder, class_weights=weights).how['class_weights'] == [1, 5]


def encoder_function(folder):
    from fastai.vision.models import resnet34
    learner(folder, encoder=resnet34)


def lone_augmentation(folder):
    from fastai.vision.augment import Flip
    fit(learner(folder, dls=loaders(folder, augment=Flip())))


def predict_of_path(folder): quiet(learner(folder)).predict('scene.tif')


def test_dl_of_paths(folder): next(iter(loaders(folder).test_dl([folder/'images'/'s0.tif'])))


def ground_of_fine_tune(folder):
    from satseg_fastai.bundle.file import read_spec, save_bundle
    from satseg_fastai.validation.run import trained_on
    learn = learner(folder)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        quiet(learn).fine_tune(1)
    spec = read_spec(save_bundle(folder/'m.safetensors', learn))
    pairs = learn.dls.store.pairs
    assert trained_on(spec, pairs[:1]) == 1 and trained_on(spec, pairs[1:]) == 0
    assert [phase.epochs for phase in spec.receipt.phases] == [1, 1]


def ground_of_init(folder):
    from satseg_fastai.bundle.file import save_bundle
    from satseg_fastai.training.learner import seg_learner
    path = save_bundle(folder/'m.safetensors', fit(learner(folder)))
    dls = loaders(folder/'next', dict(side=48))
    other = fit(seg_learner(dls, init=path, path=folder, mixed=False))
    assert len(other.spec['receipt']['trained']) == 2


def shown(folder, bands, **settings):
    import matplotlib.pyplot as plt
    loaders(folder, dict(bands=bands, dtype='uint16')).show_batch(max_n=2, **settings)
    shapes = [image.get_array().shape for axis in plt.gcf().axes for image in axis.get_images()]
    plt.close('all')
    return shapes[0]


def many_bands(folder):
    assert all(shown(folder/str(bands), bands) == (32, 32, 3) for bands in (4, 8, 13))


def chosen_bands(folder): assert shown(folder, 8, rgb=(8, 4, 1)) == (32, 32, 3)


def pickled_readers(folder):
    "What a worker that is spawned gets."
    import pickle
    dataset = loaders(folder).train_ds
    copied = pickle.loads(pickle.dumps(dataset))
    assert all(np.array_equal(one, other) for one, other in zip(copied[0], dataset[0]))


def pickled_objects(folder):
    "The same of objects."
    import pickle

    from satseg_fastai.training.instances import instance_dls
    pairs = scenes(folder)
    dls = instance_dls(pairs[:1], pairs[1:], size=32, bs=2, num_workers=0, augment=[])
    for dataset in (dls.train_ds, pickle.loads(pickle.dumps(dls.train_ds))):
        assert [transform.name for transform in dataset.tls[0].tfms.fs] and len(dataset[0]) > 1


def worker(folder, method):
    "A process that knows nothing yet reads a batch, as on Windows, and under Python 3.14."
    import multiprocessing
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try: image, mask = next(iter(loaders(folder, num_workers=1).valid))
    finally: multiprocessing.set_start_method(before, force=True)
    assert image.shape == (1, 3, 96, 96) and set(mask.unique().tolist()) == {0, 1, 255}


def saved_and_loaded(folder, change):
    "A Learner whose network is changed, saved and loaded again."
    from satseg_fastai.bundle.file import load_bundle, save_bundle
    learn = learner(folder)
    change(learn)
    return load_bundle(save_bundle(folder/'m.safetensors', learn))


def compiled(folder):
    import torch
    def change(learn): learn.model = torch.compile(learn.model, backend='eager')
    saved_and_loaded(folder, change)


def parallel(folder):
    import torch
    def change(learn): learn.model = torch.nn.DataParallel(learn.model)
    saved_and_loaded(folder, change)


def pruned(folder):
    import torch
    from torch.nn.utils import prune
    def change(learn):
        layer = next(layer for layer in learn.model.modules() if isinstance(layer, torch.nn.Conv2d))
        prune.l1_unstructured(layer, 'weight', .5)
    saved_and_loaded(folder, change)


def other_network(folder):
    from satseg_fastai.architectures import create_model
    def change(learn): learn.model = create_model('se_unet', 'test_resnet', 3, 2, decoder_width=16)
    saved_and_loaded(folder, change)


def same_draws(folder):
    import torch
    from satseg_fastai.bundle.file import save_bundle
    learn = learner(folder)
    torch.manual_seed(3)
    save_bundle(folder/'m.safetensors', learn)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == after


def resumed(folder, make):
    "Interrupted in the third of four epochs, with a tracker, and taken up; the tracker and the Learner."
    from fastai.callback.core import Callback
    from satseg_fastai.training.learner import fit_recipe
    class Stop(Callback):
        order = 90
        def after_epoch(self):
            if self.epoch == 1: raise KeyboardInterrupt
    dls, tracker = loaders(folder), make()
    try: fit_recipe(quiet(learner(folder, dls=dls, cbs=[make(), Stop()])), 4, 0, checkpoint=folder/'state')
    except KeyboardInterrupt: pass
    return tracker, fit_recipe(quiet(learner(folder, dls=loaders(folder/'again'), cbs=tracker)), 4, 0,
                               checkpoint=folder/'state')


def resumed_best(folder):
    from fastai.callback.tracker import SaveModelCallback
    tracker, learn = resumed(folder, lambda: SaveModelCallback('building_iou'))
    history = learn.spec['receipt']['history']['building_iou']
    assert len(history) == 4 and np.isclose(tracker.best, max(history), atol=1e-5)
    assert np.isclose(learn.spec['receipt']['kept']['building_iou'], max(history), atol=1e-5)


def resumed_early_stop(folder):
    from fastai.callback.tracker import EarlyStoppingCallback
    _, learn = resumed(folder, lambda: EarlyStoppingCallback('building_iou', min_delta=2., patience=2))
    assert len(learn.spec['receipt']['history']['epoch']) == learn.spec['receipt']['phases'][0]['epochs'] == 3


def resumed_rate(folder):
    from fastai.callback.tracker import ReduceLROnPlateau
    _, learn = resumed(folder, lambda: ReduceLROnPlateau('valid_loss', patience=2))
    assert len(learn.spec['receipt']['history']['epoch']) == 4


def stopped_early(folder):
    from fastai.callback.tracker import EarlyStoppingCallback
    from satseg_fastai.training.learner import fit_recipe
    learn = quiet(learner(folder, cbs=EarlyStoppingCallback('building_iou', min_delta=2., patience=1)))
    assert fit_recipe(learn, 5, 0).spec['receipt']['phases'][0]['epochs'] == 2


CASES = [
    Case('8', 'masks without a positive pixel', 'refused: hold only background', all_background),
    Case('8', 'the same by fit_recipe', 'refused: hold only background', by_recipe),
    Case('8', 'vector labels that reach no scene', 'refused: hold only background',
         lambda folder: train_on(folder, away=9e4)),
    Case('8', 'vector labels with x and y swapped', 'refused: x and y are swapped in roofs.gpkg',
         lambda folder: train_on(folder, swap=True)),
    Case('8', 'few positive pixels', 'all windows are looked at before they are refused', rare_positive),
    Case('14', 'other DataLoaders between two fits', "the bundle has the last ones' statistics", follows_data),
    Case('14', 'other DataLoaders: the ground that was trained on', 'the receipt names both', knows_all_ground),
    Case('14', 'progressive resizing', 'crop and patch size are the last ones', follows_size),
    Case('14', 'other DataLoaders, saved without a fit', 'refused: another mean', swapped_before_saving),
    Case('14', 'other DataLoaders of five bands', 'refused: the DataLoaders have 5 bands', other_bands),
    Case('14', "a second Normalize by add_tfms", 'refused: normalize otherwise', normalized_twice),
    Case('14', 'dls.stats set by hand', 'refused: normalize otherwise', stats_changed),
    Case('15', "fastai's Dice", 'it counts the pixels that count', dice),
    Case('15', "fastai's Dice, put into learn.metrics later", 'it counts the pixels that count', dice_set_later),
    Case('15', "fastai's JaccardCoeff", 'it counts the pixels that count', jaccard),
    Case('15', 'a function as a metric', 'the mean over all pixels that count',
         lambda folder: check_metric(folder, own_accuracy, 0)),
    Case('15', 'a score of scikit-learn', 'it counts the pixels that count', by_sklearn),
    Case('15', 'a metric that ignores another value', 'refused: iou_1 ignores 0', ignores_another),
    Case('11', 'a network whose loss is infinite', 'refused: the loss is not finite', infinite_loss),
    Case('11', 'the same by fit_recipe', 'no state is kept that a next run would take up', infinite_within_recipe),
    Case('11', 'an old bundle of that name', 'it stays, byte by byte', bundle_stays),
    Case('11', 'a buffer that is NaN, saved by hand', 'refused: are not finite', nan_weights_saved),
    Case('11', 'a loss that is NaN', 'refused: the loss is not finite', nan_loss),
    Case('11', 'a search for the rate that diverges', 'it ends as ever', search_goes_on),
    Case('16', 'test-time augmentation', 'maps are turned back', tta_turned_back),
    Case('16', 'test-time augmentation by other transforms', 'refused: seven turns', tta_with_transforms),
    Case('16', 'test-time augmentation of objects', 'refused: predict_instances', tta_of_objects),
    Case('17', 'a class named forest loss, SaveModelCallback', 'the largest is the best', keeps_best),
    Case('17', 'the same, EarlyStoppingCallback with a least gain', 'the largest is the best', stops_early),
    Case('17', 'a class named error, ReduceLROnPlateau', 'the largest is the best', reduces_rate),
    Case('17', 'the loss itself', 'the smallest is the best', loss_still_falls),
    Case('17', 'a score named as a loss, KeepBest', 'the largest is the best', own_best_of_loss),
    Case('17', 'a class named mean', 'no two figures share a name', class_named_mean),
    Case('18', 'class weights beside a loss module', 'refused: class_weights beside the loss', weights_beside_loss),
    Case('18', 'balanced weights beside a function', 'refused: class_weights beside', balanced_beside_function),
    Case('18', 'another arch beside init', 'refused: init together with arch fpn', other_arch),
    Case('18', "the bundle's own arch beside init", 'it goes on', same_arch),
    Case('18', 'init for a model of objects', 'refused: init together with arch pointrend_maskrcnn', init_of_objects),
    Case('18', 'classes beside init', 'refused: init together with', init_and_classes),
    Case('26', 'a network of torch.compile', 'it is saved without its wrapper', compiled),
    Case('26', 'a network in DataParallel', 'it is saved without its wrapper', parallel),
    Case('26', 'a pruned network', 'refused: the network is pruned at', pruned),
    Case('26', 'another network than the spec says', 'refused: the network is not se_unet', other_network),
    Case('26', 'saving amid a training', 'no random number is drawn', same_draws),
    Case('27', 'interrupted with SaveModelCallback', 'it goes on; the receipt says what was kept', resumed_best),
    Case('27', 'interrupted with EarlyStoppingCallback', 'it goes on, with the same patience', resumed_early_stop),
    Case('27', 'interrupted with ReduceLROnPlateau', 'it goes on', resumed_rate),
    Case('27', 'stopped early', 'the receipt says what was run', stopped_early),
    Case('28', 'readers that are pickled, as for spawned workers', 'they read the same', pickled_readers),
    Case('28', 'readers of objects that are pickled', 'they read', pickled_objects),
    Case('28', 'a worker that is spawned', 'it reads', partial(worker, method='spawn')),
    Case('28', 'a worker of a fork server', 'it reads', partial(worker, method='forkserver')),
    Case('29', 'four, eight, thirteen bands shown', 'three of them are shown', many_bands),
    Case('29', 'two bands shown', 'the first, in gray', lambda folder: shown(folder, 2) == (32, 32) or 1/0),
    Case('29', 'bands chosen by rgb', 'they are shown', chosen_bands),
    Case('29', 'bands that are not there', 'refused: three numbers from 1 to 4',
         lambda folder: shown(folder, 4, rgb=(5, 2, 1))),
    Case('30', 'DataLoaders of fastai', 'refused: write scene_dls', of_fastai),
    Case('30', 'cbs=', 'they take part', more_callbacks),
    Case('30', 'loss_func=', 'refused: loss=', lambda folder: learner(folder, loss_func=None)),
    Case('30', "fastai's loss without ignore_index", 'refused: ignore_index=255', flat_loss),
    Case('30', "fastai's loss with ignore_index", 'it trains', flat_loss_told),
    Case('30', "torch's loss without ignore_index", 'refused: ignores -100', torch_loss),
    Case('30', 'a function that learns from all', 'refused: learns from pixels', function_that_learns_from_all),
    Case('30', 'a function that ignores them', 'it trains', function_that_knows),
    Case('30', 'class weights as array, tensor or tuple', 'plain numbers', weights_as_array),
    Case('30', 'class weights as text', 'refused: class weights', lambda folder: learner(folder, class_weights='even')),
    Case('30', 'an encoder as a function', "refused: write encoder='resnet34'", encoder_function),
    Case('30', 'one augmentation without a list', 'it trains', lone_augmentation),
    Case('30', 'learn.predict of a path', 'refused: predict_scene', predict_of_path),
    Case('30', 'test_dl of paths', 'refused: predict_scene', test_dl_of_paths),
    Case('30', 'trained by fine_tune', 'the bundle knows its ground', ground_of_fine_tune),
    Case('30', 'trained on from a bundle', "the bundle knows the first one's ground too", ground_of_init),
]
