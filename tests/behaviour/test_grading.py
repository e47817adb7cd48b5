"""What expose writes for a course: forms, points, a page of a server, and the table of a class."""
import base64
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

from harness import DEADLINE, TOP

EXPOSE = TOP / 'examples/hazards/expose'
sys.path.append(str(EXPOSE.parent))
from grader.results import read_points
from grader.waiting import Unable

NUMBER = (int, float)

# Servers of students, which are told their port. Each prints what a page or terminal would act on.
SERVER = f'''#!{sys.executable}
import os, socket, sys, threading
def echo(client):
    while data := client.recv(4096):
        client.sendall(data)
def once(client):
    client.sendall(client.recv(4096))
def fork(client):
    if os.fork() == 0:
        once(client)
        os._exit(0)
def thread(client):
    threading.Thread(target=echo, args=[client], daemon=True).start()
def mute(client):
    while client.recv(4096):
        pass
def end(client):
    client.recv(1)
    sys.exit()
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
print('<b>listens\\x1b[31m</b>', flush=True)
while True:
    client = listener.accept()[0]
    %s(client)
    client = None
'''
HAZARDS = 'needs_newline', 'one_message', 'no_reaping'


def expose(*arguments, **options):
    done = subprocess.run([sys.executable, EXPOSE, '-n', '1', '-w', str(DEADLINE), *arguments],
                          stdin=subprocess.DEVNULL, text=True, capture_output=True,
                          timeout=10 * DEADLINE, check=False, **options)
    assert 'Traceback' not in done.stderr, done
    return done


def server(folder, serve, name='server.py'):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(SERVER % serve)
    path.chmod(0o755)
    return f'{path} {{port}}'


# ---- forms -------------------------------------------------------------------------------

# The members that the documentation names, and what they may be; those behind ... are optional.
# https://gradescope-autograders.readthedocs.io/en/latest/specs/, "Output format".
FORMATS, SHOWN = {'text', 'html', 'simple_format', 'md', 'ansi'}, \
    {'hidden', 'after_due_date', 'after_published', 'visible'}
GRADESCOPE = {
    'score': NUMBER, 'tests': [{
        'score': NUMBER, 'max_score': NUMBER, ...: None, 'status': {'passed', 'failed'},
        'name': str, 'name_format': FORMATS, 'number': str, 'output': str,
        'output_format': FORMATS, 'tags': [str], 'visibility': SHOWN, 'extra_data': dict}],
    ...: None, 'execution_time': NUMBER, 'output': str, 'output_format': FORMATS,
    'test_output_format': FORMATS, 'test_name_format': FORMATS, 'visibility': SHOWN,
    'stdout_visibility': SHOWN, 'extra_data': dict, 'leaderboard': [dict]}
# What the graders of github.com/classroom-resources hand to autograding-grading-reporter.
STATUS = {'pass', 'fail', 'error'}
CLASSROOM = {
    'version': {1}, 'status': STATUS, 'max_score': NUMBER, 'tests': [{
        'name': str, 'status': STATUS, 'message': str, 'score': NUMBER, ...: None,
        'test_code': str, 'filename': str, 'line_no': int, 'duration': NUMBER}]}


def assert_form(value, form, where='results'):
    if isinstance(form, dict):
        names = list(form)
        required = names[:names.index(...)] if ... in names else names
        assert set(required) <= set(value) <= set(names) - {...}, where
        for name, each in value.items():
            assert_form(each, form[name], f'{where}.{name}')
    elif isinstance(form, list):
        for number, each in enumerate(value):
            assert_form(each, form[0], f'{where}[{number}]')
    elif isinstance(form, set):
        assert value in form, where
    else:
        assert isinstance(value, form) and not isinstance(value, bool), where


@pytest.mark.parametrize('form, schema, words', [
    ('gradescope', GRADESCOPE, ['passed', 'failed']), ('classroom', CLASSROOM, ['pass', 'fail'])])
def test_a_course_can_read_the_results(folder, form, schema, words):
    """Catches results that Gradescope or GitHub Classroom takes for an error of the grader: a
    member that is not in its documentation, or is of another type; points that do not add up; and a
    mark without a reason. Where a mark was given, the grader has not failed."""
    done = expose('--format', form, *HAZARDS[:2], '-s', server(folder, 'once'))
    assert (done.returncode, done.stderr) == (0, ''), done
    told = json.loads(base64.b64decode(done.stdout) if form == 'classroom' else done.stdout)
    assert_form(told, schema)
    assert [test['status'] for test in told['tests']] == words
    assert [test['score'] for test in told['tests']] == [1, 0]
    assert told.get('score', 1) == 1 and told.get('max_score', 2) == 2
    why = ' '.join(told['tests'][1]['output' if form == 'gradescope' else 'message'].split())
    for part in ('Done: A client sends a line', 'Seen: second messages: 1 in 1 of 1', 'Why: ',
                 'examples/hazards/one_message.c', '<b>listens'):
        assert part in why, part
    assert '\x1b' not in why


