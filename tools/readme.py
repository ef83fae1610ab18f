"README.md from nbs/index.ipynb, by nbconvert: saved outputs only, so a second call changes nothing."
import argparse
import posixpath
import re
import shutil
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ['image/png', 'image/svg+xml', 'image/jpeg', 'text/markdown', 'text/plain']
DIRECTIVE = re.compile(r'^#\s*\|\s*([\w-]+)\s*:?\s*(.*?)\s*$')
LINK = re.compile(r'(\]\(|src=")([^)":#\s]+)')


def directives(source):
    "The `#| name: value` lines at the head of a cell, as a dict, and the source without them."
    lines, found = source.split('\n'), {}
    while lines and (m := DIRECTIVE.match(lines[0])):
        found[m[1]] = m[2].lower()
        lines.pop(0)
    return found, '\n'.join(lines).strip('\n')


def hidden(found):
    "A cell that readers of the README do not see."
    return 'hide' in found or 'default_exp' in found or found.get('include') == 'false'


def from_root(source, nbs):
    "Links that hold beside the notebook, made to hold in the folder above."
    there = lambda m: m[1] + posixpath.normpath(f'{nbs.name}/{m[2]}') if (nbs/m[2]).exists() else m[0]
    return LINK.sub(there, source)


def shown_output(output, nbs):
    "An output whose links hold in the folder above."
    data = output.get('data', {})
    if 'text/markdown' in data: data['text/markdown'] = from_root(''.join(data['text/markdown']), nbs)
    return output


def shown_cell(cell, nbs):
    "The cell as the README shows it, or None."
    if cell.cell_type != 'code':
        cell.source = from_root(cell.source, nbs)
        return cell
    found, cell.source = directives(cell.source)
    if found.get('echo') == 'false' or 'hide_input' in found: cell.source = ''
    if found.get('output') == 'false' or 'hide_output' in found: cell.outputs = []
    cell.outputs = [shown_output(o, nbs) for o in cell.outputs]
    return None if hidden(found) or not (cell.source or cell.outputs) else cell


def convert(notebook):
    "A notebook's path -> (markdown, {picture name: bytes})."
    nb = nbformat.read(notebook, as_version=4)
    nb.cells = [c for c in (shown_cell(c, notebook.parent) for c in nb.cells) if c is not None]
    nb.metadata['language_info'] = {'name': 'python'}  # nbdev_clean drops it; it names the language of the code blocks
    exporter = MarkdownExporter(config=Config(NbConvertBase={'display_data_priority': SHOWN}))
    body, resources = exporter.from_notebook_node(nb, {'output_files_dir': 'README_files', 'unique_key': 'README'})
    body = re.sub(r'```\w*\n\s*```\n', '', body)  # what is left of an input that is not echoed
    body = '\n'.join(line.rstrip() for line in body.split('\n'))
    body = re.sub(r'\n{3,}', '\n\n', body)
    body = re.sub(r'(?m)^(- .*)\n\n(?=- )', r'\1\n', body)  # a list over two cells is one list
    return body.strip() + '\n', resources['outputs']


def main(notebook=ROOT/'nbs'/'index.ipynb', out=ROOT):
    "Write README.md and README_files/ into `out`; pictures of an earlier call go."
    body, pictures = convert(Path(notebook))
    shutil.rmtree(out/'README_files', ignore_errors=True)
    for name, data in pictures.items():
        (out/name).parent.mkdir(parents=True, exist_ok=True)
        (out/name).write_bytes(data)
    (out/'README.md').write_text(body, encoding='utf-8')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--notebook', type=Path, default=ROOT/'nbs'/'index.ipynb')
    parser.add_argument('--out', type=Path, default=ROOT)
    args = parser.parse_args()
    if not args.notebook.exists(): raise SystemExit(f'{args.notebook} is missing; README.md is made from it.')
    main(args.notebook, args.out)
