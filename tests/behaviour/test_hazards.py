"""The hazards: each mistake is caught by its detector, and our servers survive every one."""
import csv
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import uuid

import pytest

from harness import BUILD, CC, DEADLINE, SANITIZERS, SERVERS, TOP, eventually, marked, program

FOLDER = TOP / 'examples/hazards'
EXPOSE = FOLDER / 'expose'
FILES = {path.stem: path for path in sorted(FOLDER.glob('*.c')) if path.stem != 'textbook'}
each_hazard = pytest.mark.parametrize('hazard', FILES)
# Programs of the hazards are not built with sanitizers, and need not be tested twice.
needs_mistakes = pytest.mark.skipif(not (BUILD / 'hazards').is_dir(),
                                    reason='the hazards are not built here')
# All by all is many trials: those are for `make hazards`.
all_by_all = pytest.mark.skipif(os.environ.get('ALL_BY_ALL') != '1',
                                reason='ALL_BY_ALL=1, as for make hazards')
# A thread of TSan's own sleeps in each process, where expose looks for threads and for sleep.
not_under_tsan = pytest.mark.skipif(BUILD.name == 'tsan', reason="TSan's own thread sleeps")


def expose(*arguments, **options):
    return subprocess.run([sys.executable, EXPOSE, *arguments], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=10 * DEADLINE, check=False, **options)


def ours(name):
    """How one of our servers is started."""
    return f"{shlex.quote(program(name))} -v -l '127.0.0.1:{{port}}' {{options}}"


# textbook.c is what forkecho is measured against; these tell why it is not what to run.
TEXTBOOK_LACKS = {'accept_error_kills', 'fork_error_kills'}
# What a server of ours is there to show.
SHOWS = {'iterecho': {'one_at_a_time'}}


def trials(*arguments, times='2', mark='', cwd=None):
    """Two trials: how they ended, and (hazard, server, verdict, how often, counts) of each."""
    done = expose('-n', times, '-o', 'csv', '-w', str(DEADLINE), *arguments, cwd=cwd,
                  env={**os.environ, **SANITIZERS, 'BUILD': str(BUILD), 'FORKECHO_TEST': mark})
    assert done.stdout, done
    return done, [(row['hazard'], row['server'], row['verdict'], row['times'], row['counts'])
                  for row in csv.DictReader(done.stdout.splitlines())]


def lit(rows):
    """The hazards that a server did not survive each time, though they apply to it."""
    return {row[0] for row in rows if row[2:4] not in [('n/a', '1'), ('n/a', '2'), ('survived', '2')]
            and row[2:4] != ('survived', '1')}


# ---- caught and survived -----------------------------------------------------------------

@needs_mistakes
@all_by_all
@each_hazard
def test_a_mistake_lights_its_own_row_alone(hazard):
    """Catches a detector that sees nothing, a hazard whose mistake somebody has mended, and a
    detector that accuses servers of what another mistake does: one cause, one row."""
    done, rows = trials('-M', '-s', f'{BUILD}/hazards/{hazard} {{port}}', times='1')
    assert sorted(row[0] for row in rows) == sorted(FILES)
    assert [row for row in rows if row[2:4] not in [('survived', '1'), ('n/a', '1')]] == \
        [row for row in rows if row[0] == hazard], done
    assert 'undecided' not in done.stderr and done.returncode == 1


@not_under_tsan
def test_our_server_survives_them_all(server_name):
    """Catches one of the famous mistakes in a server of ours; and a detector that accuses right
    ones, or a model that it does not fit. (All in one run: to start a run takes as long as a
    trial.)"""
    done, rows = trials('-M', '-s', ours(server_name))
    assert lit(rows) == SHOWS.get(server_name, set()), done
    assert sorted(row[0] for row in rows) == sorted(FILES)
    assert 'undecided' not in done.stderr


@needs_mistakes
def test_a_server_with_the_mistake_is_named():
    """Catches a table that calls everything right that is not named as a mistake."""
    done, rows = trials('one_wait', 'no_eintr', '-M', '-s', BUILD / 'hazards' / 'one_wait')
    assert rows == [('one_wait', 'one_wait', 'survived', '0', '7x2'),
                    ('no_eintr', 'one_wait', 'survived', '2', '0x2')]
    assert done.returncode == 1
    assert done.stderr == 'expose: one_wait: one_wait survived only 0/2\n'


@needs_mistakes
def test_the_textbook_is_caught_as_readme_says():
    """Catches a README that calls the server right that is taught; or wrong where it is not."""
    _, rows = trials('-M', '-s', f'{BUILD}/hazards/textbook {{port}}')
    assert lit(rows) == TEXTBOOK_LACKS, rows
    said = (FOLDER / 'README').read_text().split('textbook.c ')[1]
    assert {name for name in FILES if re.search(rf'\b{name}\b', said)} == TEXTBOOK_LACKS


