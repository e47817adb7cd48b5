"""Which files have nothing to test in this build."""
from harness import BUILD

# A build of one server alone has neither unit suites nor clients, and one that counts lines has no
# fuzz harnesses; the documents are tested once, with a whole build.
collect_ignore = []
if not (BUILD / 'unit').is_dir():
    collect_ignore += ['test_units.py']
if not (BUILD / 'fuzz').is_dir():
    collect_ignore += ['test_fuzz.py']
if not (BUILD / 'echoclient').exists():
    collect_ignore += ['test_client.py', 'test_classics.py', 'test_docs.py', 'test_install.py']
if not (BUILD / 'hazards' / 'textbook').exists():
    collect_ignore += ['test_lab.py', 'test_timeline.py']
if not (BUILD / 'forkecho').exists():
    collect_ignore += ['test_init.py', 'test_inetd.py', 'test_program.py', 'test_program_examples.py',
                       'test_runit.py', 'test_s6.py', 'test_service_files.py']
# The same of every build: what makes builds of its own, and files that no compiler makes.
if BUILD.name != 'build':
    collect_ignore += ['test_archive.py', 'test_completion.py']
