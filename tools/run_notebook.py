"Test one notebook as nbdev_test does, and count its cells. The last line of output is the count as JSON."
import json
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault('MPLBACKEND', 'agg')
from fastcore.basics import str2bool
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor
from nbdev.test import test_nb


def why_skipped(cell, flags):
    "The flag that keeps a code cell from being run, or None."
    found = getattr(cell, 'directives_', None) or {}
    if found.get('eval:', [''])[0].lower() == 'false': return 'eval: false'
    return next((f for f in sorted(flags) if f in found), None)


def count(notebook, flags):
    "How many code cells run, and how many do not, by reason."
    nb = NBProcessor(notebook, procs=FrontmatterProc, process=True).nb
    code = [c for c in nb.cells if c.cell_type == 'code' and 'nbdev_export(' not in c.source]
    if str2bool(getattr(nb, 'frontmatter_', {}).get('skip_exec', False)):
        return {'run': 0, 'skipped': {'skip_exec': len(code)}}
    skipped = Counter(r for c in code if (r := why_skipped(c, flags)))
    return {'run': len(code) - skipped.total(), 'skipped': dict(skipped)}


def main(notebook, *force):
    "Exit code 1 if a cell of the notebook fails; `force` names flags whose cells run all the same."
    notebook, cfg = Path(notebook).absolute(), get_config()
    flags = set(cfg.tst_flags.split()) - set(force)
    counts = count(notebook, flags)
    ok, seconds = test_nb(notebook, skip_flags=list(flags), basepath=cfg.config_path)
    print('\n' + json.dumps({**counts, 'ok': ok, 'seconds': round(seconds, 1)}), flush=True)
    return not ok


if __name__ == '__main__': sys.exit(main(*sys.argv[1:]))
