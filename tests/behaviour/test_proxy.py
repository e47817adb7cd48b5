"""--proxy: whose PROXY headers are believed, and required, and what becomes of the rest."""
import contextlib
import os
import re
import signal
import socket
import struct
import time

import pytest

from harness import (children, concurrent, ends_by_term, forks_only, in_time, ledger_record,
                     needs_ipv6, open_ledger, with_limit)

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'


def binary(command, kind, body):
    """A header of version 2."""
    return SIGNATURE + struct.pack('!BBH', 0x20 + command, kind, len(body)) + body


def inet(source, port, tail=b''):
    family = socket.AF_INET6 if ':' in source else socket.AF_INET
    address = socket.inet_pton(family, source)
    return binary(1, 0x21 if ':' in source else 0x11,
                  address * 2 + struct.pack('!HH', port, 7) + tail)


LINE = b'PROXY TCP4 192.0.2.1 198.51.100.7 4242 7\r\n'
TLVS = b'\x02\0\x0bexample.com\x03\0\x04abcd\x04\0\0'
# What a proxy sends, and whom the server then serves (None: the proxy itself).
HEADERS = {
    'v1-tcp4': (LINE, '192.0.2.1:4242'),
    'v1-tcp6': (b'PROXY TCP6 2001:db8::1 2001:db8::2 65535 7\r\n', '[2001:db8::1]:65535'),
    'v1-mapped': (b'PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 7\r\n', '192.0.2.1:1'),
    'v1-unknown': (b'PROXY UNKNOWN\r\n', None),
    'v1-unknown-long': (b'PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', None),
    'v2-inet': (inet('192.0.2.1', 4242), '192.0.2.1:4242'),
    'v2-inet6': (inet('2001:db8::1', 4242), '[2001:db8::1]:4242'),
    'v2-mapped': (inet('::ffff:192.0.2.1', 4242), '192.0.2.1:4242'),
    'v2-tlvs': (inet('192.0.2.1', 4242, TLVS), '192.0.2.1:4242'),
    'v2-unix': (binary(1, 0x31, b'/client'.ljust(216, b'\0')), 'local'),
    'v2-local': (binary(0, 0, b''), None),
    'v2-unspec': (binary(1, 0, b'ignored'), None),
    'v2-datagram': (binary(1, 0x12, bytes(12)), None),
}
each_header = pytest.mark.parametrize('header, client', HEADERS.values(), ids=HEADERS)


def proxied(server, *options, **settings):
    return server('--proxy', '127.0.0.1', *options, **settings)


def end_via(srv, proxy):
    """The `end` line of a connection that came by this client of ours."""
    name = re.escape(proxy if isinstance(proxy, str) else proxy.address)
    return srv.wait_line(rf'^end .*(from|via)={name} ')


def expect_end(srv, proxy, client):
    """Closes a connection and checks whom its `end` line names."""
    name = proxy.address
    proxy.half_close()
    assert proxy.receive_all() == b''
    end = end_via(srv, name)
    assert end['how'] == 'eof'
    assert (end['from'], end.get('via')) == ((client, name) if client else (name, None))
    return end


@each_header
def test_a_header_names_the_client(server, header, client):
    """Catches a header that is echoed, counted, or misread, data behind it that is lost, and a
    client that the log or a reply does not name."""
    srv = proxied(server, '-v')  # beside the harness's -v
    proxy = srv.connect()
    proxy.sendall(header + b'hello')
    assert proxy.receive(5) == b'hello'
    assert proxy.echo(b'again') == b'again'
    shown = srv.wait_line('^message .*bytes=5')
    assert shown['from'] == (client or proxy.address)
    assert srv.accepted(proxy)['from'] == proxy.address
    end = expect_end(srv, proxy, client)
    assert (end['in'], end['out']) == ('10', '10')


@pytest.mark.parametrize('name', ['v1-tcp4', 'v2-tlvs'])
def test_a_header_may_dribble(server, name):
    """Catches a header that has to come at once."""
    header, client = HEADERS[name]
    srv = proxied(server)
    proxy = srv.connect()
    proxy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(len(header)):
        proxy.sendall(header[at:at + 1])
        time.sleep(0.001)  # so that the bytes come apart
    assert proxy.echo(b'hello') == b'hello'
    expect_end(srv, proxy, client)


