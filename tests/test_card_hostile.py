"Whatever stands in a spec, a model card makes no tag, no link and no heading of it."
import pytest

from satseg_fastai.bundle.spec import check_spec
from satseg_fastai.export.card import card_head, card_lines

yaml = pytest.importorskip('yaml')
markdown_it = pytest.importorskip('markdown_it')



def spec():
    "Two classes, with everything that a card may tell."
    classes = [dict(name=name, color=[40*i, 90, 200 - 40*i], index=i) for i, name in enumerate(('ground', 'roof'))]
    threshold = dict(value=.4164, criterion='iou', iou=.7733, accuracy=.9321, scenes=5, trained_on=2,
                     interval=dict(iou=[.74, .8], level=.95, units='scenes', n=5),
                     groups=dict(austin=dict(iou=.79, accuracy=.95)))
    receipt = dict(phases=[dict(name='frozen', epochs=6)], scenes=['a.tif', 'b.tif'], batch_size=8, crop=256,
                   loss='CrossEntropy', optimizer='Adam', seed=0, seconds=812.3, device='cpu',
                   versions=dict(torch='2.15.0'), history=dict(epoch=[0, 1], train_loss=[.5, .4], lr=[1e-3, 1e-3]))
    return dict(arch='fpn', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, classes=classes, bands=[1, 2, 3],
                mean=[103.2, 98.7, 91.1], std=[48.1, 44.9, 43.2], dtype='uint8', gsd=.3, patch_size=64,
                threshold=threshold, temperature=1.7, calibration=dict(ece=.0123, bins=[]), receipt=receipt,
                clean=dict(unit='m2', min_object=10, iou_before=.77, iou_after=.775))


def swapped(value, text):
    "Every text of plain data as `text`; what is no text, the types of a spec keep."
    if isinstance(value, dict): return {name: swapped(part, text) for name, part in value.items()}
    if isinstance(value, list): return [swapped(part, text) for part in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize('text', ['<img src=x onerror=alert(1)>', '[click](javascript:alert(1))', '# heading',
                                  '```| a |', '10 | 20'])
def test_text_stays_text(text, tmp_path):
    "Every text of a spec replaced: the same tables and headings, no tag, no link, and a head that YAML reads."
    bundle = tmp_path/'full.safetensors'
    bundle.write_bytes(b'weights')
    hurt = swapped(spec(), text)
    hurt['threshold']['classes'] = {text: dict(iou=.1)}
    hurt['classes'][0]['name'] = f'{text} 2'
    hurt['clean']['unit'] = 'm2'
    hurt = check_spec(hurt)
    page = markdown_it.MarkdownIt().enable('table').render('\n'.join(card_lines(hurt, bundle)))
    counts = {mark: page.count(mark) for mark in ('<img', '<a ', '<h1', '<pre>', '<table>')}
    assert counts == {'<img': 0, '<a ': 0, '<h1': 1, '<pre>': 2, '<table>': 7}
    tags = yaml.safe_load(card_head(hurt).removeprefix('---\n').removesuffix('---'))['tags']
    assert set(tags) == {text, f'{text} 2', 'semantic-segmentation', 'remote-sensing'}
