"""RFC 862: every byte comes back, in order, until the client has finished, whatever it does."""
import hashlib
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from harness import concurrent

MEGABYTE = 1 << 20
EVERY_BYTE = bytes(range(256))


def test_100_megabytes_come_back_the_same(server):
    """Catches bytes lost or doubled by short reads, short writes and EINTR (inetd's echo)."""
    srv = server()
    client = srv.connect()
    sent, came = hashlib.sha256(), hashlib.sha256()

    def send():
        block = bytearray(EVERY_BYTE * 4096)
        for number in range(100):
            block[:8] = number.to_bytes(8, 'big')  # no two blocks are alike
            sent.update(block)
            client.sendall(block)
        client.half_close()

    sender = threading.Thread(target=send)
    sender.start()
    size = 0
    while part := client.recv(MEGABYTE):
        size += len(part)
        came.update(part)
    sender.join()
    assert (size, came.digest()) == (100 * MEGABYTE, sent.digest())
    end = srv.end_of(client)
    assert (end.number('in'), end.number('out'), end['how']) == (size, size, 'eof')


def test_split_and_glued_messages_are_one_stream(server):
    """Catches a server that thinks in messages or lines: TCP keeps no boundaries."""
    client = server().connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = b'one\ntwo\r\n\r\n\nthree without an end'
    for byte in text:
        client.send(bytes([byte]))
    assert client.receive(len(text)) == text
    assert client.echo(text * 100) == text * 100


def test_one_byte_comes_back_before_the_next_is_sent(server):
    """Catches a server that waits for a line or a full buffer, as one that uses stdio does."""
    client = server().connect()
    for byte in b'no newline':
        assert client.echo(bytes([byte])) == bytes([byte])


def test_binary_data_is_kept(server):
    """Catches strings taken for bytes: NUL, 0xff, ^D and ^Z end nothing."""
    client = server().connect()
    assert client.echo(EVERY_BYTE) == EVERY_BYTE
    assert client.echo(b'\0' * 1000) == b'\0' * 1000


def test_an_urgent_byte_comes_back_in_its_place(server):
    """Catches a byte that the kernel takes out of the stream, and a count without it."""
    srv = server()
    client = srv.connect()
    client.sendall(b'ab')
    assert client.send(b'cd', socket.MSG_OOB) == 2
    client.sendall(b'ef')
    client.half_close()
    assert client.receive_all() == b'abcdef'
    assert srv.end_of(client)['in'] == '6'


def test_half_close_brings_the_whole_tail(server):
    """Catches echo lost at the client's half-close (nmap#962), or cut by a reset at the server's
    close: all buffers on the way are full when the client finishes."""
    client = server().connect(receive_buffer=4096)
    sent = client.fill()
    client.half_close()
    assert client.receive_all() == sent


def test_half_close_without_a_byte(server):
    """Catches a server that needs a byte before it sees the end of file."""
    srv = server()
    client = srv.connect()
    client.half_close()
    assert client.receive_all() == b''
    end = srv.end_of(client)
    assert (end['in'], end['out'], end['how']) == ('0', '0', 'eof')


def test_end_of_file_needs_no_next_client(server):
    """Catches a parent that keeps its copy of the client's socket until it accepts again (PP4E)."""
    client = server().connect()
    assert client.echo(b'the last words') == b'the last words'
    client.half_close()
    assert client.receive_all() == b''


@concurrent
def test_a_reset_ends_one_connection(server):
    """Catches a reset taken for end of file, and one that harms another client."""
    srv = server()
    other, client = srv.connect(), srv.connect()
    client.echo(b'hello')
    name = client.address
    client.reset()
    assert srv.end_of(name)['how'] == 'reset'
    assert other.echo(b'unharmed') == b'unharmed'


def test_a_client_that_connects_and_vanishes(server):
    """Catches an accept error that kills the server (TLPI, hickory-dns#3726)."""
    srv = server()
    for _ in range(100):
        srv.connect().reset()
    assert srv.connect().echo(b'still there') == b'still there'


def test_a_client_that_closes_before_its_echo(server):
    """Catches a SIGPIPE that kills: the server writes to a client that is gone."""
    srv = server()
    for _ in range(3):
        client = srv.connect()
        client.fill()
        name = client.address
        client.close()  # with the echo unread: the kernel answers further data with a reset
        assert srv.end_of(name)['how'] == 'reset'
    srv.send_signal(signal.SIGPIPE)
    assert srv.connect().echo(b'still there') == b'still there'


@concurrent
def test_clients_do_not_get_each_others_bytes(server):
    """Catches a buffer or a descriptor shared between connections."""
    srv = server()
    clients = [srv.connect() for _ in range(50)]
    for turn in range(20):
        for number, client in enumerate(clients):
            client.sendall(f'client {number} turn {turn};'.encode())
        for number, client in enumerate(clients):
            text = f'client {number} turn {turn};'.encode()
            assert client.receive(len(text)) == text


@concurrent
def test_streams_run_side_by_side(server):
    """Catches one busy client that holds up the others, and bytes that stray between streams."""
    srv = server()

    def stream(number):
        client = srv.connect()
        block = bytes([number]) * 65536
        return all(client.echo(block) == block for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(stream, range(4))) == [True] * 4


@concurrent
def test_a_client_that_does_not_read_holds_up_no_other(server):
    """Catches one loop that blocks in a write to a client whose buffers are full."""
    srv = server()
    srv.connect().fill()
    assert srv.connect().echo(b'next, please') == b'next, please'
