"""The report in a browser: the slider and the IoU beside it, the layers, the chooser, names that would like to be
scripts, no request, its size."""
import base64
import json
import shutil
import tempfile
import time
import warnings
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from scipy import ndimage

from satseg_fastai.bundle import save_bundle
from satseg_fastai.classes import building, class_table
from satseg_fastai.clean import Clean, clean_mask
from satseg_fastai.errors import BadInput
from satseg_fastai.evaluate import evaluate
from satseg_fastai.levels import LEVELS, NODATA, score_levels
from satseg_fastai.mask import write_mask
from satseg_fastai.files import write_json
from satseg_fastai.raster import Scene, write_cog
from satseg_fastai.report import corrected_text, gather, open_run, run_specs, write_report
from satseg_fastai.stats import area_figures, blocks_for
from satseg_fastai.synth import make_town, write_town
from satseg_fastai.threshold import RocHistogram, curve_from_json, curve_to_json

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
DRIVER = shutil.which('chromedriver')
FLAGS = (
    '--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
    '--disable-component-update '
    '--disable-sync --disable-dev-shm-usage --hide-scrollbars --disable-features=LocalNetworkAccessChecks').split()
browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason='needs chromium and chromedriver')
STORED = 4321/10_000  # of the maps: none of the slider's thousand steps
SCRIPT = '</script ><script>document.title="broken"</script>'


# runs, without training
def noisy(truth, seed):
    "A probability that knows the truth roughly."
    x = ndimage.gaussian_filter(
        truth.astype(float), 2) + ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=truth.shape), 3)*1.8
    return 1/(1 + np.exp(-9*(x - .45)))


def write_map(folder, image, planes, table, threshold=STORED, **receipt):
    "What satseg predict leaves of one scene."
    stem = Path(image).stem
    prob, mask = folder/f'{stem}_prob.tif', folder/f'{stem}_mask.tif'
    with Scene(image) as s:
        x = np.where(s.valid(0, 0, s.height, s.width), score_levels(np.asarray(planes, np.float32)), np.uint16(NODATA))
        write_cog(prob, s, [(0, x)], count=len(x), dtype='uint16', nodata=NODATA, scale=1/LEVELS,
                  tags=dict(quantity='probability', classes=json.dumps(table.to_json())))
        write_mask(prob, mask, threshold, table)
        write_json(folder/f'{stem}.receipt.json',
                   dict(scene=s.name, settings=dict(size=256, bands=[1, 2, 3]), seconds=2.5, **receipt))
    return prob


def spec_of(curve):
    "The spec of a bundle, as receipts hold it."
    classes = [dict(name=e.name, color=list(e.color), index=e.index) for e in building().classes]
    threshold = dict(value=STORED, criterion='iou', iou=.7, accuracy=.9, scenes=2, curve=curve)
    return dict(schema=1, arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2, classes=classes,
                mean=[1.]*3, std=[1.]*3, threshold=threshold)


@pytest.fixture(scope='module')
def towns(tmp_path_factory):
    "Two mapped towns: the folder of scenes and labels, the folder of maps, and the levels of each."
    folder = tmp_path_factory.mktemp('towns')
    for i, shape in enumerate(((420, 560), (300, 310))):
        town = make_town(*shape, 40 + i, collar=i == 0)
        write_map(folder/'run',
                  write_town(town, folder, f'town_{i}', False)['image'],
                  noisy(town.buildings, i)[None], building())
    return folder


@pytest.fixture(scope='module')
def page(towns):
    "The report of both towns, at fewer pixels than they have."
    return write_report(towns/'run', images=towns/'images', labels=towns/'labels', side=250)


# a browser
@pytest.fixture(scope='module')
def chrome():
    "One browser for all tests; it logs its console and every request."
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    options, profile = webdriver.ChromeOptions(), tempfile.mkdtemp()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f'--user-data-dir={profile}', '--window-size=1280,900'): options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', dict(browser='ALL', performance='ALL'))
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()
    shutil.rmtree(profile, ignore_errors=True)


