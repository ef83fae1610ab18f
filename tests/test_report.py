"The report in a browser: the slider and its IoU, layers, the chooser, names that are no scripts, no request, its size."
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

from satseg_fastai.areas.blocks import blocks_for
from satseg_fastai.areas.figures import area_figures
from satseg_fastai.errors import BadInput
from satseg_fastai.evaluate.pixels import evaluate
from satseg_fastai.files import write_json
from satseg_fastai.geo.levels import LEVELS, NODATA
from satseg_fastai.geo.raster import Scene
from satseg_fastai.labels.classes import building, class_table
from satseg_fastai.maps.clean import Clean, clean_mask
from satseg_fastai.report.data import gather
from satseg_fastai.report.example import noisy, write_map
from satseg_fastai.report.maps import open_run, run_specs
from satseg_fastai.report.page import write_report
from satseg_fastai.report.tables import corrected_text
from satseg_fastai.scores.threshold import RocHistogram, curve_from_json, curve_to_json
from satseg_fastai.synth import make_town, write_town

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
DRIVER = shutil.which('chromedriver')
FLAGS = ('--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
         '--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars '
         '--disable-features=LocalNetworkAccessChecks').split()
browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason='needs chromium and chromedriver')
STORED = 4321/10_000  # of the maps: none of the slider's thousand steps
SCRIPT = '</script ><script>document.title="broken"</script>'


# runs, without training
def mapped(folder, image, planes, table, threshold=STORED, **receipt):
    "What satseg predict leaves of one scene."
    write_map(folder, image, planes, table, threshold, **receipt)


def three_shares(seed=0, weights=(3, 1, 1)):
    "Probabilities of three classes for town_1: (3,300,310)."
    blocks = np.random.default_rng(seed).dirichlet(weights, (20, 20))
    return blocks.repeat(15, 0).repeat(16, 1)[:, :310].transpose(2, 0, 1)


def spec_of(curve):
    "The spec of a bundle, as receipts hold it."
    classes = [dict(name=e.name, color=list(e.color), index=e.index) for e in building().classes]
    threshold = dict(value=STORED, criterion='iou', iou=.7, accuracy=.9, scenes=2, curve=curve)
    network = dict(arch='se_unet', encoder='test_resnet', arch_args={}, n_in=3, n_out=2)
    return dict(schema=1, **network, classes=classes, mean=[1.]*3, std=[1.]*3, threshold=threshold)


@pytest.fixture(scope='module')
def towns(tmp_path_factory):
    "Two mapped towns: the folder of scenes and labels, the folder of maps, and the levels of each."
    folder = tmp_path_factory.mktemp('towns')
    for i, shape in enumerate(((420, 560), (300, 310))):
        town = make_town(*shape, 40 + i, collar=i == 0)
        image = write_town(town, folder, f'town_{i}', False)['image']
        mapped(folder/'run', image, noisy(town.buildings, i)[None], building())
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


def text_of(driver, name):
    "The text of an element."
    return driver.execute_script('return document.getElementById(arguments[0]).textContent', name)


def click(driver, name): driver.execute_script('document.getElementById(arguments[0]).click()', name)


def until(driver, script, seconds=30):
    "Wait for a script to return something true."
    end = time.monotonic() + seconds
    while not (answer := driver.execute_script(script)):
        assert time.monotonic() < end, (script, text_of(driver, 'trouble'))
        time.sleep(.05)
    return answer


def show(driver, path, width=1280, height=900):
    "Open a page and wait until it is drawn; the logs begin anew."
    screen = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', screen)
    for log in ('browser', 'performance'): driver.get_log(log)
    driver.get(Path(path).as_uri())
    until(driver, 'return document.documentElement.dataset.ready')


def set_(driver, name, value):
    "Put a value into a control, as a hand would."
    driver.execute_script("""
        const e = document.getElementById(arguments[0])
        e.value = arguments[1]
        e.dispatchEvent(new Event('input'))
        e.dispatchEvent(new Event('change'))""", name, str(value))


def told(driver, name):
    "The figure that an element shows."
    return float(driver.execute_script('return document.getElementById(arguments[0]).dataset.value', name))


def painted(driver):
    "Wait until the browser has painted."
    driver.execute_async_script('requestAnimationFrame(() => requestAnimationFrame(arguments[0]))')


