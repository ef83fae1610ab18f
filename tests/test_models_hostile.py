"Sizes and settings that no model can be built with: each is an error that names what was found and what is expected."
import pytest
import torch

from satseg_fastai.architectures import create_model, full_args
from satseg_fastai.errors import BadInput
from satseg_fastai.instances.model import check_plain_arguments, pointrend_maskrcnn
from satseg_fastai.models.deeplab import DeepLabV3, check_rates
from satseg_fastai.models.fpn import SemanticFPN
from satseg_fastai.models.pspnet import PSPNet, PyramidPooling
from satseg_fastai.models.unet import SEDynamicUnet, decoder_widths
from satseg_fastai.pointrend.model import PointRend


def told(call, *args, **kwargs):
    "What an error says."
    with pytest.raises(BadInput) as error: call(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize('sizes', [(), (0, 2), (1, 2.5), (True, 2), 6, '1236', tuple(range(1, 10))], ids=str)
def test_pyramid_sizes(sizes):
    assert f'pyramid_sizes {sizes}; expected 1 to 8 positive integers' in told(PyramidPooling, 8, sizes)


@pytest.mark.parametrize('rates', [(), (0, 3), 6, (1.5, )], ids=str)
def test_rates(rates):
    assert f'rates {rates}; expected positive integers, for example (12, 24, 36)' in told(check_rates, rates, 8)


@pytest.mark.parametrize('cap', [0, (4, 4), (4, 4, 4, 4, .5), (4, 4, 4, 4, -1)], ids=str)
def test_decoder_widths(cap):
    expected = 'a positive int, or 5 of them: 4 blocks and the full-resolution tail'
    assert f'decoder_width {cap}; expected {expected}' in told(decoder_widths, [8]*5, cap)


TOO_NARROW = [(PSPNet, dict(width=4), 'width 4; expected at least 8'),
              (PSPNet, dict(output_stride=32, width=8), 'width 8; expected at least 16 channels'),
              (PSPNet, dict(pyramid_sizes=(0, )), 'pyramid_sizes (0,); expected 1 to 96 positive integers'),
              (DeepLabV3, dict(width=0), 'width 0; expected at least one'),
              (SemanticFPN, dict(pyramid_width=0), 'pyramid_width 0 and width 128'),
              (SEDynamicUnet, dict(coarse_stride=32), 'coarse_stride 32; expected 2, 4, 8, 16, or None')]


@pytest.mark.parametrize('model, settings, message', TOO_NARROW, ids=[message for *_, message in TOO_NARROW])
def test_models(model, settings, message):
    assert message in told(model, 'test_resnet', **settings)


SETTINGS = [dict(points='many'), dict(points=-1), dict(train_points=0), dict(k=.5), dict(beta=3), dict(hidden=-1),
            dict(layers=0), dict(padding_mode='foo')]


@pytest.fixture(scope='module')
def coarse_model():
    return SEDynamicUnet('test_resnet', decoder_width=8, coarse_stride=4)


@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_pointrend(setting, coarse_model):
    (name, value), = setting.items()
    assert f'{name} {value!r} of PointRend' in told(PointRend, coarse_model, **setting)


WRONG_ARGUMENTS = [(dict(width='wide'), 'fpn cannot be built with'),
                   (dict(pointrend=dict(speed=1)), 'fpn cannot be built with'),
                   (dict(pointrend='yes'), 'quote it in a shell')]


@pytest.mark.parametrize('arguments, message', WRONG_ARGUMENTS, ids=str)
def test_architectures(arguments, message):
    assert message in told(create_model, 'fpn', 'test_resnet', **arguments)


def test_common_arguments_are_not_of_the_architecture():
    assert 'fpn takes no n_in' in told(full_args, 'fpn', dict(n_in=3))


@pytest.mark.parametrize('arguments, message', [(dict(encoder='test_resnet', box_head='x'), 'takes no box_head'),
                                                (dict(encoder='resnet1'), "encoder 'resnet1' is unknown")], ids=str)
def test_objects(arguments, message):
    assert message in told(create_model, 'pointrend_maskrcnn', **arguments)


@pytest.mark.parametrize('name', ['n_in', 'weights', 'encoder', 'backbone', 'box_head', 'rpn_anchor_generator',
                                  'decoder_width', 'kwargs'])
def test_no_plain_argument(name):
    assert f'pointrend_maskrcnn takes no {name}; expected one of' in told(check_plain_arguments, {name: 1})


PLAIN = [dict(hidden=0), dict(hidden=1 << 40), dict(hidden=True), dict(hidden=2.5), dict(hidden='64'),
         dict(hidden=None), dict(anchors=[8, 16]), dict(anchors=['8']*5), dict(anchors='abcde'), dict(anchors=None),
         dict(frozen_norm=1), dict(max_size=10**9), dict(max_size='x'), dict(box_score_thresh=float('nan')),
         dict(box_nms_thresh=-1), dict(rpn_nms_thresh=[.5])]


@pytest.mark.parametrize('setting', PLAIN, ids=str)
def test_plain_arguments(setting):
    (name, value), = setting.items()
    assert f'{name} {value!r}' in told(check_plain_arguments, setting)


@pytest.mark.parametrize('setting', [dict(image_mean=[0.]*3), dict(num_classes=3), dict(fixed_size=(64, 64))], ids=str)
def test_arguments_of_torchvision_that_are_no_choice(setting):
    assert f'an argument {next(iter(setting))}' in told(pointrend_maskrcnn, 'test_resnet', **setting)


@pytest.mark.parametrize('anchors', [(8, 16, 32), 16], ids=str)
def test_anchors(anchors):
    assert 'expected five sides in pixels' in told(pointrend_maskrcnn, 'test_resnet', anchors=anchors)


@pytest.fixture(scope='module')
def instance_model():
    return pointrend_maskrcnn('test_resnet', channels=8, hidden=8, mlp=8).eval()


IMAGES = [(torch.zeros(3, 64, 64), 'a Tensor of shape (3, 64, 64) and type torch.float32; expected a float tensor'),
          (torch.zeros(1, 3, 64, 64).numpy(), 'a ndarray of shape (1, 3, 64, 64)'),
          ([torch.zeros(3, 64, 64).numpy()], 'a list of ndarray'),
          (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), 'type torch.uint8; expected a float tensor')]


@pytest.mark.parametrize('images, message', IMAGES, ids=[message for _, message in IMAGES])
def test_images(images, message, instance_model):
    assert message in told(instance_model.detect, images)
