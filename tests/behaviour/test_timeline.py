"""The pictures of the lab: what strace wrote, the lanes made of it, and what a reader sees."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from browser import INSTALLED, LOOK, SCREENS, Browser, contrast, inside, overlap
from harness import BUILD, DEADLINE, TOP, UNSHARE, eventually

LAB = TOP / 'examples' / 'lab'
sys.path.insert(0, str(LAB))

import drawing
import gallery
import lanes
import models
import report
import scripted
import strace
import tracefile
from lanes import Visit

needs_strace = pytest.mark.skipif(not shutil.which('strace'), reason='strace is missing')
pytestmark = pytest.mark.skipif(BUILD.resolve() != TOP / 'build',
                                reason='the servers and hazards of one build are drawn')

# A forking server with two clients, whose children end while it is halted: one SIGCHLD tells of
# both, and one wait follows it. Made up, with each form that a line of strace's can have.
LISTENER = '3<TCP:[127.0.0.1:7000]>'
ONE_WAIT = f'''\
10 100.000000 listen({LISTENER}, 128) = 0 <0.000010>
10 100.000100 accept({LISTENER}, NULL, NULL <unfinished ...>
10 100.010000 <... accept resumed>) = 4<TCP:[127.0.0.1:7000->127.0.0.1:5001]> <0.009900>
10 100.010100 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD \
<unfinished ...>
11 100.010300 close({LISTENER} <unfinished ...>
10 100.010400 <... clone resumed>, child_tidptr=0x7f10) = 11 <0.000300>
11 100.010500 <... close resumed>) = 0 <0.000200>
10 100.010600 close(4<TCP:[127.0.0.1:7000->127.0.0.1:5001]>) = 0 <0.000010>
11 100.010700 read(4<TCP:[127.0.0.1:7000->127.0.0.1:5001]>, ""..., 4096) = 9 <0.000010>
11 100.010800 write(4<TCP:[127.0.0.1:7000->127.0.0.1:5001]>, ""..., 9) = 9 <0.000010>
11 100.010900 read(4<TCP:[127.0.0.1:7000->127.0.0.1:5001]>,  <unfinished ...>
10 100.011000 accept({LISTENER}, NULL, NULL) = 4<TCP:[127.0.0.1:7000->127.0.0.1:5002]> <0.000010>
10 100.011100 vfork( <unfinished ...>
12 100.011200 close({LISTENER}) = 0 <0.000010>
10 100.011300 <... vfork resumed>) = 12 <0.000200>
12 100.011400 read(4<TCP:[127.0.0.1:7000->127.0.0.1:5002]>,  <unfinished ...>
10 100.011500 accept({LISTENER}, NULL, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is \
set) <0.000500>
10 100.012000 --- SIGSTOP {{si_signo=SIGSTOP, si_code=SI_USER, si_pid=1, si_uid=0}} ---
10 100.012100 --- stopped by SIGSTOP ---
11 100.020000 <... read resumed>"", 4096) = 0 <0.009100>
11 100.020100 exit_group(0) = ?
11 100.020200 +++ exited with 0 +++
12 100.020300 <... read resumed> <unfinished ...>) = ?
12 100.020400 +++ killed by SIGSEGV (core dumped) +++
10 100.030000 --- SIGCONT {{si_signo=SIGCONT, si_code=SI_USER, si_pid=1, si_uid=0}} ---
10 100.030100 --- SIGCHLD {{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=11, si_status=0}} ---
10 100.030200 wait4(-1, NULL, WNOHANG, NULL) = 11 <0.000010>
10 100.030300 accept({LISTENER}, NULL, NULL <unfinished ...>
10 100.0404
'''
VISITS = [Visit(1, 5001, [(100.0090, 'connect', 0), (100.0091, 'sent', 9), (100.0109, 'got', 9),
                          (100.0190, 'finished', 0), (100.0203, 'end', 0),
                          (100.0204, 'closed', 0)]),
          Visit(2, 5002, [(100.0091, 'connect', 0), (100.0092, 'sent', 9),
                          (100.0205, 'closed', 0)])]


def shown(text=ONE_WAIT, visits=(), title='one_wait and 2 clients'):
    return lanes.picture(title, strace.read(text.splitlines()), list(visits))


def lane(picture, name):
    [found] = [each for each in picture.lanes if each.name.split(',')[0] == name]
    return found


def spans(picture, name, kind):
    return [(round(1000 * (span.begin - 100), 3), round(1000 * (span.end - 100), 3))
            for span in lane(picture, name).spans if span.kind == kind]


# ---- reading -----------------------------------------------------------------------------

def calls(text):
    return [event for event in strace.read(text.splitlines()) if isinstance(event, strace.Call)]


def test_a_call_that_was_cut_in_two_is_one_again():
    """Catches halves of a call that are two, or that belong to different processes."""
    [first, second] = calls('1 5.0 read(3<TCP:[1]>,  <unfinished ...>\n[pid     2] 5.1 accept(4,'
                            ' NULL, NULL <unfinished ...>\n1 5.2 <... read resumed>""..., 10) = 7'
                            ' <0.200000>\n2 5.3 <... accept resumed>) = -1 EMFILE (Too many open'
                            ' files) <0.100000>\n')
    assert (first.pid, first.name, first.result, first.begin, first.end) == (1, 'read', 7, 5.0, 5.2)
    assert (second.pid, second.result, second.error) == (2, -1, 'EMFILE')


def test_a_call_that_never_returned_has_no_end():
    """Catches a process that is killed in a call, or a strace that was, and a wait that is lost."""
    for text in ('1 5.0 read(3,  <unfinished ...>\n1 5.1 +++ killed by SIGKILL +++\n',
                 '1 5.0 read(3,  <unfinished ...>\n'
                 '1 5.1 <... read resumed> <unfinished ...>) = ?\n',
                 '1 5.0 read(3,  <unfinished ...>\n', '1 5.0 read(3, <unfinished ...>) = ?\n'):
        [call] = calls(text)
        assert (call.name, call.result, call.end) == ('read', None, None)


def test_what_arguments_hold_is_no_result():
    """Catches a file whose name looks like the end of a call, and an error of an injected call."""
    [call] = calls('1 5.0 write(1</tmp/x) = 9>, ""..., 4) = 4 <0.000100>\n')
    assert (call.result, round(call.end, 4)) == (4, 5.0001)
    [call] = calls('1 5.0 accept4(3, NULL, NULL, 0) = -1 ECONNABORTED (Software caused connection'
                   ' abort) (INJECTED) <0.000100>\n')
    assert (call.error, call.result) == ('ECONNABORTED', -1)


def test_what_is_no_line_is_passed_over():
    """Catches an exception for a word of strace's own, or a line that was cut off."""
    assert strace.read(['strace: Process 7 attached', '', '1 5.0', '1 5.0 rea',
                        '1 5.0 <... read resumed>) = 0', '1 5.0 ???( <unfinished ...>']) == []


