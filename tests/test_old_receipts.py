"""Receipts, and the specs in them, as the library wrote them in November 2026: they load unchanged and say what they
said."""
import json
from pathlib import Path

import numpy as np
import pytest

from satseg_fastai.areas.blocks import check_blocks, map_receipt
from satseg_fastai.bundle.rule import Rule
from satseg_fastai.bundle.spec import Receipt, Spec, check_spec, checked
from satseg_fastai.validation.describe import describe_threshold

FOUND = json.loads((Path(__file__).parent/'fixtures'/'receipts.json').read_text(encoding='utf-8'))
KINDS = pytest.mark.parametrize('kind', ['two', 'most', 'each'])  # two classes; five by argmax; five by thresholds


@KINDS
def test_it_loads_unchanged(kind, tmp_path):
    "Nothing is lost and nothing is converted, from file to page."
    receipt = FOUND[kind]['receipt']
    (tmp_path/'a.receipt.json').write_text(json.dumps(receipt), encoding='utf-8')
    assert map_receipt(tmp_path/'a.receipt.json') == receipt
    assert check_spec(receipt['model']) == receipt['model']
    assert checked(Receipt, receipt, 'a').model_dump(exclude_unset=True) == receipt


@KINDS
def test_types_lose_nothing(kind):
    "A spec goes through its types and comes out as it was."
    spec = FOUND[kind]['receipt']['model']
    assert checked(Spec, spec, 'a').model_dump(exclude_unset=True) == spec


@KINDS
def test_it_maps_by_the_same_rule(kind):
    "The bundle's rule is the one that the map of then was made with."
    receipt = FOUND[kind]['receipt']
    rule = Rule.of(check_spec(receipt['model']))
    assert (rule.threshold or 'argmax') == receipt['threshold']


@KINDS
def test_it_corrects_by_the_same_blocks(kind):
    "Validation blocks reach the figures as numbers."
    spec = FOUND[kind]['receipt']['model']
    stored = spec['validation']
    blocks = check_blocks(stored, len(spec['classes']), kind)
    np.testing.assert_array_equal(blocks.confusions, stored['confusions'])
    counts = {what: {name: numbers.tolist() for name, numbers in named.items()}
              for what, named in blocks.counts.items()}
    assert counts == {what: stored[what] for what in ('objects', 'trees', 'streets') if stored.get(what)}


@KINDS
def test_it_is_described_in_the_same_words(kind):
    "What validation found is told as then."
    assert describe_threshold(FOUND[kind]['receipt']['model']) == FOUND[kind]['lines']
