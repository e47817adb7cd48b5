"""report.py: the forms in which results are written. A form is told of each trial, by show(), and
writes all at the end, by finish(). Each writes the rows of results.py.

Those of courses: results.json of Gradescope (gradescope-autograders.readthedocs.io, "Output
format"), and what a step of GitHub Classroom's autograding hands to its reporter, in base64 (as the
graders of github.com/classroom-resources make it)."""
import base64
import csv
import json
import sys
import textwrap
from dataclasses import asdict, fields

from grader.results import Row, problem_of, story, sum_of


def tell(words=''):
    """How far it is, in place of what was told before: on a terminal alone."""
    if sys.stderr.isatty():
        print(f'\r\033[K{words}', end='', file=sys.stderr, flush=True)


class Form:
    """What is written by a function of the results, once there are all; meanwhile a terminal shows
    how far that is."""

    def __init__(self, total, write=None):
        self.total, self.write = total, write

    def show(self, _results, pair, number):
        tell(f'{number} of {self.total} trials, now {pair.hazard.name}: {pair.server}')

    def finish(self, results):
        self.write(results)


class Text(Form):
    """For people: the counts of each hazard once it is done, then what was wrong, then a table."""

    def __init__(self, total):
        super().__init__(total, write_table)
        self.shown = set()

    def show(self, results, pair, number):
        super().show(results, pair, number)
        hazard = pair.hazard
        if hazard not in self.shown and results.done(hazard):
            self.shown.add(hazard)
            tell()
            width = max(len(pair.server) for pair in results.pairs)
            print(f'{hazard.name}: {hazard.measure}')
            for pair in results.pairs:
                if pair.hazard is hazard:
                    word, cell = results.verdict(pair)[0], results.cell(pair)
                    print(f'  {pair.server:{width}}  {cell if word == cell else f"{word} {cell}":14}  '
                          f'{results.distribution(pair)}')
            print(flush=True)


# ---- for people --------------------------------------------------------------------------

def of(points, all_points):
    return f'{points:g} of {all_points:g}'


def write_table(results):
    """What was wrong of each server; then rows hazards, columns servers: caught of the first,
    survived of the others; and their points."""
    for rows in results.by_server().values():
        for row in rows:
            if row.status in ('failed', 'undecided', 'broken') and row.verdict == 'survived':
                print(in_full(row) + '\n')
    names = list(dict.fromkeys(pair.server for pair in results.pairs))
    table = [['hazard', *names]]
    if names[0] == 'mistake':
        table.insert(0, ['', 'caught', *(['survived'] if len(names) > 1 else [])])
    for hazard in dict.fromkeys(pair.hazard for pair in results.pairs):
        table.append([hazard.name, *(results.cell(pair) for pair in results.pairs
                                     if pair.hazard is hazard)])
    if results.points is not None:
        table.append(['points', *(of(*sum_of(rows)) for rows in results.by_server().values())])
    widths = [max(map(len, cells)) for cells in zip(*(row for row in table
                                                      if len(row) > len(names)))]
    for first, *rest in table:
        print(f'{first:24}' + ''.join(f'  {cell:>{width}}' for cell, width
                                      in zip(rest, widths[1:])))


def in_full(row, width=100):
    """A row in sentences."""
    parts = {'Done': row.done, 'Seen': row.seen}
    if row.status == 'failed':
        parts['Look at'] = row.look_at
    told = [f'{row.hazard}, {row.server}: {row.status}']
    for name, words in parts.items():
        told += textwrap.wrap(f'{name}: {words}', width, initial_indent='  ',
                              subsequent_indent='      ')
    if row.last_lines:
        told += ['  The last lines that it printed:',
                 *(f'      {line}' for line in row.last_lines.splitlines())]
    return '\n'.join(told)


# ---- for programs ------------------------------------------------------------------------

def write_csv(results):
    """A line for each hazard and server."""
    lines = csv.writer(sys.stdout, lineterminator='\n')
    lines.writerow([field.name for field in fields(Row)])
    lines.writerows(asdict(row).values() for row in results.rows())


def write_json(results):
    """[a server]."""
    print(json.dumps([{'server': server, 'points': sum_of(rows)[0], 'max_points': sum_of(rows)[1],
                       'problem': problem_of(rows), 'hazards': list(map(asdict, rows))}
                      for server, rows in results.by_server().items()], indent=1))


def only_one(results):
    """(The rows of the only server, their names and their sentences)."""
    [rows] = results.by_server().values()
    return rows, [(row, f'{row.hazard}: {story(row.hazard)["title"]}', in_full(row))
                  for row in rows]


def write_gradescope(results):
    rows, tests = only_one(results)
    points = sum_of(rows)
    print(json.dumps({
        'score': points[0],
        'output': problem_of(rows) or f'{of(*points)} points.',
        'output_format': 'text', 'test_output_format': 'text', 'test_name_format': 'text',
        'tests': [{'name': name, 'score': row.points, 'max_score': row.max_points,
                   'status': 'passed' if row.status in ('passed', 'n/a') else 'failed',
                   'output': words} for row, name, words in tests]}, indent=1))


def write_classroom(results):
    rows, tests = only_one(results)
    words_of = {'passed': 'pass', 'n/a': 'pass', 'failed': 'fail', 'not judged': 'fail'}
    told = {'version': 1, 'max_score': sum_of(rows)[1], 'tests': [
        {'name': name, 'status': words_of.get(row.status, 'error'), 'message': words,
         'score': row.points, 'test_code': row.done, 'filename': '', 'line_no': 0, 'duration': 0}
        for row, name, words in tests]}
    found = {each['status'] for each in told['tests']}
    told['status'] = next(word for word in ('error', 'fail', 'pass') if word in found)
    print(base64.b64encode(json.dumps(told).encode()).decode())


WRITERS = {'csv': write_csv, 'json': write_json, 'gradescope': write_gradescope,
           'classroom': write_classroom}
OF_ONE = 'gradescope', 'classroom'  # forms that are of one server
