"Bundles written before defaults changed: the same network, tensor by tensor, and the same answers."
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from satseg_fastai.bundle.file import load_bundle, read_spec
from satseg_fastai.errors import BadInput
from satseg_fastai.scene.instances import predict_instances
from satseg_fastai.scene.predict import predict_array

HERE = Path(__file__).parent/'fixtures'
# se_unet on test_efficientnet, a pretrained start: no `norm` in its arguments
BUNDLE = HERE/'pretrained_se_unet.safetensors'


def test_it_names_no_norm():
    "What is not named is the constructor's, which never changes."
    assert read_spec(BUNDLE)['arch_args'] == {'decoder_width': 8}


def test_its_tensors_are_its_own():
    "Nothing is lost, nothing is added, nothing is rounded."
    model, _ = load_bundle(BUNDLE)
    stored, loaded = load_file(BUNDLE), model.state_dict()
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(stored[name], loaded[name]) for name in stored)


def test_it_answers_as_it_did():
    "Logits of a random image, written by the library of then."
    model, _ = load_bundle(BUNDLE)
    image = torch.randn(1, 3, 45, 70, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(): logits = model(image).numpy()
    np.testing.assert_allclose(logits, np.load(HERE/'pretrained_se_unet_logits.npy'), atol=1e-5)


@pytest.mark.parametrize('size', [32, 64])
def test_it_maps(size):
    "And it maps an array of any shape."
    model, _ = load_bundle(BUNDLE)
    array = np.random.default_rng(0).normal(size=(3, 70, 45)).astype(np.float32)
    probability = predict_array(model, array, size=size, batch_size=2)
    assert probability.shape == (2, 70, 45)
    np.testing.assert_allclose(probability.sum(0), 1, atol=1e-5)


FINDER = HERE/'finder.safetensors'  # pointrend_maskrcnn on test_efficientnet, written in November 2026


def blocks(size=8):
    "An image (3,96,80) of random squares."
    squares = np.random.default_rng(0).normal(size=(3, 12, 10))
    return np.kron(squares, np.ones((size, size))).astype(np.float32)


def test_the_finder_loads_as_it_is():
    "All tensors and the whole spec, and only where objects are wanted."
    model, spec = load_bundle(FINDER, objects=True)
    stored, loaded = load_file(FINDER), model.state_dict()
    assert stored.keys() == loaded.keys() and all(torch.equal(stored[name], loaded[name]) for name in stored)
    assert (spec.things, spec.table.names, spec.patch_size) == ([1], ['background', 'building'], 64)
    with pytest.raises(BadInput, match='finds separate objects'): read_spec(FINDER)


def test_the_finder_finds_what_it_found():
    "Boxes, areas and scores of then, in an image of random squares."
    found = predict_instances(FINDER, blocks(), size=64, score=0., device='cpu')
    wanted = json.loads((HERE/'finder_objects.json').read_text(encoding='utf-8'))
    assert {(*d.box, d.label, d.area) for d in found} == {(*d['box'], d['label'], d['area']) for d in wanted}
    np.testing.assert_allclose([d.score for d in found], [d['score'] for d in wanted], atol=1e-4)
