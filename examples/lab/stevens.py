"""stevens.py: his Figure 30.1, and which of our servers is which of his designs.

W. R. Stevens et al., UNIX Network Programming vol. 1: seconds of processor time for process
control, 5,000 connections, above the iterative server; printed for three hosts in the second
edition, and for one in the third.
"""
import csv
from itertools import permutations
from pathlib import Path

HOSTS = {'solaris': 'Solaris', 'dunix': 'DUnix', 'bsdos': 'BSD/OS', 'third_edition': '3rd edition'}

# Row of his table: (the design in short, our server of it).
DESIGNS = {0: ('iterative', 'iterecho'), 1: ('fork', 'forkecho'), 2: ('prefork', 'preforkecho'),
           6: ('thread', 'threadecho'), 8: ('thread pool', 'threadpoolecho')}


def printed():
    """{row: {'design': ..., host: seconds or None}}"""
    path = Path(__file__).resolve().parent / 'unp-figure-30.1.csv'
    with open(path, newline='') as file:
        rows = csv.DictReader(line for line in file if not line.startswith('#'))
        return {int(row['row']): {'design': row['design'], **{
            host: float(row[host]) if row[host] else None for host in HOSTS}} for row in rows}


def matched():
    """Our servers that are of one of his designs."""
    return [ours for _, ours in DESIGNS.values()]


def ordered_pairs():
    """[(dearer, cheaper)] of DESIGNS, where all of his hosts agree that have both. The iterative
    server is what he subtracted, so it is in none."""
    table, found = printed(), []
    for dear, cheap in permutations([row for row in DESIGNS if row], 2):
        both = [(table[dear][host], table[cheap][host]) for host in HOSTS
                if table[dear][host] is not None and table[cheap][host] is not None]
        if both and all(one > other for one, other in both):
            found.append((DESIGNS[dear], DESIGNS[cheap]))
    return found


def above(rows):
    """{model: [seconds above the iterative server of the same round]}; {} without that one."""
    base = {row.get('round'): row['cpu_s'] for row in rows
            if row['model'] == 'iterecho' and row.get('cpu_s') is not None}
    found = {}
    for row in rows:
        if row.get('cpu_s') is not None and row.get('round') in base:
            found.setdefault(row['model'], []).append(row['cpu_s'] - base[row.get('round')])
    return found