@needs_mistakes
def test_the_server_to_begin_with_is_right_once_mended(folder):
    """Catches a new hazard that has the mistakes of what it is a copy of, beside its own."""
    named = re.search(r'[Bb]egin\s+with a copy of\s+(\w+)\.c', (FOLDER / 'README').read_text())[1]
    text, found = re.subn(r'^( *)(.*) /\* THE MISTAKE: (.*) is missing before this line \*/$',
                          r'\1\3;\n\1\2', FILES[named].read_text(), flags=re.M)
    assert found == 1
    (folder / 'mended.c').write_text(text)
    subprocess.run([*CC, '-O2', '-std=c11', '-D_POSIX_C_SOURCE=200809L', '-o', folder / 'mended',
                    folder / 'mended.c'], check=True, timeout=DEADLINE)
    done, rows = trials('-M', '-s', f'{folder}/mended {{port}}')
    assert lit(rows) == set()
    assert (done.returncode, done.stderr) == (0, '')


@needs_mistakes
def test_a_server_that_ends_does_not_spin():
    """Catches a detector that calls it a spin where descriptors run out and the server ends, which
    burns no processor time; or that lets it survive."""
    _, rows = trials('emfile_spin', '-M', '-s', BUILD / 'hazards' / 'accept_error_kills')
    assert [row[2:] for row in rows] == \
        [('n/a', '2', 'n/a x2 (it ends, and does not spin: accept_error_kills)')]


# Servers of students, in Python; each serves by serve(listener), which a test writes.
STUDENT = f'''#!{sys.executable}
import os, select, signal, socket, sys, threading, time
backlog = 100

def echo(client):
    with client:
        while data := client.recv(4096):
            client.sendall(data)

def fork(client, listener, serve=echo):
    if os.fork() == 0:
        listener.close()
        serve(client)
        os._exit(0)
    client.close()

def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass

%s
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=backlog)
serve(listener)
'''
A_THREAD = '''
def serve(listener):
    while True:
        threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
'''
A_PROCESS = '''
signal.signal(signal.SIGCHLD, reap)
def serve(listener):
    while True:
        fork(listener.accept()[0], listener)
'''


def student(folder, text):
    server = folder / 'student'
    server.write_text(STUDENT % text)
    server.chmod(0o755)
    return f'{server} {{port}}'


@pytest.mark.parametrize('hazard, text', [
    # It was accused of losing those for whom its queue had no room, after 100 s a trial.
    ('shared_client', 'backlog = 1\n' + A_THREAD),
    # It reaps when it accepts, but not before it has twenty children.
    ('no_reaping', '''
def serve(listener):
    children = 0
    while True:
        fork(listener.accept()[0], listener)
        children += 1
        if children % 20 == 0:
            reap()
'''),
    # It looks for children that have ended every half a second, as Python's ForkingMixIn.
    ('reap_at_accept', '''
def serve(listener):
    listener.settimeout(0.5)
    while True:
        try:
            client = listener.accept()[0]
        except TimeoutError:
            client = None
        if client:
            client.setblocking(True)
            fork(client, listener)
        reap()
'''),
    # It waits for a second when accept has failed.
    ('accept_error_kills', '''
def serve(listener):
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            time.sleep(1)
            continue
        threading.Thread(target=echo, args=[client], daemon=True).start()
'''),
    # A child's child serves, so that no zombie stays; and it sleeps, while the server waits.
    ('needs_newline', '''
def slow(client):
    time.sleep(0.5)
    echo(client)

def serve(listener):
    while True:
        client = listener.accept()[0]
        if os.fork() == 0:
            fork(client, listener, slow)
            os._exit(0)
        client.close()
        os.wait()
'''),
    # Python, which looks at hundreds of files when it starts: each of that took 10 ms.
    ('unsafe_handler', A_PROCESS),
    # It reads text, and of what is no text it makes some, as Java's readers do.
    ('short_write', '''
def serve_one(client):
    with client:
        while data := client.recv(4096):
            client.sendall(data.decode('ascii', 'replace').encode())

def serve(listener):
    while True:
        threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()
'''),
    # It serves ten clients, and no more. Others are not lost by a shared variable.
    ('shared_client', '''
def serve(listener):
    for number in range(1 << 10):
        client = listener.accept()[0]
        if number < 10:
            threading.Thread(target=echo, args=[client], daemon=True).start()
        else:
            client.close()
'''),
    # It greets, and then waits for messages of 64 bytes: it sends nobody away.
    ('one_message', '''
def serve_one(client):
    with client:
        client.sendall(b'64\\n')
        while data := client.recv(64, socket.MSG_WAITALL):
            client.sendall(data)

def serve(listener):
    while True:
        threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()
'''),
    # It has much to print where accept fails, and then waits, as programs in Java.
    ('emfile_spin', '''
def serve(listener):
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            begun = time.process_time()
            while time.process_time() < begun + 0.15:
                pass
            time.sleep(1)
            continue
        threading.Thread(target=echo, args=[client], daemon=True).start()
'''),
], ids=lambda each: each if each.isidentifier() else '')
def test_a_right_server_is_not_accused(folder, hazard, text):
    """Catches a detector that takes for its mistake what servers of students do and may do."""
    done, [row] = trials(hazard, '-M', '-s', student(folder, text), times='1')
    assert row[2:4] in [('survived', '1'), ('n/a', '1')], done


