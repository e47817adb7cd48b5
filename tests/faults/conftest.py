"""Collects what each trial of the fault matrix has shown, and prints it as a table at the end."""
import table


def pytest_terminal_summary(terminalreporter):
    """The workers' cells come with their reports."""
    cells = [cell for reports in terminalreporter.stats.values() for report in reports
             for name, value in getattr(report, 'user_properties', [])
             if name == 'cells' and report.when == 'call' for cell in value]
    if cells:
        for line in table.show(cells):
            terminalreporter.write_line(line)
