"A class table may come from a file that somebody sent: every field is checked before it is used."
import pytest

from satseg_fastai.errors import BadInput
from satseg_fastai.labels.classes import ClassTable, check_colors, class_table, dubai, fitting_table, parse_color

COLORS = ['red', '#12345', '#12 345', '#gggggg', (1, 2), (1, 2, 256), (1, 2, True), (1., 2, 3), 7, None]


@pytest.mark.parametrize('color', COLORS, ids=repr)
def test_no_color(color):
    with pytest.raises(BadInput, match="expected '#rrggbb'"): parse_color(color)


A, B, C = ('a', '#000001', 0), ('b', '#000002', 1), ('c', '#000003', 2)
TABLES = {
    'two classes have the name a': ((A, ('a', '#000002', 1)), 255),
    'two classes have the color (0, 0, 1)': ((A, ('b', '#000001', 1)), 255),
    'two classes have the index 0': ((A, ('b', '#000002', 0)), 255),
    'at least two classes': ((A, ), 255),
    'ignore index 300': ((A, B, C), 300),
    'class indices [0, 2] and ignore index 1': ((A, B, C), 1),
    'class b has index 2.5; expected a whole number': ((A, ('b', '#000002', 2.5)), 255),
    'expected a printable name': ((A, ('\x1b[31mred', '#000002', 1)), 255),
    "class 1 of two is 'background'": ((A, ('_Background_', '#000002', 1)), 255)}


@pytest.mark.parametrize('told', TABLES)
def test_classes_that_cannot_stand_together(told):
    with pytest.raises(BadInput) as error: ClassTable(*TABLES[told])
    assert told in str(error.value)


FILES = [('{', 'is not valid JSON'), ('['*100_000, 'is not valid JSON'),
         ('[1]', 'without a list of classes'), ('{"classes": [1]}', 'without a list of classes'),
         ('{"classes": [{"name": 3, "color": "#000000"}]}', 'class name 3'),
         ('{"classes": [{"name": "a", "color": {"r": 1}}]}', "color {'r': 1}"),
         ('{"classes": [{"name": "a", "color": "#000000", "index": NaN}]}', 'class a has index None'),
         ('{"ignore": [], "classes": [{"name": "a", "color": "#000000"}]}', 'ignore index []')]


@pytest.mark.parametrize('text, told', FILES, ids=lambda text: text[:40])
def test_files(text, told, tmp_path):
    path = tmp_path/'table.json'
    path.write_text(text)
    with pytest.raises(BadInput) as error: ClassTable.from_json(path)
    assert told in str(error.value)


def test_names():
    with pytest.raises(BadInput, match='two classes have the name a'): class_table('a,a')
    with pytest.raises(BadInput, match='could not be read'): class_table('gone.json')


def test_every_unknown_color_is_told():
    "As long as they are no smear; the commonest come first."
    pixels = (40, 20, 15, 10, 8, 5, 2)
    told = ', '.join(f'#{color:06X} ({count} px, {count} %)' for color, count in enumerate(pixels, 1))
    counts = dict(enumerate(pixels, 1))
    with pytest.raises(BadInput) as error: check_colors(counts, dubai())
    assert f'{told}; expected' in str(error.value)
    assert fitting_table(counts) is None
