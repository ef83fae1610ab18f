"What choose_threshold refuses before it maps anything; the bundle stays as it is."
import pytest

from satseg_fastai.architectures import create_model
from satseg_fastai.bundle.file import save_bundle
from satseg_fastai.errors import BadInput
from satseg_fastai.validation.run import choose_threshold

CLASSES = [dict(name='background', color=[0, 0, 0], index=0), dict(name='building', color=[255, 0, 0], index=1)]
SPEC = dict(arch='se_unet', encoder='test_resnet', arch_args=dict(decoder_width=8), n_in=3, n_out=2, classes=CLASSES,
            mean=[120.]*3, std=[50.]*3, patch_size=64, dtype='uint8')

REFUSED = {
    'no scenes': (dict(), 'no validation scenes; expected one or more with labels'),
    'unknown criterion': (dict(criterion='f1'), "unknown criterion 'f1'; expected one of iou, accuracy, youden"),
    'floor above one': (dict(criterion='recall=1.2'), "unknown criterion 'recall=1.2'"),
    'floor of no number': (dict(criterion='precision=high'), "unknown criterion 'precision=high'"),
    'unknown rule': (dict(rule='vote'), "rule 'vote'; expected argmax, thresholds or best"),
    'endless rule': (dict(rule='v'*999), "rule 'vvv"),
    'unknown trees': (dict(trees='oak'), "class 'oak' is not in the class table; expected background, building"),
    'unknown roads': (dict(roads='lane'), "class 'lane' is not in the class table; expected background, building"),
}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp('hostile')/'m.safetensors'
    return save_bundle(path, create_model('se_unet', 'test_resnet', decoder_width=8), SPEC)


@pytest.mark.parametrize('asked,expected', REFUSED.values(), ids=REFUSED)
def test_refused(model, asked, expected):
    before = model.read_bytes()
    with pytest.raises(BadInput) as error:
        choose_threshold(model, [], **asked)
    assert expected in str(error.value)
    assert len(str(error.value)) < 300
    assert model.read_bytes() == before