# ---- lanes -------------------------------------------------------------------------------

def test_two_signals_that_merge_are_arrows_to_one_place():
    """Catches a child of which no signal tells by name, and that so has none."""
    arrows = [arrow for arrow in shown().arrows if arrow.kind == 'signal']
    assert [arrow.source.name for arrow in arrows] == ['child 1', 'child 2']
    assert len({arrow.end for arrow in arrows}) == 1
    assert arrows[0].words == 'SIGCHLD: 2 ended, one signal'


def test_signals_of_their_own_stay_apart():
    """Catches a signal that is taken for the one of another child."""
    text = ONE_WAIT + ('10 100.050000 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_KILLED,'
                       ' si_pid=12, si_uid=0, si_status=11} ---\n')
    arrows = [arrow for arrow in shown(text).arrows if arrow.kind == 'signal']
    assert [(arrow.source.name, arrow.words) for arrow in arrows] == \
        [('child 1', 'SIGCHLD'), ('child 2', 'SIGCHLD')]


def test_a_zombie_is_red_from_its_end_to_the_wait():
    """Catches a zombie that is not there, and one that ends before somebody has waited."""
    picture = shown()
    assert spans(picture, 'child 1', 'zombie') == [(20.2, 30.21)]
    [(begin, end)] = spans(picture, 'child 2', 'zombie')
    assert begin == 20.4 and end == round(1000 * (picture.end - 100), 3)
    assert lanes.zombies(picture) == 1
    waited = ONE_WAIT + ('10 100.060000 waitid(P_ALL, 0, {si_signo=SIGCHLD, si_code=CLD_KILLED,'
                         ' si_pid=12, si_uid=0}, WEXITED, NULL) = 0 <0.000010>\n')
    assert lanes.zombies(shown(waited)) == 0