@pytest.mark.parametrize('hazard, text', [
    # The size is right, the bytes are not: what was not taken is sent from the beginning.
    ('short_write', '''
def serve_one(client):
    while data := client.recv(65536):
        while data:
            try:
                sent = client.send(data, socket.MSG_DONTWAIT)
                data = data[:len(data) - sent]
            except BlockingIOError:
                select.select([], [client], [])
    client.close()

def serve(listener):
    while True:
        threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()
'''),
    # The log has the same line for each client, and nobody but children flushes it.
    ('exit_flushes', '''
sys.stdout = open(1, 'w', closefd=False)  # which PYTHONUNBUFFERED does not change
signal.signal(signal.SIGCHLD, reap)
def serve(listener):
    while True:
        client = listener.accept()[0]
        print('client')
        if os.fork() == 0:
            listener.close()
            echo(client)
            sys.exit()
        client.close()
'''),
    # A write to a client that has gone is the end of it by SIGPIPE.
    ('reset_kills', '''
def serve(listener):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    while True:
        echo(listener.accept()[0])
'''),
    # When a client has left, its thread goes on reading that it has.
    ('wrong_reply', '''
def serve_one(client):
    while True:
        client.send(client.recv(4096))

def serve(listener):
    while True:
        threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()
'''),
    # When a client has finished, it gets its last message without end.
    ('wrong_reply', '''
def serve_one(client):
    while True:
        data = client.recv(4096) or data
        client.sendall(data)

def serve(listener):
    while True:
        threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()
'''),
    # Of a long message it answers the rest when the client has finished, or gone.
    ('reset_kills', '''
def serve_one(client):
    end = select.epoll()
    end.register(client, select.EPOLLRDHUP)
    client.sendall(client.recv(10240))
    end.poll()
    while data := client.recv(10240):
        client.sendall(data)
    client.close()

def serve(listener):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    while True:
        threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()
'''),
    # bind fails after a restart, nobody looks, and listen takes any port.
    ('no_reuseaddr', '''
listener = socket.socket()
try:
    listener.bind(('127.0.0.1', int(sys.argv[1])))
except OSError:
    pass
listener.listen()
while True:
    threading.Thread(target=echo, args=listener.accept()[:1], daemon=True).start()
'''),
    # It prints without end, and ends when the file may not grow.
    ('emfile_spin', '''
def serve(listener):
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            os.write(2, b'x' * (1 << 23))
            continue
        threading.Thread(target=echo, args=[client], daemon=True).start()
'''),
    # The main thread ends, and that of a client keeps the process.
    ('accept_error_kills', '''
def serve(listener):
    with listener:
        while True:
            try:
                client = listener.accept()[0]
            except ConnectionAbortedError:
                continue
            threading.Thread(target=echo, args=[client]).start()
'''),
], ids=lambda each: each if each.isidentifier() else '')
def test_a_mistake_in_a_students_server_is_caught(folder, hazard, text):
    """Catches a detector that knows the mistake in our own example alone."""
    done, [row] = trials(hazard, '-M', '-s', student(folder, text), times='1')
    assert row[2:4] == ('survived', '0') and done.returncode == 1, done


def test_workers_are_one_server_though_their_parent_does_not_listen(folder):
    """Catches a detector that looks at one of them, which the next client may never meet."""
    done = changed_expose('''
detectors.HAZARDS['no_reaping'] = detectors.HAZARDS['no_reaping']._replace(
    needs=(), detect=lambda server: len(detectors.children(server.pid)))
''', '-M', '-n', '1', '-w', str(DEADLINE), '-o', 'csv', 'no_reaping', '-s', student(folder, '''
def serve(listener):
    for _ in range(2):
        if os.fork() == 0:
            while True:
                echo(listener.accept()[0])
    listener.close()
    os.wait()
'''))
    assert ',zombies,2x1' in done.stdout, done


def test_what_was_not_shown_is_undecided(folder):
    """Catches a server that survives because it slept while it was looked at."""
    done = expose('-M', '-n', '1', '-w', '1', 'no_reaping', '-s', student(folder, '''
def slow(client):
    time.sleep(5)
    echo(client)

def serve(listener):
    while True:
        fork(listener.accept()[0], listener, slow)
'''))
    assert done.returncode == 2 and 'undecided 1/1: it slept' in done.stderr, done


def test_a_server_that_wants_more_processes_than_it_may_have_is_undecided(folder):
    """Catches one that is said to end by itself: a pool of a thousand, of which a trial allows 250."""
    done = expose('-M', '-n', '1', '-w', str(DEADLINE), 'wrong_reply', '-s', student(folder, '''
def serve(listener):
    listener.accept()
    while True:
        if os.fork() == 0:
            signal.pause()
'''))
    assert done.returncode == 2, done
    assert re.search('needs more processes or threads than a trial|has more than 250 proc', done.stderr)