def layer(driver, name):
    "A layer as the browser has painted it: (h,w,4)."
    driver.execute_script("""
        const right = document.getElementById('right')
        if (right.value === arguments[0]) return
        right.value = arguments[0]
        right.onchange({ target: right })""", name)
    painted(driver)
    width, height, text = driver.execute_script("""
        const c = document.getElementById('layer-' + arguments[0])
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data
        let s = ''
        for (let i = 0; i < d.length; i += 32768) s += String.fromCharCode(...d.subarray(i, i + 32768))
        return [c.width, c.height, btoa(s)]""", name)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def view(driver):
    "What the map shows, as pixels."
    from io import BytesIO
    from PIL import Image
    painted(driver)
    text = driver.execute_script("return document.getElementById('view').toDataURL()")
    return np.array(Image.open(BytesIO(base64.b64decode(text.split(',')[1]))).convert('RGBA')).astype(int)


def data_of(path):
    "The JSON that a page carries."
    text = Path(path).read_text(encoding='utf-8')
    return json.loads(text.split('<script type="application/json" id="data">')[1].split('</script>')[0])


def array(scene, name):
    "An array that a page carries."
    values = np.frombuffer(zlib.decompress(base64.b64decode(scene[name])), np.uint8)
    shape = scene['h'], scene['w']
    if name != 'levels': return values.reshape(shape)
    high, low = values.reshape(2, *shape).astype(int)
    return 256*high + low


def whole_of(path):
    "The first band of a raster."
    with Scene(path) as scene: return scene.read(0, 0, scene.height, scene.width)[0]


def histogram(towns, name):
    "The probabilities of a town against its labels."
    label, levels = whole_of(towns/'labels'/f'{name}.tif'), whole_of(towns/'run'/f'{name}_prob.tif')
    return RocHistogram().update(label, levels)


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
        whole = whole_of(prob)
        assert abs(told(chrome, 'share') - (whole[whole != NODATA]/LEVELS >= t).mean()) < 1e-9
        known = levels != NODATA
        found = (levels/LEVELS >= t) & known
        assert ((layer(chrome, 'mask')[..., 3] > 0) == found).all()
        errors = layer(chrome, 'error')
        places = dict(hit=found & (label == 1), false=found & (label == 0), missed=~found & (label == 1) & known)
        for name, where in places.items():
            assert ((errors == [*data['colors'][name], 255]).all(-1) == where).all(), name
    quiet(chrome)


@browser
def test_stored_and_best(chrome, page, towns):
    "The two buttons go where they say."
    show(chrome, page)
    set_(chrome, 'threshold', 900)
    click(chrome, 'best')
    curves = histogram(towns, 'town_0').curves()
    assert curves.iou.max() - 2e-3 < told(chrome, 'iou') <= curves.iou.max() + 1e-12
    click(chrome, 'stored')
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
        files = [(towns/'run'/f'{name}_prob.tif', towns/'labels'/f'{name}.tif') for name in ('town_0', 'town_1')]
        scores = [evaluate(prob, label, building(), threshold=t) for prob, label in files]
        assert abs(told(chrome, 'iou') - scores[1]['iou']['building']) < 1e-9
        confusion = sum(np.array(scene['confusion']) for scene in scores)
        iou = confusion[1, 1]/(confusion.sum() - confusion[0, 0])
        assert abs(told(chrome, 'iou-all') - iou) < 1e-9
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
    assert (both[:, :half - 1] == one[:, :half - 1]).all()
    assert (both[:, half + 1:] != one[:, half + 1:]).any()
    set_(chrome, 'right', 'error')
    handle = chrome.find_element(By.ID, 'swipe')
    ActionChains(chrome).click_and_hold(handle).move_by_offset(150, 0).release().perform()
    moved, at = view(chrome), int(handle.get_attribute('aria-valuenow'))
    edge = round(both.shape[1]*at/100)
    assert at > 55
    assert (moved[:, half + 2:edge - 8] == one[:, half + 2:edge - 8]).all()
    assert (moved[:, edge + 8:] == both[:, edge + 8:]).all()
    handle.send_keys(Keys.HOME)
    assert handle.get_attribute('aria-valuenow') == '0'
    click(chrome, 'zoom-in')
    assert (view(chrome) != moved).any()
    chrome.find_element(By.ID, 'stage').send_keys('0')
    handle.send_keys(Keys.END)
    assert (view(chrome) == one).all()
    quiet(chrome)