def test_who_ends_behind_its_parent_is_no_zombie():
    """Catches red for an orphan, whom init waits for."""
    text = ONE_WAIT.replace('12 100.020400 +++', '10 100.020350 +++ killed by SIGKILL +++\n'
                            '12 100.020400 +++')
    assert spans(shown(text), 'child 2', 'zombie') == []


def test_what_a_process_waits_for_is_seen():
    """Catches a wait without its kind, and one that is drawn where the process is no more."""
    picture = shown()
    assert spans(picture, 'server', 'accept')[0] == (0.1, 10.0)
    assert spans(picture, 'server', 'halted') == [(12.1, 30.0)]
    assert spans(picture, 'child 2', 'read') == [(11.4, 20.4)]
    assert [mark.kind for mark in lane(picture, 'child 1').marks] == ['in', 'out', 'eof']
    assert (lane(picture, 'child 2').how, lane(picture, 'server').how) == \
        ('killed by SIGSEGV (core dumped)', '')


def test_a_child_that_becomes_a_program_is_seen():
    """Catches a server that runs programs and looks like one that does not, and an exec that failed
    shown as one that did not."""
    called = '11 100.010650 execve("/bin/cat", ["cat"], 0x7ffc /* 9 vars */) = {} <0.000020>\n'
    def marks(result):
        text = ONE_WAIT.replace('11 100.010700', called.format(result) + '11 100.010700')
        return [mark.kind for mark in lane(shown(text), 'child 1').marks]
    assert marks(0) == ['exec', 'in', 'out', 'eof']
    assert 'exec' not in marks('-1 ENOENT (No such file or directory)')


def test_a_sleep_that_was_to_end_is_no_error():
    """Catches crosses all over a server whose threads take turns, as Python's do."""
    text = ONE_WAIT + ('10 100.050000 futex(0x7f, FUTEX_WAIT, 0, {}) = -1 ETIMEDOUT (Connection timed'
                       ' out) <0.000010>\n')
    assert [mark.kind for mark in lane(shown(text), 'server').marks] == []
    text = text.replace('futex(0x7f, FUTEX_WAIT, 0, {})', 'read(4<TCP:[127.0.0.1:7000]>, "", 9)')
    assert [mark.kind for mark in lane(shown(text), 'server').marks] == ['error']


def test_threads_are_no_children():
    """Catches zombies of threads, and calls of a thread that its process gets."""
    text = (f'10 100.0 listen({LISTENER}, 128) = 0 <0.000010>\n'
            '10 100.1 clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_THREAD|CLONE_SETTLS} =>'
            ' {parent_tid=[11]}, 88) = 11 <0.000100>\n'
            '11 100.2 read(4<TCP:[127.0.0.1:7000->127.0.0.1:5001]>, ""..., 9) = 0 <0.000100>\n'
            '11 100.3 exit(0) = ?\n11 100.4 +++ exited with 0 +++\n')
    picture = shown(text, VISITS[:1])
    assert [each.kind for each in picture.lanes] == ['queue', 'process', 'thread', 'client']
    assert [arrow.kind for arrow in picture.arrows] == ['fork']
    assert spans(picture, 'thread 1', 'zombie') == []
    assert lane(picture, 'thread 1').name == 'thread 1, for client 1'


