"""The documents: what the man pages, --help and README say is what the programs do."""
import fcntl
import getopt
import html.parser
import itertools
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness import (ALL_SERVERS, AS_OURSELVES, DEADLINE, NO_LEAK_SEARCH, TOP, VARIANTS, Event,
                     Server, forks_only, has_ipv6, ledger_record, open_ledger, program,
                     run, run_to_end, use_up_descriptors, visit)

PROGRAMS = {'forkecho': 'man/forkecho.8', 'echoclient': 'man/echoclient.1',
            'echoload': 'man/echoload.1'}
PAGES = {**PROGRAMS, 'forkecho-log': 'man/forkecho-log.5',
         'forkecho-metrics': 'man/forkecho-metrics.5',
         'forkecho-internals': 'man/forkecho-internals.7',
         'forkecho-programs': 'man/forkecho-programs.7'}
each_program = pytest.mark.parametrize('name', PROGRAMS)
each_page = pytest.mark.parametrize('name', PAGES)
needs_mandoc = pytest.mark.skipif(shutil.which('mandoc') is None, reason='mandoc is not installed')


# ---- reading mdoc ------------------------------------------------------------------------

def page(name):
    path = TOP / PAGES[name]
    assert path.exists(), f'{PAGES[name]} is missing'
    return path.read_text()


def section(name, title):
    """The lines of one section; a page without it fails the test."""
    parts = re.split(r'^\.Sh (.*)$', page(name), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2]))
    assert title in sections, f'{PAGES[name]} has no section {title}'
    return sections[title].strip('\n').split('\n')


def plain(line):
    """One line without its macros: '.Dl $ forkecho' is '$ forkecho'."""
    if line.startswith('.'):
        line = ' '.join(word for word in line[1:].split(' ')
                        if not re.fullmatch(r'[A-Z][a-z0-9]|D1', word))
    return line.replace('\\e', '\\').replace('\\&', '')


def items(lines, pattern):
    """The items of a list whose head matches: [(match, text)]."""
    found = []
    for line in lines:
        match = re.match(r'\.It ' + pattern, line)
        if match:
            found.append((match, []))
        elif re.match(r'\.(It|El|S[hs])\b', line):
            found.append((None, []))
        elif found:
            found[-1][1].append(plain(line))
    return [(match, ' '.join(text)) for match, text in found if match]


def flags(line):
    """The flags in a line, and whether a value follows: '.Op Fl b Ar n' is ['b'], True."""
    names, reading = [], False
    for word in line.lstrip('.').split():
        if re.fullmatch(r'[A-Z][a-z]', word):
            reading = word == 'Fl'
        elif reading and word not in ',|':
            names.append(word)
    return names, bool(re.search(r'\bAr\b', line))


UNITS = r'(\d+) (ms|s|m|h)(?:illisecond|econd|inute|our)s?\b'


def page_options(name):
    """{letter: (long name, whether it takes a value, default or None)} of the page's list. An
    option without a letter stands under its long name."""
    options = {}
    for match, text in items(page(name).split('\n'), r'(Fl .*)'):
        (*short, long), takes = flags(match[1])
        long = long.lstrip('-')
        text = re.sub(UNITS, r'\1\2', text)
        default = re.search(r'\b[Dd]efault(?:s to| is|:)? ([\w*][\w:.]*)\b', text)
        value = default[1] if default and default[1] != 'none' else None
        options[short[0] if short else long] = (long, takes, value)
    return options


def synopsis_options(name):
    """{letter: whether it takes a value}"""
    options = {}
    for line in section(name, 'SYNOPSIS'):
        names, takes = flags(line)
        for each in names:
            for letter in [each[1:]] if each.startswith('-') else each:
                options[letter] = takes
    return options