@browser
def test_without_labels(chrome, towns, tmp_path):
    "The IoU is then that of the model's validation, and is called so."
    curve = curve_to_json(histogram(towns, 'town_1').curves())
    stored = curve_from_json(curve)
    run = with_receipt(towns, tmp_path/'run', model=spec_of(curve))
    show(chrome, write_report(run, images=towns/'images'))
    assert 'validation scenes' in text_of(chrome, 'iou-name')
    for step in (40, 500, 950):
        set_(chrome, 'threshold', step)
        t = told(chrome, 't')
        iou = np.interp(t, stored.thresholds[:0:-1], stored.iou[:0:-1])
        assert abs(told(chrome, 'iou') - iou) < 2e-3
    layers = chrome.execute_script("return [...document.getElementById('right').options].map(o => o.value)")
    assert layers == ['image', 'probability', 'mask']
    quiet(chrome)


@browser
def test_hostile_names(chrome, towns, tmp_path):
    "Names of classes are text; were one to become markup, the page's policy would still not run it."
    table = class_table(['ground', SCRIPT, '<img src=x onerror=document.title="broken">'])
    shares = three_shares(weights=(1, 1, 1))
    mapped(tmp_path/'run', towns/'images'/'town_1.tif', shares, table, None, note=SCRIPT)
    page = write_report(tmp_path/'run', images=towns/'images')
    show(chrome, page)
    assert chrome.title == 'town_1'
    assert chrome.execute_script("return document.querySelectorAll('script').length") == 2
    assert SCRIPT in text_of(chrome, 'legend')
    assert chrome.execute_script("return document.getElementById('threshold-box').hidden")
    assert (layer(chrome, 'mask')[..., :3] == np.array(table.colors)[shares.argmax(0)]).all()
    quiet(chrome)
    chrome.execute_script("""
        const s = document.createElement('script')
        s.textContent = 'document.title = "broken"'
        document.body.append(s)""")
    assert chrome.title == 'town_1'