def test_the_queue_holds_who_is_not_accepted():
    """Catches a client that leaves the queue when another is accepted, and a queue that ends with
    the parent although a child has the listener."""
    picture = shown(visits=VISITS)
    assert [(round(1000 * (span.begin - 100), 2), span.words)
            for span in lane(picture, 'accept queue').spans] == [
        (9.0, '1 client in the queue: 1'), (9.1, '2 clients in the queue: 1 and 2'),
        (10.0, '1 client in the queue: 2')]
    ends = '10 100.050000 +++ killed by SIGTERM +++\n'
    assert lane(shown(ONE_WAIT + ends), 'accept queue').how == 'closed by server'
    anew = f'20 100.060000 listen({LISTENER}, 128) = 0 <0.000010>\n20 100.070000 exit(0) = ?\n'
    assert [(each.name, round(1000 * (each.begin - 100), 2)) for each in
            shown(ONE_WAIT + ends + anew).lanes[:3]] == [
        ('accept queue', 0.01), ('accept queue 2', 60.01), ('server', 0.01)]
    kept = ONE_WAIT.replace(f'12 100.011200 close({LISTENER})', '12 100.011200 close(9)')
    kept = kept.replace('12 100.020400', '12 100.060000').replace('12 100.020300', '12 100.059000')
    assert lane(shown(kept + ends), 'accept queue').how == 'closed by child 2'


def test_a_client_that_waits_in_vain_is_seen():
    """Catches a client without an answer that looks like one that has it."""
    picture = shown(visits=VISITS)
    assert lanes.unanswered(picture) == 1
    assert [mark.words for mark in lane(picture, 'client 2').marks] == \
        ['sends 9 bytes', 'waits for its echo, and does not get it']


def test_a_server_that_does_not_listen_has_no_picture():
    """Catches an empty picture."""
    with pytest.raises(ValueError, match='never listened'):
        shown('1 5.0 exit_group(1) = ?\n1 5.1 +++ exited with 1 +++\n')


# ---- drawing -----------------------------------------------------------------------------

def test_a_picture_says_what_it_does_not_claim():
    """Catches durations that are taken for true, a picture without words for those who do not see
    it, and a file that fetches."""
    text = drawing.as_file(drawing.svg(shown(visits=VISITS), 'one'))
    root = ElementTree.fromstring(text)
    space = '{http://www.w3.org/2000/svg}'
    words = ' '.join(''.join(each.itertext()) for each in root.iter(f'{space}text'))
    assert 'strace slows every call' in words and 'not how long they take' in words
    assert 'SIGCHLD, 2 as one' in words and 'since the first client' in words
    described = root.find(f'{space}desc').text
    assert 'child 2, for client 2: from 2.2 ms' in described and lanes.UNREAPED in described
    assert root.get('role') == 'img' and root.get('aria-label')
    fetched = r'https?://(?!www\.w3\.org/2000/svg")|@import|url\(|<script|\bhref='
    assert not re.findall(fetched, text)


def test_the_axis_keeps_the_order():
    """Catches an event that is drawn before an earlier one, or upon it."""
    axis = drawing.Axis(shown(visits=VISITS))
    places = [axis(time) for time in axis.times]
    assert places == sorted(set(places)) and len(places) > 30
    assert places[0] == drawing.LEFT and places[-1] <= drawing.WIDTH - drawing.RIGHT + 0.1


def test_a_label_of_the_axis_stands_alone_and_says_something_new():
    """Catches a last label that is written over the one before, and 383 ms twice on one axis."""
    late = ''.join(f'10 100.{number:06} read(4<TCP:[127.0.0.1:7000->127.0.0.1:5001]>, ""..., 9) = 9'
                   ' <0.000001>\n' for number in range(800000, 800900, 30))
    ticks = drawing.Axis(shown(ONE_WAIT + late, VISITS)).ticks()
    labels = [label for _, label in ticks]
    assert len(labels) > 3 and len(labels) == len(set(labels)), labels
    assert all(after - before >= 90 for (before, _), (after, _) in zip(ticks, ticks[1:]))
    assert ticks[-1][0] <= drawing.WIDTH - 40  # half a label, as it stands in the middle


@pytest.mark.parametrize('seconds, words', [(0, '0'), (0.00035, '0.35 ms'), (0.0123, '12 ms'),
                                            (0.25, '250 ms'), (1.4217, '1,422 ms')])
def test_times_have_plain_units(seconds, words):
    """Catches 0.0123 s, 12.3 ms to the microsecond, us, and three labels of 1.4 s in a row."""
    assert drawing.in_units(seconds) == words