def help_options(name):
    """What --help lists, in the form of page_options."""
    options = {}
    text = run(name, '--help').stdout
    for line in re.split(r'\n|(?<=\S) +(?=-\w, --)', text):  # two short ones share a line
        match = re.match(r' *(?:-(.), )?--([\w-]+)(?: ([A-Z:]+))? +(\S.*)$', line)
        if match:
            default = re.search(r'\(([^()%:;]+(?::\w+)?)(?:[;:] [^()]*)?\)$', match[4])
            options[match[1] or match[2]] = (match[2], match[3] is not None, default and default[1])
    assert 'h' in options, text
    return options


def a_value(letter, options):
    """A value that the option takes: its default, or what suits most that have none."""
    return options[letter][2] or {'A': '::/0', 'X': '::/0', 'proxy': '::/0',
                                   's': 'daemon',
                                   'ramp': 'rate=1..2'}.get(letter, '1')


# ---- options -----------------------------------------------------------------------------

@each_program
def test_man_page_and_help_list_the_same_options(name):
    """Catches an option that was added, renamed or given a value in one of them only."""
    def without_default(options):
        return {letter: entry[:2] for letter, entry in options.items()}
    assert without_default(page_options(name)) == without_default(help_options(name))


@each_program
def test_synopsis_lists_the_same_options(name):
    """Catches an option that is described but missing from the SYNOPSIS."""
    assert synopsis_options(name) == {letter: entry[1]
                                      for letter, entry in help_options(name).items()}


@each_program
def test_man_page_and_help_name_the_same_defaults(name):
    """Catches a default that changed in the code and stayed in a document."""
    def defaults(options):
        return {letter: entry[2] for letter, entry in options.items() if entry[2]}
    assert defaults(page_options(name)) == defaults(help_options(name))


@each_program
def test_the_parser_takes_every_option_of_the_help(name):
    """Catches an option that --help promises and the parser does not know."""
    options = help_options(name)
    for letter, (long, takes, _) in options.items():
        value = [a_value(letter, options)] if takes else []
        for form in {f'-{letter}' if letter != long else f'--{long}', f'--{long}'}:
            result = run(name, form, *value, '--help')
            assert (result.returncode, result.stderr) == (0, ''), (form, result)
            if takes:
                assert run(name, form).returncode == 2, form
        if not takes:
            assert run(name, f'--{long}=1').returncode == 2, long


@each_program
def test_the_parser_knows_no_other_option(name):
    """Catches an option that no document mentions."""
    options = help_options(name)
    letters = [chr(code) for code in range(33, 127) if chr(code).isalnum()]
    for letter in letters:
        if letter not in options:
            assert run(name, f'-{letter}', '1', '--help').returncode == 2, letter
    assert run(name, '--unknown').returncode == 2


@each_program
def test_help_fits_a_screen(name):
    """Catches a help that scrolls away or wraps on a terminal of 24 lines of 80 columns."""
    lines = run(name, '--help').stdout.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) <= 24, \
        'two neighbours in the table that are both short share a line: src/base/arguments.c, describe'


@forks_only
def test_defaults_are_in_effect(server):
    """Catches a default that the documents agree on and the server does not have."""
    options = page_options('forkecho')
    srv = server()
    assert srv.wait_line('^start ')['max'] == options['c'][2]
    srv.stop(signal.SIGTERM)
    assert srv.wait_line('^drain ')['grace'] + 's' == options['g'][2]


@pytest.mark.parametrize('variant', VARIANTS)
def test_variants_take_the_same_options(variant):
    """Catches a variant that the section VARIANTS is wrong about."""
    assert help_options(variant) == help_options('forkecho')


def test_every_variant_is_documented():
    """Catches a variant that was added and that nobody is told of, or one that has gone."""
    listed = [match[1] for match, _ in items(section('forkecho-internals', 'VARIANTS'),
                                             r'Nm (\w+)')]
    assert sorted(listed) == VARIANTS, 'man/forkecho-internals.7, section VARIANTS'
    family = re.findall(r'^    (\w+echo)  +[a-z]', readme(), re.M)
    assert sorted(family) == sorted(ALL_SERVERS), 'README, the family'


