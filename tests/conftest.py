"What every test shares."
import signal

import pytest


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    "The threads are part of what a resumed run must agree in; the children have one."
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_addoption(parser): parser.addoption('--slow', action='store_true', help='run the tests marked slow, too')


def heed_interrupts():
    """What nohup, cron or a shell's & started ignores Ctrl-C, and so do its children: tests that interrupt one would
    wait for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    heed_interrupts()
    config.addinivalue_line('markers', 'slow: takes long; run with --slow or make test FLAGS=slow')


def pytest_collection_modifyitems(config, items):
    if config.getoption('--slow'): return
    for item in items:
        if item.get_closest_marker('slow'): item.add_marker(pytest.mark.skip(reason='slow'))