def test_greeting_and_replies_name_the_client(server):
    """Catches a greeting before the header, to which the proxy would have to listen, and %a that
    is the proxy."""
    srv = proxied(server, '-G', 'hi %a;', '-m', '%a says %m', '-z', '4')
    proxy = srv.connect()
    proxy.sendall(LINE[:-1])
    proxy.settimeout(0.2)
    with pytest.raises(TimeoutError):  # silence is the absence of an event
        proxy.recv(1)
    proxy.settimeout(20)
    proxy.sendall(LINE[-1:] + b'abcdef')
    said = b'hi 192.0.2.1:4242;192.0.2.1:4242 says abcd192.0.2.1:4242 says ef'
    assert proxy.receive(len(said)) == said


MALFORMED = {
    'no-header': (b'hello', 'not a PROXY header'),
    'http': (b'GET / HTTP/1.1\r\n\r\n', 'not a PROXY header'),
    'address': (b'PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n', 'bad address in PROXY line'),
    'port': (b'PROXY TCP4 192.0.2.1 192.0.2.1 65536 2\r\n', 'bad port in PROXY line'),
    'words': (b'PROXY TCP4 192.0.2.1 192.0.2.1 1\r\n',
              'PROXY line is not two addresses and two ports'),
    'bare-newline': (b'PROXY TCP4 192.0.2.1 192.0.2.1 1 2\n', 'bad character in PROXY line'),
    'no-crlf': (b'PROXY UNKNOWN '.ljust(107, b'x'), 'PROXY line is too long'),
    'version': (SIGNATURE + b'\x11\x11\0\x0c' + bytes(12),
                'unknown version or command in PROXY header'),
    'family': (SIGNATURE + b'\x21\x41\0\x0c' + bytes(12),
               'unknown family or transport in PROXY header'),
    'short': (SIGNATURE + b'\x21\x11\0\x0b' + bytes(11),
              'PROXY header is too short for its addresses'),
    'long': (SIGNATURE + b'\x21\x11\xff\xff', 'PROXY header is too long'),
}