def until(driver, script, seconds=30):
    "Wait for a script to return something true."
    end = time.monotonic() + seconds
    while not (found := driver.execute_script(script)):
        assert time.monotonic() < end, (script,
                                        driver.execute_script("return document.getElementById('trouble').textContent"))
        time.sleep(.05)
    return found


def show(driver, path, width=1280, height=900):
    "Open a page and wait until it is drawn; the logs begin anew."
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride',
                           dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600))
    for log in ('browser', 'performance'): driver.get_log(log)
    driver.get(Path(path).as_uri())
    until(driver, 'return document.documentElement.dataset.ready')


def set_(driver, name, value):
    "Put a value into a control, as a hand would."
    driver.execute_script(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input')); "
        "e.dispatchEvent(new Event('change'))",
        name, str(value))


def told(driver, name):
    return float(driver.execute_script('return document.getElementById(arguments[0]).dataset.value', name))


def layer(driver, name):
    "A layer as the browser has painted it: (h,w,4)."
    driver.execute_script(
        "arguments[0] === document.getElementById('right').value || (document.getElementById('right').value = "
        "arguments[0], document.getElementById('right').onchange({target: document.getElementById('right')}))",
        name)
    driver.execute_async_script('requestAnimationFrame(() => requestAnimationFrame(arguments[0]))')
    w, h, text = driver.execute_script(
        """const c = document.getElementById('layer-' + arguments[0])
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
        let s = ''
        for (let i = 0; i < d.length; i += 32768) s += String.fromCharCode(...d.subarray(i, i + 32768))
        return [c.width, c.height, btoa(s)]""",
        name)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(h, w, 4)


def view(driver):
    "What the map shows, as pixels."
    from io import BytesIO
    from PIL import Image
    driver.execute_async_script('requestAnimationFrame(() => requestAnimationFrame(arguments[0]))')
    text = driver.execute_script("return document.getElementById('view').toDataURL()")
    return np.array(Image.open(BytesIO(base64.b64decode(text.split(',')[1]))).convert('RGBA')).astype(int)


def data_of(path):
    "The JSON that a page carries."
    text = Path(path).read_text(encoding='utf-8')
    return json.loads(text.split('<script type="application/json" id="data">')[1].split('</script>')[0])


def array(scene, name):
    "An array that a page carries."
    x = np.frombuffer(zlib.decompress(base64.b64decode(scene[name])), np.uint8)
    return (x.reshape(2, scene['h'], scene['w'])*
            np.array([256, 1])[:, None, None]).sum(0) if name == 'levels' else x.reshape(scene['h'], scene['w'])


def quiet(driver):
    "No error in the console, and no request but for the page itself and what it holds."
    assert [m['message'] for m in driver.get_log('browser') if m['level'] in ('SEVERE', 'WARNING')] == []
    messages = [json.loads(m['message'])['message'] for m in driver.get_log('performance')]
    asked = [m['params']['request']['url'] for m in messages if m['method'] == 'Network.requestWillBeSent']
    assert asked and [u[:80] for u in asked if not u.startswith(('file://', 'data:'))] == []


@browser
def test_iou_under_the_slider(chrome, page, towns):
    "At every threshold the page says what evaluate says, to the last pixel, and paints what it counts."
    show(chrome, page)
    data = data_of(page)
    levels, label = (array(data['scenes'][0], k) for k in ('levels', 'label'))
    prob, truth = towns/'run'/'town_0_prob.tif', towns/'labels'/'town_0.tif'
    assert told(chrome, 't') == STORED and max(levels.shape) == 250
    steps = [0, 1, 137, *(data['steps'].index(t) for t in (.25, STORED, .5, .873)), len(data['steps']) - 1]
    for step in steps:
        set_(chrome, 'threshold', step)
        t = told(chrome, 't')
        assert t == data['steps'][step]
        scores = evaluate(prob, truth, building(), threshold=t)
        assert abs(told(chrome, 'iou') - scores['iou']['building']) < 1e-9
        assert abs(told(chrome, 'accuracy') - scores['accuracy']) < 1e-9
        with Scene(prob) as s: x = s.read(0, 0, s.height, s.width)[0]
        assert abs(told(chrome, 'share') - (x[x != NODATA]/LEVELS >= t).mean()) < 1e-9
        found = (levels/LEVELS >= t) & (levels != NODATA)
        assert ((layer(chrome, 'mask')[..., 3] > 0) == found).all()
        errors = layer(chrome, 'error')
        for name, where in dict(hit=found & (label == 1), false=found & (label == 0),
                                missed=~found & (label == 1) & (levels != NODATA)).items():
            assert ((errors == [*data['colors'][name], 255]).all(-1) == where).all(), name
    quiet(chrome)