@pytest.mark.parametrize('reply, template, words', [
    ('data.ljust(256, b"\\0")', None, 'sent 9 bytes, got 256'),
    ('b"You said: " + data', None, 'adds text'),
    ('b"You said: " + data', 'You said: {}', None),
    ('b"You said: " + data.strip() + b"!\\n"', 'You said: {line}!\\n', None),
    ('b""', None, 'sent 9 bytes, got nothing'),
])
def test_first_it_is_asked_whether_it_is_an_echo_server(folder, reply, template, words):
    """Catches a server that does not echo and is accused of six other things; and one that adds
    text, of which there is no way to say so."""
    server = student(folder, f'''
def answer(client):
    while data := client.recv(4096):
        client.sendall({reply})
    client.close()

def serve(listener):
    while True:
        threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()
''')
    done, rows = trials('wrong_reply', 'short_write', 'shared_client', '-M',
                        *(['--reply', template] if template else []), '-s', server, times='1')
    assert [row[2:4] for row in rows] == [
        ('survived', '0' if words else '1'), ('n/a', '1'),
        ('n/a', '1') if words and 'nothing' in words else ('survived', '1')], done
    assert words is None or words in rows[1][4]


# A right server, which has much to do between fork and close.
SLOW_TO_CLOSE = f'''#!{sys.executable}
import os, signal, socket, sys, time
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
while True:
    client = listener.accept()[0]
    if os.fork() == 0:
        listener.close()
        while data := client.recv(4096):
            client.sendall(data)
        os._exit(0)
    begun = time.process_time()
    while time.process_time() < begun + 0.02:
        pass
    client.close()
'''


def test_a_server_is_not_halted_before_it_has_closed(folder):
    """Catches a trial whose last client waited in vain for its end, for as long as patience lasts:
    the server was halted between fork and close, as it happened on a busy machine."""
    server = folder / 'slow_to_close'
    server.write_text(SLOW_TO_CLOSE)
    server.chmod(0o755)
    done = changed_expose('''
def detect(server):
    with detectors.Crowd(server):
        waiting.eventually(lambda: processes.children(server.pid))
        with server.halted():
            print(len(processes.sockets(server.pid)), flush=True)
    return 0
detectors.HAZARDS['no_eintr'] = detectors.HAZARDS['no_eintr']._replace(detect=detect)
''', '-M', '-n', '2', '-w', str(DEADLINE), 'no_eintr', '-s', f'{server} {{port}}')
    assert (done.returncode, done.stderr) == (0, ''), done
    assert done.stdout.startswith('1\n1\n'), 'its listener alone'


# A right server: a log line for each client when it comes and one when it goes, all the same.
SAME_LINES = '''
signal.signal(signal.SIGCHLD, reap)
def serve(listener):
    while True:
        client = listener.accept()[0]
        print('client', flush=True)
        fork(client, listener)
        print('client', flush=True)
'''


def test_a_log_of_equal_lines_is_no_log_written_twice(folder):
    """Catches a detector that accuses a right server, which does not number its clients."""
    done, rows = trials('exit_flushes', '-M', '-s', student(folder, SAME_LINES))
    assert [row[2:] for row in rows] == [('survived', '2', '0x2')], done


# ---- trials that show nothing ------------------------------------------------------------

# expose, of which the tests replace parts.
LOAD = f'''import sys, types
sys.path.insert(0, {str(FOLDER)!r})
expose = types.ModuleType('expose')
expose.__file__ = {str(EXPOSE)!r}
exec(compile(open(expose.__file__).read(), expose.__file__, 'exec'), vars(expose))
from grader import detectors, isolation, processes, trial, waiting
'''


