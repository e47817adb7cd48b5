"""forkecho under a running systemd, with the units of examples/systemd as they are."""
import json
import os
import re
import signal
import time
from pathlib import Path

from conftest import UNITS
from harness import eventually

SERVICE, SOCKET = 'forkecho.service', 'forkecho.socket'
HERE = '127.0.0.1:7'
UPGRADES, CONNECTIONS = 23, 50_000
SWAPS = (1, 8, 15)  # of the upgrades, those to another file
FIRST_DYNAMIC, LAST_DYNAMIC = 61184, 65519


def enable(machine, unit=SOCKET):
    machine.systemctl('enable', '--now', unit)


def visit(machine, address=HERE):
    with machine.connect(address) as client:
        assert client.echo(b'hello') == b'hello'


def started(machine):
    """Enables the socket, and starts the service as its first client does. Its process."""
    enable(machine)
    visit(machine)
    return machine.main_pid(SERVICE)


def state(machine, unit=SERVICE):
    return machine.show(unit, 'ActiveState')


def status_of(pid, key):
    return re.search(rf'^{key}:\s*(.*)$', Path(f'/proc/{pid}/status').read_text(), re.M)[1]


def wait_status(machine, pattern):
    """The service's status text, once it matches; it is renewed at most once a second."""
    def matches():
        return re.fullmatch(pattern, machine.show(SERVICE, 'StatusText'))
    return eventually(matches, f'the status text is like {pattern}')


def messages(machine, unit=SERVICE):
    return [entry['MESSAGE'] for entry in machine.journal(unit)]


# ---- starting ----------------------------------------------------------------------------

def test_enabling_the_socket_listens_without_a_process(machine):
    """Catches a socket unit that does not listen, or that is not there after a boot."""
    enable(machine)
    assert machine.systemctl('is-enabled', SOCKET) == 'enabled'
    assert machine.path('/etc/systemd/system/sockets.target.wants/forkecho.socket').is_symlink()
    assert state(machine, SOCKET) == 'active' and state(machine) == 'inactive'


def test_the_first_client_starts_the_service(machine):
    """Catches a server that does not take the listening sockets that systemd hands it."""
    enable(machine)
    with machine.connect() as client:
        assert client.echo(b'hello') == b'hello'
        assert state(machine) == 'active'
        assert client.echo(b'again') == b'again'
    assert machine.show(SERVICE, 'NRestarts') == '0'


def test_both_families_are_served(machine):
    """Catches a socket unit whose one socket takes no IPv4 clients, and a reply that names them
    as mapped addresses."""
    machine.drop_in(SERVICE, '[Service]\nExecStart=\n'
                             'ExecStart=/usr/local/sbin/forkecho -m "%%a"\n')
    enable(machine)
    for address, shown in ((HERE, '127.0.0.1:'), ('[::1]:7', '[::1]:')):
        with machine.connect(address) as client:
            client.sendall(b'x')
            client.half_close()
            assert client.receive_all().decode().startswith(shown)


def test_systemctl_start_returns_when_the_server_is_ready(machine):
    """Catches READY=1 that is not sent, which is a start that times out, or sent as nobody."""
    enable(machine)
    machine.systemctl('start', SERVICE)
    assert state(machine) == 'active'
    took = int(machine.show(SERVICE, 'ActiveEnterTimestampMonotonic')) \
        - int(machine.show(SERVICE, 'ExecMainStartTimestampMonotonic'))
    print(f'\n{machine.suite}: start to READY, with the sandbox made: {took / 1000:.1f} ms')


def test_a_standalone_server_binds_its_own_port(machine):
    """Catches hardening that leaves the server without the address families or port it needs."""
    enable(machine, 'forkecho-standalone.service')
    visit(machine, '127.0.0.1:7007')
    visit(machine, '[::1]:7007')


# ---- what it may do ----------------------------------------------------------------------