@browser
def test_stored_and_best(chrome, page, towns):
    "The two buttons go where they say."
    show(chrome, page)
    set_(chrome, 'threshold', 900)
    chrome.execute_script("document.getElementById('best').click()")
    h = RocHistogram()
    with Scene(towns/'run'/'town_0_prob.tif') as p, Scene(towns/'labels'/'town_0.tif') as y:
        h.update(y.read(0, 0, y.height, y.width), p.read(0, 0, p.height, p.width))
    curves = h.curves()
    assert curves.iou.max() - 2e-3 < told(chrome, 'iou') <= curves.iou.max() + 1e-12
    chrome.execute_script("document.getElementById('stored').click()")
    assert told(chrome, 't') == STORED


@browser
def test_chooser(chrome, page, towns):
    "Another scene brings its own figures, tables and layers; the total counts both."
    show(chrome, page)
    set_(chrome, 'scene', 1)
    until(chrome, "return [...document.querySelectorAll('[data-scene=\"1\"]')].every(e => !e.hidden)")
    for step in (300, 620):
        set_(chrome, 'threshold', step)
        t = told(chrome, 't')
        scores = [
            evaluate(towns/'run'/f'town_{i}_prob.tif', towns/'labels'/f'town_{i}.tif', building(), threshold=t)
            for i in (0, 1)
        ]
        assert abs(told(chrome, 'iou') - scores[1]['iou']['building']) < 1e-9
        c = sum(np.array(s['confusion']) for s in scores)
        assert abs(told(chrome, 'iou-all') - c[1, 1]/(c.sum() - c[0, 0])) < 1e-9
    assert chrome.execute_script("return [...document.querySelectorAll('[data-scene=\"0\"]')].every(e => e.hidden)")
    quiet(chrome)


@browser
def test_divider(chrome, page):
    "Left of the divider is one layer, right of it the other, wherever it is dragged."
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    show(chrome, page)
    set_(chrome, 'opacity', 1)
    set_(chrome, 'left', 'probability')
    both = view(chrome)
    set_(chrome, 'right', 'probability')
    one = view(chrome)
    half = both.shape[1]//2
    assert (both[:, :half - 1] == one[:, :half - 1]).all() and (both[:, half + 1:] != one[:, half + 1:]).any()
    set_(chrome, 'right', 'error')
    handle = chrome.find_element(By.ID, 'swipe')
    ActionChains(chrome).click_and_hold(handle).move_by_offset(150, 0).release().perform()
    moved = view(chrome)
    at = int(chrome.execute_script("return document.getElementById('swipe').getAttribute('aria-valuenow')"))
    edge = round(both.shape[1]*at/100)
    assert at > 55
    assert (moved[:, half + 2:edge - 8] == one[:, half + 2:edge - 8]).all()
    assert (moved[:, edge + 8:] == both[:, edge + 8:]).all()
    handle.send_keys(Keys.HOME)
    assert chrome.execute_script("return document.getElementById('swipe').getAttribute('aria-valuenow')") == '0'
    chrome.execute_script("document.getElementById('zoom-in').click()")
    assert (view(chrome) != moved).any()
    chrome.find_element(By.ID, 'stage').send_keys('0')
    handle.send_keys(Keys.END)
    assert (view(chrome) == one).all()
    quiet(chrome)