def test_what_cannot_be_run_has_a_mark(folder):
    """Catches a submission without results, which the course calls an error of its own: one that
    is not there, as it could not be compiled, has none of the points, and the reason."""
    done = expose('--format', 'gradescope', 'needs_newline', '-s', folder / 'a.out')
    told = json.loads(done.stdout)
    assert_form(told, GRADESCOPE)
    assert (done.returncode, told['score']) == (0, 0)
    assert 'listens on no port, and printed [Errno 2] No such file' in told['output']


def test_who_cannot_be_judged_has_no_points(folder):
    """Catches a server that echoes nothing, and has the points of all that it did not even do; and
    a row that does not say what came in place of an echo."""
    done = expose('-o', 'csv', '-M', 'wrong_reply', 'needs_newline', '-s', server(folder, 'mute'))
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [(row['status'], row['points']) for row in rows] == \
        [('failed', '0'), ('not judged', '0')]
    assert 'sent 9 bytes, got nothing' in rows[0]['seen']


def test_a_name_of_ours_is_no_excuse(folder):
    """Catches a run that is as expected where a server has the mistake which one of ours with its
    name is there to show."""
    done = expose('-o', 'csv', '-M', 'one_at_a_time', '-s', server(folder, 'echo', 'iterecho'))
    [row] = csv.DictReader(done.stdout.splitlines())
    assert (row['server'], row['verdict'], row['times']) == ('iterecho', 'survived', '0')
    assert done.returncode == 1 and 'one_at_a_time: iterecho survived only 0/1' in done.stderr


def test_points_are_given_by_a_file(folder):
    """Catches points of hazards that nobody asked for, or that are not summed up; and a row for
    programs that lacks them."""
    points = folder / 'points'
    points.write_text('# homework 3\nneeds_newline 2.5\n\none_message 1  # new\n')
    command = server(folder, 'once')
    done = expose('--points', points, '-s', command)
    assert done.stdout.splitlines()[-1].split() == ['points', '2.5', 'of', '3.5'], done
    [told] = json.loads(expose('--points', points, '--format', 'json', '-s', command).stdout)
    assert (told['points'], told['max_points']) == (2.5, 3.5)
    assert [(row['hazard'], row['status'], row['points']) for row in told['hazards']] == \
        [('needs_newline', 'passed', 2.5), ('one_message', 'failed', 0)]


@pytest.mark.parametrize('line, words', [
    ('one_wait', "'one_wait' is no line like"), ('one_wait -1', 'is no line like'),
    ('one_wait many', 'is no line like'), ('one_wayt 1', 'names no hazard'),
    ('no_eintr 1', 'for the second time')])
def test_a_bad_line_of_points_is_said(folder, line, words):
    """Catches points that are given for nothing or counted twice, and a line passed over."""
    points = folder / 'points'
    points.write_text(f'no_eintr 1\n{line}\n')
    with pytest.raises(Unable) as problem:
        read_points(points)
    assert str(problem.value).startswith(f'{points}:2: ') and words in str(problem.value)


def test_a_form_of_one_server_is_not_of_many(folder):
    """Catches the points of one student beside the name of another."""
    for arguments in (['--format', 'classroom', '-s', 'true', 'cat'],
                      ['--batch', folder, '--format', 'gradescope']):
        done = expose(*arguments)
        assert (done.returncode, done.stdout) == (2, ''), done
        assert 'of one' in done.stderr


# ---- a page ------------------------------------------------------------------------------

