"Thresholds of people and tags of files that are none."
import pytest

from satseg_fastai.bundle.rule import Rule
from satseg_fastai.errors import BadInput


@pytest.mark.parametrize('threshold', [[.5, .5], 3, -1, float('nan'), Rule((.2, .3, .4))], ids=repr)
def test_no_threshold_of_two_classes(threshold):
    with pytest.raises(BadInput, match='; expected a probability between 0 and 1'): Rule.given(threshold, 1)


@pytest.mark.parametrize('thresholds', [[.5, .5], [.5, 2, .5], [], Rule((.3, .3))], ids=repr)
def test_no_thresholds_of_three_classes(thresholds):
    with pytest.raises(BadInput, match='; expected 3 probabilities, one of each class, between 0 and 1'):
        Rule.given(thresholds, 3)


ONE = ['x', '1.5', '-1', '[0.5]', 'null', 'NaN', 'true', 'argmax', '1' + '0'*5000, '['*100_000]
THREE = ['[1, 2]', '[0.1, 0.2, 3]', '["a", 0, 0]', '0.5', 'many', '[NaN, 0, 0]', '[true, 0, 0]', '{"a": 1}',
         '['*100_000]


@pytest.mark.parametrize('text', ONE, ids=lambda text: text[:20])
def test_no_tag_of_two_classes(text):
    with pytest.raises(BadInput, match='expected a number from 0 to 1; give it with --threshold'):
        Rule.read(text, 2, 'a.tif')


@pytest.mark.parametrize('text', THREE, ids=lambda text: text[:20])
def test_no_tag_of_three_classes(text):
    with pytest.raises(BadInput, match='expected argmax, or 3 numbers from 0 to 1'): Rule.read(text, 3, 'a.tif')
