"""The fault matrix as a table: rows of calls and errors, a column a server, a letter a `when`."""
from collections import defaultdict

from cells import ERRNOS, PHASES, WHENS, errors_of
from harness import BUILD

LETTERS = {'serves': 's', 'waits': 'w', 'cuts': 'c', 'refuses': 'r', 'ends': 'e', 'stops': 'X',
           'not called': '-', 'not reached': '.', 'as forkecho': '"', None: '?'}
NOT_INJECTED = ['not called', 'not reached', 'as forkecho']
LEGEND = [
    f'Four letters a server: the {", ".join(WHENS)} call failed. What happened:',
    's it serves all  w clients wait until the fault is over  c only whose own call failed is cut',
    'r the upgrade is refused  e it ends as it was told to  X it stops, with one line and exit 1',
    '- never called by this server in this phase  . called, but not as often  ! not as expected',
    '" as forkecho: the same code, tried there (cells.SHARED)',
]


def rows(cells):
    """{(phase, call, error): {server: letters}}, in the order of cells.py."""
    found = defaultdict(lambda: defaultdict(lambda: [' '] * len(WHENS)))
    for server, phase, point, error, when, word, wrong in cells:
        letter = '!' if wrong else LETTERS[word]
        found[phase, point, error][server][list(WHENS).index(when)] = letter
    order = [(phase, point, error) for phase in PHASES for point in ERRNOS
             for error in errors_of(point)]
    return {row: {server: ''.join(letters) for server, letters in found[row].items()}
            for row in order if row in found}


def line(phase, point, errors, servers, letters):
    columns = ' '.join(letters.get(server, '').center(max(4, len(server))) for server in servers)
    return f'{phase:9}{point.lower():13}{columns}  {errors}'


def count(cells):
    """How many there are, and in how many of them the call was there to fail."""
    injected = sum(word not in NOT_INJECTED for *_, word, _ in cells)
    return f'{len(cells)} cells, in {injected} of which a fault was injected'


def show(cells):
    """Writes faults.txt, a row an error, and returns it with the like rows in one."""
    servers = sorted({cell[0] for cell in cells})
    table, short = rows(cells), defaultdict(list)
    head = line('phase', 'call', 'errors', servers, {server: server for server in servers})
    full = [line(phase, point, error, servers, letters)
            for (phase, point, error), letters in table.items()]
    (BUILD / 'faults.txt').write_text('\n'.join([*LEGEND, '', head, *full, '']))
    for (phase, point, error), letters in table.items():
        short[phase, point, tuple(letters.items())].append(error)
    return [*LEGEND, '', head, *(line(phase, point, ' '.join(errors), servers, dict(letters))
                                 for (phase, point, letters), errors in short.items()),
            f'{count(cells)}; a row an error in {BUILD / "faults.txt"}']
