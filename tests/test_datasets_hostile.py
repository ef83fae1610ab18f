"Folders, words of the command line and data sets that do not fit: each is one line that says what to do."
from pathlib import Path

import numpy as np
import pytest

from satseg_fastai.data.datasets import (CITIES, Pair, chips, dubai, folder_pairs, inria, labeled_split, match_stems,
                                    parse_valid, spatial_blocks, split)
from satseg_fastai.errors import BadInput
from satseg_fastai.geo.tiling import Window


def touch(folder, *names):
    for name in names:
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_bytes(b'x')


@pytest.mark.parametrize('text', ['1.5', '0', '-1', 'groups:x', 'random:2'])
def test_no_share(text):
    with pytest.raises(BadInput, match='expected a number between 0 and 1'): parse_valid(text)


@pytest.mark.parametrize('text', ['zanzibar_B', 'group:', 'city:austin'])
def test_no_rule(text):
    with pytest.raises(BadInput, match='expected a share such as .2, group:NAME'): parse_valid(text)


LABELS = dict(labels='labels')
ASKED = {
    '--valid-images and --valid-labels; expected both or none': dict(LABELS, valid_images='images'),
    'together with --valid-images': dict(LABELS, valid='.2', valid_images='images', valid_labels='labels'),
    '--labels together with --dataset inria': dict(LABELS, dataset='inria'),
    'no labels for': {},
    'expected one of inria, dubai, massachusetts, chips': dict(dataset='spacenet')}


@pytest.mark.parametrize('told', ASKED)
def test_words_that_contradict_each_other(told):
    with pytest.raises(BadInput, match=told): labeled_split('images', **ASKED[told])


FOLDERS = {
    'two labels are named b: b.json and b.png': ('img', 'lab'),
    r'\(two holds empty, img, lab\)': ('img', 'masks'),
    'empty holds no images; expected sites': ('empty', 'lab'),
    'img holds no labels; expected sites': ('img', 'img')}


@pytest.mark.parametrize('told', FOLDERS)
def test_folders_that_do_not_pair(told, tmp_path):
    root = tmp_path/'two'
    touch(root, 'img/19_10_21.tif', 'img/b.tif', 'lab/19_10_21.png', 'lab/b.png', 'lab/b.json')
    (root/'empty').mkdir()
    with pytest.raises(BadInput, match=told): chips(*(root/name for name in FOLDERS[told]))


def test_nothing_of_that_name(tmp_path):
    touch(tmp_path, 'a.tif')
    with pytest.raises(BadInput, match='no file or folder'): folder_pairs(tmp_path/'a.tif', tmp_path/'lost')
    images = [Path(f'{name}.tif') for name in 'abcdef']
    with pytest.raises(BadInput, match='6 of 6 images have no label in here: a.tif, b.tif, c.tif, d.tif and 2 more'):
        match_stems(images, [], 'here')


def test_folders_of_other_layouts(tmp_path):
    touch(tmp_path, 'a/b.tif')
    with pytest.raises(BadInput, match='expected AerialImageDataset/train/images and gt'): inria(tmp_path/'nowhere')
    with pytest.raises(BadInput, match="'last'; expected first5 or first"): inria(tmp_path, valid='last')
    with pytest.raises(BadInput, match='holds no tiles'): dubai(tmp_path)
    with pytest.raises(BadInput, match='holds no sites'): chips(tmp_path)
    for part in ('images', 'gt'): (tmp_path/'AerialImageDataset/train'/part).mkdir(parents=True)
    with pytest.raises(BadInput, match=f'lacks {2*36*len(CITIES)} files: images/austin1.tif, gt/austin1.tif'):
        inria(tmp_path)


def site(count):
    return [Pair(Path(f'{number}_a.tif'), Path('x'), 'a', Window(0, 0, 9, 9)) for number in range(count)]


SPLITS = {
    'name:*': 'chooses all of 8 images; expected some of the files 0_a.tif, 1_a.tif, 2_a.tif and 5 more',
    'groups:.2': '0_a.tif and all 8 images are one group; expected two groups or more; use --valid 0.2'}


@pytest.mark.parametrize('rule', SPLITS)
def test_splits_without_two_sides(rule):
    with pytest.raises(BadInput) as error: split(site(8), rule)
    assert SPLITS[rule] in str(error.value)


def test_a_single_image():
    told = '0_a.tif is a single image and cannot be split by images; expected two or more images; use --valid blocks'
    with pytest.raises(BadInput, match=told): split(site(1), 'random:.2')


def test_scenes_too_small_for_blocks():
    with pytest.raises(BadInput, match='a.tif of 60 x 60 pixels'): spatial_blocks(60, 60, 256, name='a.tif')
    with pytest.raises(BadInput, match='use ground of its own') as error: spatial_blocks(60, 60, 256)
    assert '(--valid-images), or --valid none' in str(error.value)


def test_every_share_gives_two_sides():
    "Whatever the seed: no draw of hostile sizes leaves a side empty."
    for seed in range(20):
        sizes = np.random.default_rng(seed).integers(1, 99, 5)
        pairs = [Pair(Path(f'{size}.tif'), Path('x'), f'{number}', Window(0, 0, int(size), 1))
                 for number, size in enumerate(sizes)]
        sides = split(pairs, 'groups:.01', seed)
        assert sides.train and sides.valid