def changed_expose(change, *arguments):
    """expose with a part that a test has changed."""
    return subprocess.run(
        [sys.executable, '-c', f'{LOAD}{change}\nsys.exit(expose.main())', *map(str, arguments)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10 * DEADLINE,
        check=False, env={**os.environ, **SANITIZERS, 'BUILD': str(BUILD)})


def test_a_machine_that_stands_still_accuses_nobody():
    """Catches a server that is told guilty of the time in which nothing ran at all."""
    done = changed_expose('''
import time
clock, looks = time.monotonic, []
time.monotonic = lambda: clock() + (60 if len(looks) >= 3 else 0)
print(waiting.eventually(lambda: looks.append(1) or len(looks) == 6))
sys.exit()
''')
    assert done.stdout == 'True\n', done


@not_under_tsan
def test_an_undecided_trial_does_not_lose_the_others():
    """Catches a busy moment that costs the whole run, or that counts as survived or caught."""
    done = changed_expose('''
detect = detectors.HAZARDS['no_eintr'].detect
import mmap
turns = mmap.mmap(-1, 1)  # which all processes share
def detect_sometimes(server):
    turns[0] += 1
    if turns[0] == 2:
        raise waiting.Undecided('too busy')
    if turns[0] == 3:
        raise BrokenPipeError('the pipe has broken')
    return detect(server)
detectors.HAZARDS['no_eintr'] = detectors.HAZARDS['no_eintr']._replace(detect=detect_sometimes)
''', '-n', '4', '-j', '1', '-M', 'no_eintr', 'no_reaping', '-s', ours(SERVERS[0]))
    assert done.returncode == 2, done
    assert re.search(r'survived 2/4 2\?  +0x2 undecided x2\n', done.stdout)
    assert [line.split() for line in done.stdout.splitlines()[-2:]] == \
        [['no_eintr', '2/4', '2?'], ['no_reaping', '4/4']]
    assert done.stderr == f'expose: no_eintr: {SERVERS[0]} undecided 2/4: too busy, ' \
        'the pipe has broken\n'


@needs_mistakes
def test_a_window_that_was_missed_is_looked_for_again():
    """Catches a round that takes what strace told of the last one for its own, so that each is too
    late as soon as one was."""
    done = changed_expose('''
await_window = detectors.await_window
turns = []
def await_late(server, call):
    opened = await_window(server, call)
    turns.append(server)
    return opened - 1 if opened is not None and len(turns) == 1 else opened
detectors.await_window = await_late
''', '-n', '1', '-M', '-w', str(DEADLINE), 'clear_after', '-s', BUILD / 'hazards' / 'textbook')
    assert (done.returncode, done.stderr) == (0, ''), done
    assert 'survived 1/1' in done.stdout


@needs_mistakes
def test_an_unsafe_handler_is_caught_where_no_child_ends_at_a_bad_moment():
    """Catches a detector that needs luck: on a machine with a load of 1000 the children may all end
    while the parent is in accept, and the mistake survived. (Here each comes when the last one's
    child has ended.)"""
    done = changed_expose('''
detectors.visit = lambda server, count=1: detectors.one_by_one(server, count)
''', '-n', '2', '-w', str(DEADLINE), 'unsafe_handler', '-s', BUILD / 'hazards' / 'textbook')
    assert (done.returncode, done.stderr) == (0, ''), done
    assert 'caught 2/2' in done.stdout and 'survived 2/2' in done.stdout


@needs_mistakes
def test_unforced_is_left_to_chance():
    """Catches trials that halt the server where chance is to be seen; or an exit status that chance
    decides."""
    done = changed_expose('''
import signal
halt = trial.Server.signal
def told(server, number):
    print(signal.Signals(number).name, flush=True)
    halt(server, number)
trial.Server.signal = told
detectors.HAZARDS['one_wait'] = detectors.HAZARDS['one_wait']._replace(fine=9)  # all survive
''', '-u', '-n', '2', 'one_wait', '-s')
    assert (done.returncode, done.stderr) == (0, ''), done
    assert 'SIG' not in done.stdout and 'caught 0/2' in done.stdout


# ---- what is printed ---------------------------------------------------------------------

@needs_mistakes
def test_the_table_is_for_people():
    """Catches a summary that lacks a server or a hazard, or that differs from the counts."""
    done = expose('-n', '1', 'one_wait', 'no_eintr', '-s', ours('forkecho'),
                  env={**os.environ, 'BUILD': str(BUILD)})
    assert (done.returncode, done.stderr) == (0, ''), done  # no progress where there is no terminal
    assert re.search(r'^one_wait: zombies\n  mistake +caught 1/1 +7x1\n'
                     r'  forkecho +survived 1/1 +0x1$', done.stdout, re.M)
    assert [line.split() for line in done.stdout.splitlines()[-4:]] == [
        ['caught', 'survived'], ['hazard', 'mistake', 'forkecho'],
        ['one_wait', '1/1', '1/1'], ['no_eintr', '1/1', '1/1']]


def test_help_fits_a_screen():
    """Catches a help that scrolls away or wraps on a terminal of 24 lines of 80 columns."""
    lines = expose('--help').stdout.splitlines()
    assert 10 < len(lines) <= 24
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize('arguments, words', [
    (['no_reapin'], 'did you mean no_reaping?'),
    (['everything'], 'child_keeps_listener'),
    (['no_eintr', '-s', 'build/nothing'], 'run make hazards'),
    (['-s', 'no_eintr'], 'is a hazard'),
    (['-n', '0'], 'from 1 on'),
    (['-o', 'xml'], 'csv'),
    (['-w', 'long'], 'from 1 to'),
    (['-w', '0'], 'from 1 to'),
])
def test_what_cannot_be_run_is_said(arguments, words):
    """Catches a mistyped name that ends in a traceback, or in no trial and exit status 0; and no
    patience at all, with which every server is given up, so that right ones are caught."""
    done = expose(*arguments)
    assert (done.returncode, done.stdout) == (2, ''), done
    assert words in done.stderr and 'Traceback' not in done.stderr


@needs_mistakes
def test_too_few_descriptors_are_said_at_the_start():
    """Catches clients that expose itself has no descriptor for, and counts as lost by a server."""
    def few(soft, hard):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    done = expose('-n', '1', 'shared_client', preexec_fn=few(100, 100))
    assert (done.returncode, done.stdout) == (2, '')
    assert 'needs 128 open files, allowed are 100' in done.stderr
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = expose('-M', '-n', '1', '-j', '1', 'shared_client', '-s', ours('forkecho'),
                  preexec_fn=few(32, hard))
    assert (done.returncode, done.stderr) == (0, ''), 'the soft limit is ours to raise'


def test_a_program_that_is_no_server_is_said():
    """Catches trials that wait for ever for an address, or count it as a server."""
    done = expose('-M', '-n', '1', '-w', '1', 'no_eintr', '-s', '/bin/true')
    assert done.returncode == 2
    assert 'listens on no port' in done.stderr and 'Traceback' not in done.stderr


def test_a_server_that_cannot_be_started_leaves_nothing(folder):
    """Catches the folder of a trial whose server was never there: the kernel cannot execute it."""
    program_of_no_kind = folder / 'program'
    program_of_no_kind.write_bytes(b'\x7fno program')
    program_of_no_kind.chmod(0o755)
    place = folder / 'place'
    place.mkdir()
    place.chmod(0o777)
    done = expose('-M', '-n', '2', 'no_eintr', '-s', program_of_no_kind,
                  env={**os.environ, 'TMPDIR': str(place)})
    assert done.returncode == 2 and 'Exec format error' in done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize('tell, number', [
    (os.kill, signal.SIGINT), (os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)],
    ids=['INT', 'TERM', 'Ctrl-C'])
def test_nothing_is_left_when_it_is_interrupted(folder, tell, number):
    """Catches servers, clients' children and folders that stay behind, also when the whole
    foreground group is told, as by Ctrl-C."""
    mark = uuid.uuid4().hex
    running = subprocess.Popen(
        [sys.executable, EXPOSE, '-M', '-n', '100', '-s', ours(SERVERS[0])],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, 'FORKECHO_TEST': mark, 'TMPDIR': str(folder)})
    # Not by a look at all processes: among thousands that may take longer than a trial.
    eventually(lambda: list(folder.glob('expose-*/*/log')), 'trials are running')
    tell(running.pid, number)
    assert running.communicate(timeout=DEADLINE)[1] == ''
    assert running.returncode == 130
    eventually(lambda: not marked(mark), 'nothing runs any more')
    # ThreadSanitizer's own file stays where a program is killed as it begins.
    assert [each for each in folder.iterdir() if not each.name.startswith('tsan.rodata.')] == []