def test_every_page_is_looked_at():
    """Catches a page that was added and that no test here asks."""
    pages = {str(path.relative_to(TOP)) for path in (TOP / 'man').iterdir()}
    assert pages == set(PAGES.values())


@each_page
@needs_mandoc
def test_mandoc_finds_nothing(name):
    """Catches a page that renders differently from one formatter to the next."""
    result = subprocess.run(['mandoc', '-Tlint', '-W', 'warning', TOP / PAGES[name]], text=True,
                            capture_output=True, timeout=DEADLINE, check=False)
    assert (result.returncode, result.stdout) == (0, '')


def rendered(name):
    """The lines of a page as a terminal of 80 columns shows them: man(1) leaves two free."""
    result = subprocess.run(['mandoc', '-Tascii', '-Owidth=78', TOP / PAGES[name]], text=True,
                            capture_output=True, timeout=DEADLINE, check=True)
    return re.sub('.\b', '', result.stdout).splitlines()


@each_page
@needs_mandoc
def test_a_page_fits_a_terminal(name):
    """Catches an example or a table that is wider than 80 columns, and wraps or is cut; and a
    source that cannot be edited there."""
    assert [line for line in rendered(name) if len(line) > 80] == []
    assert [line for line in page(name).splitlines()
            if len(line) > 80 and not line.startswith('.')] == []


@needs_mandoc
def test_the_server_s_page_is_read_to_its_end():
    """Catches a page that grows until nobody reads it: what an operator does not need has pages of
    its own."""
    assert len(rendered('forkecho')) <= 660


class Html(html.parser.HTMLParser):
    """A page: the marks that may be linked to, the links, and what is wrong with its tags."""

    def __init__(self, path):
        super().__init__()
        self.marks, self.links, self.wrong, self.open, self.inside = set(), [], [], [], []
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if given.get('id') in self.marks:
            self.wrong.append(f'a second {given["id"]}')
        self.marks |= {given['id']} if 'id' in given else set()
        self.links += [given['href']] if tag == 'a' and 'href' in given else []
        if self.open == ['html', 'body']:
            self.inside.append(tag)
        if tag not in ('meta', 'link', 'br', 'hr', 'img'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag('meta', attrs)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f'</{tag}>')


@needs_mandoc
def test_the_pages_are_linked_as_html(folder):
    """Catches a link between two pages that leads nowhere, a reference that is no link, a page that
    only a forgiving browser can show, and one without the landmark that readers jump to."""
    run_to_end(['make', '-s', 'html', f'BUILD={folder}/build'], cwd=TOP).check_returncode()
    pages = {path.name: Html(path) for path in (folder / 'build' / 'html').iterdir()}
    assert set(pages) == {f'{Path(path).name}.html' for path in PAGES.values()}
    for name, each in pages.items():
        assert (each.wrong, each.open, each.inside) == ([], [], ['main']), name
        source = (TOP / 'man' / name.removesuffix('.html')).read_text()
        wanted = {f'{other}.{number}.html' for other, number
                  in re.findall(r'^\.Xr ((?:fork)?echo\S*) (\d)', source, re.M)}
        assert wanted <= set(each.links), name
        for link in each.links:
            place, _, mark = link.partition('#')
            if not place.startswith('https://'):
                assert mark in pages[place or name].marks | {''}, f'{name}: {link}'


@each_page
def test_a_page_refers_to_what_there_is(name):
    """Catches a reference to a page or a section of ours that was renamed, or to none."""
    text = page(name)
    for title in re.findall(r'^\.Sx (.*?)(?: [.,;:)])?$', text, re.M):
        assert re.search(rf'^\.S[hs] {re.escape(title)}$', text, re.M), title
    for other, number in re.findall(r'^\.Xr ((?:fork)?echo\S*) (\d)', text, re.M):
        assert PAGES.get(other) == f'man/{other}.{number}', other


