"""results.py: the folder of results: a CSV file for each workload, a row a measurement, and
machine.txt, which says of what machine, build and settings they are.

A row is written as soon as it is made, so that a run which was interrupted, or killed, goes on with
--resume. What is kept then is what was measured: a row that only says what failed is made again.
"""
import csv
import hashlib
import io
import re
import sys
from pathlib import Path

import report
from checks import fail
from workloads import WORKLOADS, once

# A note that tells what a model can do, and that the next try would not change.
TRUTH = re.compile(r'serves [1-9]\d* at a time$')


def failed(row):
    return bool(row['note']) and not TRUTH.match(row['note'])


class Results:
    """The CSV file of one workload, and its rows. `again`: what failed will be measured again."""

    def __init__(self, folder, workload, resume, again=True):
        self.path, self.step = folder / f'{workload.name}.csv', workload.step
        self.whole = workload.steps is once  # one measurement makes all the rows of a round
        self.names = ['model', workload.step, 'round', *workload.columns, 'taken', 'note']
        self.rows = self.load(again) if resume and self.path.exists() else []
        with open(self.path, 'w', newline='') as file:
            writer = csv.DictWriter(file, self.names)
            writer.writeheader()
            writer.writerows(self.rows)

    def load(self, again):
        """What the file has of complete measurements. Where it breaks off within a line, the
        measurement that was being written is left out: perhaps some of its rows are there."""
        text = self.path.read_text(errors='replace')
        whole_lines = text[:text.rfind('\n') + 1]
        rows = [row for row in csv.DictReader(io.StringIO(whole_lines))
                if list(row) == self.names and None not in row.values()]
        torn = [self.measurement(rows[-1])] if rows and whole_lines != text else []
        return [row for row in rows if not (again and failed(row))
                and self.measurement(row) not in torn]

    def measurement(self, row):
        return row['model'], row['round'], '' if self.whole else row[self.step]

    def has(self, model, step, turn):
        """Whether it was measured. Without steps, one row stands for all."""
        return (model, str(turn), str(step)) in map(self.measurement, self.rows)

    def add(self, model, step, turn, rows):
        with open(self.path, 'a', newline='') as file:
            writer = csv.DictWriter(file, self.names)
            for row in rows:
                row = {'model': model, self.step: step, 'round': turn, **row}
                row = {name: text_of(row.get(name)) for name in self.names}
                self.rows.append(row)
                writer.writerow(row)

    def failures(self):
        return [row for row in self.rows if failed(row)]


def text_of(value):
    if value is None:
        return ''
    return f'{value:.6g}' if isinstance(value, float) else str(value)


# ---- machine.txt -------------------------------------------------------------------------

def build_of(build, chosen):
    """A name for what is measured: a part of the hash over the programs."""
    parts = hashlib.sha256()
    for path in [build / 'echoload', *(model.path for model in chosen.values())]:
        parts.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return parts.hexdigest()[:12]


def read_machine(folder):
    path = folder / 'machine.txt'
    lines = path.read_text(errors='replace').splitlines() if path.exists() else []
    return {name: value for name, _, value in (line.partition(': ') for line in lines)}


def write_machine(folder, machine):
    (folder / 'machine.txt').write_text(''.join(f'{name}: {value}\n'
                                                for name, value in machine.items()))


def go_on(folder, machine):
    """Takes over what the earlier parts of a run say of themselves. Those that were measured in
    another way are not gone on with; those of other programs are, and both are named."""
    before = read_machine(folder)
    if before.get('run', machine['run']) != machine['run']:
        fail(f'{folder} was measured with other settings ({before["run"]})',
             'give the same ones, or choose another folder with -o')
    for name in ('models', 'commit', 'build'):
        earlier = before.get(name, machine[name])
        if earlier.split(', then ')[-1] != machine[name]:
            print(f'lab: warning: {folder} was measured with another {name}: {earlier}; now'
                  f' {machine[name]}. What it has is kept; without --resume all is measured anew',
                  file=sys.stderr)
            machine[name] = f'{earlier}, then {machine[name]}'
    machine['when'] = before.get('when', machine['when'])
    seconds = re.match(r'\d+', before.get('took', '')) or ['0']
    return int(seconds[0])


def remove_old(folder):
    """Of an earlier run, whatever this one might not write again."""
    if not (folder / 'machine.txt').exists():
        return  # not ours
    names = [f'{name}.csv' for name in (*WORKLOADS, 'verdicts')] + ['report.html', 'machine.txt']
    for section in report.SECTIONS:
        for figure in section.figures:  # which may have had panels
            names += [path.name for path in folder.glob(f'{figure.name}*.svg')]
    for name in names:
        (folder / name).unlink(missing_ok=True)


def open_folder(folder, machine, workloads, resume):
    """({workload: its Results}, the seconds that earlier parts of the run took). The workloads are
    those to be measured, and with --resume all others of which the folder has something."""
    try:
        seconds = go_on(folder, machine) if resume else 0
        if not resume:
            remove_old(folder)
        write_machine(folder, {**machine, 'took': f'{seconds} s, and broke off'})
        return {name: Results(folder, each, resume, name in workloads)
                for name, each in WORKLOADS.items()
                if name in workloads or resume and (folder / f'{name}.csv').exists()}, seconds
    except OSError as error:
        fail(f'{error.filename} cannot be used: {error.strerror.lower()}',
             'choose another folder with -o')