def check_confined(pid):
    assert FIRST_DYNAMIC <= int(status_of(pid, 'Uid').split()[0]) <= LAST_DYNAMIC
    assert len(set(status_of(pid, 'Uid').split())) == 1
    for key in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        assert int(status_of(pid, key), 16) == 0, key
    assert status_of(pid, 'NoNewPrivs') == '1' and status_of(pid, 'Seccomp') == '2'


def test_the_service_is_a_dynamic_user_without_rights(machine):
    """Catches a unit, or a start as root, that leaves the server or a child with any right, and a
    filter of system calls that keeps a child from giving up its own."""
    pid = started(machine)
    with machine.connect() as client:
        client.echo(b'x')
        children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        assert len(children) == 1
        for each in (pid, children[0]):
            check_confined(each)
        limits = Path(f'/proc/{children[0]}/limits').read_text()
        for what in ('processes', 'open files', 'file size'):
            assert re.search(rf'^Max {what} +0 +0 ', limits, re.M), limits


def test_the_service_has_no_network_of_its_own(machine):
    """Catches a unit without PrivateNetwork: a compromised child could call out."""
    pid = started(machine)
    assert os.readlink(f'/proc/{pid}/ns/net') != os.readlink(f'/proc/{machine.leader}/ns/net')


def test_the_limits_of_the_unit_suffice_for_its_own_maximum(machine):
    """Catches TasksMax, LimitNPROC or LimitNOFILE that are met before -c is."""
    machine.drop_in(SERVICE, '[Service]\nExecStart=\n'
                             'ExecStart=/usr/local/sbin/forkecho -c 1024\n')
    started(machine)
    load = machine.load('connect', '-H', '1016', '-c', '8', '-d', '300ms', HERE)
    report = load.report(stop=False)
    assert report['held-failed'] == report['held-lost'] == report['failed'] == '0', report
    assert not [line for line in messages(machine) if 'failed' in line]


# ---- what it tells -----------------------------------------------------------------------

def test_the_status_text_counts_clients(machine):
    """Catches a status that systemctl status does not show, or that is never renewed."""
    started(machine)
    clients = [machine.connect() for _ in range(3)]
    for client in clients:
        assert client.echo(b'x') == b'x'
    before = int(wait_status(machine, r'3 live, (\d+) ended, 0 refused')[1])
    for client in clients:
        client.close()
    after = wait_status(machine, r'0 live, (\d+) ended, 0 refused')
    assert int(after[1]) == before + 3
    assert f'Status: "{after[0]}"' in machine.systemctl('status', SERVICE)


def test_the_journal_has_priorities_and_no_second_time(machine):
    """Catches lines that are all informational, show their <5>, or carry a time of their own."""
    started(machine)
    machine.systemctl('stop', SERVICE)
    entries = {entry['MESSAGE'].split(' ')[0]: entry for entry in machine.journal(SERVICE)
               if entry['SYSLOG_IDENTIFIER'] == 'forkecho'}
    for verb in ('start', 'drain', 'stop'):
        assert entries[verb]['PRIORITY'] == '5', entries[verb]


def test_an_error_is_an_error_in_the_journal(machine):
    """Catches an error that `journalctl -p err` does not find."""
    machine.drop_in(SERVICE, '[Service]\nRestart=no\nExecStart=\n'
                             'ExecStart=/usr/local/sbin/forkecho -l 192.0.2.1:7 -P /nowhere/pid\n')
    enable(machine)
    machine.systemctl('start', SERVICE, check=False)
    assert [entry for entry in machine.journal(SERVICE, '-p', 'err')
            if entry['MESSAGE'].startswith('forkecho: ')]


# ---- reload ------------------------------------------------------------------------------

def takeovers(machine):
    return len([line for line in messages(machine) if line.startswith('takeover ')])


def reload_service(machine):
    before = takeovers(machine)
    machine.systemctl('reload', SERVICE)
    eventually(lambda: takeovers(machine) == before + 1, 'the program on disk has taken over')
    eventually(lambda: state(machine) == 'active', 'systemd knows that the reload has ended')