@browser
def test_without_labels(chrome, towns, tmp_path):
    "The IoU is then that of the model's validation, and is called so."
    h = RocHistogram()
    with Scene(towns/'run'/'town_1_prob.tif') as p, Scene(towns/'labels'/'town_1.tif') as y:
        h.update(y.read(0, 0, y.height, y.width), p.read(0, 0, p.height, p.width))
    curve = curve_to_json(h.curves())
    stored = curve_from_json(curve)
    shutil.copytree(towns/'run', tmp_path/'run')
    receipt = tmp_path/'run'/'town_1.receipt.json'
    write_json(receipt, json.loads(receipt.read_text(encoding='utf-8')) | dict(model=spec_of(curve)))
    for f in (tmp_path/'run').glob('town_0*'): f.unlink()
    show(chrome, write_report(tmp_path/'run', images=towns/'images'))
    assert 'validation scenes' in chrome.execute_script("return document.getElementById('iou-name').textContent")
    for step in (40, 500, 950):
        set_(chrome, 'threshold', step)
        t = told(chrome, 't')
        assert abs(told(chrome, 'iou') - np.interp(t, stored.thresholds[:0:-1], stored.iou[:0:-1])) < 2e-3
    assert chrome.execute_script("return [...document.getElementById('right').options].map(o => o.value)") == [
        'image', 'probability', 'mask'
    ]
    quiet(chrome)


@browser
def test_hostile_names(chrome, towns, tmp_path):
    "Names of classes are text; were one to become markup, the page's policy would still not run it."
    table = class_table(['ground', SCRIPT, '<img src=x onerror=document.title="broken">'])
    p = np.random.default_rng(0).dirichlet([1, 1, 1], (20, 20)).repeat(15, 0).repeat(16, 1)[:, :310].transpose(2, 0, 1)
    write_map(tmp_path/'run', towns/'images'/'town_1.tif', p, table, note=SCRIPT)
    page = write_report(tmp_path/'run', images=towns/'images')
    show(chrome, page)
    assert chrome.title == 'run' and chrome.execute_script("return document.querySelectorAll('script').length") == 2
    assert SCRIPT in chrome.execute_script("return document.getElementById('legend').textContent")
    assert chrome.execute_script("return document.getElementById('threshold-box').hidden")
    assert (layer(chrome, 'mask')[..., :3] == np.array(table.colors)[p.argmax(0)]).all()
    quiet(chrome)
    chrome.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = \"broken\"'; "
        "document.body.append(s)"
    )
    assert chrome.title == 'run'


