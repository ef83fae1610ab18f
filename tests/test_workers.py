"Readers in processes that are started anew, as on Windows, on a Mac, and everywhere since Python 3.14."
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CHILD = """
import sys
from pathlib import Path

import torch
from field.training import loaders

if __name__ == '__main__':
    torch.multiprocessing.set_start_method(sys.argv[1])
    folder = Path(sys.argv[2])
    read = [list(loaders(folder, num_workers=workers).valid) for workers in (0, 2)]
    assert len(read[0]) == len(read[1]) > 0
    for alone, other in zip(*read): assert all(torch.equal(own, same) for own, same in zip(alone, other))
    print(len(read[1]), 'batches')
"""


@pytest.mark.slow
@pytest.mark.parametrize('method', ['spawn', 'forkserver'])
def test_started_anew(method, tmp_path):
    "Two workers read what one process reads."
    script = tmp_path/'child.py'
    script.write_text(CHILD)
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    child = subprocess.run([sys.executable, script, method, tmp_path/'scenes'], capture_output=True, text=True,
                           env={**os.environ, 'PYTHONPATH': paths}, timeout=900)
    assert child.returncode == 0 and 'batches' in child.stdout, child.stderr[-3000:]
