"""-m, -G, -w and -z: replies in place of the echo, as teaching servers give them."""
import time

import pytest

from harness import concurrent, eventually, with_limit


def reply_to(srv, *messages, size=1000):
    """Sends each message when the one before is answered; returns all replies."""
    client = srv.connect()
    replies = []
    for message in messages:
        client.sendall(message)
        replies.append(client.recv(size))
    return replies


def test_a_reply_holds_the_message(server):
    """Catches a reply that loses bytes of the message or takes it for text."""
    srv = server('-m', 'echoed:..%m;')
    assert reply_to(srv, b'one', b'\0\xff%m\\n') == [b'echoed:..one;', b'echoed:..\0\xff%m\\n;']


def test_a_reply_quotes_the_message(server):
    """Catches quoting that differs from that of a Python bytes literal."""
    srv = server('-m', "b'%q'")
    text = b'it\'s "50 %"\n\r\t\\ \x00\x7f\xff'
    assert reply_to(srv, text) == [rb"b'it\'s " + rb'"50 %"\n\r\t\\ ' + rb"\x00\x7f\xff'"]


def test_a_reply_tells_the_time(server):
    """Catches a time that is not ctime(3)'s, or has its newline."""
    before = int(time.time())
    reply, = reply_to(server('-m', '%t'), b'now?')
    told = time.mktime(time.strptime(reply.decode(), '%a %b %d %H:%M:%S %Y'))
    assert len(reply) == 24 and before <= told <= time.time()


def test_a_reply_names_the_client(server):
    """Catches an address that is the server's, or another client's."""
    srv = server('-m', '%a')
    for _ in range(2):
        with srv.connect() as client:
            name = client.address.encode()
            assert client.echo(b'x' * len(name)) == name


def test_a_unix_client_is_local(server, folder):
    """Catches a client without an address that has a made-up one."""
    srv = server('-m', '%a', listen=[folder / 's'])
    assert reply_to(srv, b'who?') == [b'local']


def test_escapes_and_percent_signs(server):
    """Catches a template whose escapes reach the client as they were typed."""
    srv = server('-m', r'100 %%\t\x41\r\n\\\'')
    assert reply_to(srv, b'?') == [b"100 %\tA\r\n\\'"]


def test_replies_are_one_for_each_read(server):
    """Catches a message of more bytes than -z."""
    client = server('-m', '[%m]', '-z', '4').connect()
    client.sendall(b'abcdefghij')
    assert client.receive(16) == b'[abcd][efgh][ij]'


def test_messages_have_at_most_1024_bytes(server):
    """Catches a default of -z other than the documented one."""
    client = server('-m', '<%m>').connect()
    client.sendall(b'x' * 1500)
    assert client.receive(1504) == b'<' + b'x' * 1024 + b'><' + b'x' * 476 + b'>'


def test_plain_echo_knows_no_message_size(server):
    """Catches -z that cuts an echo."""
    assert server('-z', '1').connect().echo(b'whole') == b'whole'


def test_the_last_reply_comes_after_the_half_close(server):
    """Catches a last reply that is lost at the client's end of file."""
    client = server('-m', 'got %m').connect()
    client.sendall(b'goodbye')
    client.half_close()
    assert client.receive_all() == b'got goodbye'


def test_a_greeting_comes_first(server):
    """Catches a greeting that waits for the client, or that is repeated."""
    client = server('-G', r'Hi %a, it is %t\n').connect()
    greeting = client.recv(1000)
    assert greeting.startswith(b'Hi ' + client.address.encode() + b', it is ')
    assert greeting.endswith(b'\n')
    assert client.echo(b'and now the echo') == b'and now the echo'


@pytest.mark.parametrize('option', ['-m', '-G'])
@with_limit(0.4, 4)
def test_the_delay_comes_once_before_the_first_read(server, option, limit):
    """Catches -w that is skipped, or waited for at every message."""
    srv = server('-w', f'{limit}s', option, '%t')
    start = time.monotonic()
    client = srv.connect()
    if option == '-G':
        assert len(client.receive(24)) == 24
    for _ in range(10):
        client.sendall(b'x' * 24)
        assert len(client.receive(24)) == 24
    assert limit <= time.monotonic() - start < 10 * limit


@concurrent
@with_limit(0.5, 5)
def test_a_delay_holds_up_no_other_client(server, limit):
    """Catches one loop that sleeps for each of its clients in turn."""
    srv = server('-w', f'{limit}s')
    start = time.monotonic()
    clients = [srv.connect() for _ in range(10)]
    assert [client.echo(b'hello') for client in clients] == [b'hello'] * 10
    assert limit <= time.monotonic() - start < 10 * limit


def test_messages_are_logged_when_very_verbose(server):
    """Catches a log line that a client can forge with a newline, or make endless."""
    srv = server('-v')  # beside the harness's -v
    client = srv.connect()
    client.echo(b'hello\nend pid=1 how=forged\x1b[2J')
    shown = srv.wait_line(r'^message ')
    assert shown['from'] == client.address and shown['bytes'] == '30'
    assert r"text='hello\nend pid=1 how=forged\x1b[2J'" in shown.line
    client.echo(b'x' * 5000)
    assert len(srv.wait_lines(r'^message ', 2)[1].line) < 512
    assert eventually(lambda: not srv.find('^end '), 'nothing forged')