class Page(HTMLParser):
    """What is looked at of a page."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.ids, self.labels, self.outside, self.open = [], [], [], [], []
        self.tags, self.lang, self.loaded = Counter(), None, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags[tag] += 1
        self.lang = attributes.get('lang', self.lang)
        self.headings += [int(tag[1])] if re.fullmatch('h[1-6]', tag) else []
        self.ids += [attributes['id']] if 'id' in attributes else []
        self.labels += [attributes['aria-label']] if 'aria-label' in attributes else []
        self.loaded += [attributes[name] for name in ('src', 'href') if name in attributes]
        if self.open and self.open[-1] == 'body' and tag != 'main':
            self.outside.append(tag)
        if tag not in ('meta', 'link', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.skipif(not shutil.which('strace'), reason='strace is missing')
def test_a_page_shows_the_mistakes_with_their_pictures(folder):
    """Catches a page that lacks a mistake or the picture of one, or is silent where there is none;
    that needs other files; that acts on what a server has printed; and one that cannot be read
    aloud: no language, no title, headings that skip a level, names that two parts have."""
    done = expose('--page', folder / 'page.html', *HAZARDS, '-s', server(folder, 'fork'))
    assert (done.returncode, done.stderr.count('\n')) == (1, 1), done
    text = (folder / 'page.html').read_text()
    page = Page(text)
    assert (page.lang, page.tags['main'], page.outside) == ('en', 1, []) and page.tags['title']
    assert page.loaded == [] and '<script' not in text and '@import' not in text
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:]))
    for names in page.ids, page.labels:
        assert all(names) and len(set(names)) == len(names), names
    mistakes = re.split('<h2>', text)[1]
    assert re.findall('<section id="([a-z_]+)"', mistakes) == ['one_message', 'no_reaping']
    one_message, no_reaping = re.findall('<svg.*?</svg>', mistakes, re.S)
    assert 'does not get it' in one_message and 'zombie: nobody waits for it' in no_reaping
    assert '&lt;b&gt;listens' in mistakes and '<b>' not in text and '\x1b' not in text
    assert '<h1>server.py' in text and '1 of 3 points' in text


# ---- a class -----------------------------------------------------------------------------

def make_class(place):
    """Submissions: right and wrong, built in several ways, and broken in several ways."""
    server(place / 'ends', 'end')
    server(place / 'made', 'thread', 'server.in')
    (place / 'made/server.in').chmod(0o600)
    (place / 'made/Makefile').write_text('all:\n\tinstall -m 755 server.in server\n')
    server(place / 'one file', 'once')
    (place / 'one file/server.py').chmod(0o600)
    server(place / 'two', 'thread')
    server(place / 'two', 'thread', 'client.py')
    for name, file, text in (('badly made', 'Makefile', 'all:\n\techo error: 7 >&2; exit 1\n'),
                             ('deaf', 'server.py', 'print("what is a port?")\n'),
                             ('nothing', 'notes', 'to do\n')):
        (place / name).mkdir()
        (place / name / file).write_text(text)


def test_each_submission_of_a_class_is_a_row(folder):
    """Catches a class that ends with its first broken submission, a broken one that has points, one
    that is judged by another's program or built where it lies, and a file that a submission has a
    link to and that becomes nobody's."""
    place = folder / 'class'
    place.mkdir()
    make_class(place)
    owned = folder / 'owned'
    owned.write_text('')
    (place / 'nothing/link').symlink_to(owned)
    before = sorted(map(str, place.rglob('*')))
    done = expose('--batch', place, *HAZARDS, '--format', 'csv')
    rows = {row['submission']: row for row in csv.DictReader(done.stdout.splitlines())}
    assert (done.returncode, done.stderr) == (0, ''), done
    assert list(rows) == sorted(path.name for path in place.iterdir())
    assert {name: row['points'] for name, row in rows.items()} == {
        'badly made': '0', 'deaf': '0', 'ends': '0', 'made': '3', 'nothing': '0', 'one file': '2',
        'two': '0'}
    assert {row['max_points'] for row in rows.values()} == {'3'}
    assert [rows['one file'][name] for name in HAZARDS] == ['passed', 'failed', 'n/a']
    assert [rows['ends'][name] for name in HAZARDS] == ['not judged'] * 3
    for name, words in (('badly made', 'make failed: error: 7'), ('two', 'client.py server.py'),
                        ('nothing', 'say how by -s'), ('deaf', 'printed what is a port?')):
        assert words in rows[name]['problem'], rows[name]
        assert rows[name]['one_message'] == 'broken'
    assert before == sorted(map(str, place.rglob('*')))
    assert owned.stat().st_uid == os.geteuid()


@pytest.mark.skipif(not shutil.which('cc'), reason='cc is missing')
def test_a_class_has_one_command_for_all(folder):
    """Catches a template that is run where the submissions are not, or by the shell's words; and
    a C file that nobody compiles."""
    place = folder / 'class'
    (place / 'in c').mkdir(parents=True)
    shutil.copy(TOP / 'examples/hazards/one_message.c', place / 'in c')
    server(place / 'in python', 'thread', 'a.out')
    done = expose('--batch', place, 'one_message', '-s', '{folder}/a.out {port}')
    assert [line.split() for line in done.stdout.splitlines()] == [
        ['submission', 'points', 'mistakes'], ['in', 'c', '0', 'of', '1', 'one_message'],
        ['in', 'python', '1', 'of', '1', 'none']], done


def test_a_terminal_sees_how_far_it_is(folder):
    """Catches a grader that says nothing for half an hour, or while it builds; test_hazards.py that
    it does where there is no terminal."""
    (folder / 'class').mkdir()
    server(folder / 'class/anna', 'thread')
    ours, theirs = os.openpty()
    with open(theirs, 'wb') as end:
        done = subprocess.run([sys.executable, EXPOSE, '-n', '2', 'needs_newline', '--batch',
                               folder / 'class'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=end, timeout=10 * DEADLINE,
                              check=False)
    told = os.read(ours, 4096)
    os.close(ours)
    assert done.returncode == 0
    steps = [told.find(words) for words in (b'0 of 1 submissions built', b'0 of 1 servers examined',
                                            b'2 of 2 trials, now needs_newline: anna')]
    assert steps == sorted(steps) and steps[0] >= 0 and told.endswith(b'\r\x1b[K'), told
