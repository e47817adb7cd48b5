"""The table of the matrix: what it says about how much was tried."""
import table


def test_the_cells_in_which_nothing_failed_are_counted_apart():
    """Catches a number of cells that passes for as many faults, though in some the call is never
    made, and for others forkecho stands."""
    def cell(server, when, word, wrong=False):
        return [server, 'serve', 'ACCEPT', 'EMFILE', when, word, wrong]
    cells = [cell('forkecho', 'first', 'waits'), cell('forkecho', 'fifth', 'not reached'),
             cell('forkecho', 'tenth', 'not called'), cell('iterecho', 'first', 'as forkecho'),
             cell('iterecho', 'fifth', 'stops', True)]
    assert table.count(cells).startswith('5 cells, in 2 of which a fault was injected')