def swap_program(machine):
    """Puts another file where the program is, as a package's upgrade does."""
    machine.run('sh', '-c', 'cd /usr/local/sbin && cp forkecho new && mv new forkecho')


def test_upgrades_under_load_cost_no_client(machine):
    """Catches an upgrade that refuses, resets or cuts a client, or loses one that is held."""
    machine.drop_in(SERVICE, '[Service]\nExecStart=\nExecStart=/usr/local/sbin/forkecho\n')
    pid = started(machine)
    load = machine.load('connect', '-d', '5m', '-H', '50', HERE)
    eventually(lambda: len(Path(f'/proc/{pid}/task/{pid}/children').read_text().split()) > 50,
               'the load has begun')
    for turn in range(UPGRADES):
        if turn in SWAPS:
            swap_program(machine)
        reload_service(machine)
    load.wait_for(lambda: int(re.search(r'(\d+) ended', machine.show(SERVICE, 'StatusText'))[1]),
                  CONNECTIONS)
    report = load.report()
    assert report['failed'] == report['held-failed'] == report['held-lost'] == '0', report
    assert int(report['count']) + int(report['late']) >= CONNECTIONS
    assert machine.main_pid(SERVICE) == pid and machine.show(SERVICE, 'NRestarts') == '0'
    print(f'\n{machine.suite}: {UPGRADES} upgrades, {len(SWAPS)} of them to another file, '
          f'{report["count"]} connections, {report["failed"]} failed')


def test_a_reload_starts_the_program_that_is_on_disk(machine):
    """Catches a reload that goes on with the old program, or that systemd's sandbox prevents."""
    pid = started(machine)
    with machine.connect() as held:
        held.echo(b'x')
        before = os.stat(f'/proc/{pid}/exe').st_ino
        swap_program(machine)
        reload_service(machine)
        assert os.stat(f'/proc/{pid}/exe').st_ino != before
        visit(machine)
        assert held.echo(b'y') == b'y'
    wait_status(machine, r'0 live, \d+ ended, 0 refused')
    assert machine.main_pid(SERVICE) == pid


def test_a_broken_program_on_disk_leaves_the_running_one(machine):
    """Catches an upgrade that gives up the old program before the new one has shown itself."""
    pid = started(machine)
    machine.run('sh', '-c', 'cd /usr/local/sbin && mv forkecho kept && '
                            'printf "#!/bin/false\\n" >forkecho && chmod 755 forkecho')
    try:
        machine.systemctl('reload', SERVICE, check=False)
        eventually(lambda: [entry for entry in machine.journal(SERVICE, '-p', 'err')],
                   'the server has said why')
        eventually(lambda: state(machine) == 'active', 'the reload has ended')
        visit(machine)
        assert machine.main_pid(SERVICE) == pid
    finally:
        machine.run('sh', '-c', 'cd /usr/local/sbin && mv kept forkecho')


# ---- ends, wanted and not ----------------------------------------------------------------

def test_a_stop_drains(machine):
    """Catches KillMode=control-group, which cuts the clients of a server that drains, and a
    server that shuts the inherited sockets down: the next client is to wait for the next start."""
    started(machine)
    client = machine.connect()
    client.echo(b'x')
    machine.systemctl('stop', '--no-block', SERVICE)
    eventually(lambda: [line for line in messages(machine) if line.startswith('drain ')],
               'the drain has begun')
    assert state(machine) == 'deactivating'
    assert client.echo(b'still here') == b'still here'
    client.half_close()
    assert client.receive_all() == b''
    eventually(lambda: state(machine) == 'inactive', 'the drain has ended')
    assert machine.show(SERVICE, 'Result') == 'success'
    visit(machine)


def test_stopping_is_told(machine):
    """Catches STOPPING=1 that is not sent: systemd would not know of a drain it did not ask for."""
    pid = started(machine)
    with machine.connect() as client:
        client.echo(b'x')
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: state(machine) == 'deactivating', 'systemd knows of the drain')
        assert client.echo(b'y') == b'y'