# ---- the log -----------------------------------------------------------------------------

def documented_lines():
    """{(verb, its fields in order)} of the section LINES."""
    return {(match[1], tuple(re.findall(r'([\w-]+)=', match[2])))
            for match, _ in items(section('forkecho-log', 'LINES'), r'Ic (\w+) No (.*)')}


def shapes(lines):
    """The same of what a server wrote; errors, which are sentences, are left out."""
    events = [Event(line) for line in lines if not line.startswith('forkecho: ')]
    return {(event.verb, tuple(event)) for event in events}


def write_usual_lines(server):
    srv = server('-C', '1', '-S', '127.0.0.1:0', verbose='-vv')
    visit(srv)
    srv.wait_line('^end ')
    keeper = srv.connect()
    keeper.echo(b'x')
    for each in [srv.connect() for _ in range(300)]:
        each.closed_by_server()
    srv.wait_line('^refuse more=')
    srv.status()
    srv.stop(signal.SIGQUIT)
    srv.wait_line('^stop ')
    return srv.lines


def write_resume(server):
    """Descriptors are missing for a while."""
    srv = server(*AS_OURSELVES)
    give_back = use_up_descriptors(srv.pid)
    client = srv.connect()
    srv.wait_line('^forkecho: accept failed: .*Too many open files')
    give_back()
    srv.wait_line('^resume ')
    client.echo(b'x')
    return srv.lines


def write_proxied(server):
    """A client behind a proxy, and one that is no proxy although it should be."""
    srv = server('--proxy', '127.0.0.1')
    client = srv.connect()
    client.sendall(b'PROXY TCP4 192.0.2.1 192.0.2.2 4242 7\r\nhello')
    assert client.receive(5) == b'hello'
    client.close()
    client = srv.connect()
    client.sendall(b'hello')
    srv.wait_lines('^end ', 2)
    return srv.lines


def write_programs(server):
    """Programs, of a proxy's clients and of others."""
    srv = server('--proxy', '127.0.0.1', runs=['true'])
    client = srv.connect()
    client.sendall(b'PROXY TCP4 192.0.2.1 192.0.2.2 4242 7\r\n')
    srv.connect().sendall(b'PROXY UNKNOWN\r\n')
    srv.wait_lines('^end ', 2)
    return srv.lines


def write_upgrade(server):
    """The same program takes over."""
    srv = server()
    srv.send_signal(signal.SIGHUP)
    srv.wait_line('^takeover ')
    return srv.lines


def write_errors(server):
    """Records for children that there are not, as a compromised child may write them, in a flood."""
    record = ledger_record(1 << 40)
    srv = server()
    ledger = open_ledger(srv)
    os.write(ledger, record * 20 + b'x' * 100)
    os.close(ledger)
    srv.send_signal(signal.SIGCHLD)
    srv.wait_line('^errors more=')
    assert srv.find('^forkecho: ignored a record on the ledger for .* no live child')
    return srv.lines