def test_a_trace_can_be_opened():
    """Catches slices that overlap without one being in the other, which viewers drop, an arrow with
    one end, an event without what the format asks of it, a zombie in any colour, and processes in
    the order of the alphabet."""
    found = json.loads(json.dumps(tracefile.trace(shown(visits=VISITS))))['traceEvents']
    rows = {}
    for event in found:
        assert {'ph', 'name', 'pid', 'tid'} <= set(event) and event['ph'] in 'MXiCsf'
        assert event['ph'] == 'M' or event['ts'] >= 0, event
        if event['ph'] == 'X':
            rows.setdefault((event['pid'], event['tid']), []).append(
                (event['ts'], -event['dur'], event['name']))
    for slices in rows.values():
        ends = []
        for begin, negative, name in sorted(slices):
            while ends and ends[-1] <= begin + 0.01:
                ends.pop()
            assert not ends or begin - negative <= ends[-1] + 0.01, name
            ends.append(begin - negative)
    flows = [(event['ph'], event['id']) for event in found if event['ph'] in 'sf']
    assert sorted(flows) == [(phase, number) for phase in 'fs' for number in range(len(flows) // 2)]
    assert any(event['name'] == lanes.UNREAPED for event in found)
    assert {event['cname'] for event in found if event.get('cat') == 'zombie'} == {'terrible'}
    assert [event['pid'] for event in found if event['name'] == 'process_sort_index'] == \
        [tracefile.OUTSIDE, 10, 11, 12]


@pytest.fixture(scope='module', name='page')
def fixture_page(tmp_path_factory):
    """The page of a gallery, of made-up pictures."""
    picture = shown(visits=VISITS)
    drawn = [(part, gallery.Drawn(part, f'{part} of something', 'What to see.', picture))
             for part in gallery.TITLES]
    folder = tmp_path_factory.mktemp('gallery')
    gallery.write(folder, drawn, report.page_of_pictures)
    return folder / 'index.html'


def test_the_report_takes_in_the_pictures(page, folder):
    """Catches a report of all servers without their pictures, or without the style of these."""
    machine = dict.fromkeys(('when', 'processor', 'cores', 'kernel', 'run', 'took'), 'x')
    pictures = (page.parent / 'pictures.html').read_text()
    report.write(folder, machine, {}, {}, {}, pictures)
    text = (folder / 'report.html').read_text()
    assert pictures in text and '.timeline .life' in text


@pytest.mark.skipif(not INSTALLED, reason='chromium and chromedriver are missing')
def test_every_picture_can_be_read(page):
    """Catches words upon words, too small, out of the frame or without contrast, and bars that do
    not stand out; on a phone, where a picture scrolls, and on a desk, by day and by night. One
    test, as a browser takes longer to start than to show all four."""
    with Browser() as browser:
        for width, scheme in SCREENS:
            browser.show(page, width, scheme)
            check_pictures(browser)


def check_pictures(browser):
    seen = browser.run(LOOK)
    assert seen['page'][0] <= seen['page'][1], 'the page is wider than the screen'
    assert [plot['name'] for plot in seen['plots']] == ['picture-models', 'picture-hazards']
    behind = browser.run("return getComputedStyle(document.querySelector('svg.timeline'))"
                         '.backgroundColor')
    for plot in seen['plots']:
        assert len(plot['words']) > 15
        for word in plot['words']:
            assert inside(word['box'], plot['box']), word
            assert word['size'] >= 12, word
            on = behind if word['text'] != 'zombie' else 'rgb(217, 54, 54)'
            assert contrast(word['colour'], on) >= 4.5, word
        pairs = [(one['text'], other['text']) for place, one in enumerate(plot['words'])
                 for other in plot['words'][place + 1:] if overlap(one['box'], other['box'])]
        assert pairs == []
    bars = browser.run("return [...new Set([...document.querySelectorAll('.timeline rect')]"
                       ".map((e) => getComputedStyle(e).fill))].filter((each) => each != 'none')")
    assert len(bars) >= 4 and all(contrast(colour, behind) >= 3 for colour in bars), bars


# ---- the programs ------------------------------------------------------------------------

# A port is taken for a while behind a server that was killed, but where the kernel has no room for
# yet another such connection: other tests have a hundred thousand.
OWN_NETWORK = [*UNSHARE, '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']


def run(program, *arguments, wrap=()):
    return subprocess.run([*wrap, sys.executable, LAB / program, *map(str, arguments)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE * 3, check=False, env={**os.environ, 'BUILD': str(BUILD)})


def words_of(path):
    return ElementTree.parse(path).getroot().get('aria-label')


def below(pid, name):
    """The process and all that its threads have started, if one of them has that name."""
    found, there = [pid], False
    for each in found:
        with contextlib.suppress(OSError):
            there |= Path(f'/proc/{each}/comm').read_text() == f'{name}\n'
            for path in Path(f'/proc/{each}/task').glob('*/children'):
                found += map(int, path.read_text().split())
    return found if there else []


@needs_strace
@pytest.mark.parametrize('program', ['timeline', 'gallery'])
def test_an_interrupted_program_leaves_nothing(folder, program):
    """Catches a server, a strace or a traceback that is left by Ctrl-C or by a kill. The server
    here is one that never listens."""
    server = folder / 'hazards' / 'no_reaping'
    server.parent.mkdir()
    server.write_text('#!/bin/sh\nexec sleep 1000\n')
    server.chmod(0o755)
    running = subprocess.Popen(
        [sys.executable, LAB / program, '-o', folder, 'no_reaping'], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, 'BUILD': str(folder)})
    try:
        started = eventually(lambda: below(running.pid, 'sleep'), 'the server runs')
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=DEADLINE)
    finally:
        running.kill()
    assert (running.returncode, err) == (130, '')
    assert [pid for pid in started if Path(f'/proc/{pid}').exists()] == []


class FakeServer:
    """One of which strace tells nothing but what a test wants, at the third look at it."""

    def __init__(self, calls, then):
        self.address, self.pid, self.calls, self.looks, self.then = None, 0, calls, 0, then

    def told(self):
        return self.calls.read_text()

    def signal(self, *_):
        pass

    def sleeps(self, _):
        return False

    def has_ended(self):
        self.looks += 1
        return self.looks > 2 and self.then()


def test_what_a_server_does_last_is_heard(folder):
    """Catches a script that goes on as if its clients had an answer still to come, where the server
    ended between their look and the one at its process."""
    ours, theirs = socket.socketpair()
    (folder / 'calls').touch()
    play = scripted.Play(FakeServer(folder / 'calls', lambda: theirs.close() or True), 1)
    [client] = play.clients
    client.socket = ours
    with ours, theirs:
        play.quiet()
    assert client.ended


def test_a_server_is_halted_when_strace_says_so(folder):
    """Catches children who leave while their parent only looks halted, as it is between two of
    strace's lines, so that one signal is taken before the other one can merge with it."""
    calls, before = folder / 'calls', '0 1.0 --- stopped by SIGSTOP ---\n0 1.1 accept(3, NULL'
    calls.write_text(before)
    halted = f'{before}\n0 1.2 --- stopped by SIGSTOP ---\n'
    server = FakeServer(calls, lambda: calls.write_text(halted) and False)
    with scripted.Play(server, 0).halted():
        assert calls.read_text() == halted


@needs_strace
def test_any_command_can_be_drawn(folder):
    """Catches a server in another language or one that prints no address that is not drawn, a crash
    that hits another process than the one that serves the client, and a traceback where nothing
    starts."""
    server = folder / 'server.py'
    server.write_text('import socketserver, sys\n'
                      'class Echo(socketserver.StreamRequestHandler):\n'
                      '    def handle(self):\n'
                      '        for line in self.rfile:\n'
                      '            self.wfile.write(line)\n'
                      "socketserver.ForkingTCPServer(('127.0.0.1', int(sys.argv[1])), Echo)"
                      '.serve_forever()\n')
    command = f'{sys.executable} {server} {{port}}'
    result = run('timeline', '-o', folder, '--crash', '--clients', '2', command)
    assert result.returncode == 0, result.stderr
    words = words_of(next(Path(folder).glob('*.svg')))
    assert re.search(r'child 1, for client 1:(?:(?! child ).)*killed by SIGSEGV', words), words
    assert words.count('killed by SIGSEGV') == 1
    assert words.count('gets 13 bytes') == 1
    assert json.loads(next(Path(folder).glob('*.json')).read_text())['traceEvents']
    result = run('timeline', '-o', folder, f'{sys.executable} -c "print(7)"')
    assert (result.returncode, result.stderr) == (1, 'timeline: it does not listen: 7\n')
    result = run('timeline', '-o', folder, 'forkecko')
    assert result.returncode == 1 and 'neither a server in' in result.stderr


@needs_strace
def test_a_hazard_stands_beside_the_right_server(folder):
    """Catches a page without one of the two, a picture without its children, a scene in which the
    mistake is not seen, a right server that is no better in it or is called wrong, and what is left
    running. All that is drawn here is drawn at once."""
    result = run('gallery', '-o', folder, 'one_wait', 'child_keeps_listener')
    assert result.returncode == 0, result.stderr
    right, wrong = words_of(folder / 'one_wait-forkecho.svg'), words_of(folder / 'one_wait.svg')
    for words in right, wrong:
        for number in (1, 2, 3):
            assert f'child {number}, for client {number}: ' in words, words
            assert f'client {number}: from' in words
    assert lanes.UNREAPED not in right and 'zombie until its parent waits' in right
    assert wrong.count(lanes.UNREAPED) == 1
    text = (folder / 'one_wait.svg').read_text()
    assert 'SIGCHLD: 2 ended, one signal' in text and 'is halted by the script' in text
    wrong = words_of(folder / 'child_keeps_listener.svg')
    right = words_of(folder / 'child_keeps_listener-forkecho.svg')
    assert re.search(r'accept queue: [^.]*\.[^:]*closed by child', wrong), wrong
    assert re.search(r'accept queue: [^.]*\.[^:]*closed by server', right), right
    text = (folder / 'index.html').read_text()
    assert text.count('<figure') == 4 and gallery.HAZARDS['child_keeps_listener'].see in text
    assert (folder / 'pictures.html').read_text() in text


# What the mouse shows of a picture: how often of the mistake's, and how often of the right server's.
SHOWN = {'accept_unchecked': ('child 4, for client 3', 1, 0), 'errno_overwritten': ('is refused', 2, 0),
         'fork_error_kills': ('is refused', 1, 0), 'needs_newline': ('waits for the end', 0, 1),
         'no_reuseaddr': ('bind: EADDRINUSE', 1, 0), 'one_at_a_time': (', for client', 0, 3),
         'one_message': ('its echo, and does not get it', 2, 0),
         'reset_kills': ('its echo, and does not get it', 2, 0),
         'threads_not_joined': ("memory for a thread's stack", 3, 1),
         'wrong_reply': ('gets 256 bytes', 2, 0)}


@needs_strace
def test_a_mistake_is_in_its_picture_alone(folder):
    """Catches a scene in which nothing of the mistake is seen, and one in which the right server
    does the same; a server started anew without the port that it had; and no stack of a thread."""
    result = run('gallery', '-j', '20', '-o', folder, *SHOWN, wrap=OWN_NETWORK)
    assert (result.returncode, result.stderr) == (0, '')
    for name, (words, *expected) in SHOWN.items():
        found = [sum(words in title.text for title in ElementTree.parse(path).iter(
                     '{http://www.w3.org/2000/svg}title'))
                 for path in sorted(folder.glob(f'{name}[-.]*svg'), key=lambda path: path.stem)]
        assert found == expected, name
    assert "server 2, number" in (folder / 'no_reuseaddr-forkecho.svg').read_text()


def test_every_model_and_hazard_has_a_picture():
    """Catches a new server or hazard without a picture or without a sentence, and a name in a scene
    or on the sheet that is no more."""
    known = models.known_commands(BUILD)
    planned = {arguments[0]: arguments[2] for _, arguments in gallery.plan(known)}
    files = {path.stem for path in (TOP / 'examples' / 'hazards').glob('*.c')}
    assert set(gallery.HAZARDS) == files - {'textbook'} and files <= set(planned)
    assert [name for name, scene in gallery.HAZARDS.items() if len(scene.see) < 40] == []
    assert set(gallery.HAZARDS) <= set(known) and set(gallery.MODELS) - {'exec'} <= set(known)
    assert {name for name in known if name.endswith('echo')} <= set(planned)
    sheet = (LAB / 'README').read_text()
    named = re.findall(r'^    examples/lab/(?:timeline|gallery)(?: -o \S+)? (.*)$', sheet, re.M)
    assert len(named) == 3 and {word for line in named for word in line.split()} <= set(known)