def test_the_watchdog_restarts_a_server_that_hangs(machine):
    """Catches WATCHDOG=1 that is not sent, or sent by somebody who does not serve."""
    machine.drop_in(SERVICE, '[Service]\nWatchdogSec=2s\nRestartSec=0\n')
    pid = started(machine)
    # Nothing tells that a watchdog did not bark: two of its times do.
    end = time.monotonic() + 4
    while time.monotonic() < end:
        visit(machine)
    assert machine.main_pid(SERVICE) == pid
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: machine.show(SERVICE, 'NRestarts') == '1', 'systemd has restarted it')
    assert [line for line in messages(machine) if 'Watchdog timeout' in line]
    visit(machine)


def test_a_crash_is_restarted_and_the_socket_stays(machine):
    """Catches a server that stays down, and a client that comes meanwhile and is refused."""
    machine.drop_in(SERVICE, '[Service]\nRestartSec=300ms\n')
    pid = started(machine)
    os.kill(pid, signal.SIGSEGV)
    visit(machine)
    assert machine.main_pid(SERVICE) not in (pid, None)
    assert machine.show(SERVICE, 'NRestarts') == '1'


# ---- Accept=yes --------------------------------------------------------------------------

ACCEPT = 'forkecho@7007.socket'


def instances(machine):
    text = machine.systemctl('list-units', '--all', '--output=json', 'forkecho@*.service')
    return [unit['unit'] for unit in json.loads(text or '[]')]


def test_each_client_has_a_unit_of_its_own(machine):
    """Catches -i that does not serve what systemd hands it, and units that stay behind."""
    enable(machine, ACCEPT)
    with machine.connect('127.0.0.1:7007') as client:
        assert client.echo(b'hello') == b'hello'
        assert len(instances(machine)) == 1
        check_confined(machine.main_pid(instances(machine)[0]))
        client.half_close()
        assert client.receive_all() == b''
    eventually(lambda: instances(machine) == [], 'the unit is gone')


def test_accept_survives_a_flood(machine):
    """Catches a socket that is shut for good. systemd does so after 200 clients in two seconds,
    which a small machine does not reach, so that limit is asked for too."""
    enable(machine, ACCEPT)
    assert machine.show(ACCEPT, 'TriggerLimitIntervalUSec') == '0'
    load = machine.load('connect', '-d', '4s', '-c', '4', '127.0.0.1:7007')
    report = load.report(stop=False)
    assert state(machine, ACCEPT) == 'active'
    assert report['failed'] == '0', report
    visit(machine, '127.0.0.1:7007')
    eventually(lambda: instances(machine) == [], 'the units are gone')


# ---- the init script ---------------------------------------------------------------------

def test_the_init_script_works_by_hand(machine):
    """Catches a script that Debian's functions hand to systemctl where, from systemd 260 on, nothing
    makes a unit of it: a start fails, and a server that runs is neither known nor stopped."""
    script = '/etc/init.d/forkecho'
    machine.systemctl('stop', SOCKET, check=False)
    machine.run('sh', '-c', f'rm -rf /etc/systemd/system/forkecho* && '
                            f'cp {UNITS}/../init/forkecho {script}')
    machine.path('/etc/default/forkecho').write_text(f"FORKECHO_OPTIONS='-s daemon -l {HERE}'\n")
    machine.systemctl('daemon-reload')

    def does(action):
        return machine.run(script, action, check=False).returncode

    try:
        assert (does('status'), does('start'), does('status'), does('start')) == (3, 0, 0, 0)
        visit(machine)
        assert does('reload') == 0
        assert (does('restart'), does('status')) == (0, 0)
        visit(machine)
        assert (does('stop'), does('status')) == (0, 3)
        assert not [each for each in machine.processes()
                    if Path(f'/proc/{each[0]}/comm').read_text() == 'forkecho\n']
    finally:
        machine.run('sh', '-c', f'{script} stop; rm {script} /etc/default/forkecho', check=False)
        machine.systemctl('daemon-reload')
