"""What every back end must do, as checks that anyone can run against their own.

In the tests of a back end that lives outside of this repository::

    import pytest
    from unlearn_bench.sandbox import conformity
    from my_pkg.my_backend import create

    @pytest.mark.parametrize("check", conformity.CHECKS, ids=str)
    def test_conformity(check):
        check(create())

``check_sandbox(create())`` runs all of them. A check raises ``DoesNotConform``, an ``AssertionError``, that says what
the back end did. The attack suite asks for more, see ``unlearn_bench.sandbox.suite`` and
``bench doctor --attacks --sandbox my_pkg.my_backend``.
"""

from __future__ import annotations

from unlearn_bench.sandbox.conformity.checks import CHECKS, ConformityCheck, DoesNotConform, check_sandbox

__all__ = ["CHECKS", "ConformityCheck", "DoesNotConform", "check_sandbox"]