def write_lost(server):
    """The log is full for a while."""
    read_end, write_end = os.pipe()
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    srv = server(stderr=write_end)
    os.close(write_end)
    for _ in range(size // 50):
        visit(srv)
    os.read(read_end, size)
    srv.stop(signal.SIGTERM)
    with os.fdopen(read_end) as log:
        return log.read().splitlines()


@forks_only
def test_log_lines_are_those_of_the_page(server):
    """Catches a line or a field that the page lacks, or that no server writes any more."""
    lines = [*write_usual_lines(server), *write_proxied(server), *write_programs(server),
             *write_resume(server), *write_errors(server), *write_upgrade(server), *write_lost(server)]
    assert shapes(lines) == documented_lines()


def test_every_field_is_explained():
    """Catches a field that is in a line of the log but not in the list of fields, or the reverse."""
    explained = {match[1] for match, _ in items(section('forkecho-log', 'FIELDS'), r'Cm ([\w-]+)')}
    assert explained == {field for _, fields in documented_lines() for field in fields}


# ---- signals -----------------------------------------------------------------------------

def check_drain(srv, number):
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(number)
    assert srv.wait_line('^drain ')['why'] == signal.Signals(number).name
    assert client.echo(b'y') == b'y'
    client.half_close()
    assert srv.end_of(client)['how'] == 'eof'
    assert srv.wait() == 0


def check_stop(srv, number):
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(number)
    assert srv.wait() == 0
    assert srv.end_of(client)['how'] == 'signal-9'


def check_status(srv, number):
    srv.send_signal(number)
    srv.wait_line('^status ')


def check_goes_on(srv, number):
    srv.send_signal(number)
    visit(srv)


def check_upgrade(srv, number):
    client = srv.connect()
    client.echo(b'x')
    srv.send_signal(number)
    assert srv.wait_line('^takeover ')['live'] == '1'
    assert client.echo(b'y') == b'y'


SIGNALS = {'SIGTERM': check_drain, 'SIGINT': check_drain, 'SIGQUIT': check_stop,
           'SIGUSR1': check_status, 'SIGCHLD': check_goes_on, 'SIGPIPE': check_goes_on,
           'SIGHUP': check_upgrade}


def test_every_documented_signal_is_checked():
    """Catches a signal that is documented and tested by nobody, or the reverse."""
    signals = itertools.takewhile(lambda line: 'Who stops the server' not in line,
                                  section('forkecho', 'SIGNALS'))
    documented = [match[1] for match, _ in items(list(signals), r'Dv (\w+)')]
    assert sorted(documented) == sorted(SIGNALS)


@forks_only
@pytest.mark.parametrize('number', SIGNALS)
def test_signal_does_what_the_page_says(server, number):
    """Catches a signal that is documented and does something else."""
    SIGNALS[number](server(), getattr(signal, number))


# ---- the environment ---------------------------------------------------------------------

def test_every_variable_is_documented():
    """Catches a variable that changes what the server does and that nobody is told of; TZ is
    libc's, and what an upgrade hands to itself is its own business."""
    source = '\n'.join(path.read_text() for path in (TOP / 'src').rglob('*.c'))
    read = set(re.findall(r'\b(?:getenv|unsetenv|variable)\("(\w+)"\)', source))
    heads = [line for line in section('forkecho', 'ENVIRONMENT') if line.startswith('.It ')]
    assert set(re.findall(r'Ev (\w+)', ' '.join(heads))) == read | {'TZ'}


# ---- exit statuses -----------------------------------------------------------------------

def exit_commands(name, srv, closed):
    """A command for each exit status of a program."""
    wrong = srv.addresses[1]
    if name == 'forkecho':
        return {0: ['--version'], 1: ['-l', srv.address], 2: ['-c', '0']}
    if name == 'echoclient':
        return {0: ['-c', srv.address, 'hello'], 1: ['-c', '-t', '1s', wrong, 'hello'], 2: [],
                3: [closed, 'hello']}
    return {0: ['connect', '-d', '100ms', srv.address],
            1: ['connect', '-d', '1s', '-t', '1s', wrong], 2: [], 3: ['connect', closed],
            4: ['connect', '-d', '100ms', '--expect', 'max<0us', srv.address]}


@forks_only
@each_program
def test_exit_statuses_are_those_of_the_page(server, name):
    """Catches a status that a script relies on and never gets."""
    srv = server()
    liar = server('-m', 'X%m')
    srv.addresses += liar.addresses
    with socket.socket() as reserved:  # bound, but nobody listens
        reserved.bind(('127.0.0.1', 0))
        commands = exit_commands(name, srv, f'127.0.0.1:{reserved.getsockname()[1]}')
        given = {status: run(name, *command) for status, command in commands.items()}
    documented = [int(match[1]) for match, _ in items(section(name, 'EXIT STATUS'), r'(\d+)$')]
    assert documented == list(commands)
    for status, result in given.items():
        assert result.returncode == status, result
        assert bool(result.stderr) == (status != 0), result


@each_program
@pytest.mark.parametrize('option', ['--help', '--version'])
def test_what_cannot_be_shown_is_said(name, option):
    """Catches a help that has gone nowhere, and a status that says it has arrived."""
    with open('/dev/full', 'wb') as full:
        result = subprocess.run([program(name), option], stdout=full, stderr=subprocess.PIPE,
                                text=True, timeout=DEADLINE, check=False)
    assert (result.returncode, result.stderr) == \
        (1, f'{name}: cannot write to standard output: No space left on device\n')


# ---- examples ----------------------------------------------------------------------------

def simple_commands(line):
    """A shell command line as simple commands, without redirections: [[word, ...], ...]."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found, skip = [[]], False
    for word in lexer:
        if word in ('<', '>', '>>'):
            skip = True
        elif skip:
            skip = False
        elif set(word) <= set('|&;()'):
            found.append([])
        else:
            found[-1].append(word)
    return found


def examples(name):
    """The command lines in a page's EXAMPLES that run one of our programs: [(name, words)]."""
    lines, literal, programs = [], False, [*PROGRAMS, *VARIANTS]
    for line in section(name, 'EXAMPLES'):
        if re.match(r'\.(Bd|Ed)', line):
            literal = line.startswith('.Bd')
        elif literal or line.startswith('.Dl '):
            lines.append(re.sub(r'^\s*[$#] ', '', plain(line)))
    found = []
    for line in '\n'.join(lines).replace('\\\n', ' ').split('\n'):
        if not re.search(rf"(^|[ /])({'|'.join(programs)})\b", line):
            continue
        for words in simple_commands(line):
            names = [Path(word).name for word in words]
            ours = [each for each in names if each in programs]
            if ours and names[0] != 'ps':
                found.append((ours[0], words[names.index(ours[0]) + 1:]))
    return found


def split_options(name, words):
    """As the page's own options have it: [(option, value)], operands."""
    table = help_options(name)
    letters = ''.join(letter + ':' * takes for letter, (_, takes, _) in table.items()
                      if len(letter) == 1)
    return getopt.getopt(words, letters, [long + '=' * takes for long, takes, _ in table.values()])


def elsewhere(address, folder):
    """The same kind of address, where a test may listen."""
    if address.startswith('/'):
        return f'{folder}/{Path(address).name}'
    if address.startswith('[') and not has_ipv6():
        return '127.0.0.1:0'
    return re.sub(r'[^:]*$', '0', address)


def in_a_test(option, value, folder):
    """What an option of an example is where a test runs it: in the foreground, with a user that
    this machine has, and with files in a folder of the test's own."""
    if option in ('-d', '--daemon') or (option in ('-u', '-r') and os.geteuid() != 0):
        return []
    if option == '-P':
        value = f'{folder}/{Path(value).name}'
    return [option, {'-u': 'daemon', '-r': str(folder)}.get(option, value)]


def run_server_example(server, name, words, folder):
    options, operands = split_options(name, words)
    listen = [elsewhere(value, folder) for option, value in options if option in ('-l', '--listen')]
    rest = [part for option, value in options if option not in ('-l', '--listen')
            for part in in_a_test(option, value, folder) if part]
    srv = server(*rest, listen=listen or ['localhost:0'], verbose='', kind=as_program(name),
                 env=NO_LEAK_SEARCH, runs=operands)
    assert len(srv.addresses) >= len(listen)
    assert srv.stop(signal.SIGTERM) == 0


def as_program(name):
    return lambda _, *options, **settings: Server(name, *options, **settings)


SHORTER = {'-d': '100ms', '--duration': '100ms', '-w': '100ms', '--warm-up': '100ms', '-H': '20', '--held': '20', '-c': '8',
           '--concurrency': '8', '-r': '100', '--rate': '100', '--expect': 'failed=0',
           '--ramp': 'rate=100..200', '--find': 'max=1h', '-i': '10ms'}


def run_client_example(name, words, address):
    """In a small way, against our own server. echoload takes options behind its mode too."""
    command, rest = ['-d', '100ms'] if name == 'echoload' else [], words
    while rest:
        options, rest = split_options(name, rest)
        for option, value in options:
            value = SHORTER.get(option, value) if value and name == 'echoload' else value
            command += [option, value] if value else [option]
        if rest:
            first, rest = rest[0], rest[1:]
            at_address = '/' in first or ':' in first
            command.append(address if at_address else first)
            if at_address and name == 'echoclient':  # what follows is messages
                command, rest = command + rest, []
    result = run(name, *command)
    no_time = 'nothing came back' in result.stderr  # on a busy machine a search may not begin
    assert result.returncode == 0 or no_time, (command, result)


@forks_only
@each_program
def test_examples_work(server, folder, name):
    """Catches an example that is refused by the very program it shows."""
    commands = examples(name)
    assert len(commands) >= 3, commands
    target = server()
    for which, words in commands:
        if which in PROGRAMS and which != 'forkecho':
            run_client_example(which, words, target.address)
        else:
            run_server_example(server, which, words, folder)


# ---- README and the other documents ------------------------------------------------------

def document(path):
    assert path.exists(), f'{path.name} is missing'
    return path.read_text()


def readme():
    return document(TOP / 'README')


DOCUMENTS = [TOP / 'README', TOP / 'NEWS', TOP / 'tests' / 'README',
             *sorted(TOP.glob('tests/**/FIGURES'))]
each_document = pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: str(
    path.relative_to(TOP)))