@pytest.mark.parametrize('sent, why', MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_header_ends_the_connection(server, sent, why):
    """Catches bytes that are guessed at, echoed, or waited for, and an end without a reason."""
    srv = proxied(server, '-G', '!')
    proxy = srv.connect()
    proxy.sendall(sent)
    assert proxy.closed_by_server() == b''
    end = end_via(srv, proxy)
    assert (end['how'], end['why']) == ('proxy', f'"{why}"')
    assert (end['in'], end['out'], end.get('via')) == ('0', '0', None)
    healthy = srv.connect()
    healthy.sendall(LINE + b'x')
    assert healthy.receive(2) == b'!x'


def test_a_close_before_the_header_is_a_health_check(server):
    """Catches a health check, which a proxy makes every few seconds, that is logged as a fault."""
    srv = proxied(server)
    proxy = srv.connect()
    expect_end(srv, proxy, None)


def test_a_close_within_the_header_is_a_fault(server):
    """Catches a cut header that is taken for an orderly end."""
    srv = proxied(server)
    proxy = srv.connect()
    proxy.sendall(LINE[:20])
    proxy.half_close()
    assert proxy.closed_by_server() == b''
    end = end_via(srv, proxy)
    assert (end['how'], end['why']) == ('proxy', '"end of file within PROXY header"')


def test_a_reset_before_the_header_is_a_reset(server):
    """Catches a proxy's check by a reset that is logged as an error, or crashes."""
    srv = proxied(server)
    proxy = srv.connect()
    srv.accepted(proxy)
    name = proxy.address
    proxy.reset()
    assert end_via(srv, name)['how'] == 'reset'


@with_limit(0.3, 3)
def test_a_silent_proxy_is_idle(server, limit):
    """Catches a client that is waited for without end because it owes a header."""
    srv = proxied(server, '-t', f'{limit}s')
    start = time.monotonic()
    proxy = srv.connect()
    assert proxy.receive_all() == b''
    assert limit <= time.monotonic() - start < 10 * limit
    assert end_via(srv, proxy)['how'] == 'idle'


@with_limit(0.5, 5)
def test_a_byte_now_and_then_does_not_prolong_a_header(server, limit):
    """Catches a header that takes the idle limit for each of its bytes: hours, at the default."""
    srv = proxied(server, '-t', f'{limit}s')
    start = time.monotonic()
    proxy = srv.connect()
    try:
        proxy.sendall(b'PROXY UNKNOWN ')
        while not srv.find('^end ') and time.monotonic() - start < 10 * limit:
            proxy.sendall(b'x')
            time.sleep(0.4 * limit)
    except (BrokenPipeError, ConnectionResetError):
        pass  # what it sends behind the server's close is answered so
    end = srv.wait_line('^end ')
    assert time.monotonic() - start >= limit and float(end['secs']) < 5 * limit
    assert (end['how'], end['why']) == ('proxy', '"PROXY header was not complete in time"')


@pytest.mark.parametrize('sent', [b'', LINE[:9]])
def test_a_lifetime_ends_the_wait_for_a_header(server, sent):
    """Catches a header that is waited for longer than any client is served."""
    srv = proxied(server, '-t', '0', '-T', '300ms')
    proxy = srv.connect()
    proxy.sendall(sent)
    assert proxy.closed_by_server() == b''
    assert end_via(srv, proxy)['how'] == 'lifetime'


def test_after_the_header_the_idle_limit_is_whole(server):
    """Catches the header's time limit that goes on to limit the client."""
    def is_served(limit):
        srv = proxied(server, '-t', f'{limit}s')
        proxy = srv.connect()
        with contextlib.suppress(ConnectionError):
            time.sleep(0.6 * limit)  # a proxy that takes its time
            proxy.sendall(LINE[:9])
            time.sleep(0.1 * limit)
            proxy.sendall(LINE[9:])
            time.sleep(0.7 * limit)  # and a client that does
            return proxy.echo(b'x') == b'x'

    assert in_time(is_served, 1, 4, 16)


@pytest.mark.parametrize('header', [LINE, HEADERS['v2-tlvs'][0]])
def test_from_others_a_header_is_echoed(server, header):
    """Catches a header that is believed from any client: it could then claim any address."""
    srv = server('--proxy', '127.0.0.2', '--proxy', '10.0.0.0/8', '--proxy', '::/0')
    other = srv.connect()
    assert other.echo(header) == header
    end = expect_end(srv, other, None)
    assert end.number('in') == len(header)


def test_from_unix_clients_a_header_is_echoed(server, folder):
    """Catches clients without an address that are in every block."""
    srv = server('--proxy', '0.0.0.0/0', '--proxy', '::/0', listen=[folder / 's'])
    assert srv.connect().echo(LINE) == LINE


@each_header
def test_unix_clients_may_be_proxies(server, folder, header, client):
    """Catches a header that is echoed behind a proxy which connects to a Unix socket, and one that
    is believed there from all others as well."""
    srv = server('--proxy', 'local', '-C', '1', listen=[folder / 's', '127.0.0.1:0'])
    with srv.connect() as proxy:
        proxy.sendall(header + b'hello')
        assert proxy.receive(5) == b'hello'
        proxy.half_close()
        assert proxy.receive_all() == b''
    end = srv.wait_line('^end ')
    assert (end['from'], end.get('via')) == ((client, 'local') if client else ('local', None))
    assert srv.connect(srv.addresses[1]).echo(header) == header


@needs_ipv6
def test_blocks_of_both_families(server):
    """Catches a list that knows the first block alone."""
    srv = server('--proxy', '10.0.0.0/8', '--proxy', '::1', '--proxy', '127.0.0.2',
                 listen=['127.0.0.1:0', '[::1]:0'])
    for address, source in ((srv.addresses[0], '127.0.0.2'), (srv.addresses[1], None)):
        proxy = srv.connect(address, source=source)
        proxy.sendall(LINE + b'x')
        assert proxy.receive(1) == b'x'
        expect_end(srv, proxy, '192.0.2.1:4242')


@concurrent
def test_caps_and_access_lists_apply_to_the_proxy(server):
    """Catches a decision by what a header says: whoever sends it could evade every limit."""
    srv = proxied(server, '-C', '2', '-X', '192.0.2.0/24')
    proxies = [srv.connect() for _ in range(2)]
    for number, proxy in enumerate(proxies):
        proxy.sendall(LINE.replace(b'192.0.2.1', b'192.0.2.%d' % number) + b'x')
        assert proxy.receive(1) == b'x'
    third = srv.connect()
    assert third.closed_by_server() == b''
    assert srv.wait_line('^refuse ')['why'] == 'max-per-source'
    srv = proxied(server, '-X', '127.0.0.1')
    refused = srv.connect()
    assert refused.closed_by_server() == b''
    refusal = srv.wait_line('^refuse ')
    assert (refusal['why'], refusal['from']) == ('denied', refused.address)


def test_a_stop_ends_who_owes_a_header(server):
    """Catches a drain that is held up by a header that never comes."""
    def how():
        srv = proxied(server, '-g', '0')
        proxy = srv.connect()
        srv.accepted(proxy)
        proxy.sendall(LINE[:9])
        assert srv.stop(signal.SIGTERM) == 0
        return end_via(srv, proxy)['how']

    assert ends_by_term(how)


def test_hundreds_of_proxied_clients_keep_their_names(server):
    """Catches names that are mixed up between clients."""
    srv = proxied(server, '-m', '%a')
    proxies = [srv.connect() for _ in range(200)]
    for number, proxy in enumerate(proxies):
        proxy.sendall(b'PROXY TCP4 192.0.2.%d 198.51.100.7 %d 7\r\nx' % (number, 1000 + number))
    expected = {}
    for number, proxy in enumerate(proxies):
        name = f'192.0.2.{number}:{1000 + number}'
        assert proxy.receive(len(name)) == name.encode()
        expected[proxy.address] = name
        proxy.close()
    ends = srv.wait_lines('^end ', 200)
    assert {end['via']: end['from'] for end in ends} == expected


LIES = {
    'family': dict(client=struct.pack('=H', 99) + b'\xff' * 30),
    'bytes': dict(client=b'\xff' * 32),
    'problem': dict(ending=5, problem=1 << 40),
    'wide-problem': dict(ending=5, problem=(1 << 32) + 1),
    'negative-problem': dict(ending=5, problem=-1),
}


@forks_only
@pytest.mark.parametrize('lie', LIES.values(), ids=LIES)
def test_a_compromised_child_cannot_name_what_is_no_client(server, lie):
    """Catches a parent that formats whatever a child writes."""
    srv = proxied(server)
    proxy = srv.connect()
    proxy.sendall(LINE + b'x')
    assert proxy.receive(1) == b'x'
    write_exit_record(srv, **lie)
    proxy.close()
    end = srv.wait_line('^end ')
    assert end.get('via') is None
    assert end.get('why') == ('"unknown"' if 'problem' in lie else None)
    assert srv.status()['live'] == '0'


@forks_only
def test_a_compromised_child_of_no_proxy_names_nobody(server):
    """Catches a child that can put another client's name on a connection that has no proxy."""
    srv = server('--proxy', '127.0.0.2')
    client = srv.connect()
    assert client.echo(b'x') == b'x'
    write_exit_record(srv, client=struct.pack('=HH4B', socket.AF_INET, 1, 192, 0, 2, 1))
    name = client.address
    client.close()
    end = srv.wait_line('^end ')
    assert (end['from'], end.get('via')) == (name, None)


def write_exit_record(srv, **lie):
    """Writes the exit record of the only child before the child does."""
    child, = children(srv.pid)
    ledger = open_ledger(srv)
    os.write(ledger, ledger_record(child.pid, **lie))
    os.close(ledger)