@browser
def test_policy_forbids_requests(chrome, page, tmp_path):
    "Whatever runs in the page, nothing leaves it: a server beside it is never asked."
    asked, bare = [], tmp_path/'bare.html'
    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()
        def log_message(self, *args): pass
    with ThreadingHTTPServer(('127.0.0.1', 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        at = f'http://127.0.0.1:{server.server_port}/'
        attempt = """
            const at = arguments[0], done = arguments[1]
            new Image().src = at + 'image'
            const add = (name, set) => document.body.append(Object.assign(document.createElement(name), set))
            add('script', { src: at + 'script' })
            add('link', { rel: 'stylesheet', href: at + 'style' })
            add('iframe', { src: at + 'frame' })
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
    "Nothing sticks out to the right; the map is as the screen allows."
    show(chrome, page, width, 800)
    assert chrome.execute_script('return document.documentElement.scrollWidth') <= width
    stage = chrome.execute_script("return document.getElementById('stage').clientWidth")
    assert stage >= (340 if width == 400 else 700)
    wider = chrome.execute_script("""
        const shown = [...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility())
        return shown.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)""")
    assert wider == []
    if width == 400:
        names = chrome.execute_script("""
            const shown = [...document.querySelectorAll('td')].filter(e => e.checkVisibility())
            return shown.map(e => getComputedStyle(e, '::before').content).join()""")
        assert 'Boundary IoU' in names


@browser
def test_cleaned_map(chrome, towns, tmp_path):
    "The slider speaks of the map before its clean-up and says so; as stored, the cleaned map's IoU stands beside it."
    shutil.copytree(towns/'run', tmp_path/'run')
    for mask in sorted((towns/'run').glob('*_mask.tif')):
        clean_mask(mask, tmp_path/'run'/mask.name, Clean(min_object=40, min_hole=20))
    show(chrome, write_report(tmp_path/'run', images=towns/'images', labels=towns/'labels'))
    masks = [folder/'run'/'town_0_mask.tif' for folder in (tmp_path, towns)]
    cleaned, raw = (evaluate(mask, towns/'labels'/'town_0.tif')['iou']['building'] for mask in masks)
    assert abs(told(chrome, 'iou') - raw) < 1e-9 and abs(cleaned - raw) > 1e-4
    assert text_of(chrome, 'iou-name').endswith(f'before clean-up; {cleaned:.4f} of the cleaned map as stored')
    set_(chrome, 'threshold', 700)
    assert text_of(chrome, 'iou-name').endswith('before clean-up')
    text = chrome.execute_script('return document.body.innerText')
    for part in ('of the cleaned map, on the labels of 2 of 2 scenes', 'labeled pixels, of the cleaned map',
                 'labeled scenes, before clean-up'):
        assert part in text, part
    quiet(chrome)


@browser
def test_several_classes(chrome, towns, tmp_path):
    "The shares of all classes are at the top, and the rule stands where two classes have their slider."
    table = class_table(['ground', 'road', 'roof'])
    planes = three_shares()
    mapped(tmp_path/'run', towns/'images'/'town_1.tif', planes, table, [.5, .25, .25])
    show(chrome, write_report(tmp_path/'run', images=towns/'images'))
    classes = (planes/np.array([.5, .25, .25])[:, None, None]).argmax(0)
    shares = np.bincount(classes.ravel(), minlength=3)/classes.size
    texts = chrome.execute_script("return [...document.querySelectorAll('.shares span')].map(e => e.textContent)")
    assert sorted(texts) == sorted(f'{name} {100*share:.1f} %' for name, share in zip(table.names, shares))
    rule = 'Each pixel is of the class with the largest p / threshold: ground 0.5, road 0.25, roof 0.25.'
    assert chrome.execute_script("return document.getElementById('rule').innerText") == rule
    quiet(chrome)


def curves_of(rng, n=2):
    "Made-up histograms of places."
    truths = rng.random((n, 9000)) < .4
    chances = [np.clip(rng.normal(.3 + .3*truth, .1 + .1*i), 0, 1) for i, truth in enumerate(truths)]
    return [RocHistogram().update(truth, chance) for truth, chance in zip(truths, chances)]


CHART = """
    const titled = f => f.querySelector('figcaption').firstChild.textContent
    const f = [...document.querySelectorAll('#charts figure')].find(f => titled(f) === arguments[0])"""


def paths_of(chrome, title):
    "The points of each line of a chart."
    return chrome.execute_script(f"""{CHART}
        const points = p => p.getAttribute('d').split(/[ML]/).filter(Boolean).map(v => v.split(' ').map(Number))
        return [...f.querySelectorAll('path.line')].map(points)""", title)


def names_of(chrome, title):
    "The names of the lines of a chart."
    return chrome.execute_script(f"""{CHART}
        return [...f.querySelectorAll('.keys span')].map(e => e.textContent)""", title)


def tops_of(chrome, title):
    "The highest point of each line of a chart: its y, 16 for 1 and 196 for 0."
    return [min(y for _, y in points) for points in paths_of(chrome, title)]


def rises(points):
    "A line that goes to the right and up."
    right, down = np.diff(points, axis=0).T
    return (right >= 0).all() and (down <= .2).all()


def top(curves): return 196 - 180*curves.best().iou


def class_spec(table, made):
    "A spec of three classes, validated in two places."
    def entry(curves):
        best = curves.best()
        return dict(best_iou=best.iou, best_threshold=best.threshold, curve=curve_to_json(curves.curves(), 40))
    def place(i): return dict(mean_iou=.5, accuracy=.8, iou={}, classes={name: entry(made[name][i]) for name in made})
    def reached(first, second):
        return dict(value=.4, iou=.6, best_iou=.7, curve=curve_to_json((first + second).curves(), 40))
    threshold = dict(rule='thresholds', values=[.5, .25, .25], mean_iou=dict(argmax=.5, thresholds=.55))
    threshold |= dict(classes={name: reached(*curves) for name, curves in made.items()})
    threshold |= dict(groups={'graz': place(0), SCRIPT: place(1)})
    classes = [dict(name=e.name, color=list(e.color), index=e.index) for e in table.classes]
    return spec_of(None) | dict(n_out=3, classes=classes, threshold=threshold)


@browser
def test_curves_of_each_class_and_place(chrome, towns, tmp_path):
    "ROC, precision and recall, IoU and accuracy of each class, in all of validation and in each place."
    table, rng = class_table(['ground', 'road', 'roof']), np.random.default_rng(2)
    made = {name: curves_of(rng) for name in ('road', 'roof')}
    spec = class_spec(table, made)
    mapped(tmp_path/'run', towns/'images'/'town_1.tif', three_shares(2), table, [.5, .25, .25], model=spec)
    show(chrome, write_report(tmp_path/'run', images=towns/'images'))
    captions = "return [...document.querySelectorAll('#charts figcaption')].map(e => e.firstChild.textContent)"
    titles = ['IoU by class', 'Accuracy by class', 'Precision by class', 'True positive rate by class']
    assert chrome.execute_script(captions)[:4] == titles
    places = chrome.execute_script("return [...document.getElementById('place').options].map(o => o.textContent)")
    assert places == ['all validation scenes', 'graz', SCRIPT]
    both = {name: first + second for name, (first, second) in made.items()}
    graz, other = ({name: curves[i] for name, curves in made.items()} for i in (0, 1))
    for place, curves in enumerate((both, graz, other)):
        set_(chrome, 'place', place)
        assert names_of(chrome, 'IoU by class') == ['road', 'roof']
        assert np.allclose(tops_of(chrome, 'IoU by class'), [top(curves[name]) for name in ('road', 'roof')], atol=.1)
        assert tops_of(chrome, 'True positive rate by class') == [16, 16]
        assert all(map(rises, paths_of(chrome, 'True positive rate by class')))
    quiet(chrome)


def place_spec(**places):
    "A spec of two classes, validated in several places."
    spec = spec_of(curve_to_json(sum(places.values(), RocHistogram()).curves()))
    groups = {name: dict(iou=.5, curve=curve_to_json(curves.curves())) for name, curves in places.items()}
    spec['threshold']['groups'] = groups
    return spec


@browser
def test_curves_of_a_place(chrome, towns, tmp_path):
    "Of two classes a place's curve stands beside the scene's, or in its place."
    graz, linz = curves_of(np.random.default_rng(5))
    run = with_receipt(towns, tmp_path/'run', model=place_spec(graz=graz, linz=linz))
    show(chrome, write_report(run, images=towns/'images'))
    names = ('the model’s validation scenes', 'graz', 'linz')
    for place, (name, curves) in enumerate(zip(names, (graz + linz, graz, linz))):
        set_(chrome, 'place', place)
        assert np.isclose(tops_of(chrome, 'IoU and accuracy')[0], top(curves), atol=.1)
        assert f'on {name};' in text_of(chrome, 'iou-name')
        roc, = paths_of(chrome, 'True positive rate')
        assert rises(roc) and (roc[0], roc[-1]) == ([34, 196], [310, 16])
    quiet(chrome)


@browser
def test_curves_of_a_place_beside_labels(chrome, towns, tmp_path):
    "With labels the curve of the scene stays where it is when another place is chosen."
    graz, linz = curves_of(np.random.default_rng(5))
    run = with_receipt(towns, tmp_path/'run', model=place_spec(graz=graz, linz=linz))
    show(chrome, write_report(run, images=towns/'images', labels=towns/'labels'))
    assert names_of(chrome, 'IoU and accuracy')[0] == 'validation scenes'
    whole, scene, _ = tops_of(chrome, 'IoU and accuracy')
    set_(chrome, 'place', 1)
    assert names_of(chrome, 'IoU and accuracy')[0] == 'graz'
    place, same, _ = tops_of(chrome, 'IoU and accuracy')
    assert scene == same and whole != place and np.isclose(place, top(graz), atol=.1)
    quiet(chrome)


# what the page takes from files
def with_receipt(towns, folder, **parts):
    "A run of one town whose receipt holds more."
    shutil.copytree(towns/'run', folder, ignore=shutil.ignore_patterns('*.html', 'town_0*'))
    receipt = folder/'town_1.receipt.json'
    write_json(receipt, json.loads(receipt.read_text(encoding='utf-8')) | parts)
    return folder


def validated(**more):
    "A spec with validation blocks, those of one scene alike."
    rng = np.random.default_rng(3)
    rates = rng.dirichlet([8, .5, .4, 1.5], 6).repeat(5, 0)
    confusions = rng.multinomial(5000, rates).reshape(30, 2, 2).tolist()
    threshold = dict(value=STORED, criterion='iou')
    return spec_of(None) | dict(threshold=threshold, validation=dict(block=256, confusions=confusions, **more))


def test_areas_are_those_of_stats(towns, tmp_path):
    "Intervals know which validation blocks are of one scene, as satseg stats does."
    run = with_receipt(towns, tmp_path/'run', model=validated(scenes=[i//5 for i in range(30)]))
    m, = open_run(run)
    specs, _ = run_specs([m])
    figures = gather(m, specs[0], 200).areas['classes']
    stats = area_figures(m.mask, blocks_for(m.mask))['classes']
    alone = area_figures(m.mask, blocks_for(m.mask).confusions)['classes']
    for name in stats:
        for key in ('corrected', 'low', 'high'): assert figures[name][key] == stats[name][key]
    width, width_alone = (found['building']['high'] - found['building']['low'] for found in (stats, alone))
    assert width > 1.2*width_alone
    assert corrected_text(stats['building'], 'm2') in write_report(run).read_text(encoding='utf-8')


def test_single_block(towns, tmp_path):
    "One block corrects nothing, and the page says so."
    spec = validated()
    spec['validation']['confusions'] = spec['validation']['confusions'][:1]
    page = write_report(with_receipt(towns, tmp_path/'run', model=spec))
    assert 'a single validation block' in page.read_text(encoding='utf-8')


def test_other_classes(towns, tmp_path):
    "The map of another model is an error, whether the receipt or --model says so."
    import torch
    from safetensors.torch import save_file
    spec = validated()
    spec['classes'][1]['name'] = 'road'
    run = with_receipt(towns, tmp_path/'run', model=spec)
    bundle = tmp_path/'road.safetensors'
    save_file(dict(a=torch.ones(1)), bundle, dict(satseg_fastai=json.dumps(spec)))
    message = 'maps background, building; the model knows background, road'
    with pytest.raises(BadInput, match=message): write_report(run)
    with pytest.raises(BadInput, match=message): write_report(towns/'run', tmp_path/'x.html', model=bundle)


def test_warnings_once(towns, tmp_path):
    "Labels are read in several passes; what they warn of is told once, and names no file of passage."
    import geopandas
    import shapely
    with Scene(towns/'images'/'town_1.tif') as scene: t, crs = scene.transform, scene.crs
    corners = ((10, 10), (90, 90), (90, 10), (10, 90))
    bow = shapely.Polygon([(t.c + x*t.a, t.f + y*t.e) for x, y in corners])
    labels = tmp_path/'labels.gpkg'
    geopandas.GeoDataFrame(geometry=[bow], crs=crs).to_file(labels)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        write_report(with_receipt(towns, tmp_path/'run'), images=towns/'images', labels=labels)
    own = [str(w.message) for w in seen if 'satseg_fastai' in w.filename]
    assert len(own) == 1 and 'repaired' in own[0] and 'labels.gpkg' in own[0]


def write_large(path, values, threshold=None, **profile):
    "A raster of 5,000 x 5,000 pixels."
    import rasterio
    from rasterio.transform import from_origin
    place = dict(crs='EPSG:32645', transform=from_origin(330_000, 3_060_000, .3, .3))
    tiles = dict(tiled=True, blockxsize=512, blockysize=512)
    shape = dict(zip(('count', 'height', 'width'), values.shape))
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(path, 'w', driver='GTiff', dtype=values.dtype, **shape, **place, **tiles, **profile) as ds:
        ds.write(values)
        if threshold is not None: ds.update_tags(threshold=str(threshold))


def test_size_of_a_large_scene(tmp_path):
    "A scene of 5,000 x 5,000 that hardly compresses stays under 5 MB."
    rng = np.random.default_rng(0)
    smooth = ndimage.zoom(rng.normal(size=(120, 120)), 5000/120, order=1)[:5000, :5000]
    evidence = smooth + rng.normal(0, .2, (5000, 5000)).astype(np.float32)
    levels = np.clip((.5 + .2*evidence)*LEVELS, 0, LEVELS).astype(np.uint16)
    mask = (levels >= 40_000).astype(np.uint8)
    write_large(tmp_path/'run'/'large_prob.tif', levels[None], nodata=NODATA)
    write_large(tmp_path/'run'/'large_mask.tif', mask[None], 40_000/LEVELS, nodata=255)
    write_large(tmp_path/'images'/'large.tif', rng.integers(0, 255, (3, 5000, 5000), np.uint8))
    page = write_report(tmp_path/'run', images=tmp_path/'images')
    assert 2_000_000 < page.stat().st_size < 5_000_000
    scene = data_of(page)['scenes'][0]
    assert scene['w'] > 700 and scene['valid'] == 25_000_000