@browser
def test_policy_forbids_requests(chrome, page, tmp_path):
    "Whatever runs in the page, nothing leaves it: a server beside it is never asked."
    asked, bare = [], tmp_path/'bare.html'
    class Server(BaseHTTPRequestHandler):
        def do_GET(self): asked.append(self.path); self.send_response(204); self.end_headers()
        def log_message(self, *args): pass
    with ThreadingHTTPServer(('127.0.0.1', 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        at = f'http://127.0.0.1:{server.server_port}/'
        attempt = """const at = arguments[0], done = arguments[1]; new Image().src = at + 'image'
            const parts = [['script', { src: at + 'script' }], ['link', { rel: 'stylesheet', href: at + 'style' }],
                           ['iframe', { src: at + 'frame' }]]
            for (const [name, set] of parts) document.body.append(Object.assign(document.createElement(name), set))
            fetch(at + 'fetch', { mode: 'no-cors' }).then(() => 0, () => 0).then(() => setTimeout(done, 300))"""
        bare.write_text('<!doctype html><body>', encoding='utf-8')
        chrome.get(bare.as_uri())
        chrome.execute_async_script(attempt, at)
        assert sorted(asked) == ['/fetch', '/frame', '/image', '/script', '/style']
        asked.clear()
        show(chrome, page)
        chrome.execute_async_script(attempt, at)
        server.shutdown()
    assert asked == []


@browser
@pytest.mark.parametrize('width', [400, 1280])
def test_fits_the_screen(chrome, page, width):
    "Nothing sticks out to the right; the map is as wide as the screen allows."
    show(chrome, page, width, 800)
    assert chrome.execute_script('return document.documentElement.scrollWidth') <= width
    assert chrome.execute_script("return document.getElementById('stage').clientWidth") >= (
        340 if width == 400 else 700)
    assert chrome.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility() && e.scrollWidth > "
        "e.clientWidth).map(e => e.textContent)"
    ) == []
    if width == 400:
        assert 'Boundary IoU' in chrome.execute_script(
            "return [...document.querySelectorAll('td')].filter(e => e.checkVisibility()).map(e => getComputedStyle(e, "
            "'::before').content).join()"
        )


@browser
def test_cleaned_map(chrome, towns, tmp_path):
    """The slider speaks of the map before its clean-up and says so; at the stored threshold the cleaned map's own
    IoU stands beside it."""
    shutil.copytree(towns/'run', tmp_path/'run')
    for f in sorted((towns/'run').glob('*_mask.tif')):
        clean_mask(f, tmp_path/'run'/f.name, Clean(min_object=40, min_hole=20))
    show(chrome, write_report(tmp_path/'run', images=towns/'images', labels=towns/'labels'))
    name = "return document.getElementById('iou-name').textContent"
    cleaned, raw = (evaluate(folder/'run'/'town_0_mask.tif', towns/'labels'/'town_0.tif')['iou']['building']
                    for folder in (tmp_path, towns))
    assert abs(told(chrome, 'iou') - raw) < 1e-9 and abs(cleaned - raw) > 1e-4
    assert chrome.execute_script(name).endswith(f'before clean-up; {cleaned:.4f} of the cleaned map as stored')
    set_(chrome, 'threshold', 700)
    assert chrome.execute_script(name).endswith('before clean-up')
    text = chrome.execute_script('return document.body.innerText')
    for part in ('of the cleaned map, on the labels of 2 of 2 scenes', 'labeled pixels, of the cleaned map',
                 'labeled scenes, before clean-up'):
        assert part in text, part
    quiet(chrome)


@browser
def test_several_classes(chrome, towns, tmp_path):
    "The shares of all classes are at the top, and the rule stands where two classes have their slider."
    table = class_table(['ground', 'road', 'roof'])
    p = np.random.default_rng(0).dirichlet([3, 1, 1], (20, 20)).repeat(15, 0).repeat(16, 1)[:, :310].transpose(2, 0, 1)
    write_map(tmp_path/'run', towns/'images'/'town_1.tif', p, table, [.5, .25, .25])
    show(chrome, write_report(tmp_path/'run', images=towns/'images'))
    shares = np.bincount((p/np.array([.5, .25, .25])[:, None, None]).argmax(0).ravel(), minlength=3)/p[0].size
    told_ = chrome.execute_script("return [...document.querySelectorAll('.shares span')].map(e => e.textContent)")
    assert sorted(told_) == sorted(f'{n} {100*s:.1f} %' for n, s in zip(table.names, shares))
    assert chrome.execute_script(
        "return document.getElementById('rule').innerText"
    ) == 'Each pixel is of the class with the largest p / threshold: ground 0.5, road 0.25, roof 0.25.'
    quiet(chrome)


def curves_of(rng, n=2):
    "Made-up histograms of places."
    y = rng.random((n, 9000)) < .4
    return [RocHistogram().update(t, np.clip(rng.normal(.3 + .3*t, .1 + .1*i), 0, 1)) for i, t in enumerate(y)]


def paths_of(chrome, title):
    "The points of each line of a chart."
    js = """const named = f => f.querySelector('figcaption').firstChild.textContent === arguments[0]
        const f = [...document.querySelectorAll('#charts figure')].find(named)
        const numbers = p => p.getAttribute('d').split(/[ML]/).filter(Boolean).map(v => v.split(' ').map(Number))
        return [...f.querySelectorAll('path.line')].map(numbers)"""
    return chrome.execute_script(js, title)


def lines_of(chrome, title):
    "What the chart of a title draws: names, and the largest y of each line."
    js = """const named = f => f.querySelector('figcaption').firstChild.textContent === arguments[0]
        const f = [...document.querySelectorAll('#charts figure')].find(named)
        const lowest = p => Math.min(...p.getAttribute('d').split(/[ML]/).filter(Boolean).map(v => +v.split(' ')[1]))
        return f && [[...f.querySelectorAll('.keys span')].map(e => e.textContent),
                     [...f.querySelectorAll('path.line')].map(lowest)]"""
    return chrome.execute_script(js, title)


@browser
def test_curves_of_each_class_and_place(chrome, towns, tmp_path):
    "ROC, precision and recall, IoU and accuracy of each class, in all of validation and in each place."
    table, rng = class_table(['ground', 'road', 'roof']), np.random.default_rng(2)
    p = rng.dirichlet([3, 1, 1], (20, 20)).repeat(15, 0).repeat(16, 1)[:, :310].transpose(2, 0, 1)
    made = {n: curves_of(rng) for n in ('road', 'roof')}
    entry = lambda h: dict(best_iou=h.best().iou, best_threshold=h.best().threshold, curve=curve_to_json(
        h.curves(), 40))
    groups = {
        g: dict(mean_iou=.5, accuracy=.8, iou={}, classes={n: entry(h[i]) for n, h in made.items()})
        for i, g in enumerate(('graz', SCRIPT))
    }
    classes = {
        n: dict(value=.4, iou=.6, best_iou=.7, curve=curve_to_json((h[0] + h[1]).curves(), 40))
        for n, h in made.items()
    }
    spec = spec_of(None) | dict(
        n_out=3, classes=[dict(name=e.name, color=list(e.color), index=e.index) for e in table.classes],
        threshold=dict(rule='thresholds', values=[.5, .25, .25], classes=classes, groups=groups, mean_iou=dict(
            argmax=.5, thresholds=.55)))
    write_map(tmp_path/'run', towns/'images'/'town_1.tif', p, table, [.5, .25, .25], model=spec)
    show(chrome, write_report(tmp_path/'run', images=towns/'images'))
    titles = ['IoU by class', 'Accuracy by class', 'Precision by class', 'True positive rate by class']
    assert chrome.execute_script(
        "return [...document.querySelectorAll('#charts figcaption')].map(e => e.firstChild.textContent)")[:4] == titles
    assert chrome.execute_script("return [...document.getElementById('place').options].map(o => o.textContent)") == [
        'all validation scenes', 'graz', SCRIPT
    ]
    for place, of in ((0, lambda h: h[0] + h[1]), (1, lambda h: h[0]), (2, lambda h: h[1])):
        set_(chrome, 'place', place)
        names, tops = lines_of(chrome, 'IoU by class')
        assert names == ['road', 'roof']
        assert np.allclose(tops, [196 - 180*of(made[n]).best().iou for n in names], atol=.1)
        assert lines_of(chrome, 'True positive rate by class')[1] == [16, 16]
        assert all(
            np.all(np.diff(d, axis=0)[:, 0] >= 0) and np.all(np.diff(d, axis=0)[:, 1] <= .2)
            for d in paths_of(chrome, 'True positive rate by class'))
    quiet(chrome)


@browser
def test_curves_of_a_place(chrome, towns, tmp_path):
    "Of two classes a place's curve stands beside the scene's, or in its place."
    graz, linz = curves_of(np.random.default_rng(5))
    spec = spec_of(curve_to_json((graz + linz).curves()))
    spec['threshold']['groups'] = {
        n: dict(iou=.5, curve=curve_to_json(h.curves())) for n, h in (('graz', graz), ('linz', linz))
    }
    run = with_receipt(towns, tmp_path/'run', model=spec)
    show(chrome, write_report(run, images=towns/'images'))
    for place, h in ((0, graz + linz), (1, graz), (2, linz)):
        set_(chrome, 'place', place)
        assert np.isclose(lines_of(chrome, 'IoU and accuracy')[1][0], 196 - 180*h.best().iou, atol=.1)
        roc, = paths_of(chrome, 'True positive rate')
        name = ('the model’s validation scenes', 'graz', 'linz')[place]
        assert f'on {name};' in chrome.execute_script("return document.getElementById('iou-name').textContent")
        assert np.all(np.diff(roc, axis=0)[:, 0] >= 0) and (roc[0], roc[-1]) == ([34, 196], [310, 16])
    show(chrome, write_report(run, images=towns/'images', labels=towns/'labels'))
    names, (first, scene, _) = lines_of(chrome, 'IoU and accuracy')
    set_(chrome, 'place', 1)
    again, (other, same, _) = lines_of(chrome, 'IoU and accuracy')
    assert (names[0], again[0]) == ('validation scenes', 'graz')
    assert scene == same
    assert np.isclose(other, 196 - 180*graz.best().iou, atol=.1)
    assert first != other
    quiet(chrome)


# what the page takes from files
def with_receipt(towns, folder, **parts):
    "A run of one town whose receipt holds more."
    shutil.copytree(towns/'run', folder, ignore=shutil.ignore_patterns('*.html'))
    for f in folder.glob('town_0*'): f.unlink()
    receipt = folder/'town_1.receipt.json'
    write_json(receipt, json.loads(receipt.read_text(encoding='utf-8')) | parts)
    return folder


def validated(scenes=None):
    "A spec with validation blocks, those of one scene alike."
    rng = np.random.default_rng(3)
    rates = rng.dirichlet([8, .5, .4, 1.5], 6).repeat(5, 0)
    validation = dict(block=256, confusions=rng.multinomial(5000, rates).reshape(30, 2, 2).tolist())
    return spec_of(None) | dict(threshold=dict(value=STORED, criterion='iou'), validation=validation |
                                ({} if scenes is None else dict(scenes=scenes)))


def test_areas_are_those_of_stats(towns, tmp_path):
    "Intervals know which validation blocks are of one scene, as satseg stats does."
    run = with_receipt(towns, tmp_path/'run', model=validated([i//5 for i in range(30)]))
    m, = open_run(run)
    figures = gather(m, run_specs([m])[0][0], 200).areas['classes']
    stats = area_figures(m.mask, blocks_for(m.mask))['classes']
    alone = area_figures(m.mask, blocks_for(m.mask).confusions)['classes']
    for name in stats:
        assert [figures[name][k]
                for k in ('corrected', 'low', 'high')] == [stats[name][k] for k in ('corrected', 'low', 'high')]
    assert stats['building']['high'] - stats['building']['low'] > 1.2*(
        alone['building']['high'] - alone['building']['low'])
    assert corrected_text(stats['building'], 'm2') in write_report(run).read_text(encoding='utf-8')


def test_single_block(towns, tmp_path):
    "One block corrects nothing, and the page says so."
    spec = validated()
    spec['validation']['confusions'] = spec['validation']['confusions'][:1]
    assert 'a single validation block' in write_report(with_receipt(towns, tmp_path/'run',
                                                                    model=spec)).read_text(encoding='utf-8')


def test_other_classes(towns, tmp_path):
    "The map of another model is an error, whether the receipt or --model says so."
    spec = validated()
    spec['classes'][1]['name'] = 'road'
    with pytest.raises(BadInput, match='maps background, building; the model knows background, road'):
        write_report(with_receipt(towns, tmp_path/'run', model=spec))
    from torch import nn
    bundle = save_bundle(tmp_path/'road.safetensors', nn.Linear(1, 1), spec)
    with pytest.raises(BadInput, match='maps background, building; the model knows background, road'):
        write_report(towns/'run', tmp_path/'x.html', model=bundle)


@pytest.mark.parametrize('parts', [dict(settings='abc'), dict(settings=[1]), dict(settings=dict(bands=5)),
    dict(settings=dict(bands='abc')), dict(model_sha256=[1]), dict(scene=[1]), dict(warnings='x'),
    *(dict(model=validated() | dict(threshold=dict(value=STORED) | t)) for t in (dict(criterion={'a': 1}),
    dict(auc='x'), dict(scenes='x'), dict(interval=[1]), dict(curve='x'), dict(groups=[1]))),
    *(dict(model=validated() | m) for m in (dict(validation=5), dict(validation=dict(confusions='ab')),
    dict(calibration=[1]), dict(clean='x'), dict(classes=[1])))])
def test_hostile_receipts(towns, tmp_path, parts):
    "A part of another kind is one clear line."
    with pytest.raises(BadInput): write_report(with_receipt(towns, tmp_path/'run', **parts), images=towns/'images')
    assert not (tmp_path/'run'/'report.html').exists()


@pytest.mark.parametrize('text', ['[1]', '{oops', '{"min_object": "x"}', '5'])
def test_hostile_tags(towns, tmp_path, text):
    "So is a clean-up that is none."
    import rasterio
    run = with_receipt(towns, tmp_path/'run')
    with rasterio.open(run/'town_1_mask.tif', 'r+', IGNORE_COG_LAYOUT_BREAK='YES') as ds: ds.update_tags(clean=text)
    with pytest.raises(BadInput, match='town_1_mask.tif carries the clean-up'): write_report(run)


def test_half_a_character(towns, tmp_path):
    "JSON may hold what no text file may."
    run = with_receipt(towns, tmp_path/'run', settings=dict(note='NOTE'))
    receipt = run/'town_1.receipt.json'
    receipt.write_text(receipt.read_text(encoding='utf-8').replace('NOTE', r'\ud800'), encoding='utf-8')
    assert write_report(run).is_file()


def test_warnings_once(towns, tmp_path):
    "Labels are read in several passes; what they warn of is told once, and names no file of passage."
    import geopandas
    import shapely
    with Scene(towns/'images'/'town_1.tif') as s: t, crs = s.transform, s.crs
    bow = shapely.Polygon([(t.c + x*t.a, t.f + y*t.e) for x, y in ((10, 10), (90, 90), (90, 10), (10, 90))])
    labels = tmp_path/'labels.gpkg'
    geopandas.GeoDataFrame(geometry=[bow], crs=crs).to_file(labels)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        write_report(with_receipt(towns, tmp_path/'run'), images=towns/'images', labels=labels)
    told_ = [str(w.message) for w in seen if 'satseg_fastai' in w.filename]
    assert len(told_) == len(set(told_)) == 1 and 'repaired' in told_[0] and 'labels.gpkg' in told_[0]


def test_size_of_a_large_scene(tmp_path):
    "A scene of 5,000 x 5,000 that hardly compresses stays under 5 MB."
    import rasterio
    from rasterio.transform import from_origin
    rng = np.random.default_rng(0)
    profile = dict(driver='GTiff', height=5000, width=5000, crs='EPSG:32645',
                   transform=from_origin(330_000, 3_060_000, .3, .3), tiled=True, blockxsize=512, blockysize=512)
    found = ndimage.zoom(rng.normal(size=(120, 120)), 5000/120, order=1)[:5000, :5000] + rng.normal(
        0, .2, (5000, 5000)).astype(np.float32)
    levels = np.clip((.5 + .2*found)*LEVELS, 0, LEVELS).astype(np.uint16)
    for name, x, more in (('prob', levels[None], dict(nodata=NODATA)), ('mask', (levels >= 40_000).astype(
            np.uint8)[None], dict(nodata=255)), ('image', rng.integers(0, 255, (3, 5000, 5000), np.uint8), {})):
        folder = tmp_path/('images' if name == 'image' else 'run')
        folder.mkdir(exist_ok=True)
        with rasterio.open(folder/('large.tif' if name == 'image' else f'large_{name}.tif'), 'w', count=len(x),
                           dtype=x.dtype, **profile, **more) as ds:
            ds.write(x)
            if name == 'mask': ds.update_tags(threshold=str(40_000/LEVELS))
    page = write_report(tmp_path/'run', images=tmp_path/'images')
    assert 2_000_000 < page.stat().st_size < 5_000_000
    scene = data_of(page)['scenes'][0]
    assert scene['w'] > 700 and scene['valid'] == 25_000_000
