"""
What each test needs, and the evidence for it, from reading its code.

From the outside in: `analyzer` is the port, with `cache`, `batch` and `codec` to be fast. `summary` is one file: what
its code says (`inference`, `requirement`) under what people said (`explicit`), and what somebody should look at
(`findings`). `simulation` is a test's run on one machine, with its `parametrisation`, `fixtures` and `bodies`, of the
tests that `tests_of` finds. `gates`, `decorators` and `names` are the rules. `interpreter` with `expressions`,
`operators` and `builtin_calls`, `execution` with `statements`, `presumption` and `conftest_options` follow Python.
`vocabulary` is the table of what names say of hardware, in `phrases`, with `facts` for what no phrase can say; `worlds`
are the machines, `values` what code can be worth there. `project`, `syntax` and `heat` are the source.
"""

from dt_action.analysis.analyzer import StaticAnalyzer

__all__ = ["StaticAnalyzer"]