def folders(top):
    return {path.name for path in top.iterdir() if path.is_dir() and not path.name.startswith('_')}


def test_the_maps_name_every_folder():
    """Catches a folder that a reader is not told of, and one that has gone."""
    rows = re.findall(r'^    src/(\w+)/  +\w', readme(), re.M)
    assert sorted(rows) == sorted(folders(TOP / 'src')), 'README, the source in reading order'
    rows = re.findall(r'^    (\w+)/  +\w', document(TOP / 'tests' / 'README'), re.M)
    assert sorted(rows) == sorted(folders(TOP / 'tests')), 'tests/README, how tests are organised'


def without_map(text):
    """The rows of README's map are held by the test above."""
    return re.sub(r'^    src/\w+/ .*$', '', text, flags=re.M)


def test_the_documents_are_here():
    """Catches figures that have gone: README sends readers to them."""
    assert [path.name for path in DOCUMENTS] == ['README', 'NEWS', 'README', 'FIGURES']


def test_readme_is_read_to_its_end():
    """Catches a README that grows with each change until nobody finds its first command."""
    assert len(readme().splitlines()) <= 220


def test_readme_has_the_figures_that_were_measured():
    """Catches a table in README that is of another run than the one in FIGURES."""
    [path] = TOP.glob('tests/**/FIGURES')
    rows = r'^    (?:forkecho, )?(?:the )?(live connections|default|static|textbook|a thread)\b'
    own, others = readme().split('make bench-peers')
    shown = {name.split()[-1]: re.findall(r'\b\d+\b|-(?= |$)', rest)
             for name, rest in re.findall(rows + r'(.*)', own, re.M)}
    text = document(path).split('make bench-scale\n')[1]
    measured = {'connections': re.findall(r'\d+', re.search('live connections(.*)', text)[1])}
    for name in ('default', 'static', 'textbook', 'thread'):
        row = re.search(rf'^    {name}, .*\n.*\n +us of processor time (.*)', text, re.M)[1]
        measured[name] = row.split()
    assert shown == measured
    rates = r'^    \S.*? +(\d+) +(\d+)  '
    assert re.findall(rates, others, re.M) == \
        re.findall(rates, text.split('make bench-peers\n')[1].split('make bench')[0], re.M) != []


