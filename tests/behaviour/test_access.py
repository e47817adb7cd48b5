"""Who may come in: -A and -X."""
import pytest

from harness import before_serving, needs_ipv6, run


def served(server, source=None, address=None):
    """Whether a client from `source` is served; if not, it was refused, and the log says why."""
    mark = server.mark()
    with server.connect(address, source=source) as client:
        event = server.wait_line(rf'^(accept|refuse) .*from={client.address}( |$)'
                                 .replace('[', r'\[').replace(']', r'\]'), after=mark)
        if event.verb == 'refuse':
            assert event['why'] == 'denied'
            assert client.closed_by_server() == b''
            return False
        assert client.echo(b'x') == b'x'
        return True


@pytest.mark.parametrize('rules, allowed, denied', [
    (['-A', '127.0.0.2'], ['127.0.0.2'], ['127.0.0.1', '127.0.0.3']),
    (['-X', '127.0.0.2'], ['127.0.0.1', '127.0.0.3'], ['127.0.0.2']),
    (['-A', '127.0.0.0/30', '-X', '127.0.0.2'], ['127.0.0.1', '127.0.0.3'],
     ['127.0.0.2', '127.0.0.4']),
    (['-X', '127.0.0.0/8', '-A', '127.0.0.2'], ['127.0.0.2'], ['127.0.0.1']),
    (['-A', '127.0.0.1', '-X', '127.0.0.1'], [], ['127.0.0.1']),
    (['--allow', '::1', '--deny', '10.0.0.0/8'], [], ['127.0.0.1']),
])
def test_the_longest_block_decides(server, rules, allowed, denied):
    """Catches a list that is read in its order, an allow that keeps nobody out, and a deny that
    loses a tie."""
    srv = server(*rules)
    assert [source for source in allowed + denied if served(srv, source)] == allowed


@needs_ipv6
def test_ipv6_blocks(server):
    """Catches a list that knows IPv4 alone."""
    srv = server('-A', '::/64', '-X', '127.0.0.0/8', listen=['127.0.0.1:0', '[::1]:0'])
    assert not served(srv)
    assert served(srv, address=srv.addresses[1])


def test_unix_clients_are_not_subject_to_it(server, folder):
    """Catches a list that shuts out clients without an address."""
    srv = server('-A', '10.0.0.0/8', listen=[folder / 's'])
    assert srv.connect().echo(b'x') == b'x'


def test_refused_clients_cost_no_fork_and_are_counted(server):
    """Catches a child for each refusal (vsftpd, postmaster), and counts that drift."""
    srv = server('-X', '127.0.0.0/8')
    for _ in range(20):
        assert not served(srv)
    status = srv.status()
    assert (status['refused'], status['accepted'], status['peak']) == ('20', '20', '0')


@before_serving
@pytest.mark.parametrize('option', ['-A', '-X', '--allow', '--deny'])
@pytest.mark.parametrize('block, hint', [
    ('10.0.0.1/8', '10.0.0.0/8'), ('10.0.0.0/33', ''), ('10.0.0', ''), ('name', ''),
    ('2001:db8::1/32', '2001:db8::/32'), ('::1/129', ''), ('10.0.0.0/', ''), ('', ''),
])
def test_a_bad_block_is_a_usage_error(server_name, option, block, hint):
    """Catches a block that is read as another one: it would let the wrong clients in."""
    done = run(server_name, '-l', '0', option, block)
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert option.lstrip('-') in done.stderr and hint in done.stderr