# ---- any server, and what it may do ------------------------------------------------------

# Servers that do what students' have done. Each is told its port, or has it in the code.
BEGIN = f'''#!{sys.executable}
import os, signal, socket, sys, time
def serve(client):
    while data := client.recv(4096):
        client.sendall(data)
    client.close()
'''
LISTEN = '''
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
'''
FORK_FOR_EACH = '''
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    client = listener.accept()[0]
    if os.fork() == 0:
        listener.close()
        serve(client)
        os._exit(0)
    client.close()
'''
# What lies beside it says the port; a name that ends in echo means nothing.
PRIVILEGED = '''
listener = socket.create_server(('', int(open('port').read())), backlog=100)
'''
DAEMON = LISTEN + '''
if os.fork() > 0:
    os._exit(0)
os.setsid()
for number in signal.SIGINT, signal.SIGHUP:
    signal.signal(number, signal.SIG_IGN)
'''
NASTY = {
    'prints_without_end': '''
while True:
    sys.stdout.write('accept: Bad file descriptor\\n' * 1000)
''',
    'fills_a_file': '''
with open(sys.argv[2], 'wb') as file:
    while True:
        file.write(bytes(1 << 20))
''',
    'ignores_all_signals': '''
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    pass
''',
    # At most 20 at once, and 400 in all; each in a session of its own.
    'forks': '''
for _ in range(20):
    if os.fork() == 0:
        for _ in range(20):
            if os.fork() > 0:
                os._exit(0)
            os.setsid()
        break
while True:
    time.sleep(1)
''',
}


def script(folder, text, name='server'):
    server = folder / name
    server.write_text(BEGIN + text)
    server.chmod(0o755)
    folder.chmod(0o755)
    return server


def may_have_namespaces():
    """Whether an ordinary user may make them: not in each container."""
    return subprocess.run(['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'] *
                          (os.geteuid() == 0) + ['unshare', '--user', '--map-root-user', '--pid',
                                                 '--net', '--fork', '--mount-proc', 'true'],
                          capture_output=True, check=False, timeout=DEADLINE).returncode == 0


needs_namespaces = pytest.mark.skipif(not may_have_namespaces(),
                                      reason='an ordinary user may not make namespaces here')