@each_document
def test_a_document_has_no_gap(path):
    """Catches a figure or table that was to be filled in, and lines that wrap in an editor."""
    text = document(path)
    assert not re.findall(r'@[A-Z]+@', text)
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_news_opens_with_what_comes():
    """Catches a release without news, and news of a release that was never made."""
    version = re.search(r'^VERSION = (\S+)', document(TOP / 'Makefile'), re.M)[1]
    (first, state), *earlier = re.findall(r'^(\d[\d.]*)( \(unreleased\))?\n-+$',
                                          document(TOP / 'NEWS'), re.M)
    assert version == (earlier[0][0] if state else first)


def make_targets():
    """All that make knows how to make, from its own database."""
    result = subprocess.run(['make', '-pRrq', '-f', 'Makefile', ':'], cwd=TOP, text=True,
                            capture_output=True, timeout=DEADLINE, check=False)
    return set(re.findall(r'^([\w./-]+):', result.stdout, re.M))


def targets_of(text):
    """The targets of each `make ...` in a document: in backticks, or first on an indented line,
    alone or in a column."""
    commands = re.findall(r'`make\b([^`]*)`', text)
    commands += re.findall(r'^(?:\s{2,}|\s*[$#] )(?:sudo )?make\b((?: [^#\s]+)*)', text, re.M)
    return {word for words in commands for word in words.split() if re.match(r'[\w.]', word)
            and '=' not in word}


