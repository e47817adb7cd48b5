"""What the kernel knows of a TCP socket: sock_diag(7), by which it is asked for one of them.

proc(5)'s net/tcp would tell as well, but lists all there are. After some ten thousand connections,
which stay there for a minute (TIME_WAIT), one look takes longer than the test that looks.
"""
import contextlib
import socket
import struct
from collections import namedtuple

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20  # a request, and its answer
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
NO_COOKIE = 2**64 - 1
INET_DIAG_SKMEMINFO = 7
TCP_LISTEN = 10

# queue: bytes that have arrived and were not read, or of a listener the connections that wait.
# memory: what the kernel needs for these and for those that were written and not taken (sk_meminfo).
Found = namedtuple('Found', 'state queue memory')


def packed(address):
    """An address as (family, 16 bytes, port): 127.0.0.1:7 or [::1]:7."""
    host, port = address.rsplit(':', 1)
    family = socket.AF_INET6 if host.startswith('[') else socket.AF_INET
    return family, socket.inet_pton(family, host.strip('[]')).ljust(16, b'\0'), int(port)


def memory(attributes):
    """What is queued to be read, and to be sent, from the attributes behind an answer."""
    while attributes:
        size, kind = struct.unpack_from('=HH', attributes)
        if kind == INET_DIAG_SKMEMINFO:
            fields = struct.unpack_from('=9I', attributes, 4)
            return fields[0] + fields[5]
        attributes = attributes[(size + 3) & ~3:]
    return 0


def tcp_socket(local, peer=None):
    """The socket at `local` whose other end is at `peer`, or the one that listens at `local`; None
    where there is none."""
    family, own, own_port = packed(local)
    _, other, other_port = packed(peer) if peer else (family, bytes(16), 0)
    # struct nlmsghdr, struct inet_diag_req_v2.
    request = struct.pack('=BBBBI', family, socket.IPPROTO_TCP,
                          1 << INET_DIAG_SKMEMINFO - 1, 0, 0xffffffff) \
        + struct.pack('!HH', own_port, other_port) + own + other + struct.pack('=IQ', 0, NO_COOKIE)
    header = struct.pack('=IHHII', 16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                                          NETLINK_SOCK_DIAG)) as kernel:
        kernel.send(header + request)
        answer = kernel.recv(4096)
    if struct.unpack_from('=H', answer, 4) == (NLMSG_ERROR,):
        return None
    # struct inet_diag_msg: behind four bytes, of which one is the state, the addresses and a time.
    end, = struct.unpack_from('=I', answer)
    found = Found(answer[17], *struct.unpack_from('=I', answer, 16 + 4 + 48 + 4),
                  memory(answer[16 + 72:end]))
    # Where there is no such connection, the kernel answers with the listener.
    return None if peer and found.state == TCP_LISTEN else found


def listens(address):
    found = tcp_socket(address)
    return found is not None and found.state == TCP_LISTEN