def test_a_command_with_the_port_is_a_server(folder):
    """Catches a grader that can run only programs which print the address that they were given: of
    32 public servers it could run none as it is."""
    script(folder, LISTEN + FORK_FOR_EACH, 'server.py')
    done, rows = trials('no_reaping', 'one_wait', '-M', '-s', 'python3 server.py {port}',
                        cwd=folder)
    assert rows == [('no_reaping', 'server.py', 'survived', '2', '0x2'),
                    ('one_wait', 'server.py', 'survived', '2', '0x2')], done


@needs_namespaces
def test_a_server_has_its_port_in_the_code(folder):
    """Catches a grader for which only one trial at a time could have port 7, and root's; that
    starts a server where its files are not; and one that takes a name in echo for one of ours."""
    (folder / 'port').write_text('7\n')
    script(folder, PRIVILEGED + FORK_FOR_EACH, 'myecho')
    done, rows = trials('no_reaping', 'no_eintr', '-M', '-j', '4', '-s', './myecho', cwd=folder)
    assert rows == [('no_reaping', 'myecho', 'survived', '2', '0x2'),
                    ('no_eintr', 'myecho', 'survived', '2', '0x2')], done


@needs_namespaces
def test_a_daemon_is_followed_and_ends_with_its_trial(folder):
    """Catches a grader to which a server has ended that has become a daemon; and the daemon, which
    stayed behind, since a signal to a group does not reach it."""
    mark = uuid.uuid4().hex
    server = script(folder, DAEMON + FORK_FOR_EACH)
    done, rows = trials('no_reaping', '-M', '-s', f'{server} {{port}}', mark=mark)
    assert rows == [('no_reaping', 'server', 'survived', '2', '0x2')], done
    assert marked(mark) == []


@needs_namespaces
@pytest.mark.parametrize('what', NASTY)
def test_a_server_that_has_no_bounds_is_ended(folder, what):
    """Catches trials without bounds: a server that looped and printed wrote 12 GB, and it spun on
    when expose was killed. Nothing is left behind, neither processes nor files."""
    mark, place = uuid.uuid4().hex, folder / 'place'
    place.mkdir()
    place.chmod(0o777)
    server = script(folder, LISTEN + "client = listener.accept()[0]\n" + NASTY[what])
    done = expose('-M', '-n', '1', '-w', '1', '-o', 'csv', 'wrong_reply', '-s',
                  f'{server} {{port}} {place}/file',
                  env={**os.environ, 'TMPDIR': str(place), 'FORKECHO_TEST': mark})
    [row] = csv.DictReader(done.stdout.splitlines())
    assert row['times'] == '0' and done.returncode in (1, 2), done
    assert marked(mark) == []
    assert [each.name for each in place.iterdir() if each.stat().st_size <= 64 << 20] == \
        (['file'] if what == 'fills_a_file' else [])


@needs_namespaces
def test_what_ends_expose_ends_its_servers(folder):
    """Catches servers that go on, one that spins for instance, when SIGKILL has ended who had
    started them."""
    mark = uuid.uuid4().hex
    server = script(folder, LISTEN + NASTY['ignores_all_signals'])
    running = subprocess.Popen(
        [sys.executable, EXPOSE, '-M', '-n', '100', '-w', str(DEADLINE), 'no_reaping', '-s',
         f'{server} {{port}}'], stdout=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, 'FORKECHO_TEST': mark, 'TMPDIR': str(folder)})
    eventually(lambda: list(folder.glob('expose-*/*/log')), 'trials are running')
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    eventually(lambda: not marked(mark), 'nothing runs any more')


@needs_namespaces
@not_under_tsan
def test_process_1_ends_with_a_trial_that_was_faster():
    """Catches a run that hung, once in nine on a busy machine: process 1 asked for a signal at the
    death of its trial, when that had ended already, and held the pipe of which expose read the end."""
    done = changed_expose('''
import os, time
prctl = isolation.prctl
def late(option, value):
    trials = processes.parent('self')
    while option == isolation.SET_DEATH_SIGNAL and os.getpid() == 1 and \\
            processes.parent('self') == trials:
        time.sleep(0.01)
    prctl(option, value)
isolation.prctl = late
''', '-M', '-n', '2', 'wrong_reply', '-s', ours(SERVERS[0]))
    assert (done.returncode, done.stderr) == (0, ''), done


@not_under_tsan
def test_what_expose_has_started_holds_no_more_than_it_needs():
    """Catches a process of expose's own that holds what is open at its start: a client's socket,
    with which a server saw no end when the client had gone, or the pipe of another trial."""
    done = changed_expose('''
import os
def held():
    return sorted({os.path.basename(what) for pid in processes.children(os.getpid())
                   for number, what in processes.descriptors(pid).items() if number > 2})
def detect(server):
    with detectors.Crowd(server), server.again():
        waiting.eventually(lambda: held() == ['log'])  # what says that exec failed is closed by then
        print(held(), flush=True)
    return 0
detectors.HAZARDS['wrong_reply'] = detectors.HAZARDS['wrong_reply']._replace(detect=detect)
''', '-M', '-n', '2', '-w', str(DEADLINE), 'wrong_reply', '-s', ours(SERVERS[0]))
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[:2] == 2 * ["['log']"], done