@each_document
def test_make_targets_in_a_document_exist(path):
    """Catches a command that a newcomer types and make does not know."""
    assert path != TOP / 'README' or {'run', 'check'} <= targets_of(readme())
    assert targets_of(document(path)) - make_targets() == set()


INVENTED = {'serve_scan.c'}  # the server that tests/README has somebody add


@each_document
def test_files_in_a_document_exist(path):
    """Catches a file that was moved or renamed, and is still where a document says for nobody."""
    text = without_map(document(path))
    tops = r'(?<![\w/.~$-])((?:src|man|tests|examples|build|\.ci)/[\w./*@\[\]-]*[\w\]])'
    paths = set(re.findall(tops, text))
    assert paths or path.name == 'NEWS'
    built = make_targets()
    missing = [each for each in paths if not list(TOP.glob(each))
               and not (each.startswith('build/') and (each in built or f'$(BUILD){each[5:]}'
                                                       in (TOP / 'Makefile').read_text()))]
    assert missing == []
    names = set(re.findall(r'(?<![\w/.])(\w+\.(?:[ch]|py))\b', text)) - INVENTED
    there = {each.name for top in ('src', 'tests', 'examples') for each in (TOP / top).rglob('*')}
    assert names - there == set()


def test_each_check_of_what_reaches_the_parent_is_there():
    """Catches a check that the page of internals promises, and that was renamed or removed."""
    source = '\n'.join(path.read_text() for path in sorted((TOP / 'src').rglob('*.c')))
    trusted = section('forkecho-internals', 'WHAT REACHES THE PARENT')
    named = [word.strip(',:.') for line in trusted
             for words in re.findall(r'\bFn ([^:.]*)', line) for word in words.split()]
    named = [word for word in named if re.fullmatch(r'[a-z_]+', word)]
    assert len(named) > 30
    # Each variable that it acts on reaches it, too.
    variables = re.findall(r'\b[A-Z][A-Z_]*\b', ' '.join(
        line for line in section('forkecho', 'ENVIRONMENT') if line.startswith('.It Ev')))
    trusted = ' '.join(trusted)
    assert [name for name in variables if not re.search(rf'\b{name}\b', trusted)] == []
    missing = [name for name in named
               if not re.search(rf'^[a-z][\w *]*\b{name}\([^;]*\)\n?{{?$', source, re.M)]
    assert missing == []