def test_a_server_that_takes_memory_without_end_is_ended(folder):
    """Catches one that takes all the memory of the machine of whoever grades it."""
    server = script(folder, LISTEN + '''
taken = []
while True:
    taken.append(b'x' * (1 << 20))
    time.sleep(0.001)
''')
    done = changed_expose('trial.MEMORY = 128 << 20', '-M', '-n', '1', '-w', str(DEADLINE),
                          'no_reaping', '-s', f'{server} {{port}}')
    assert done.returncode == 2, done
    assert 'takes more than 128 MiB of memory' in done.stderr


@needs_namespaces
def test_a_server_that_forks_without_end_is_ended(folder):
    """Catches a fork storm that goes on until the time of its trial is up, in which the machine has
    no time for another, nor for Ctrl-C."""
    server = script(folder, LISTEN + '''
client = listener.accept()[0]
while True:
    try:
        os.fork()
    except OSError:
        pass
''')
    done = expose('-M', '-n', '1', '-w', str(DEADLINE), 'wrong_reply', '-s', f'{server} {{port}}')
    assert done.returncode == 2, done
    assert 'has more than 250 processes' in done.stderr


def test_a_look_at_the_bounds_comes_to_its_end():
    """Catches one that the next one interrupts, and that the next, when processes without number
    make each longer than the time between them: no bound was held but the time of a trial."""
    done = changed_expose('''
import time
trial.MEMORY = -1
def slow(pid):
    time.sleep(2 * trial.WATCH)
    return []
trial.descendants = slow
try:
    with trial.bounded():
        time.sleep(600)
except waiting.Undecided as problem:
    sys.exit(str(problem))
''')
    assert done.stderr == 'takes more than -1 MiB of memory\n', done


def test_a_trial_without_an_end_is_undecided():
    """Catches a trial that waits for as long as there is news, for ever where a server always has
    some."""
    done = changed_expose('''
import itertools
numbers = itertools.count()
trial.LONGEST = 0.4
trial.Server.child_states = lambda server: f'R{next(numbers)}'
''', '-M', '-n', '1', 'no_reaping', '-s', ours(SERVERS[0]))
    assert done.returncode == 2, done
    assert 'no end within 1.2 s' in done.stderr


def test_a_trial_may_clean_up_when_its_time_is_up():
    """Catches a trial that is told so once more while it ends its server, which then stays."""
    done = changed_expose('''
import signal, time
trial.LONGEST = 0.1
try:
    with trial.bounded():
        try:
            time.sleep(60)
        finally:
            print(signal.getitimer(signal.ITIMER_REAL), flush=True)
except waiting.Undecided as problem:
    sys.exit(str(problem))
''')
    assert (done.stdout, done.stderr) == ('(0.0, 0.0)\n', 'no end within 0.3 s\n'), done


def test_an_strace_that_has_ended_is_not_listened_to():
    """Catches a detector that spins at the end of what strace tells."""
    done = changed_expose('''
import os, types
calls, writing = os.pipe()
os.close(writing)
print(detectors.await_window(types.SimpleNamespace(calls=calls, sleeps=lambda: True), b''))
sys.exit()
''')
    assert done.stdout == 'None\n', done


# ---- the files ---------------------------------------------------------------------------

@each_hazard
def test_a_hazard_says_what_it_is(hazard):
    """Catches a hazard without its story, with two mistakes marked or none, and a story that sends
    the reader to a function which is not there any more."""
    text = FILES[hazard].read_text()
    assert len(re.findall(r'/\* THE MISTAKE: ', text)) == 1
    story = text[:text.index('*/')]
    for heading in (f'{hazard}.c: ', 'What one sees: ', 'Why: ', 'Who had it: ', 'forkecho: '):
        assert heading in story, heading
    ours = re.sub(r'\s+\*\s+', ' ', story[story.index('forkecho: '):])
    paths = re.findall(r'\b((?:src|examples)/[\w/]+\.[ch])\b', ours)
    assert paths
    source = ''.join((TOP / path).read_text() for path in paths)
    for name in re.findall(r'\b[a-z]+_[a-z_]+\b(?!\.[ch])', ours):
        assert re.search(rf'\b{name}\(|struct {name} {{', source), name


def test_every_hazard_is_listed():
    """Catches a hazard without a detector, without a row in README, or the reverse."""
    listed = expose('--help').stdout.split('Hazards:\n')[-1].split('\n\n')[0].split()
    heading, *rows = re.findall(r'^  ([a-z_]+)  +\w', (FOLDER / 'README').read_text(), re.M)
    assert heading == 'hazard'
    assert sorted(listed) == sorted(rows) == sorted(FILES)
